"""One progress line for a whole run, readable over a pipe too."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class StepProgress(Callback):
    """Show the steps of the whole run, the loss, the last validation and the time left.

    A small recognizer's epochs last seconds, so a bar per epoch is noise. On a terminal one bar is redrawn; elsewhere
    a plain line is printed for every tenth of the run.

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
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock and, on a terminal, the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._started = time.monotonic()
        console = Console()
        if console.is_terminal and trainer.is_global_zero:
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
            self._bar = Progress(*columns, TextColumn("{task.fields[state]}"), console=console)
            self._task = self._bar.add_task(
                self.label, total=trainer.max_steps, completed=trainer.global_step, state=""
            )
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on."""
        if self._bar is not None:
            self._bar.update(self._task, completed=trainer.global_step, state=_state(trainer))
        elif trainer.is_global_zero and trainer.global_step % max(1, trainer.max_steps // 10) == 0:
            elapsed = time.monotonic() - self._started
            print(
                f"{self.label}: step {trainer.global_step}/{trainer.max_steps}, {elapsed:.0f} s  {_state(trainer)}",
                flush=True,
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the bar."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop the bar."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _state(trainer: Trainer) -> str:
    shown = {"train_loss": "loss", "val_wer": "val WER"}
    metrics = trainer.callback_metrics
    return ", ".join(f"{label} {float(metrics[name].detach()):.3f}" for name, label in shown.items() if name in metrics)
