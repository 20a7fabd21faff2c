"""Error rates in noise and rooms at every validation, for checkpoints and early stopping that look at robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from speechaug._lightning import refuse_foreign, refuse_other_rate
from speechaug.asr.classifier import SpeechClassifier
from speechaug.asr.text import normalise_text
from speechaug.augmenter import augmenters
from speechaug.callbacks.augment import as_ids
from speechaug.data.conditions import BankSource, PolicySource, resolve_bank, resolve_conditions, resolve_suite
from speechaug.data.leak import banks_of, check_banks
from speechaug.data.module import EVALUATION_SEED
from speechaug.data.rendered import render_rows
from speechaug.rng import Rng
from speechaug.robustness.metrics import count_edits
from speechaug.robustness.suite import Condition, Suite
from speechaug.transform import Transform

MEAN_NOISY = "mean_noisy"
"""Name under which the mean over all conditions but the clean ones is logged."""

Batch = dict[str, Any]
Tally = dict[tuple[str, int], tuple[int, int]]
"""By id, and how often it was met before: errors and words of an utterance (a classifier: hits and utterances)."""


class RobustnessEvaluation(Callback):
    """Recognize the validation utterances in noise and rooms too, and log the error rates.

    Logs ``val_wer/<condition>`` and ``val_wer/mean_noisy``, the mean over all conditions that are not clean (of a
    ``SpeechClassifier`` ``val_accuracy/<condition>`` and so on): ``ModelCheckpoint(monitor="val_wer/mean_noisy")`` and
    ``EarlyStopping`` can look at them. Each validation batch is recognized once more per condition, while Lightning
    validates, so step, epoch, ``check_val_every_n_epoch``, ``val_check_interval``, ``limit_val_batches`` and the
    progress bar are those of the validation; the sanity check is left out. An utterance is corrupted the same way each
    time and in every run: this depends on its id alone, not on batches, workers or ranks. Rates are quotients of whole
    counts over all ranks, in which an utterance that a sampler gave to two ranks counts once. Training does not notice:
    module mode, statistics and random states stay as they are.

    Your own module must offer ``transcribe_batch(batch) -> list[str]``, one text per row; ``SpeechRecognizer`` does.
    It is called in evaluation mode, without gradients, with a validation batch whose waveforms are corrupted.

    All loggers take these names, but for MLflow's file store, where ``val_wer`` cannot be a file and a folder: give
    MLflow a database or a server.

    Args:
        conditions: transforms by name (None for clean speech), or YAML files of such; None for what ``noise`` and
            ``rooms`` give.
        suite: conditions of the robustness suite instead: ``tiny``, ``standard``, ``full``, ``srb`` or names such as
            ``["white:3", "babble:2"]``. Each utterance is then corrupted alone on the CPU, as
            :func:`speechaug.robustness.evaluate` does it; rows must have one channel.
        noise: folder or bank of noise that training does not use; gives ``noise_20db``, ``_10db``, ``_5db``, ``_0db``,
            or replaces the suite's own.
        rooms: folder or bank of room responses that training does not use; gives ``room``, or replaces the suite's own.
        sample_rate: of the validation waveforms, in Hz.
        every_n_validations: evaluate at the first validation of a training and at every n-th after it; in between,
            monitors see the last value. ``trainer.validate`` always evaluates.
        waveform_key: where the batch holds the waveforms, ``(B, T)`` or ``(B, C, T)``.
        lengths_key: where it holds the valid samples, ``(B,)``; None when all are valid.
        text_key: where it holds the list of transcripts.
        id_key: where it holds the list of ids, each utterance its own.

    Raises:
        ValueError: for a bad configuration; when training begins also if the module cannot transcribe, nothing is
            validated, the DataModule has another sample rate, or a clip is in a bank of the training policy too.

    Example:
        >>> import speechaug as sa
        >>> from speechaug.callbacks import RobustnessEvaluation
        >>> quiet = RobustnessEvaluation({"soft": sa.Gain(gain_db=(-30.0, -30.0))}, sample_rate=16_000)
        >>> list(RobustnessEvaluation(noise="noise/dev", rooms="rir/dev", sample_rate=16_000).conditions)
        ['noise_20db', 'noise_10db', 'noise_5db', 'noise_0db', 'room']
        >>> list(RobustnessEvaluation(suite=["white:3", "white:5"], sample_rate=16_000).conditions)
        ['white:3', 'white:5']
    """

    def __init__(
        self,
        conditions: dict[str, PolicySource] | None = None,
        *,
        suite: str | list[str] | None = None,
        noise: BankSource = None,
        rooms: BankSource = None,
        sample_rate: int,
        every_n_validations: int = 1,
        waveform_key: str = "waveform",
        lengths_key: str | None = "lengths",
        text_key: str = "text",
        id_key: str = "id",
    ) -> None:
        """Keep and check the configuration; see the class."""
        super().__init__()
        if isinstance(every_n_validations, bool) or every_n_validations < 1:
            raise ValueError(f"RobustnessEvaluation: every_n_validations must be >= 1, got {every_n_validations!r}")
        self.suite = None if suite is None else _resolve_suite(suite, conditions, noise, rooms, sample_rate)
        self.conditions = (
            _resolve(conditions, noise, rooms, sample_rate)
            if self.suite is None
            else {condition.name: condition.policy for condition in self.suite.conditions if condition.severity}
        )
        _check(self.conditions, lengths_key)
        self.sample_rate = sample_rate
        self.every_n_validations = every_n_validations
        self.waveform_key, self.lengths_key, self.text_key, self.id_key = waveform_key, lengths_key, text_key, id_key
        self._validations = 0
        self._due = False
        self._tallies: dict[str, Tally] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what cannot work, and noise that training knows, before any batch."""
        refuse_foreign(trainer, "RobustnessEvaluation")
        if stage not in (TrainerFn.FITTING, TrainerFn.VALIDATING):
            return
        if not isinstance(pl_module, SpeechClassifier) and not callable(getattr(pl_module, "transcribe_batch", None)):
            raise ValueError(
                "RobustnessEvaluation: module must offer transcribe_batch(batch) -> list[str], one text per row, "
                f"got {type(pl_module).__name__} without it"
            )
        refuse_other_rate(trainer, "RobustnessEvaluation", self.sample_rate)
        data: Any = getattr(trainer, "datamodule", None)
        banks = banks_of(list(self.conditions.values()))
        for bank in banks:
            bank.load()  # a missing folder is told now, not after the first epoch
        policies = [augmenter.policy for augmenter in augmenters(trainer).values()]
        check_banks(banks_of([*policies, getattr(data, "noise", None), getattr(data, "rooms", None)]), banks)
        _warn_of_test_clips(data, {name for bank in banks for name in bank.hashes})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to wait for a validation that never comes."""
        if not trainer.enable_validation:
            raise ValueError(
                "RobustnessEvaluation: there must be something to validate on, such as val or val_takes of "
                "SpeechDataModule, and limit_val_batches must not be 0"
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide whether it is time again."""
        again = trainer.state.fn != TrainerFn.FITTING or self._validations % self.every_n_validations == 0
        self._due = again and not trainer.sanity_checking
        self._tallies = {name: {} for name in self.conditions}

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Recognize the batch in every condition, before ``validation_step`` can change it."""
        if not self._due:
            return
        self._check_batch(batch)
        for name in self.conditions:
            corrupted = self._corrupt(batch, name)
            with isolate_rng(), trainer.precision_plugin.val_step_context():
                heard = _recognize(pl_module, corrupted)
            if len(heard) != len(batch[self.text_key]):
                raise ValueError(
                    f"RobustnessEvaluation: transcribe_batch must return a text per row, {len(batch[self.text_key])}, "
                    f"got {len(heard)}"
                )
            self._count(name, batch, heard, exact=isinstance(pl_module, SpeechClassifier))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add up over the ranks and log."""
        if self._due:
            metric = "val_accuracy" if isinstance(pl_module, SpeechClassifier) else "val_wer"
            rates = {name: _rate(tally) for name, tally in self._over_ranks(trainer).items()}
            noisy = [rate for name, rate in rates.items() if self.conditions[name] is not None]
            rates |= {MEAN_NOISY: sum(noisy) / len(noisy)}
            for name, rate in rates.items():
                # Already the same on every rank; sync_dist says so to Lightning.
                pl_module.log(f"{metric}/{name}", rate, sync_dist=True, add_dataloader_idx=False, batch_size=1)
        if not trainer.sanity_checking and trainer.state.fn == TrainerFn.FITTING:
            self._validations += 1
        self._due, self._tallies = False, {}

    def state_dict(self) -> dict[str, Any]:
        """Return how many validations there were."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._validations = state_dict["validations"]

    def _check_batch(self, batch: Any) -> None:
        for key in (self.waveform_key, self.lengths_key, self.text_key, self.id_key):
            if key is not None and not (isinstance(batch, Mapping) and key in batch):
                keys = sorted(batch) if isinstance(batch, Mapping) else type(batch).__name__
                raise ValueError(f"RobustnessEvaluation: batch must be a dictionary with the key {key!r}, got {keys}")

    def _corrupt(self, batch: Batch, name: str) -> Batch:
        policy, x, ids = self.conditions[name], batch[self.waveform_key], as_ids(batch[self.id_key])
        if policy is None:
            return dict(batch)
        lengths = batch[self.lengths_key] if self.lengths_key else None
        if self.suite is not None:
            x, lengths = self._render(self.suite[name], x, lengths, ids)
        else:
            draws = policy.sample(Rng.from_ids(seed=EVALUATION_SEED, epoch=0, ids=ids))
            x, lengths = policy(x, lengths, draws, sample_rate=self.sample_rate)
        return {**batch, self.waveform_key: x, **({self.lengths_key: lengths} if self.lengths_key else {})}

    def _render(
        self, condition: Condition, x: Tensor, lengths: Tensor | None, ids: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        mono = x.squeeze(1) if x.ndim == 3 and x.shape[1] == 1 else x
        if mono.ndim != 2:
            raise ValueError(
                f"RobustnessEvaluation: {self.waveform_key} must have one channel with a suite, got {tuple(x.shape)}"
            )
        valid = torch.full((len(x),), x.shape[-1]) if lengths is None else lengths
        y, y_lengths = render_rows(condition, mono, valid, ids, sample_rate=self.sample_rate, seed=EVALUATION_SEED)
        return (y.unsqueeze(1) if x.ndim == 3 else y), y_lengths

    def _count(self, condition: str, batch: Batch, heard: list[str], *, exact: bool) -> None:
        tally = self._tallies[condition]
        for name, said, text in zip(as_ids(batch[self.id_key]), batch[self.text_key], heard, strict=True):
            reference, hypothesis = normalise_text(said), normalise_text(text)
            occurrence = 0
            while (name, occurrence) in tally:
                occurrence += 1
            if exact:
                tally[name, occurrence] = int(reference == hypothesis), 1
            else:
                edits = count_edits(reference, hypothesis)
                tally[name, occurrence] = edits.errors, edits.words

    def _over_ranks(self, trainer: Trainer) -> dict[str, Tally]:
        """Put the utterances of all ranks together: what two of them had is there once."""
        if trainer.world_size == 1:
            return self._tallies
        gathered: list[dict[str, Tally]] = [{} for _ in range(trainer.world_size)]
        torch.distributed.all_gather_object(gathered, self._tallies)
        return {name: {key: value for rank in gathered for key, value in rank[name].items()} for name in self._tallies}


def _resolve_suite(
    suite: str | list[str],
    conditions: dict[str, PolicySource] | None,
    noise: BankSource,
    rooms: BankSource,
    sample_rate: int,
) -> Suite:
    if conditions is not None:
        raise ValueError("RobustnessEvaluation: conditions must be None with a suite, which has its own")
    return resolve_suite(suite, sample_rate, noise, rooms)


def _resolve(
    conditions: dict[str, PolicySource] | None, noise: BankSource, rooms: BankSource, sample_rate: int
) -> dict[str, Transform | None]:
    try:
        banks = resolve_bank(noise, sample_rate), resolve_bank(rooms, sample_rate)
        resolved = resolve_conditions(conditions, *banks)
    except ValueError as error:  # the same rules as for the tests, with the names of this class
        message = (
            str(error).replace("SpeechDataModule", "RobustnessEvaluation").replace("test_conditions", "conditions")
        )
        raise ValueError(message) from error
    if conditions is None:
        return {name: policy for name, policy in resolved.items() if policy is not None}
    if banks != (None, None):
        raise ValueError("RobustnessEvaluation: conditions must be None with noise or rooms, which make their own")
    return resolved


def _check(conditions: dict[str, Transform | None], lengths_key: str | None) -> None:
    policies = {name: policy for name, policy in conditions.items() if policy is not None}
    if not policies:
        raise ValueError("RobustnessEvaluation: noise, rooms or conditions that are not clean must be given, got none")
    if MEAN_NOISY in conditions:
        raise ValueError(f"RobustnessEvaluation: conditions must not be named {MEAN_NOISY!r}, the name of their mean")
    for name, policy in policies.items():
        if policy.mixes_rows:
            raise ValueError(
                f"RobustnessEvaluation: condition {name!r} must not mix the rows of a batch, got {policy!r}"
            )
        if policy.changes_length and lengths_key is None:
            raise ValueError(f"RobustnessEvaluation: lengths_key must be given, since {name!r} changes lengths")


def _warn_of_test_clips(data: Any, hashes: set[str]) -> None:
    test_conditions = getattr(data, "test_conditions", None) or {}
    shared = {clip for bank in banks_of(list(test_conditions.values())) for clip in bank.hashes} & hashes
    if shared:
        rank_zero_warn(
            f"RobustnessEvaluation: {len(shared)} clips are in the test conditions too; a checkpoint that is chosen by "
            f"them makes the test look better than new noise would"
        )


def _recognize(module: LightningModule, batch: Batch) -> list[str]:
    if isinstance(module, SpeechClassifier):
        return [module.labels[index] for index in module._scores(batch).argmax(-1).tolist()]
    texts: list[str] = module.transcribe_batch(batch)  # type: ignore[operator]
    return texts


def _rate(tally: Tally) -> float:
    """Return the quotient of the sums; 0 words count as one, as in ``EditCounts.wer``."""
    parts, wholes = (sum(values) for values in zip(*tally.values(), strict=True)) if tally else (0, 0)
    return parts / max(1, wholes)
