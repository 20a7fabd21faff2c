"""Does the cost grow with the audio, and only with it? The same row on 8 to 256 rows and on 1 to 60 seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.batch import Batch
from benchmarks.race import Entrant, explained, race
from benchmarks.rows import Row
from benchmarks.subject import stages

BY_ROWS = tuple((rows, 4.0) for rows in (8, 16, 32, 64, 128, 256))
BY_SECONDS = tuple((8, seconds) for seconds in (1.0, 4.0, 15.0, 60.0))
_ROUNDS, _BUDGET_S = 5, 3.0


@dataclass(frozen=True)
class Scaling:
    """Microseconds per second of audio of one row, by number of rows and by length; ``failed`` where there are none."""

    row: str
    title: str
    by_rows: dict[str, float]
    by_seconds: dict[str, float]
    failed: str = ""


def slope(costs: dict[str, float]) -> float | None:
    """Return the exponent with which the whole cost grows: 1 is linear, less is better; None for fewer than two sizes.

    Args:
        costs: cost per unit, by size.

    Example:
        >>> slope({"8": 5.0, "16": 5.0, "32": 5.0}), round(slope({"10": 5.0, "20": 10.0}), 3)
        (1.0, 2.0)
    """
    if len(costs) < 2:
        return None
    sizes, values = np.log([float(size) for size in costs]), np.log(list(costs.values()))
    return round(1.0 + float(np.polyfit(sizes, values, 1)[0]), 6)


def cost(row: Row, batch: Batch) -> float:
    """Return the microseconds of a whole call per second of audio."""
    entrant = Entrant(row.name, stages(row.make(batch), batch))
    with torch.no_grad():
        race([entrant], _ROUNDS, _BUDGET_S, batch.device)
    if entrant.total is None:
        raise RuntimeError(entrant.error)
    return float(f"{entrant.total.p50 * 1e3 / batch.audio_s:.4g}")


def measure(rows: list[Row], batches: Iterator[Batch]) -> list[Scaling]:
    """Measure every row on every batch; a row that fails is measured no further."""
    found = {row.name: Scaling(row.name, row.title, {}, {}) for row in rows}
    for batch in batches:
        for row in rows:
            line = found[row.name]
            if line.failed:
                continue
            try:
                taken = cost(row, batch)
            except Exception as error:
                found[row.name] = dataclasses.replace(line, failed=explained(error))
                continue
            if (batch.rows, batch.seconds) in BY_ROWS:
                line.by_rows[str(batch.rows)] = taken
            if (batch.rows, batch.seconds) in BY_SECONDS:
                line.by_seconds[f"{batch.seconds:g}"] = taken
    return list(found.values())


def shapes() -> list[tuple[int, float]]:
    """Return the shapes, each once, smallest first."""
    return sorted({*BY_ROWS, *BY_SECONDS}, key=lambda shape: shape[0] * shape[1])
