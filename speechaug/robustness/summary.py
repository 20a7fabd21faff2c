"""The table of a robustness test: word error rate per condition and run, and what the second run changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from speechaug.robustness.metrics import (
    Array,
    BlockKind,
    Blocks,
    EditCounts,
    Interval,
    make_blocks,
    percentile_interval,
    relative_reduction,
    resample,
    resampled_wer,
    wer_interval,
)

CLEAN = "clean"
ROOM = "room"
NOISY_MEAN = "noisy mean"

Result = Mapping[str, Any]
Runs = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class Score:
    """Word error rate of one run in one condition; ``counts`` are summed over its utterances."""

    wer: float
    interval: Interval
    counts: EditCounts


@dataclass(frozen=True)
class Change:
    """Share of the first run's errors that is gone (0.5: half of them); negative when errors were added."""

    reduction: float
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval excludes no change."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True)
class Row:
    """One condition: a score per run, and for every run but the first the change against the first."""

    condition: str
    scores: dict[str, Score]
    changes: dict[str, Change]

    @property
    def label(self) -> str:
        """The condition in words: ``noise_5db`` is ``noise, 5 dB``."""
        return label(self.condition)


@dataclass(frozen=True)
class Summary:
    """All rows, and what their intervals rest on.

    Args:
        runs: names in the order given; the first is what the others are compared with.
        rows: one per condition, then the mean over all conditions but clean, if there are two or more.
        blocks: whether speakers or groups of utterances were drawn again.
        block_count: how many there are.
    """

    runs: tuple[str, ...]
    rows: tuple[Row, ...]
    blocks: BlockKind
    block_count: int

    @property
    def has_intervals(self) -> bool:
        """Whether there are blocks enough to know anything about the spread."""
        return self.block_count > 1

    def row(self, condition: str) -> Row | None:
        """Return the row of a condition, or None."""
        return next((row for row in self.rows if row.condition == condition), None)


def label(condition: str) -> str:
    """Write a condition's name in words.

    Example:
        >>> label("noise_5db"), label("room")
        ('noise, 5 dB', 'room')
    """
    ratio = snr_db(condition)
    return condition.replace("_", " ") if ratio is None else f"noise, {ratio:g} dB"


def snr_db(condition: str) -> float | None:
    """Return the signal-to-noise ratio that a name such as ``noise_-5db`` states, else None."""
    text = condition.removeprefix("noise_").removesuffix("db")
    if condition != f"noise_{text}db":
        return None
    try:
        return float(text)
    except ValueError:
        return None


def summarise(runs: Runs, conditions: Sequence[str] | None = None) -> Summary:
    """Compare runs on the same test utterances, with paired 95 % intervals.

    Args:
        runs: results by the run's name; a result is a mapping with ``condition``, ``id``, ``speaker``,
            ``substitutions``, ``deletions``, ``insertions`` and ``words`` of one utterance.
        conditions: conditions in the order of the rows; by default that of the first run.

    Raises:
        ValueError: if there are no results, a condition is missing, or the runs were not tested on the same utterances.

    Example:
        >>> edits = dict(condition="clean", speaker="ann", deletions=0, insertions=0, words=2)
        >>> before = [dict(edits, id="a", substitutions=2), dict(edits, id="b", substitutions=2)]
        >>> after = [dict(edits, id="a", substitutions=1), dict(edits, id="b", substitutions=1)]
        >>> summarise({"none": before, "small_sample": after}).rows[0].changes["small_sample"].reduction
        0.5
    """
    if not runs or not all(runs.values()):
        sizes = {name: len(results) for name, results in runs.items()}
        raise ValueError(f"summarise: runs must hold at least one result each, got {sizes}")
    tables = {name: _by_condition(name, results) for name, results in runs.items()}
    first = next(iter(tables.values()))
    order = list(conditions or first)
    _check_same_utterances(tables, order)
    blocks = make_blocks({key: str(result["speaker"]) for table in first.values() for key, result in table.items()})
    plan = resample(blocks.count)
    rows = [_row(tables, [condition], condition, blocks, plan) for condition in order]
    noisy = [condition for condition in order if condition != CLEAN]
    if len(noisy) > 1:
        rows.append(_row(tables, noisy, NOISY_MEAN, blocks, plan))
    return Summary(tuple(runs), tuple(rows), blocks.kind, blocks.count)


Table = dict[str, dict[str, Result]]


def _by_condition(run: str, results: Iterable[Result]) -> Table:
    table: Table = {}
    for result in results:
        condition = table.setdefault(str(result["condition"]), {})
        if result["id"] in condition:
            raise ValueError(f"summarise: ids must be unique in a condition, got {result['id']!r} twice in run {run!r}")
        condition[result["id"]] = result
    return table


def _check_same_utterances(tables: Mapping[str, Table], order: Sequence[str]) -> None:
    name, first = next(iter(tables.items()))
    for other, table in tables.items():
        for condition in order:
            if condition not in table:
                raise ValueError(f"summarise: run {other!r} must hold the condition {condition!r}, got {sorted(table)}")
            words = {key: result["words"] for key, result in table[condition].items()}
            if words != {key: result["words"] for key, result in first[condition].items()}:
                raise ValueError(
                    f"summarise: runs {name!r} and {other!r} must be tested on the same utterances, "
                    f"those of {condition!r} differ"
                )


def _row(tables: Mapping[str, Table], conditions: Sequence[str], name: str, blocks: Blocks, plan: Array) -> Row:
    scores: dict[str, Score] = {}
    changes: dict[str, Change] = {}
    rates: dict[str, Array] = {}
    for run, table in tables.items():
        counts = [{key: _counts(result) for key, result in table[condition].items()} for condition in conditions]
        errors = np.stack([blocks.total(list(each), [count.errors for count in each.values()]) for each in counts])
        words = np.stack([blocks.total(list(each), [count.words for count in each.values()]) for each in counts])
        total = reduce(EditCounts.__add__, (count for each in counts for count in each.values()))
        wer = float(np.mean(errors.sum(axis=1) / np.maximum(1.0, words.sum(axis=1))))
        rates[run] = resampled_wer(errors, words, plan)
        scores[run] = Score(wer, wer_interval(errors, words, plan), total)
        if len(scores) > 1:
            base = next(iter(scores))
            changes[run] = _change(scores[base], scores[run], rates[base], rates[run], blocks.count)
    return Row(name, scores, changes)


def _counts(result: Result) -> EditCounts:
    return EditCounts(result["substitutions"], result["deletions"], result["insertions"], result["words"])


def _change(before: Score, after: Score, rates_before: Array, rates_after: Array, count: int) -> Change:
    words = before.counts.words
    reduction = float(relative_reduction(before.wer, after.wer, words))
    if count < 2:  # nothing is known about the spread
        return Change(reduction, Interval(min(-1.0, reduction), 1.0))
    resampled = np.asarray(relative_reduction(rates_before, rates_after, words))
    return Change(reduction, percentile_interval(resampled, count))
