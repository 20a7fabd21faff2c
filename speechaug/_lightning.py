"""What is refused of a Trainer: data of another sample rate, and to be one of the other Lightning.

``pytorch_lightning`` has a copy of every class of ``lightning.pytorch``, and they do not mix: its Trainer would call
our callbacks, but takes neither our DataModule nor our modules for what they are, and its own messages do not say why.
Whatever meets such a Trainer says in one line what to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer

REMEDY = "write `import lightning.pytorch as pl` instead of `import pytorch_lightning as pl`"


def refuse_foreign(trainer: object, owner: str) -> None:
    """Refuse a Trainer of the package ``pytorch_lightning``.

    Args:
        trainer: whoever calls.
        owner: who refuses, for the message.

    Raises:
        ValueError: if the Trainer is not one of ``lightning.pytorch``.
    """
    if any(base.__module__.partition(".")[0] == "pytorch_lightning" for base in type(trainer).__mro__):
        raise ValueError(f"{owner}: trainer must be a lightning.pytorch.Trainer, got pytorch_lightning's: {REMEDY}")


def refuse_other_rate(trainer: object, owner: str, sample_rate: int) -> None:
    """Refuse a DataModule that says it has another sample rate: everything would run, on the wrong frequencies.

    Args:
        trainer: whose DataModule it is, if it has one.
        owner: who refuses, for the message.
        sample_rate: what the waveforms are taken for, in Hz.

    Raises:
        ValueError: if the rates differ.
    """
    rate = getattr(getattr(trainer, "datamodule", None), "sample_rate", None)
    if rate not in (None, sample_rate):
        raise ValueError(f"{owner}: sample_rate must be that of the DataModule, {rate} Hz, got {sample_rate} Hz")


class NativeDataModule(LightningDataModule):
    """A DataModule that tells a Trainer of ``pytorch_lightning``, at first contact, that the two do not fit."""

    @property
    def trainer(self) -> Trainer | None:
        """The Trainer that uses the data; None without one."""
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        refuse_foreign(trainer, type(self).__name__)  # pytorch_lightning's fit(module, datamodule=data) begins here
        self._trainer = trainer

    def __iter__(self) -> Iterator[Any]:
        """Refuse: pytorch_lightning's ``fit(module, data)`` takes for a loader what is not its own DataModule."""
        raise ValueError(f"{type(self).__name__}: batches come from train_dataloader(); if a Trainer asks, {REMEDY}")
