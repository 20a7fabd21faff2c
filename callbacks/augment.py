"""Waveform augmentation for any LightningModule whose batches are dictionaries."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from speechaug._lightning import refuse_foreign, refuse_other_rate
from speechaug.augmenter import BatchAugmenter
from speechaug.data import SpeechDataModule
from speechaug.transform import Transform


class Augment(Callback):
    """Augment the training batches of your own LightningModule; validation, test and prediction stay as they are.

    The batch must be a dictionary; it is changed in place, on its device, before ``training_step`` sees it, so a loader
    must not hand out the same dictionary twice. Samples beyond the lengths must be zero. Draws depend on the seed, the
    epoch and each example's id. Without ids they depend on rank, batch and row, and so on the batch size.

    Args:
        policy: a waveform policy.
        sample_rate: of the waveforms, in Hz.
        seed: of the draws.
        waveform_key: where the batch holds the waveforms, ``(B, T)`` or ``(B, C, T)``.
        lengths_key: where it holds the valid samples, ``(B,)``; None when all are valid.
        id_key: where it holds the list of ids; None without ids.

    Raises:
        ValueError: if the policy is for spectrograms, it changes lengths and the batch has none, a key is missing, or
            augmentation would happen twice: a second ``Augment``, or a ``SpeechDataModule`` with a policy of its own;
            if the DataModule has another sample rate, or the Trainer is one of ``pytorch_lightning``.

    Example:
        >>> import speechaug as sa
        >>> from speechaug.callbacks import Augment
        >>> callback = Augment(sa.Gain(), sample_rate=16_000)
    """

    def __init__(
        self,
        policy: Transform,
        *,
        sample_rate: int,
        seed: int = 0,
        waveform_key: str = "waveform",
        lengths_key: str | None = "lengths",
        id_key: str | None = "id",
    ) -> None:
        """Keep the configuration; see the class."""
        super().__init__()
        if policy.domain != "waveform":
            raise ValueError(f"Augment: policy must act on waveforms, got {type(policy).__name__}")
        if policy.changes_length and lengths_key is None:
            raise ValueError("Augment: lengths_key must be given, since the policy makes rows longer or shorter")
        self.augmenter = BatchAugmenter(policy, seed=seed, sample_rate=sample_rate)
        self.sample_rate = sample_rate
        self.waveform_key = waveform_key
        self.lengths_key = lengths_key
        self.id_key = id_key

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse to augment twice or at another rate, and the Trainer of the other Lightning."""
        refuse_foreign(trainer, "Augment")
        refuse_other_rate(trainer, "Augment", self.sample_rate)
        datamodule = getattr(trainer, "datamodule", None)
        if getattr(datamodule, "augmenter", None) is not None:
            raise ValueError(
                "Augment: the DataModule must have no policy of its own, or the batches are augmented twice"
            )
        others = [callback for callback in trainer.callbacks if isinstance(callback, Augment)]  # type: ignore[attr-defined]
        if len(others) > 1:
            raise ValueError(f"Augment: a Trainer must have one, or the batches are augmented twice, got {len(others)}")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Draw for this batch and apply."""
        for key in (self.waveform_key, self.lengths_key, self.id_key):
            if key is not None and not (isinstance(batch, dict) and key in batch):
                keys = sorted(batch) if isinstance(batch, dict) else type(batch).__name__
                raise ValueError(f"Augment: batch must be a dictionary with the key {key!r}, got {keys}")
        x = batch[self.waveform_key]
        lengths = batch[self.lengths_key] if self.lengths_key else None
        if self.id_key is not None:
            ids = as_ids(batch[self.id_key])
        else:
            ids = [f"{trainer.global_rank}/{batch_idx}/{row}" for row in range(len(x))]
        draws = self.augmenter.sample(ids, data_epoch(trainer), batch.get("view"))
        with torch.no_grad():
            y, y_lengths = self.augmenter.apply(x, lengths, draws)
        batch[self.waveform_key] = y
        if self.lengths_key:
            batch[self.lengths_key] = y_lengths


def data_epoch(trainer: Trainer) -> int:
    """Return the epoch of a batch's utterances.

    Lightning counts an epoch more when training goes on after ``max_steps`` within one, the DataModule does not.
    """
    datamodule = getattr(trainer, "datamodule", None)
    return datamodule.epoch if isinstance(datamodule, SpeechDataModule) else trainer.current_epoch


def as_ids(names: Any) -> list[str]:
    """Return a batch's ids as texts, whether they were collated to a list or to a tensor."""
    return [str(name) for name in (names.tolist() if isinstance(names, torch.Tensor) else names)]
