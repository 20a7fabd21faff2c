"""Intervals by drawing again: whole blocks of utterances, and training seeds, the same for every condition and model.

A :class:`Plan` says how often each block and each seed counts in each resample; its first row is the data as they are.
A statistic is computed for all rows at once, from rates whose first axis is that of the rows: row 0 is its value, the
others its interval. Whatever is computed from one plan is paired: conditions, models, and what is made of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechaug.robustness.metrics import LEVEL, RESAMPLES, Array, BlockKind, Blocks, Interval, make_blocks


@dataclass(frozen=True)
class Estimate:
    """A quantity and, where there are two blocks or more and they differ, the interval it lies in.

    Args:
        value: from the data as they are; a fraction where it is a rate (0.25: a quarter of the words).
        interval: 95 % bounds; None where nothing is known about the spread.

    Example:
        >>> print(Estimate(0.25, Interval(0.2, 0.3)))
        0.25 (0.2 to 0.3)
    """

    value: float
    interval: Interval | None = None

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.interval.low:.4g} to {self.interval.high:.4g})"

    def excludes(self, value: float) -> bool:
        """Whether the interval is known and does not hold ``value``."""
        return self.interval is not None and not self.interval.low <= value <= self.interval.high


@dataclass(frozen=True)
class Basis:
    """What the intervals rest on.

    Args:
        kind: ``"speakers"`` or ``"utterances"``.
        blocks: how many speakers, or groups of utterances, are drawn again.
        seeds: how many training seeds are drawn again; 1 when only one model was tested.
        resamples: how often.
        level: share of intervals that hold the true value.
    """

    kind: BlockKind
    blocks: int
    seeds: int = 1
    resamples: int = RESAMPLES
    level: float = LEVEL

    @property
    def has_intervals(self) -> bool:
        """Whether there are blocks enough to know anything about the spread."""
        return self.blocks > 1

    @property
    def generalises_over_speakers(self) -> bool:
        """Whether the intervals say anything about speakers who were not heard."""
        return self.kind == "speakers"

    @property
    def text(self) -> str:
        """The basis in words, for captions."""
        raise NotImplementedError
