"""No speed without a green gate: the contract's row-alone check, the physics, and on a GPU no wait for the host."""

from __future__ import annotations

from pathlib import Path

import torch

import speechaug as sa
from benchmarks import gpu
from benchmarks.batch import Batch
from benchmarks.race import explained
from benchmarks.rows import Row
from benchmarks.subject import stages
from speechaug.testing import check_row_alone

ROWS, SECONDS = 16, 2.0


class Gate:
    """Examines each row once, on a small batch of its own.

    Args:
        device: where the physics are examined.
        folder: for files of the batch.
    """

    def __init__(self, device: str, folder: Path) -> None:
        """Make the batch."""
        self._batch = Batch(ROWS, SECONDS, device, folder)
        self._found: dict[str, str] = {}

    def failure(self, row: Row) -> str:
        """Return what is wrong with a row, in half a line; empty where nothing is."""
        if row.name not in self._found:
            self._found[row.name] = self._examine(row)
        return self._found[row.name]

    def _examine(self, row: Row) -> str:
        try:
            subject = row.make(self._batch)
            if isinstance(subject, sa.Transform):
                check_row_alone(subject)
            with torch.no_grad():
                row.check(subject, self._batch)
                if self._batch.device.type == "cuda":
                    gpu.check_no_wait(stages(subject, self._batch))
        except Exception as error:
            return explained(error)
        return ""
