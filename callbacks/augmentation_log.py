"""What augmentation did: the parameters that were drawn, the SNR that was reached, the time it took."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any, TextIO

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from speechaug.augmenter import Applied, BatchAugmenter, augmenters, leaves


class AugmentationLog(Callback):
    """Log what augmentation does, every ``Trainer(log_every_n_steps=...)`` optimizer steps, over the batches since.

    - ``augment/<place>_share``: share of rows on which a member of the policy acted.
    - ``augment/<place>.<parameter>_mean``, ``_min``, ``_max``: of what was drawn for the rows it acted on.
    - ``augment/<place>.achieved_<name>_mean``, ``_min``, ``_max``: of the policy's by-products, such as the SNR that
      was reached.
    - ``augment_ms``: time a batch takes to augment, in milliseconds: deciding on the host plus computing.
    - ``augment_share``: that as a share of the whole training step, from the end of one batch to the end of the next,
      waiting for data included, validation left out.

    On a GPU nothing is read back before it is logged, and computing is timed by events. In a distributed training the
    figures are those of the first rank.

    Args:
        path: a JSONL file for the draws of every batch, as an audit trail; None for none. A line holds ``batch``,
            ``step``, ``epoch``, ``domain``, ``seed``, ``strength``, ``ids``, ``views`` and ``draws``; to do the same
            again, ``policy.scaled(line["strength"])`` is called with its own ``replay(line["draws"])``. A new
            training begins a new file, a resumed one goes on. Further ranks write beside it, to ``<name>.rank1.jsonl``
            and so on.

    Raises:
        ValueError: when the training starts, if nothing augments in the Trainer.

    Example:
        >>> from speechaug.callbacks import AugmentationLog
        >>> AugmentationLog(path="draws.jsonl").path
        'draws.jsonl'
    """

    def __init__(self, path: str | None = None) -> None:
        """Keep the configuration; see the class."""
        super().__init__()
        self.path = None if path is None else os.fspath(path)
        self._interval = _Interval()
        self._drawn: list[tuple[BatchAugmenter, Applied]] = []
        self._lines: list[dict[str, Any]] = []
        self._file: TextIO | None = None
        self._logged_step = self._step = 0
        self._mark = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a Trainer without augmentation."""
        if stage == "fit" and not augmenters(trainer):
            raise ValueError(
                "AugmentationLog: the Trainer must augment, through SpeechDataModule(policy=...), Augment or "
                "SpectrogramAugment; found none"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to listen to the augmenters."""
        for augmenter in augmenters(trainer).values():
            augmenter.observers.insert(0, self)  # the first: the others' work is not augmentation
        self._interval, self._lines, self._logged_step = _Interval(), [], trainer.global_step
        if self.path is not None:
            path = Path(self.path)
            path = path if trainer.global_rank == 0 else path.with_suffix(f".rank{trainer.global_rank}{path.suffix}")
            self._file = _open(path, keep=trainer.fit_loop.total_batch_idx if trainer.global_step else -1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again: validation is no part of a training step."""
        self._mark = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember how many steps came before this batch."""
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Close the batch, and where it is time, log."""
        now = time.perf_counter()
        self._interval.close(now - self._mark)
        self._mark = now
        self._write(trainer.fit_loop.total_batch_idx)
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step // every > self._logged_step // every:
            for name, value in self._interval.figures().items():
                pl_module.log(name, value, on_step=True, on_epoch=False, batch_size=1)
            self._interval, self._logged_step = _Interval(), trainer.global_step
        elif not every:
            self._interval = _Interval()  # nothing is ever logged, so nothing is kept

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no longer."""
        self._leave(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no longer."""
        self._leave(trainer)

    def began(self, augmenter: BatchAugmenter) -> None:
        """Start the clock of a batch's augmentation."""
        self._interval.start()

    def done(self, augmenter: BatchAugmenter, applied: Applied) -> None:
        """Stop that clock and keep what was drawn."""
        self._interval.stop(applied)
        self._interval.keep(augmenter, applied)
        if self._file is not None:
            views = None if applied.views is None else list(applied.views)
            line: dict[str, Any] = {"epoch": applied.epoch, "domain": augmenter.policy.domain, "seed": augmenter.seed}
            line |= {"strength": augmenter.strength, "ids": list(applied.ids), "views": views}
            self._lines.append(line | {"draws": applied.draws.to_dict()})

    def _write(self, batch: int) -> None:
        if self._file is not None:
            for line in self._lines:
                self._file.write(json.dumps({"batch": batch, "step": self._step, **line}, ensure_ascii=False) + "\n")
            self._file.flush()
        self._lines = []

    def _leave(self, trainer: Trainer) -> None:
        for augmenter in augmenters(trainer).values():
            if self in augmenter.observers:
                augmenter.observers.remove(self)
        if self._file is not None:
            self._file.close()
            self._file = None


class _Interval:
    """What happened since the last time figures were logged."""

    def __init__(self) -> None:
        self._batches = 0
        self._wall_s = self._augment_s = self._began_s = 0.0
        self._began: torch.cuda.Event | None = None
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._rows: dict[str, tuple[int, int]] = {}  # by place: rows on, rows
        self._kept: dict[str, list[Tensor]] = {}

    def start(self) -> None:
        """Start the clocks of a batch's augmentation; which of the two counts shows when it is done."""
        self._began = _event() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
        self._began_s = time.perf_counter()

    def stop(self, applied: Applied) -> None:
        """Stop the clock of the device the batch is on."""
        self._augment_s += applied.sample_s
        if applied.y.is_cuda and self._began is not None:
            self._events.append((self._began, _event()))
        else:
            self._augment_s += time.perf_counter() - self._began_s

    def keep(self, augmenter: BatchAugmenter, applied: Applied) -> None:
        """Keep parameters, by-products and which rows were on; by-products stay on their device."""
        alone = type(augmenter.policy).__name__  # the place of a transform that is the whole policy
        for (place, draws), (_, member) in zip(applied.draws.walk(), leaves(augmenter.policy), strict=True):
            name = place or alone
            on, rows = self._rows.get(name, (0, 0))
            self._rows[name] = (on + draws.count, rows + len(draws))
            fields = {field.name for field in dataclasses.fields(member)}
            for parameter, values in draws.values.items():
                if parameter in fields:  # else a clip's number, a generator's key, a place in the row
                    self._add(f"{name}.{parameter}", torch.from_numpy(values[draws.on]))
        for name, reached in applied.extras.items():
            if reached.ndim == 1:
                place, _, product = name.rpartition(".")
                self._add(f"{place or alone}.achieved_{product}", reached.detach())

    def close(self, wall_s: float) -> None:
        """Count a training step."""
        self._batches += 1
        self._wall_s += wall_s

    def figures(self) -> dict[str, float]:
        """Return what is to be logged; the only place where the device is waited for."""
        for began, ended in self._events:
            ended.synchronize()
            self._augment_s += began.elapsed_time(ended) / 1e3
        found = {f"augment/{name}_share": on / rows for name, (on, rows) in self._rows.items() if rows}
        for name, parts in self._kept.items():
            values = torch.cat(parts)
            values = values[values.isfinite()].double().cpu()
            if values.numel():
                figures = {"mean": values.mean(), "min": values.amin(), "max": values.amax()}
                found |= {f"augment/{name}_{figure}": value.item() for figure, value in figures.items()}
        found["augment_ms"] = 1e3 * self._augment_s / self._batches
        found["augment_share"] = self._augment_s / self._wall_s
        return found

    def _add(self, name: str, values: Tensor) -> None:
        self._kept.setdefault(name, []).append(values.reshape(-1))


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _open(path: Path, keep: int) -> TextIO:
    """Open a file to append lines to, with those of the batches up to number ``keep`` in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: list[str] = []
    if keep >= 0 and path.exists():
        with path.open(encoding="utf-8") as lines:  # a line that was not finished, or will be written again, goes
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["batch"] <= keep]
    file = path.open("w", encoding="utf-8")
    file.writelines(kept)
    return file
