"""One progress line for a whole run, readable over a pipe too."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

SMOOTHING = 0.05
"""Weight of the newest step in the running mean of the loss: about the last twenty steps count."""
REDRAW_S = 0.1
"""Least time between two drawings of the bar, in seconds: each waits for the device."""


class StepProgress(Callback):
    """Show the steps of the whole run, the loss, the last validation and the time left.

    A small recognizer's epochs last seconds, so a bar per epoch is noise. On a terminal one bar is redrawn; elsewhere
    a plain line is printed for the first step and every tenth of the run (of an endless run, every hundred steps). The
    loss is a running mean.

    Args:
        label: what is being trained.

    Example:
        >>> from speechaug.callbacks import StepProgress
        >>> StepProgress("with augmentation").label
        'with augmentation'
    """

    def __init__(self, label: str = "training") -> None:
        """Keep the label; see the class."""
        super().__init__()
        self.label = label
        self._bar: Any = None
        self._task: Any = None
        self._total: int | None = None
        self._started = self._drawn = 0.0
        self._shown = 0
        self._loss: Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock and, on a terminal, the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        steps = trainer.estimated_stepping_batches
        self._total = int(steps) if math.isfinite(steps) else None
        self._started, self._shown, self._loss = time.monotonic(), trainer.global_step, None
        console = Console()
        if console.is_terminal and trainer.is_global_zero:
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
            self._bar = Progress(*columns, TextColumn("{task.fields[state]}"), console=console)
            self._task = self._bar.add_task(self.label, total=self._total, completed=trainer.global_step, state="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on."""
        self._follow(outputs, trainer.accumulate_grad_batches)
        step = trainer.global_step
        if step == self._shown or not trainer.is_global_zero:
            return  # gradients are still being gathered
        if self._bar is not None:
            if time.monotonic() - self._drawn >= REDRAW_S or step == self._total:
                self._bar.update(self._task, completed=step, state=self._state(trainer))
                self._drawn = time.monotonic()
        elif step in (1, self._total) or step % max(1, (self._total or 1_000) // 10) == 0:
            place = f"{step}/{self._total}" if self._total else f"{step}"
            elapsed = time.monotonic() - self._started
            print(f"{self.label}: step {place}, {elapsed:.0f} s  {self._state(trainer)}", flush=True)
        self._shown = step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the bar."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop the bar."""
        self._stop()

    def _follow(self, outputs: Any, parts: int) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            loss = loss.detach() * parts  # Lightning divides by the number of batches whose gradients it gathers
            self._loss = loss if self._loss is None else self._loss.lerp(loss, SMOOTHING)

    def _state(self, trainer: Trainer) -> str:
        shown = {"loss": self._loss, "val WER": trainer.callback_metrics.get("val_wer")}
        return ", ".join(f"{name} {float(value):.3f}" for name, value in shown.items() if value is not None)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
