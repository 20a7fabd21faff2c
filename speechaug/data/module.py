"""The DataModule: files in, batches out; decides on augmentation before the transfer, applies it after."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import Dataset

from speechaug._lightning import NativeDataModule
from speechaug.augmenter import BatchAugmenter
from speechaug.banks import Bank
from speechaug.data.checks import check_folders, check_settings, speaker_names
from speechaug.data.conditions import (
    BankSource,
    PolicySource,
    resolve_bank,
    resolve_conditions,
    resolve_policy,
    resolve_suite,
)
from speechaug.data.dataset import SpeechDataset, Transport
from speechaug.data.findings import Finding, count_left_out, summarize
from speechaug.data.leak import banks_of, check_banks, check_recordings, check_voices, recording_hashes
from speechaug.data.manifest import Utterance, shorten
from speechaug.data.rendered import RenderedDataset
from speechaug.data.sampler import BucketSampler, ResumableLoader
from speechaug.data.scan import OtherRates
from speechaug.data.sides import scan_sides, split_sides
from speechaug.data.sources import Source, describe
from speechaug.data.strings import Joined, plan_strings
from speechaug.rng import CLEAN, Rng
from speechaug.transform import plain

if TYPE_CHECKING:
    from speechaug.robustness.suite import Suite

StartMethod = Literal["fork", "spawn", "forkserver"]

EVALUATION_SEED = 0
"""Seed of validation and test strings and of test noise: the same for everyone, whatever the seed of the training."""

Batch = dict[str, Any]


class SpeechDataModule(NativeDataModule):
    """Speech from files, shards or data sets as batches of similar length, augmented on the device they are on.

    A batch is a dict: ``waveform`` ``(B, T)`` float32 with full scale at 1, ``lengths`` int64 ``(B,)``, and the lists
    ``text``, ``id``, ``speaker``. Training batches are augmented by ``policy``: drawn on the host before the transfer
    from (seed, epoch, ids), applied after it. Validation and the sanity check stay clean. There is one test loader per
    test condition, in the order of ``test_names``; noise and rooms there are drawn with a seed of their own, so that
    the noisy test sets are the same in every run; ``Trainer.predict`` gets the test speech unaltered. Batches do not
    depend on the number of workers, and ranks share nothing. A checkpoint within an epoch resumes at the next batch.

    What is missing, empty, corrupt, too short or holds NaN is left out, and named in one warning with what is
    resampled: how many of each, and the first ones; after ``setup`` all of them are in ``findings``. Several channels
    are mixed to their mean.

    Args:
        train: what to train on: anything that :func:`speechaug.read_manifest` reads, such as a manifest, a folder, a
            list of utterances or a Hugging Face data set; None to test only.
        test: what to test on; None or the same as ``train`` to split that by speaker.
        val: what to validate on, instead of ``val_takes``.
        pattern: file-name pattern for folders, such as ``{text}_{speaker}_{take}.wav``.
        sample_rate: of the batches, in Hz.
        other_rates: what is done with files of another sample rate: ``resample`` them, ``skip`` them, or raise an
            ``error``.
        min_duration_s: shorter recordings are left out, in seconds.
        max_duration_s: longer recordings are left out, in seconds; None for no bound.
        train_speakers: who trains; None for everyone (of one source: everyone who is not tested). Numbers are names
            too; in the shell and in YAML a leading zero survives only in quotes: ``"['01']"``.
        test_speakers: who is tested; None for everyone (of one source: everyone who does not train).
        takes: takes of each text by each speaker to train on; None for all.
        val_takes: takes of each text by each training speaker held out to validate on: the first, in natural order.
        concat: least and most recordings of one speaker joined to a string; (1, 1) joins nothing.
        gap_s: range of the silence between joined recordings, in seconds.
        passes: how many times an epoch uses each recording.
        policy: transform of waveforms, its plain data, a YAML file, ``small_sample`` for the preset, or ``none``.
        noise: folder or bank for every ``AddNoise`` of the policy, instead of its own.
        rooms: folder or bank for every ``Reverb`` of the policy, instead of its own.
        voices: folder or bank of single talkers, such as the training recordings, for every ``AddBabble`` of the
            policy, instead of its own; ``small_sample`` adds babble only with it. No recording that is tested.
        views: how many augmented views of each utterance a training batch holds, for consistency training. Rows are
            all utterances in view 0, then all in view 1 and so on; ``id`` repeats and ``view`` says which is which.
            What moves time is the same in all views of an utterance, so that their frames are aligned.
        clean_view: whether the views are preceded by one (``view`` -1) in which nothing is done but what moves time.
        test_noise: folder or bank of unseen noise; adds the conditions ``noise_20db``, ``_10db``, ``_5db``, ``_0db``.
        test_rooms: folder or bank of unseen room responses; adds the condition ``room``.
        test_conditions: transforms by name (None for clean speech) instead of those.
        test_suite: test in the conditions of the robustness suite instead: ``tiny``, ``standard``, ``full``, ``srb`` or
            names of conditions. Each utterance is corrupted alone where it is read, as
            :func:`speechaug.robustness.evaluate` does it, so that both tell the same; ``test_noise`` and
            ``test_rooms`` replace the suite's own.
        test_strings: how many strings to test on; None for as many as use every recording once.
        batch_size: most utterances in a batch.
        max_batch_s: most seconds of audio in a batch, with padding and views, before augmentation: short utterances
            make large batches, long ones small batches. A longer utterance makes a batch of its own, with a warning.
            None for no limit.
        num_workers: processes that read; 0 is best for what fits into the cache.
        multiprocessing_context: how they are started: ``fork``, ``spawn``, ``forkserver``; None for Python's choice.
        pin_memory: whether batches are page-locked; only where there is CUDA.
        persistent_workers: whether the workers of training and validation outlive an epoch.
        prefetch_factor: batches each worker prepares ahead.
        transport: ``int16`` or ``float32``: what batches are until they are on the device. ``float32`` keeps more than
            16 bits, but precision ``bf16-true`` rounds it to 8 before anything can be done about it.
        seed: of strings, order and augmentation.
        cache_mb: room for decoded audio, in MB; what does not fit is read from its file each time. Of that only the
            header is looked at before: damage in the middle of a file stops the training, and names the file.

    Attributes:
        left_out: number of recordings that could not be used, by side (``train``, ``val``, ``test``); empty before
            ``setup``.

    Raises:
        ValueError: at construction for a bad configuration; in ``setup`` for a missing transcript, an unknown speaker,
            no usable file, or a recording, noise or room on both the training and the test side.

    Example:
        >>> data = SpeechDataModule(train="train.jsonl", test="test.jsonl", concat=(1, 6), batch_size=16)
        >>> data.test_names
        ['clean']
    """

    def __init__(
        self,
        train: Source | None = None,
        test: Source | None = None,
        val: Source | None = None,
        *,
        pattern: str | None = None,
        sample_rate: int = 16_000,
        other_rates: OtherRates = "resample",
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        train_speakers: list[str | int] | None = None,
        test_speakers: list[str | int] | None = None,
        takes: int | None = None,
        val_takes: int = 0,
        concat: tuple[int, int] = (1, 1),
        gap_s: tuple[float, float] = (0.05, 0.3),
        passes: int = 1,
        policy: PolicySource = None,
        noise: BankSource = None,
        rooms: BankSource = None,
        voices: BankSource = None,
        views: int = 1,
        clean_view: bool = False,
        test_noise: BankSource = None,
        test_rooms: BankSource = None,
        test_conditions: dict[str, PolicySource] | None = None,
        test_suite: str | list[str] | None = None,
        test_strings: int | None = None,
        batch_size: int = 32,
        max_batch_s: float | None = None,
        num_workers: int = 0,
        multiprocessing_context: StartMethod | None = None,
        pin_memory: bool = True,
        persistent_workers: bool = True,
        prefetch_factor: int = 2,
        transport: Transport = "int16",
        seed: int = 0,
        cache_mb: float = 1024.0,
    ) -> None:
        """Keep and check the configuration; nothing is read before ``setup``."""
        super().__init__()
        self.train, self.test, self.val, self.pattern = train, test, val, pattern
        self.sample_rate, self.transport, self.seed, self.cache_mb = sample_rate, transport, seed, cache_mb
        self.other_rates, self.min_duration_s, self.max_duration_s = other_rates, min_duration_s, max_duration_s
        self.train_speakers = speaker_names(train_speakers, "train_speakers")
        self.test_speakers = speaker_names(test_speakers, "test_speakers")
        self.takes, self.val_takes, self.test_strings = takes, val_takes, test_strings
        self.concat, self.gap_s, self.passes = concat, gap_s, passes
        self.views, self.clean_view = views, clean_view
        self.batch_size, self.max_batch_s = batch_size, max_batch_s
        self.num_workers, self.multiprocessing_context = num_workers, multiprocessing_context
        self.pin_memory, self.persistent_workers, self.prefetch_factor = pin_memory, persistent_workers, prefetch_factor
        check_settings(vars(self))
        self.concat, self.gap_s = (concat[0], concat[1]), (gap_s[0], gap_s[1])  # YAML has lists
        self.noise, self.rooms = resolve_bank(noise, sample_rate), resolve_bank(rooms, sample_rate)
        self.voices = resolve_bank(voices, sample_rate)
        self.test_noise, self.test_rooms = resolve_bank(test_noise, sample_rate), resolve_bank(test_rooms, sample_rate)
        given = {"noise": noise, "rooms": rooms, "voices": voices, "test_noise": test_noise, "test_rooms": test_rooms}
        self._folders = {  # to look for in setup; a bank that was given as such is its owner's business
            name: getattr(self, name).folder
            for name, source in given.items()
            if source is not None and not isinstance(source, Bank)
        }
        self.policy = resolve_policy(policy, self.noise, self.rooms, self.voices)
        self.augmenter: BatchAugmenter | None = None
        if self.policy is not None:
            self.augmenter = BatchAugmenter(self.policy, seed=seed, sample_rate=sample_rate)
        self.test_suite = test_suite
        self.suite: Suite | None = None
        if test_suite is None:
            self.test_conditions = resolve_conditions(test_conditions, self.test_noise, self.test_rooms)
        elif test_conditions is not None:
            raise ValueError("SpeechDataModule: test_conditions must be None with test_suite, which has its own")
        else:
            self.suite = resolve_suite(test_suite, sample_rate, self.test_noise, self.test_rooms)
            self.test_conditions = {condition.name: condition.policy for condition in self.suite.conditions}
        self.left_out: dict[str, int] = {}
        self.findings: list[Finding] = []
        self._datasets: dict[str, SpeechDataset] = {}
        self._sampler: BucketSampler | None = None
        self._resume: dict[str, Any] | None = None
        if val is None and not val_takes:  # without a loader of its own Lightning does not validate
            self.val_dataloader = super().val_dataloader  # type: ignore[method-assign]

    # What there is.

    @property
    def train_utterances(self) -> list[Utterance]:
        """Recordings to train on that can be read."""
        return self._dataset("train").utterances

    @property
    def val_utterances(self) -> list[Utterance]:
        """Recordings held out to validate on that can be read."""
        return self._dataset("val").utterances

    @property
    def test_utterances(self) -> list[Utterance]:
        """Recordings to test on that can be read."""
        return self._dataset("test").utterances

    @property
    def texts(self) -> list[str]:
        """Transcripts of the training recordings, to build a vocabulary from.

        Where recordings are joined there is one more, of two of them: what stands between them is a character too.
        """
        texts = [utterance.text for utterance in self.train_utterances]
        return [*texts, " ".join(texts[:1] * 2)] if texts and self.concat[1] > 1 else texts

    @property
    def test_names(self) -> list[str]:
        """Names of the test conditions, in the order of the test loaders."""
        return list(self.test_conditions)

    @property
    def epoch(self) -> int:
        """Epoch of the training batches that are given now, counted from 0."""
        if self._sampler is not None:
            return self._sampler.epoch
        return 0 if self.trainer is None else self.trainer.current_epoch

    def setup(self, stage: str = "") -> None:
        """Read manifests, split, look at every file, compare train and test; once, whatever the stage."""
        if self._datasets:
            return
        check_folders(self._folders)
        sides = split_sides(self)
        recordings, findings = scan_sides(self, sides)
        self.left_out = {side: count_left_out(wrong) for side, wrong in findings.items()}
        self.findings = [finding for wrong in findings.values() for finding in wrong]
        if self.findings:
            rank_zero_warn(summarize(self.findings, sum(map(len, sides.values()))))
        check_recordings(recordings["train"] + recordings["val"], recordings["test"])
        test_banks = [self.test_noise, self.test_rooms, *self.test_conditions.values()]
        check_banks(banks_of([self.policy, self.noise, self.rooms, self.voices]), banks_of(test_banks))
        if self.voices is not None:
            check_voices(self.voices, recordings["test"])
        self._datasets = {
            side: SpeechDataset(found, sample_rate=self.sample_rate, transport=self.transport_of(side))
            for side, found in recordings.items()
        }
        self.save_hyperparameters(self._arguments(), logger=False)

    def transport_of(self, side: str) -> Transport:
        """Return how a side is sent; a suite renders in floating point what was never rounded."""
        return "float32" if side == "test" and self.suite is not None else self.transport

    def _dataset(self, side: str) -> SpeechDataset:
        self.setup()
        return self._datasets[side]

    def _arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data: objects in hyper-parameters break checkpoints."""
        arguments = {name: getattr(self, name) for name in inspect.signature(SpeechDataModule).parameters}
        for name in ("train", "test", "val"):
            arguments[name] = None if arguments[name] is None else describe(arguments[name])
        if self.suite is None:
            arguments["test_conditions"] = {name: plain(value) for name, value in self.test_conditions.items()}
        else:
            arguments["test_conditions"] = None
        return {name: str(v) if isinstance(v, Path) else plain(v) for name, v in arguments.items()}

    # Batches.

    def train_dataloader(self) -> ResumableLoader:
        """Return the loader of the training strings, planned anew each epoch."""
        if not self.train_utterances:
            raise ValueError("SpeechDataModule: train must be given to train, got None")
        views = self.views + self.clean_view
        loader = self._loader("train", self._plan, shuffle=True, persistent=self.persistent_workers, views=views)
        if self.trainer is not None and self.trainer.training:
            loader.progress = self._progress
        if self._resume is not None:
            loader.load_state_dict(self._resume)
            self._resume = None
        self._sampler = loader.sampler  # type: ignore[assignment]
        return loader

    def val_dataloader(self) -> ResumableLoader:
        """Return the loader of the validation strings, always the same ones."""
        strings = self._strings(self.val_utterances)
        return self._loader("val", lambda _: strings, persistent=self.persistent_workers)

    def test_dataloader(self) -> list[ResumableLoader]:
        """Return a loader for each condition of ``test_names``: the same strings, always the same ones."""
        strings = self.test_rows()
        return [
            self._loader("test", lambda _: strings, dataset=self._test_dataset(condition))
            for condition in self.test_conditions
        ]

    def predict_dataloader(self) -> ResumableLoader:
        """Return the loader of the test strings unaltered."""
        strings = self.test_rows()
        return self._loader("test", lambda _: strings)

    def test_rows(self) -> list[Joined]:
        """Return the test strings, always the same ones; parts are places in ``test_utterances``.

        Raises:
            ValueError: if there is nothing to test on.
        """
        utterances = self.test_utterances
        if not utterances:
            raise ValueError("SpeechDataModule: test or test_speakers must be given to test, got None")
        strings = self._strings(utterances)
        if self.test_strings is not None:
            passes = math.ceil(self.test_strings / len(strings))
            strings = self._strings(utterances, passes=passes)[: self.test_strings]
        return strings

    def _test_dataset(self, condition: str) -> SpeechDataset | RenderedDataset:
        """Return where the batches of a test condition come from."""
        speech = self._dataset("test")
        return speech if self.suite is None else RenderedDataset(speech, self.suite[condition], seed=EVALUATION_SEED)

    def _plan(self, epoch: int) -> list[Joined]:
        return self._strings(self.train_utterances, passes=self.passes, seed=self.seed, epoch=epoch)

    def _strings(
        self, utterances: Sequence[Utterance], *, passes: int = 1, seed: int = EVALUATION_SEED, epoch: int = 0
    ) -> list[Joined]:
        return plan_strings(utterances, concat=self.concat, gap_s=self.gap_s, passes=passes, seed=seed, epoch=epoch)

    def _loader(
        self,
        side: str,
        plan: Callable[[int], list[Joined]],
        *,
        shuffle: bool = False,
        persistent: bool = False,
        views: int = 1,
        dataset: Dataset[Batch] | None = None,
    ) -> ResumableLoader:
        ranks = (self.trainer.distributed_sampler_kwargs if self.trainer else None) or {"num_replicas": 1, "rank": 0}
        seconds = None if self.max_batch_s is None else self.max_batch_s / views
        if seconds is not None:
            self._warn_of_longer(side, seconds, views)
        sampler = BucketSampler(plan, self.batch_size, max_batch_s=seconds, shuffle=shuffle, seed=self.seed, **ranks)
        workers: dict[str, Any] = {}
        if self.num_workers:
            workers = {
                "persistent_workers": persistent,
                "prefetch_factor": self.prefetch_factor,
                "multiprocessing_context": self.multiprocessing_context,
            }
        return ResumableLoader(
            self._dataset(side) if dataset is None else dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory and torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),  # otherwise torch's global one is drawn from
            **workers,
        )

    def _warn_of_longer(self, side: str, seconds: float, views: int) -> None:
        longer = [u.id for u in self._dataset(side).utterances if (u.duration or 0.0) > seconds]
        if longer:
            rank_zero_warn(
                f"SpeechDataModule: {len(longer)} recordings ({side}, views: {views}) exceed max_batch_s, "
                f"{self.max_batch_s:g} s, and make batches of their own: {shorten(longer)}"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return for a checkpoint how many batches of the epoch are used, and who and what is trained on.

        Lightning keeps the state of loaders too, but forgets to restore it where the number of steps was asked for
        before training, as learning-rate schedules do.
        """
        loader = self.trainer.train_dataloader if self.trainer is not None else None
        if not isinstance(loader, ResumableLoader):
            return {}
        return {**loader.state_dict(), **self._trained_on}

    @functools.cached_property
    def _trained_on(self) -> dict[str, list[str]]:
        """Speakers, and hashes of recordings, also of those to validate on: evaluations look for them in the test."""
        speakers = {utterance.speaker for utterance in self.train_utterances if utterance.speaker}
        recordings = recording_hashes([*self.train_utterances, *self.val_utterances])
        return {"speakers": sorted(speakers), "recordings": sorted(recordings)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the last batch that was used, if this is a training."""
        if self.trainer is None or self.trainer.state.fn != "fit":
            return
        loader = self.trainer.train_dataloader
        if loader is None:  # it is asked for later
            self._resume = state_dict
        else:
            loader.load_state_dict(state_dict)

    def _progress(self) -> tuple[float, float]:
        """Return how many batches of the epoch have been trained on, and how many it has."""
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current  # type: ignore[union-attr]
        return progress.processed, self.trainer.num_training_batches  # type: ignore[union-attr]

    def test_batch(self, condition: str | None, index: int = 0) -> Batch:
        """Return a batch of a test condition just as it is tested, to look at and listen to.

        Args:
            condition: one of ``test_names``; None for the same speech unaltered.
            index: which batch.

        Raises:
            ValueError: if there is no such condition or batch.
        """
        if condition is not None and condition not in self.test_conditions:
            raise ValueError(f"SpeechDataModule: condition must be one of {self.test_names}, got {condition!r}")
        batches = list(self.test_dataloader()[0].sampler)  # the same for every condition
        if not 0 <= index < len(batches):
            raise ValueError(f"SpeechDataModule: index must be in [0, {len(batches) - 1}], got {index}")
        if condition is None:
            return _to_float(self._dataset("test")[batches[index]])
        return self._corrupt(_to_float(self._test_dataset(condition)[batches[index]]), condition)

    # Augmentation.

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Decide on the host what is done to a training batch; the decisions travel with it."""
        if self.trainer is None or not self.trainer.training:
            return batch
        which = [*([CLEAN] if self.clean_view else []), *range(self.views)]
        if len(which) > 1:
            batch["view"] = [view for view in which for _ in batch["id"]]
            for name in ("text", "id", "speaker"):
                batch[name] = batch[name] * len(which)
        if self.augmenter is not None:
            batch["draws"] = self.augmenter.sample(batch["id"], self.epoch, batch.get("view"))
        return batch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Do on the device what was decided; a test batch is changed as its condition says."""
        batch = _to_float(batch)
        if self.trainer is not None and self.trainer.testing:
            return self._corrupt(batch, self.test_names[dataloader_idx])
        views = len(batch["id"]) // max(1, len(batch["lengths"]))
        if views > 1:  # repeated here, so that an utterance is transferred once
            batch["waveform"], batch["lengths"] = batch["waveform"].repeat(views, 1), batch["lengths"].repeat(views)
        draws = batch.pop("draws", None)
        if self.augmenter is not None and draws is not None:
            batch["waveform"], batch["lengths"] = self.augmenter.apply(batch["waveform"], batch["lengths"], draws)
        return batch

    def _corrupt(self, batch: Batch, condition: str) -> Batch:
        policy = self.test_conditions[condition]
        if policy is not None and self.suite is None:  # what a suite does is done where the speech is read
            draws = policy.sample(Rng.from_ids(seed=EVALUATION_SEED, epoch=0, ids=batch["id"]))
            x, lengths = policy(batch["waveform"], batch["lengths"], draws, sample_rate=self.sample_rate)
            batch["waveform"], batch["lengths"] = x, lengths
        return batch


def _to_float(batch: Batch) -> Batch:
    if batch["waveform"].dtype == torch.int16:
        batch["waveform"] = batch["waveform"].float() / 32768.0
    return batch
