"""The keyword classifier as a LightningModule: one label per utterance, counted exactly, class by class."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from speechaug.asr.base import PER_EPOCH, Batch, SpeechModule
from speechaug.asr.model import ARCHITECTURES, peak_lr
from speechaug.asr.optim import check_optimizer
from speechaug.asr.ranks import step_rng
from speechaug.asr.sound import Input, check_inputs, listen
from speechaug.asr.text import normalise_text
from speechaug.asr.windows import evaluating
from speechaug.data.manifest import shorten
from speechaug.features import LogMel
from speechaug.robustness.classification import Confusion, count_confusion
from speechaug.robustness.metrics import EditCounts


class SpeechClassifier(SpeechModule):
    """A keyword classifier on the recognizer's front end and network: log-mel features, mean over time, a label.

    Batches are dicts with ``waveform``, ``lengths``, ``text``, ``id`` and ``speaker``; the text of an utterance is its
    label, whatever its case. Logged are ``train_loss``, ``train_accuracy``, ``train_nonfinite`` (utterances of an epoch
    with NaN or infinite samples), ``val_loss``, ``val_accuracy``, ``val_f1``, ``test_accuracy/<name>`` and
    ``test_f1/<name>``, the names being ``test_names`` of the data module. F1 is the macro average. They come from
    whole counts, summed over batches and ranks.

    Non-finite utterances are left out of the training loss, counted, and the first is named in a warning; an epoch
    of nothing else is an error. In evaluation non-finite samples are replaced by zeros and the utterance counts.

    After a test ``confusion`` holds the counts of each condition, over all ranks, for ``print_classes`` and
    ``plot_confusion``; ``test_results`` holds a dict per utterance, those of all ranks on each: condition, id, speaker,
    reference, hypothesis, probability (of the hypothesis), and substitutions, deletions, insertions, words: a label
    counts as one word, so that the tables and reports of error rates serve classifiers too. ``Trainer.predict`` returns
    id, hypothesis and probability of each utterance, batch by batch.

    Args:
        labels: the classes, at least two, in the order of the outputs, such as ``sorted(set(data.texts))``.
        architecture: ``"quartznet"``, convolutions alone, or ``"conformer"``, which also has self-attention.
        size: ``"xs"``, ``"s"``, ``"m"`` or ``"l"``, see ``QuartzNet`` and ``Conformer``.
        sample_rate: samples per second of every waveform.
        n_mels: number of mel bands; ``None`` chooses by sample rate, see ``LogMel``.
        subsampling: spectrogram frames per frame of the blocks.
        dropout: share of activations set to zero in training.
        label_smoothing: share of the training target spread evenly over all classes.
        lr: peak learning rate; ``None`` is 0.006 for a QuartzNet, 0.003 for a Conformer.
        weight_decay: of the matrices and kernels; biases and norms have none.
        warmup_share: share of the steps in which the learning rate rises to its peak.

    Raises: ValueError: if an argument is out of range; in training, validation and test for a text that is no label,
        naming the utterance.
    Source: Majumdar and Ginsburg, "MatchboxNet" (2020); label smoothing: Szegedy et al. (2016).

    Example:
        >>> classifier = SpeechClassifier(["no", "yes"], size="xs", sample_rate=8_000)
        >>> [(label, probability)] = classifier.classify([torch.zeros(4_000)], sample_rate=8_000)
        >>> label in ("no", "yes"), 0 < probability < 1
        (True, True)
    """

    def __init__(
        self,
        labels: list[str],
        *,
        architecture: str = "quartznet",
        size: str = "s",
        sample_rate: int = 16_000,
        n_mels: int | None = None,
        subsampling: int = 2,
        dropout: float = 0.1,
        label_smoothing: float = 0.1,
        lr: float | None = None,
        weight_decay: float = 1e-2,
        warmup_share: float = 0.1,
    ) -> None:
        super().__init__()
        _check(labels, label_smoothing)
        labels = list(map(str, labels))  # hyper-parameters hold plain data
        lr = peak_lr("SpeechClassifier", architecture, lr)
        self.save_hyperparameters()
        self.hparams["lr"] = lr  # LightningCLI would have kept what its configuration says: None
        check_optimizer("SpeechClassifier", lr=lr, weight_decay=weight_decay, warmup_share=warmup_share)
        self.labels = labels
        self._index = {normalise_text(label): index for index, label in enumerate(labels)}
        self.features = LogMel(sample_rate, n_mels)
        self.model = ARCHITECTURES[architecture](
            self.features.n_mels, len(labels), size=size, subsampling=subsampling, dropout=dropout
        )
        self.confusion: dict[str, Confusion] = {}
        self._counts: dict[str, Confusion] = {}
        self._val_loss = 0.0
        self._seen, self._used = 0, 0

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores ``(B, labels)`` of waveforms ``(B, T)`` before the softmax, in float32."""
        spec, frame_lengths = self.features(x, lengths)
        frames, lengths = self.model.encode(spec, frame_lengths)
        mean = frames.float().sum(1) / lengths.clamp(min=1)[:, None]  # padding is zero
        scores: Tensor = self.model.head(mean.to(frames.dtype)).float()
        return scores

    # Training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        with step_rng(self, batch_idx):
            scores, targets, losses, finite = self._score(batch)
        used = int(finite.sum())
        self._note_broken(batch, finite, len(finite) - used)
        self._seen += len(finite)
        self._used += used
        if not used and self.trainer.world_size == 1:
            return None  # Lightning skips the step; ranks must stay in step and take the zero loss
        loss, right = (values.sum() / max(1, used) for values in (losses, (scores.argmax(-1) == targets) & finite))
        self.log("train_loss", loss, prog_bar=True, batch_size=max(1, used), **PER_EPOCH)
        self.log("train_accuracy", right, batch_size=max(1, used), **PER_EPOCH)
        return loss

    def _score(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scores, targets, the loss of each row, zero for broken ones, and which rows are not broken."""
        targets = self._targets(batch)
        x, lengths, finite = self._without_broken(batch)
        scores = self(x, lengths)
        losses = F.cross_entropy(scores, targets, reduction="none", label_smoothing=self.hparams["label_smoothing"])
        return scores, targets, losses * finite, finite

    @torch.no_grad()
    def row_losses(self, batch: Batch) -> Tensor:
        """Return the loss of each utterance of a batch ``(B,)``; zero for those that are left out."""
        return self._score(batch)[2]

    def _targets(self, batch: Batch) -> Tensor:
        for utterance, text in zip(batch["id"], batch["text"], strict=True):
            if normalise_text(text or "") not in self._index:
                raise ValueError(
                    f"SpeechClassifier: text of utterance {utterance!r} must be one of the labels "
                    f"{shorten(self.labels)}, got {text!r}"
                )
        return torch.tensor([self._index[normalise_text(text)] for text in batch["text"]], device=self.device)

    def on_train_epoch_end(self) -> None:
        seen, used = map(round, self._sum_over_ranks(self._seen, self._used))
        self._seen, self._used = 0, 0
        if seen and not used:
            raise ValueError(f"SpeechClassifier: all {seen} training utterances have NaN or infinite samples")

    # Evaluation

    def on_validation_epoch_start(self) -> None:
        self._counts, self._val_loss = {"val": self._nothing()}, 0.0

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        targets, scores = self._targets(batch), self._scores(batch)
        self._val_loss += float(F.cross_entropy(scores, targets, reduction="sum"))
        self._count("val", targets, scores)

    def on_validation_epoch_end(self) -> None:
        confusion = self._over_ranks(self._counts["val"])
        (loss,) = self._sum_over_ranks(self._val_loss)
        self._log_result("val_loss", loss / max(1, confusion.total))
        self._log_result("val_accuracy", confusion.accuracy)
        self._log_result("val_f1", confusion.macro_f1)

    def on_test_epoch_start(self) -> None:
        self._counts = {condition: self._nothing() for condition in self._conditions()}
        self.test_results, self.confusion = [], {}

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        condition = self._conditions()[dataloader_idx]
        targets, scores = self._targets(batch), self._scores(batch)
        said, heard = self._count(condition, targets, scores)
        for i, probability in enumerate(scores.softmax(-1).amax(-1).tolist()):
            row = {"condition": condition, "id": batch["id"][i], "speaker": batch["speaker"][i]}
            row |= {"reference": said[i], "hypothesis": heard[i], "probability": probability}
            self.test_results.append(row | vars(EditCounts(substitutions=int(said[i] != heard[i]), words=1)))

    def on_test_epoch_end(self) -> None:
        self.confusion = {condition: self._over_ranks(counts) for condition, counts in self._counts.items()}
        for condition, confusion in self.confusion.items():
            self._log_result(f"test_accuracy/{condition}", confusion.accuracy)
            self._log_result(f"test_f1/{condition}", confusion.macro_f1)
        self._gather_test_results()

    def _scores(self, batch: Batch) -> Tensor:
        scores: Tensor = self(self._with_silence(batch), batch["lengths"])
        return scores

    def _count(self, condition: str, targets: Tensor, scores: Tensor) -> tuple[list[str], list[str]]:
        said, heard = ([self.labels[i] for i in row.tolist()] for row in (targets, scores.argmax(-1)))
        self._counts[condition] += count_confusion(self.labels, said, heard)
        return said, heard

    def _nothing(self) -> Confusion:
        return count_confusion(self.labels, [], [])

    def _over_ranks(self, confusion: Confusion) -> Confusion:
        counts = np.array(self._sum_over_ranks(*confusion.matrix.ravel().tolist()), dtype=np.int64)
        return Confusion.from_matrix(self.labels, counts.reshape(confusion.matrix.shape))

    # Use

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> list[dict[str, Any]]:
        """Return id, hypothesis and its probability of each row of a batch."""
        heard = zip(batch["id"], self._best(batch), strict=True)
        return [{"id": name, "hypothesis": label, "probability": sure} for name, (label, sure) in heard]

    def classify(
        self, recordings: Iterable[Input], sample_rate: int | None = None, *, batch_size: int = 32
    ) -> list[tuple[str, float]]:
        """Return the label of each recording and its probability.

        Args:
            recordings: samples ``(T,)`` in floating point, sound files, or both; a list or any other iterable. Of files
                with several channels the mean is taken, and other sample rates are resampled.
            sample_rate: of the samples, per second; files know theirs.
            batch_size: recordings held in memory and computed together.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file cannot be read, or samples have no rate, another shape or type, or are not finite.
        """
        check_inputs("classify", recordings)
        if batch_size < 1:
            raise ValueError(f"classify: batch_size must be positive, got {batch_size}")
        found: list[tuple[str, float]] = []
        rate, sources = self.features.sample_rate, enumerate(recordings)
        with evaluating(self):
            while part := list(islice(sources, batch_size)):
                sounds = [listen(x, rate, array_rate=sample_rate, name=f"classify: input {i}") for i, x in part]
                found += self._classify([torch.tensor(sound.read(0, None)) for sound in sounds])
        return found

    def _classify(self, rows: list[Tensor]) -> list[tuple[str, float]]:
        x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return self._best({"waveform": x, "lengths": lengths})

    def _best(self, batch: Batch) -> list[tuple[str, float]]:
        """Return the label of each row and its probability."""
        best = self._scores(batch).softmax(-1).max(-1)
        labels = [self.labels[index] for index in best.indices.tolist()]
        return list(zip(labels, best.values.tolist(), strict=True))


def _check(labels: Any, label_smoothing: float) -> None:
    """Refuse what cannot work, before any data; a single text would pass for a list of letters."""
    texts = labels if isinstance(labels, Iterable) and not isinstance(labels, str) else []
    names = [normalise_text(label) if isinstance(label, str) else "" for label in texts]
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise ValueError(
            "SpeechClassifier: labels must be a list of two or more texts, none empty, none twice (in any case), "
            f"got {labels!r}"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"SpeechClassifier: label_smoothing must be in [0, 1), got {label_smoothing}")
