"""The recognizer as a LightningModule: training, evaluation with exact error counts, transcription."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, overload

import torch
from torch import Tensor

from speechaug.asr.base import PER_EPOCH, Batch, SpeechModule
from speechaug.asr.consistency import KINDS, cr_ctc, in_views, jsd
from speechaug.asr.decode import Decoder, greedy
from speechaug.asr.loss import CTCLoss, ctc_loss
from speechaug.asr.model import ARCHITECTURES, peak_lr
from speechaug.asr.optim import check_optimizer
from speechaug.asr.ranks import step_rng
from speechaug.asr.sound import Input
from speechaug.asr.text import Tokenizer, normalise_text
from speechaug.asr.transcribe import transcribe
from speechaug.features import LogMel
from speechaug.robustness.metrics import EditCounts, count_edits


class SpeechRecognizer(SpeechModule):
    """A small speech recognizer that trains on a CPU: log-mel features, mini-QuartzNet or mini-Conformer, CTC.

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
    reference, hypothesis, substitutions, deletions, insertions, words. ``Trainer.predict`` returns id and hypothesis of
    each utterance, batch by batch.

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

    Raises: ValueError: if an argument is out of range, waveforms are integers, or the data module has another sample
        rate; in training also for a missing transcript or a token outside the vocabulary, naming the utterance, and
        where no transcript fits its audio.

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
        lr = peak_lr("SpeechRecognizer", architecture, lr)
        self.tokenizer = Tokenizer(vocabulary, unit)  # type: ignore[arg-type]  # makes a tuple of any list
        vocabulary = list(self.tokenizer.vocabulary)  # hyper-parameters hold plain data
        self.save_hyperparameters()
        self.hparams["lr"] = lr  # LightningCLI would have kept what its configuration says: None
        check_optimizer("SpeechRecognizer", lr=lr, weight_decay=weight_decay, warmup_share=warmup_share)
        if consistency not in KINDS:
            raise ValueError(f"SpeechRecognizer: consistency must be one of {list(KINDS)}, got {consistency!r}")
        if consistency_weight is not None and not 0 <= consistency_weight < math.inf:
            raise ValueError(f"SpeechRecognizer: consistency_weight must not be negative, got {consistency_weight}")
        self.features = LogMel(sample_rate, n_mels)
        stride = subsampling if subsampling is not None else 2 if unit == "char" else 4
        self.model = ARCHITECTURES[architecture](
            self.features.n_mels, len(self.tokenizer), size=size, subsampling=stride, dropout=dropout
        )
        self.decoder: Decoder = greedy
        self._counts: dict[str, EditCounts] = {}
        self._val_loss = (0.0, 0)
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
        self._note_left_out(batch, loss, finite)
        if not loss.count and self.trainer.world_size == 1:
            return None  # Lightning skips the step; ranks must stay in step and take the zero loss
        total = loss.mean
        if self.hparams["consistency"] != "none":
            apart = self._consistency(batch, log_probs, frames, loss)
            self.log("train_consistency", apart, batch_size=max(1, loss.count), **PER_EPOCH)
            total = total + self._consistency_weight() * apart
        self.log("train_loss", total, prog_bar=True, batch_size=max(1, loss.count), **PER_EPOCH)
        return total

    def _score(self, batch: Batch) -> tuple[Tensor, Tensor, CTCLoss, Tensor]:
        """Return log-probabilities, their lengths, the loss, and which rows have finite samples only."""
        x, lengths, finite = self._without_broken(batch)
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

    def _note_left_out(self, batch: Batch, loss: CTCLoss, finite: Tensor) -> None:
        sums = {**PER_EPOCH, "reduce_fx": "sum", "batch_size": len(finite)}
        self.log("train_infeasible", float(len(loss.infeasible)), **sums)
        self._seen += len(finite)
        self._used += loss.count
        self._infeasible += len(loss.infeasible)
        for row, (needed, there) in list(loss.infeasible.items())[:1]:
            self._warn_once(
                "infeasible",
                f"the transcript of utterance {batch['id'][row]!r} needs {needed} output frames, its audio gives "
                f"{there}; such utterances are left out of the loss and counted in train_infeasible",
            )
        self._note_broken(batch, finite, len(finite) - loss.count - len(loss.infeasible))

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
        self._counts = {condition: EditCounts() for condition in self._conditions()}
        self.test_results = []

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        condition = self._conditions()[dataloader_idx]
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
        self._gather_test_results()

    def _recognize(self, batch: Batch) -> tuple[Tensor, Tensor]:
        log_probs, frames = self(self._with_silence(batch), batch["lengths"])
        return log_probs, frames

    def _decode(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        return self.decoder(log_probs, lengths, self.tokenizer)

    # Use

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> list[dict[str, str]]:
        """Return id and hypothesis of each row of a batch."""
        heard = zip(batch["id"], self.transcribe_batch(batch), strict=True)
        return [{"id": name, "hypothesis": text} for name, text in heard]

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
