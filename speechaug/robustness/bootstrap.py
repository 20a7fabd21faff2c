"""Intervals by drawing again: whole blocks of utterances, and training seeds, the same for every condition and model.

Errors of one speaker come together, so a bootstrap over single utterances gives intervals that are too narrow. Here
whole blocks are drawn again: speakers where there are enough of them, else groups of utterances; the result says which.

A :class:`Plan` says how often each block and each seed counts in each resample; its first row is the data as they are.
A statistic is computed for all rows at once, so row 0 is its value and the others give its interval. Whatever is
computed from one plan is paired: conditions, models, and what is made of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from speechaug.robustness.metrics import Array, Interval
from speechaug.robustness.student import student_quantile, student_tail

MIN_SPEAKERS = 5
UTTERANCE_BLOCKS = 30
RESAMPLES = 2_000
LEVEL = 0.95

BlockKind = Literal["speakers", "utterances"]

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Estimate:
    """A quantity and, where there are two blocks or more and they differ, the interval it lies in.

    Args:
        value: from the data as they are; a fraction where it is a rate (0.25: a quarter of the words).
        interval: 95 % bounds, which hold the value; None where nothing is known about the spread.

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

    Example:
        >>> Basis("utterances", 30, seeds=3).text
        '95 % intervals, drawing again from 30 groups of utterances, for these speakers only, and 3 training seeds'
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
        if not self.has_intervals:
            return "too few utterances for an interval"
        what = "speakers" if self.generalises_over_speakers else "groups of utterances, for these speakers only"
        seeds = f", and {self.seeds} training seeds" if self.seeds > 1 else ""
        return f"{100 * self.level:.0f} % intervals, drawing again from {self.blocks} {what}{seeds}"


@dataclass(frozen=True)
class Blocks:
    """Which utterances are drawn together.

    Args:
        kind: ``"speakers"``, or ``"utterances"`` where there are fewer than five speakers; the interval then says
            nothing about speakers who were not heard.
        index: block of each utterance, from 0.
        count: number of blocks.
    """

    kind: BlockKind
    index: dict[Any, int]
    count: int


def make_blocks(speakers: Mapping[Any, str]) -> Blocks:
    """Group utterances for the bootstrap.

    Args:
        speakers: speaker of each utterance. With five speakers or more each is a block. Otherwise the utterances,
            ordered by speaker and name, are dealt to at most 30 blocks like cards, so that every block holds every
            speaker. The order they come in does not matter.

    Raises:
        ValueError: if there is no utterance.

    Example:
        >>> make_blocks({"a1": "ann", "a2": "ann", "b1": "bob"}).kind
        'utterances'
    """
    if not speakers:
        raise ValueError("make_blocks: speakers must hold at least one utterance, got none")
    names = sorted(set(speakers.values()))
    if len(names) >= MIN_SPEAKERS:
        number = {name: place for place, name in enumerate(names)}
        return Blocks("speakers", {key: number[speaker] for key, speaker in speakers.items()}, len(names))
    ordered = sorted(speakers, key=lambda key: (speakers[key], key))
    count = min(len(ordered), UTTERANCE_BLOCKS)
    return Blocks("utterances", {key: place % count for place, key in enumerate(ordered)}, count)


@dataclass(frozen=True, eq=False)
class Plan:
    """How often each block and each training seed counts in each resample.

    Row 0 is the data. The next rows draw blocks and seeds together: they give the intervals. Where there are several
    seeds, as many rows again draw blocks alone, and as many draw seeds alone: they tell how much of the spread is due
    to which, hence how many degrees of freedom it has.

    Args:
        blocks: ``(rows, blocks)`` how often each block counts.
        seeds: for each number of seeds an arm may have, ``(rows, seeds)`` how often each counts.
        resamples: rows that draw.

    Source: Bisani and Ney (2004) for word error rates; Liu and Peng (2020) for blocks of speakers; Owen (2007), The
    pigeonhole bootstrap, for two crossed factors.
    """

    blocks: Array
    seeds: Mapping[int, Array]
    resamples: int

    @classmethod
    def draw(
        cls, blocks: int, seeds: Collection[int] = (1,), *, resamples: int = RESAMPLES, random_seed: int = 0
    ) -> Plan:
        """Draw a plan; the same arguments give the same plan.

        Args:
            blocks: how many blocks there are.
            seeds: how many training seeds each arm has; arms with as many share their draws.
            resamples: how often to draw.
            random_seed: of the draws.
        """
        rng = np.random.default_rng(random_seed)
        nested = max(seeds) > 1
        # which factor is drawn in each row
        draws_blocks = np.repeat([False, True, True, False], [1, resamples, *[nested * resamples] * 2])
        draws_seeds = np.repeat([False, True, False, True], [1, resamples, *[nested * resamples] * 2])
        counts = sorted({*seeds, 1})
        return cls(
            _counts(rng, blocks, draws_blocks), {n: _counts(rng, n, draws_seeds) for n in counts}, resamples
        )

    def sums(self, values: Array) -> Array:
        """Sum over blocks and training seeds in each row: ``(seeds, conditions, blocks)`` to ``(rows, conditions)``."""
        weights = self.seeds[len(values)]
        return sum((weights[:, i, None] * (self.blocks @ each.T) for i, each in enumerate(values)), np.zeros(()))

    def estimate(self, values: Array, *, least: float = -math.inf, most: float = math.inf) -> Estimate:
        """Take the value and its interval from a statistic of each row.

        The percentiles of the resamples are stretched about the value by ``sqrt(n / (n - 1))`` and by Student's t over
        the normal quantile: plain ones are too narrow by just that, which matters below about 30 blocks. With several
        training seeds the variances of blocks and seeds are corrected apart and their degrees of freedom joined.

        Args:
            values: ``(rows,)`` the statistic.
            least: what the quantity cannot be below, such as 0 for a rate.
            most: what it cannot be above, such as 1 for a share.

        Source: Hesterberg (2015), What Teachers Should Know About the Bootstrap, section 5, for the correction;
        Satterthwaite (1946) for the degrees of freedom.
        """
        value = float(values[0])
        spread = self._spread(values)
        if spread is None:
            return Estimate(value)
        below, above, freedom = spread
        reach = student_quantile((1 + LEVEL) / 2, freedom)
        return Estimate(value, Interval(max(least, value - reach * below), min(most, value + reach * above)))

    def rate(self, errors: Array, units: Array, *, most: float = math.inf) -> tuple[Array, list[Estimate]]:
        """Divide sums of errors by sums of units in every row, and estimate the quotient of each condition.

        No error at all does not prove perfection: the upper bound is then the rate at which as many units pass without
        an error in 2.5 % of the cases (Clopper and Pearson, 1934). Where there is no unit, each error counts as if
        there were one.

        Args:
            errors: ``(seeds, conditions, blocks)``.
            units: the same shape, such as words.
            most: what the quotient cannot be above, such as 1 for a share.

        Returns:
            The rates, ``(rows, conditions)``, and one estimate per condition.
        """
        totals = self.sums(units)
        rates = self.sums(errors) / np.maximum(1.0, totals)
        estimates = [self.estimate(each, least=0.0, most=most) for each in rates.T]
        for place in np.flatnonzero(~errors.any(axis=(0, 2))) if self.blocks.shape[1] > 1 else ():
            highest = 1 - ((1 - LEVEL) / 2) ** (1 / max(1.0, float(totals[0, place])))
            estimates[place] = Estimate(0.0, Interval(0.0, highest))
        return rates, estimates

    def p_value(self, values: Array) -> float:
        """Two-sided p-value of the hypothesis that the quantity is 0: below 5 % just where its interval excludes 0.

        It is that of Student's t for the distance from 0, in units of the same stretched percentile that the interval
        is made of; 1 where nothing is known about the spread.
        """
        value = float(values[0])
        spread = self._spread(values)
        if spread is None:
            return 1.0
        below, above, freedom = spread
        return 2 * student_tail(abs(value) / (below if value > 0 else above), freedom)

    def probability_below(self, values: Array) -> float:
        """Share of the resamples in which the statistic is below 0, ties counting half.

        Source: Bisani and Ney (2004), probability of improvement.
        """
        drawn = values[1 : 1 + self.resamples]
        return float(np.mean((drawn < 0) + 0.5 * (drawn == 0)))

    def _spread(self, values: Array) -> tuple[float, float, float] | None:
        """Return the deviation below and above the value and their degrees of freedom; None where nothing differs."""
        count, value = self.blocks.shape[1], float(values[0])
        drawn, *apart = np.split(values[1:], (len(values) - 1) // self.resamples)
        if count < 2 or np.ptp(drawn) <= 1e-12 * np.abs(drawn).max():
            return None
        stretch, freedom = self._stretch(apart)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail])
        sides = np.array([value - low, high - value]) / _NORMAL.inv_cdf(1 - tail)
        below, above = stretch * np.where(sides > 0, sides, np.std(drawn))
        return float(below), float(above), freedom

    def _stretch(self, apart: list[Array]) -> tuple[float, float]:
        """Return by how much the resamples are too narrow, and the degrees of freedom of their spread."""
        count = self.blocks.shape[1]
        variances = np.array([np.var(part) for part in apart])
        if not variances.any():
            return math.sqrt(count / (count - 1)), count - 1
        sizes = np.array([count, min(number for number in self.seeds if number > 1)])
        corrected = variances / variances.sum() * sizes / (sizes - 1)
        return math.sqrt(corrected.sum()), float(corrected.sum() ** 2 / (corrected**2 / (sizes - 1)).sum())


def _counts(rng: np.random.Generator, count: int, drawn: Array) -> Array:
    """Draw ``count`` out of ``count`` with replacement in the rows that are drawn; in the others each counts once."""
    rows = np.ones((len(drawn), count))
    rows[drawn] = rng.multinomial(count, np.full(count, 1 / count), size=int(drawn.sum()))
    return rows
