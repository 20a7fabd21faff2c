"""The recognizer as a LightningModule: training, evaluation with exact error counts, transcription."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug.asr.decode import greedy_decode
from speechaug.asr.loss import CTCLoss, ctc_loss
from speechaug.asr.model import QuartzNet
from speechaug.asr.text import Tokenizer, normalise_text
from speechaug.features import LogMel
from speechaug.robustness.metrics import EditCounts, count_edits

Batch = dict[str, Any]
"""``waveform`` ``(B, T)`` float, ``lengths`` ``(B,)``, and the lists ``text``, ``id``, ``speaker``."""


def one_cycle(step: int, steps: int, warmup_share: float) -> float:
    """Return the share of the peak learning rate: a straight rise, then half a cosine down to zero.

    Args:
        step: steps done.
        steps: steps of the whole run; later steps keep the last value.
        warmup_share: share of the steps in which the rate rises.

    Source: Smith and Topin, "Super-convergence" (2018); Loshchilov and Hutter, "SGDR" (2017).

    Example:
        >>> [round(one_cycle(step, 100, 0.1), 2) for step in (0, 9, 10, 55, 100)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rising = max(1, round(steps * warmup_share))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising)))


class SpeechRecognizer(L.LightningModule):
    """A small speech recognizer that trains on a CPU: log-mel features, mini-QuartzNet, CTC, greedy decoding.

    Batches are dicts with ``waveform``, ``lengths``, ``text``, ``id`` and ``speaker``. Logged are ``train_loss``,
    ``train_infeasible`` (utterances of an epoch whose transcript is too long for their audio), ``train_nonfinite``
    (utterances with NaN or infinite samples), ``val_loss``, ``val_wer`` and ``test_wer/<name>``, the names being
    ``test_names`` of the data module. Error rates are sums of integer edit counts over all utterances and ranks.

    Infeasible and non-finite utterances are left out of the training loss, counted, and the first of each is named
    in a warning; an epoch that leaves out everything is an error. In evaluation non-finite samples are replaced by
    zeros and the utterance counts like any other.

    After a test ``test_results`` holds a dict per utterance of this process: condition, id, speaker, reference,
    hypothesis, substitutions, deletions, insertions, words.

    Args:
        vocabulary: the tokens without the blank, as in ``Tokenizer.from_texts(...).vocabulary``.
        unit: ``"char"`` or ``"word"``: what a token is.
        size: ``"xs"``, ``"s"``, ``"m"`` or ``"l"``, see ``QuartzNet``.
        sample_rate: samples per second of every waveform.
        n_mels: number of mel bands; ``None`` chooses by sample rate, see ``LogMel``.
        subsampling: spectrogram frames per output frame; ``None`` is 2 for characters, which follow one another fast,
            and 4 for words, which is faster and learns words from fewer steps.
        dropout: share of activations set to zero in training.
        lr: peak learning rate.
        weight_decay: of the matrices and kernels; biases and norms have none.
        warmup_share: share of the steps in which the learning rate rises to its peak.

    Raises: ValueError: if an argument is out of range; in training also for a missing transcript or a token outside
        the vocabulary, naming the utterance, and where no transcript fits its audio.

    Example:
        >>> recognizer = SpeechRecognizer(["one", "two"], unit="word", size="xs", sample_rate=8_000)
        >>> len(recognizer.transcribe([np.zeros(4_000, np.float32)], sample_rate=8_000))
        1
    """

    def __init__(
        self,
        vocabulary: list[str],
        unit: str = "char",
        *,
        size: str = "s",
        sample_rate: int = 16_000,
        n_mels: int | None = None,
        subsampling: int | None = None,
        dropout: float = 0.1,
        lr: float = 6e-3,
        weight_decay: float = 1e-2,
        warmup_share: float = 0.1,
    ) -> None:
        super().__init__()
        vocabulary = list(vocabulary)  # hyper-parameters hold plain data
        self.save_hyperparameters()
        for name, value in {"lr": lr, "warmup_share": warmup_share}.items():
            if not 0 < value < 1:
                raise ValueError(f"SpeechRecognizer: {name} must be in (0, 1), got {value}")
        if weight_decay < 0:
            raise ValueError(f"SpeechRecognizer: weight_decay must not be negative, got {weight_decay}")
        self.tokenizer = Tokenizer(tuple(vocabulary), unit)
        self.features = LogMel(sample_rate, n_mels)
        stride = subsampling if subsampling is not None else 2 if unit == "char" else 4
        self.model = QuartzNet(
            self.features.n_mels, len(self.tokenizer), size=size, subsampling=stride, dropout=dropout
        )
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
        x, lengths = batch["waveform"], batch["lengths"]
        finite = x.isfinite().all(-1)
        # A row with a broken sample becomes an empty one: no frames, so it reaches no statistics and no gradient.
        x, lengths = torch.where(finite[:, None], x, 0.0), torch.where(finite, lengths, 0)
        log_probs, frames = self(x, lengths)
        loss = ctc_loss(log_probs, frames, self._encode(batch), finite)
        self._warn(batch, loss, finite)
        return self._log_step(loss, finite)

    def _log_step(self, loss: CTCLoss, finite: Tensor) -> Tensor | None:
        per_epoch: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
        sums = {**per_epoch, "reduce_fx": "sum", "batch_size": len(finite)}
        self.log("train_infeasible", float(len(loss.infeasible)), **sums)
        self.log("train_nonfinite", finite.logical_not().sum().float(), **sums)
        self._seen += len(finite)
        self._used += loss.count
        self._infeasible += len(loss.infeasible)
        if not loss.count and self.trainer.world_size == 1:
            return None  # Lightning skips the step; ranks must stay in step and take the zero loss
        self.log("train_loss", loss.mean, prog_bar=True, batch_size=loss.count, **per_epoch)
        return loss.mean

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
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ValueError("SpeechRecognizer: the trainer must have max_steps or max_epochs, got an endless run")
        groups = [
            {"params": [p for p in self.parameters() if p.ndim > 1], "weight_decay": self.hparams["weight_decay"]},
            {"params": [p for p in self.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.hparams["lr"])
        share = self.hparams["warmup_share"]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, int(steps), share))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

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
        hypotheses = self._decode(*self._recognize(batch))
        for i, hypothesis in enumerate(hypotheses):
            reference = normalise_text(batch["text"][i])
            counts = count_edits(reference, hypothesis)
            self._counts[condition] += counts
            row = {"condition": condition, "id": batch["id"][i], "speaker": batch["speaker"][i]}
            self.test_results.append(row | {"reference": reference, "hypothesis": hypothesis} | vars(counts))

    def on_test_epoch_end(self) -> None:
        for condition, counts in self._counts.items():
            errors, words = self._sum_over_ranks(counts.errors, counts.words)
            self._log_result(f"test_wer/{condition}", errors / max(1.0, words))

    def _recognize(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x = batch["waveform"]
        log_probs, frames = self(torch.where(x.isfinite(), x, 0.0), batch["lengths"])
        return log_probs, frames

    def _decode(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        return [self.tokenizer.decode(row) for row in greedy_decode(log_probs, lengths)]

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

    @torch.inference_mode()
    def transcribe(
        self, waveforms: Sequence[NDArray[np.floating[Any]] | Tensor], sample_rate: int, *, batch_size: int = 32
    ) -> list[str]:
        """Return what is said in each waveform.

        Args:
            waveforms: samples ``(T,)`` in floating point, of any lengths.
            sample_rate: their samples per second; must be the recognizer's.
            batch_size: utterances computed together; those of similar length share a batch.

        Raises: ValueError: if the rate is another, or a waveform is no ``(T,)`` of floating-point samples.
        """
        if sample_rate != self.features.sample_rate:
            raise ValueError(
                f"SpeechRecognizer: sample_rate must be {self.features.sample_rate} Hz, got {sample_rate} Hz"
            )
        rows = [torch.as_tensor(samples) for samples in waveforms]
        for row in rows:
            if row.ndim != 1 or not row.is_floating_point():
                raise ValueError(
                    f"SpeechRecognizer: waveforms must be floating point (T,), got {row.dtype} {tuple(row.shape)}"
                )
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        texts = [""] * len(rows)
        training = self.training
        self.eval()
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            for i, text in zip(part, self._transcribe([rows[i] for i in part]), strict=True):
                texts[i] = text
        self.train(training)
        return texts

    def _transcribe(self, rows: list[Tensor]) -> list[str]:
        lengths = torch.tensor([len(row) for row in rows])
        x = torch.nn.utils.rnn.pad_sequence([row.float() for row in rows], batch_first=True)
        batch = {"waveform": x.to(self.device), "lengths": lengths.to(self.device)}
        return self._decode(*self._recognize(batch))
