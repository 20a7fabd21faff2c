"""What the LightningModules here share: optimizer, broken recordings, and results over all batches and ranks."""

from __future__ import annotations

import warnings
from typing import Any

import lightning as L
import torch
from torch import Tensor

from speechaug._lightning import refuse_other_rate
from speechaug.asr.optim import adamw_one_cycle
from speechaug.asr.ranks import all_rows
from speechaug.features import LogMel

Batch = dict[str, Any]
"""``waveform`` ``(B, T)`` float, ``lengths`` ``(B,)``, and the lists ``text``, ``id``, ``speaker``."""

PER_EPOCH: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
"""How figures of a training step are logged: once an epoch, over all ranks."""


class SpeechModule(L.LightningModule):
    """What ``SpeechRecognizer`` and ``SpeechClassifier`` do alike; it has no network.

    The hyper-parameters of a subclass hold ``lr``, ``weight_decay`` and ``warmup_share``.

    Attributes:
        test_results: a dict per utterance of the last test; its ``condition`` is one of the names of the test sets.
    """

    features: LogMel

    def __init__(self) -> None:
        super().__init__()
        self.test_results: list[dict[str, Any]] = []
        self._warned: set[str] = set()

    def setup(self, stage: str) -> None:
        refuse_other_rate(self.trainer, type(self).__name__, self.features.sample_rate)

    def configure_optimizers(self) -> Any:
        settings = {name: self.hparams[name] for name in ("lr", "weight_decay", "warmup_share")}
        return adamw_one_cycle(self, **settings)

    def _waveforms(self, batch: Batch) -> Tensor:
        """Return the waveforms of a batch; refuse what a ``SpeechDataModule`` has not been asked to finish."""
        x: Tensor = batch["waveform"]
        if not x.is_floating_point():
            raise ValueError(
                f"{type(self).__name__}: waveform must be in floating point, got {x.dtype}; the loaders of a "
                "SpeechDataModule give what is not yet augmented: pass datamodule=data, not data.train_dataloader()"
            )
        return x

    # Recordings with NaN or infinite samples

    def _with_silence(self, batch: Batch) -> Tensor:
        """Return waveforms to evaluate on, silent where they are not finite."""
        x = self._waveforms(batch)
        return torch.where(x.isfinite(), x, 0.0)

    def _without_broken(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return waveforms and lengths to train on, and which rows ``(B,)`` have finite samples only."""
        x, lengths = self._waveforms(batch), batch["lengths"]
        finite = x.isfinite().all(-1)
        # A row with a broken sample becomes an empty one: no frames, so it reaches no statistics and no gradient.
        return torch.where(finite[:, None], x, 0.0), torch.where(finite, lengths, 0), finite

    def _note_broken(self, batch: Batch, finite: Tensor, broken: int) -> None:
        """Count the rows that are left out of the training loss, and name the first."""
        sums = {**PER_EPOCH, "reduce_fx": "sum", "batch_size": len(finite)}
        self.log("train_nonfinite", float(broken), **sums)
        if broken and "nonfinite" not in self._warned:
            row = int(finite.logical_not().nonzero()[0])
            self._warn_once(
                "nonfinite",
                f"utterance {batch['id'][row]!r} has NaN or infinite samples; such utterances are left out of the loss "
                f"and counted in train_nonfinite",
            )

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"{type(self).__name__}: {message}", UserWarning, stacklevel=3)

    # Results

    def _conditions(self) -> list[str]:
        """Return the names of the test sets: those of the data module they come from, else their numbers."""
        loaders = self.trainer.test_dataloaders
        # Not trainer.datamodule: after fit(datamodule=...) it is still there when test() is given other loaders.
        names = getattr(self.trainer.test_loop._data_source.instance, "test_names", None)
        return list(names) if names else [f"test_{i}" for i in range(len(loaders) if isinstance(loaders, list) else 1)]

    def _gather_test_results(self) -> None:
        """Give every rank the results of all of them, by condition."""
        place = {condition: number for number, condition in enumerate(self._conditions())}
        self.test_results = sorted(all_rows(self.test_results), key=lambda row: place[row["condition"]])

    def _sum_over_ranks(self, *values: float) -> list[float]:
        local = torch.tensor(values, dtype=torch.float64 if self.device.type != "mps" else None, device=self.device)
        summed: list[float] = self.trainer.strategy.reduce(local, reduce_op="sum").tolist()
        return summed

    def _log_result(self, name: str, value: float) -> None:
        # Already the same on every rank; sync_dist says so to Lightning.
        shown = name in ("val_wer", "val_accuracy")
        self.log(name, value, prog_bar=shown, sync_dist=True, add_dataloader_idx=False, batch_size=1)
