"""The recognizer as a LightningModule: training, evaluation with exact error counts, transcription."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any, Literal, overload

import lightning as L
import torch
from torch import Tensor

from speechaug.asr.consistency import KINDS, cr_ctc, in_views, jsd
from speechaug.asr.decode import Decoder, greedy
from speechaug.asr.loss import CTCLoss, ctc_loss
from speechaug.asr.model import ARCHITECTURES, PEAK_LR
from speechaug.asr.optim import adamw_one_cycle, check_optimizer
from speechaug.asr.ranks import all_rows, step_rng
from speechaug.asr.sound import Input
from speechaug.asr.text import Tokenizer, normalise_text
from speechaug.asr.transcribe import transcribe
from speechaug.features import LogMel
from speechaug.robustness.metrics import EditCounts, count_edits

Batch = dict[str, Any]
"""``waveform`` ``(B, T)`` float, ``lengths`` ``(B,)``, and the lists ``text``, ``id``, ``speaker``."""


PER_EPOCH: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
"""How figures of a training step are logged: once an epoch, over all ranks."""


class SpeechRecognizer(L.LightningModule):
    """A small speech recognizer that trains on a CPU: log-mel features, mini-QuartzNet, CTC, greedy decoding.

    Batches are dicts with ``waveform``, ``lengths``, ``text``, ``id`` and ``speaker``. Logged are ``train_loss``,
    ``train_consistency``, ``train_infeasible`` (utterances of an epoch whose transcript is too long for their audio),
    ``train_nonfinite`` (utterances with NaN or infinite samples), ``val_loss``, ``val_wer`` and ``test_wer/<name>``,
    the names being ``test_names`` of the data module. Error rates are sums of integer edit counts over all utterances
    and ranks.

    Infeasible and non-finite utterances are left out of the training loss, counted, and the first of each is named
    in a warning; an epoch that leaves out everything is an error. In evaluation non-finite samples are replaced by
    zeros and the utterance counts like any other.

    ``decoder`` makes the texts in validation, tests and ``transcribe``: ``asr.greedy``, or set it to another such as an
    ``asr.BeamSearch``. It is no part of checkpoints.

    After a test ``test_results`` holds a dict per utterance, those of all ranks on each: condition, id, speaker,
    reference, hypothesis, substitutions, deletions, insertions, words.

    Args:
        vocabulary: the tokens without the blank, as in ``Tokenizer.from_texts(...).vocabulary``.
        unit: ``"char"`` or ``"word"``: what a token is.
        architecture: ``"quartznet"``, convolutions alone, or ``"conformer"``, which also has self-attention.
        size: ``"xs"``, ``"s"``, ``"m"`` or ``"l"``, see ``QuartzNet`` and ``Conformer``.
        sample_rate: samples per second of every waveform.
        n_mels: number of mel bands; ``None`` chooses by sample rate, see ``LogMel``.
        subsampling: spectrogram frames per output frame; ``None`` is 2 for characters, which follow one another fast,
            and 4 for words, which is faster and learns words from fewer steps.
        dropout: share of activations set to zero in training.
        lr: peak learning rate; ``None`` is 0.006 for a QuartzNet, 0.003 for a Conformer.
        weight_decay: of the matrices and kernels; biases and norms have none.
        warmup_share: share of the steps in which the learning rate rises to its peak.
        consistency: what is asked of the views of an utterance beside their transcripts, with
            ``SpeechDataModule(views=2)``: ``"cr_ctc"`` (two views learn from each other) or ``"jsd"`` (two or more, one
            of them clean if wanted, agree); or ``"none"``. Frames must be aligned, as the DataModule's views are.
        consistency_weight: of that beside the CTC loss, reached together with the peak learning rate; None for 0.2
            with CR-CTC and 1 with the Jensen-Shannon divergence.

    Raises: ValueError: if an argument is out of range; in training also for a missing transcript or a token outside
        the vocabulary, naming the utterance, and where no transcript fits its audio.

    Example:
        >>> recognizer = SpeechRecognizer(["one", "two"], unit="word", size="xs", sample_rate=8_000)
        >>> len(recognizer.transcribe([torch.zeros(4_000)], sample_rate=8_000))
        1
    """

    def __init__(
        self,
        vocabulary: list[str],
        unit: str = "char",
        *,
        architecture: str = "quartznet",
        size: str = "s",
        sample_rate: int = 16_000,
        n_mels: int | None = None,
        subsampling: int | None = None,
        dropout: float = 0.1,
        lr: float | None = None,
        weight_decay: float = 1e-2,
        warmup_share: float = 0.1,
        consistency: str = "none",
        consistency_weight: float | None = None,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"SpeechRecognizer: architecture must be one of {list(ARCHITECTURES)}, got {architecture!r}"
            )
        vocabulary = list(vocabulary)  # hyper-parameters hold plain data
        lr = PEAK_LR[architecture] if lr is None else lr
        self.save_hyperparameters()
        check_optimizer("SpeechRecognizer", lr=lr, weight_decay=weight_decay, warmup_share=warmup_share)
        if consistency not in KINDS:
            raise ValueError(f"SpeechRecognizer: consistency must be one of {list(KINDS)}, got {consistency!r}")
        if consistency_weight is not None and not 0 <= consistency_weight < math.inf:
            raise ValueError(f"SpeechRecognizer: consistency_weight must not be negative, got {consistency_weight}")
        self.tokenizer = Tokenizer(tuple(vocabulary), unit)
        self.features = LogMel(sample_rate, n_mels)
        stride = subsampling if subsampling is not None else 2 if unit == "char" else 4
        self.model = ARCHITECTURES[architecture](
            self.features.n_mels, len(self.tokenizer), size=size, subsampling=stride, dropout=dropout
        )
        self.decoder: Decoder = greedy
        self.test_results: list[dict[str, Any]] = []
        self._counts: dict[str, EditCounts] = {}
        self._val_loss = (0.0, 0)
        self._warned: set[str] = set()
        self._seen, self._used, self._infeasible = 0, 0, 0

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities ``(B, frames, tokens)`` of waveforms ``(B, T)``, and their lengths."""
        spec, frame_lengths = self.features(x, lengths)
        log_probs, lengths = self.model(spec, frame_lengths)
        return log_probs, lengths

    # Training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        for utterance, text in zip(batch["id"], batch["text"], strict=True):
            if not normalise_text(text or ""):
                raise ValueError(
                    f"SpeechRecognizer: text of utterance {utterance!r} must not be empty in training, "
                    f"got {text!r}: missing transcript"
                )
        with step_rng(self, batch_idx):
            log_probs, frames, loss, finite = self._score(batch)
        self._warn(batch, loss, finite)
        total = loss.mean
        if self.hparams["consistency"] != "none":
            apart = self._consistency(batch, log_probs, frames, loss)
            self.log("train_consistency", apart, batch_size=max(1, loss.count), **PER_EPOCH)
            total = total + self._consistency_weight() * apart
        return self._log_step(total, loss, finite)

    def _score(self, batch: Batch) -> tuple[Tensor, Tensor, CTCLoss, Tensor]:
        """Return log-probabilities, their lengths, the loss, and which rows have finite samples only."""
        x, lengths = batch["waveform"], batch["lengths"]
        finite = x.isfinite().all(-1)
        # A row with a broken sample becomes an empty one: no frames, so it reaches no statistics and no gradient.
        x, lengths = torch.where(finite[:, None], x, 0.0), torch.where(finite, lengths, 0)
        log_probs, frames = self(x, lengths)
        return log_probs, frames, ctc_loss(log_probs, frames, self._encode(batch), finite), finite

    def _consistency(self, batch: Batch, log_probs: Tensor, frames: Tensor, loss: CTCLoss) -> Tensor:
        """Return how far the views are apart, per token like the CTC loss, over the utterances that count."""
        views, ids = batch.get("view"), batch["id"]
        weights = in_views(loss.weights, views, ids).amin(0)  # an utterance counts where it does in every view
        lengths = in_views(frames, views, ids).amin(0)
        measure = cr_ctc if self.hparams["consistency"] == "cr_ctc" else jsd
        apart = measure(in_views(log_probs, views, ids), lengths)
        return (apart * weights).sum() / (weights > 0).sum().clamp(min=1)

    def _consistency_weight(self) -> float:
        weight = self.hparams["consistency_weight"]
        full = KINDS[self.hparams["consistency"]] if weight is None else weight
        rising = max(1.0, self.trainer.estimated_stepping_batches * self.hparams["warmup_share"])
        return float(full * min(1.0, self.global_step / rising))

    @torch.no_grad()
    def row_losses(self, batch: Batch) -> Tensor:
        """Return the CTC loss per token of each utterance of a batch ``(B,)``; zero for those that are left out."""
        return self._score(batch)[2].rows

    def _log_step(self, total: Tensor, loss: CTCLoss, finite: Tensor) -> Tensor | None:
        sums = {**PER_EPOCH, "reduce_fx": "sum", "batch_size": len(finite)}
        self.log("train_infeasible", float(len(loss.infeasible)), **sums)
        self.log("train_nonfinite", finite.logical_not().sum().float(), **sums)
        self._seen += len(finite)
        self._used += loss.count
        self._infeasible += len(loss.infeasible)
        if not loss.count and self.trainer.world_size == 1:
            return None  # Lightning skips the step; ranks must stay in step and take the zero loss
        self.log("train_loss", total, prog_bar=True, batch_size=max(1, loss.count), **PER_EPOCH)
        return total

    def on_train_epoch_end(self) -> None:
        seen, used, infeasible = map(round, self._sum_over_ranks(self._seen, self._used, self._infeasible))
        self._seen, self._used, self._infeasible = 0, 0, 0
        if seen and not used:
            raise ValueError(
                f"SpeechRecognizer: no training transcript fits its audio: of {seen} utterances {infeasible} need more "
                f"output frames than their audio gives, {seen - infeasible} have NaN or infinite samples"
            )

    def _encode(self, batch: Batch) -> list[list[int]]:
        targets = []
        for utterance, text in zip(batch["id"], batch["text"], strict=True):
            try:
                targets.append(self.tokenizer.encode(text))
            except ValueError as error:
                raise ValueError(f"SpeechRecognizer: transcript of utterance {utterance!r}: {error}") from error
        return targets

    def _warn(self, batch: Batch, loss: CTCLoss, finite: Tensor) -> None:
        if loss.infeasible and "infeasible" not in self._warned:
            self._warned.add("infeasible")
            row, (needed, there) = next(iter(loss.infeasible.items()))
            warnings.warn(
                f"SpeechRecognizer: the transcript of utterance {batch['id'][row]!r} needs {needed} output frames, its "
                f"audio gives {there}; such utterances are left out of the loss and counted in train_infeasible",
                UserWarning,
                stacklevel=2,
            )
        if "nonfinite" not in self._warned and loss.count + len(loss.infeasible) < len(batch["id"]):
            self._warned.add("nonfinite")
            row = int(finite.logical_not().nonzero()[0])
            warnings.warn(
                f"SpeechRecognizer: utterance {batch['id'][row]!r} has NaN or infinite samples; such utterances are "
                f"left out of the loss and counted in train_nonfinite",
                UserWarning,
                stacklevel=2,
            )

    def configure_optimizers(self) -> Any:
        settings = {name: self.hparams[name] for name in ("lr", "weight_decay", "warmup_share")}
        return adamw_one_cycle(self, **settings)

    # Evaluation

    def on_validation_epoch_start(self) -> None:
        self._counts, self._val_loss = {"val": EditCounts()}, (0.0, 0)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        log_probs, frames = self._recognize(batch)
        targets = self._encode(batch)
        loss = ctc_loss(log_probs, frames, targets, torch.ones_like(frames, dtype=torch.bool))
        self._val_loss = (self._val_loss[0] + float(loss.total), self._val_loss[1] + loss.count)
        for reference, hypothesis in zip(batch["text"], self._decode(log_probs, frames), strict=True):
            self._counts["val"] += count_edits(normalise_text(reference), hypothesis)

    def on_validation_epoch_end(self) -> None:
        counts = self._counts["val"]
        total, rows, errors, words = self._sum_over_ranks(*self._val_loss, counts.errors, counts.words)
        # Where no utterance can be spelled in its frames the loss is infinite, as CTC defines it.
        self._log_result("val_loss", total / rows if rows else math.inf)
        self._log_result("val_wer", errors / max(1.0, words))

    def on_test_epoch_start(self) -> None:
        self._counts = {self._condition(i): EditCounts() for i in range(len(self._test_loaders()))}
        self.test_results = []

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        condition = self._condition(dataloader_idx)
        for i, hypothesis in enumerate(self.transcribe_batch(batch)):
            reference = normalise_text(batch["text"][i])
            counts = count_edits(reference, hypothesis)
            self._counts[condition] += counts
            row = {"condition": condition, "id": batch["id"][i], "speaker": batch["speaker"][i]}
            self.test_results.append(row | {"reference": reference, "hypothesis": hypothesis} | vars(counts))

    def on_test_epoch_end(self) -> None:
        for condition, counts in self._counts.items():
            errors, words = self._sum_over_ranks(counts.errors, counts.words)
            self._log_result(f"test_wer/{condition}", errors / max(1.0, words))
        place = {condition: number for number, condition in enumerate(self._counts)}
        self.test_results = sorted(all_rows(self.test_results), key=lambda row: place[row["condition"]])

    def _recognize(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x = batch["waveform"]
        log_probs, frames = self(torch.where(x.isfinite(), x, 0.0), batch["lengths"])
        return log_probs, frames

    def _decode(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        return self.decoder(log_probs, lengths, self.tokenizer)

    def _test_loaders(self) -> list[Any]:
        loaders = self.trainer.test_dataloaders
        return loaders if isinstance(loaders, list) else [loaders]

    def _condition(self, index: int) -> str:
        names = getattr(getattr(self.trainer, "datamodule", None), "test_names", None)
        return names[index] if names else f"test_{index}"

    def _sum_over_ranks(self, *values: float) -> list[float]:
        local = torch.tensor(values, dtype=torch.float64 if self.device.type != "mps" else None, device=self.device)
        summed: list[float] = self.trainer.strategy.reduce(local, reduce_op="sum").tolist()
        return summed

    def _log_result(self, name: str, value: float) -> None:
        # Already the same on every rank; sync_dist says so to Lightning.
        self.log(name, value, prog_bar=name == "val_wer", sync_dist=True, add_dataloader_idx=False, batch_size=1)

    # Use

    def transcribe_batch(self, batch: Batch) -> list[str]:
        """Return what is said in each row of a batch on the recognizer's device, as in validation and test."""
        return self._decode(*self._recognize(batch))

    @overload
    def transcribe(
        self,
        inputs: Iterable[Input],
        sample_rate: int | None = ...,
        *,
        decoder: Decoder | None = ...,
        batch_s: float = ...,
        window_s: float = ...,
        errors: Literal["raise"] = ...,
        progress: bool | None = ...,
    ) -> list[str]: ...

    @overload
    def transcribe(
        self,
        inputs: Iterable[Input],
        sample_rate: int | None = ...,
        *,
        decoder: Decoder | None = ...,
        batch_s: float = ...,
        window_s: float = ...,
        errors: Literal["skip"],
        progress: bool | None = ...,
    ) -> list[str | None]: ...

    def transcribe(
        self,
        inputs: Iterable[Input],
        sample_rate: int | None = None,
        *,
        decoder: Decoder | None = None,
        batch_s: float = 120.0,
        window_s: float = 30.0,
        errors: Literal["raise", "skip"] = "raise",
        progress: bool | None = None,
    ) -> list[Any]:
        """Return what is said in each waveform or file, in the order in which they come.

        Inputs are read as they are needed and resampled to the recognizer's rate. Recordings longer than
        ``window_s`` are computed in windows, in memory that does not grow with them but for the probabilities that are
        decoded (a QuartzNet gives what it gives for the whole recording; a Conformer sees 4 s beyond each window).

        Args:
            inputs: waveforms ``(T,)`` in floating point, paths of sound files, or both; a list or any other iterable.
                Of files with several channels the mean is taken.
            sample_rate: samples per second of the waveforms; files know theirs.
            decoder: makes the texts; ``None`` is the recognizer's own, ``self.decoder``.
            batch_s: length of what is computed together, padding included, in seconds.
            window_s: longest recording that is computed in one piece, in seconds, at least 1.
            errors: ``"raise"`` stops at the first input that cannot be read or holds NaN; ``"skip"`` goes on, gives
                ``None`` for it, and names all of them in one warning at the end.
            progress: whether to show a bar on stderr; ``None`` shows it on a terminal, where the work takes long.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file cannot be read, a waveform is no ``(T,)`` of finite floating-point samples or has no
                rate, or an option is out of range; the message names file or position.
        """
        return transcribe(
            self,
            inputs,
            sample_rate,
            decoder=decoder or self.decoder,
            batch_s=batch_s,
            window_s=window_s,
            errors=errors,
            progress=progress,
        )
