"""How the rows of an epoch are cut into batches: so many rows in each, or so many seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from speechaug.data.strings import Joined

Batch = tuple[Joined, ...]

POOL = 16
"""Batches sorted together: more waste less padding, fewer leave more to chance."""


def cut_by_rows(rows: Sequence[Joined], count: int, *, pool: int) -> list[Batch]:
    """Cut into batches of nearly as many rows, alike in length.

    Args:
        rows: of the epoch, in random order.
        count: number of batches, at most that of the rows.
        pool: how many batches' rows are sorted together.

    Example:
        >>> rows = [Joined(str(i), (i,), (), duration_s=float(i)) for i in range(5)]
        >>> [[row.id for row in batch] for batch in cut_by_rows(rows, 2, pool=2)]
        [['4', '3'], ['2', '1', '0']]
    """
    edges = [len(rows) * number // max(count, 1) for number in range(count + 1)]
    ordered: list[Joined] = []
    for first in range(0, count, pool):
        ordered += _longest_first(rows[edges[first] : edges[min(first + pool, count)]])
    return [tuple(ordered[low:high]) for low, high in pairwise(edges)]


def cut_by_seconds(rows: Sequence[Joined], seconds: float, *, most: int, pool: int) -> list[Batch]:
    """Cut into batches of at most so many seconds, padding included, the fewest that rows of similar length need.

    A row that is longer makes a batch of its own.

    Args:
        rows: of the epoch, in random order.
        seconds: most in a batch, with its padding.
        most: rows in a batch, whatever their length.
        pool: how many batches' rows are sorted together.

    Example:
        >>> rows = [Joined(str(i), (i,), (), duration_s=float(i)) for i in (1, 2, 3, 4, 9)]
        >>> [[row.id for row in batch] for batch in cut_by_seconds(rows, 8.0, most=8, pool=16)]
        [['9'], ['4', '3'], ['2', '1']]
    """
    fewest = len(_fill(_longest_first(rows), seconds, most))
    size = pool * math.ceil(len(rows) / max(fewest, 1))
    batches: list[Batch] = []
    for first in range(0, len(rows), max(size, 1)):
        batches += _fill_evenly(_longest_first(rows[first : first + size]), seconds, most)
    return batches


def cut_to(count: int, rows: Sequence[Joined], seconds: float, *, most: int, pool: int) -> list[Batch]:
    """Cut as :func:`cut_by_seconds` does, but into exactly so many batches, the longest first.

    Where fewer would do, the longest batches are halved. Where more are needed, all rows are sorted together, which
    wastes least; should that not be enough, the seconds are raised by what it takes.

    Args:
        count: number of batches, at most that of the rows.
        rows: of the epoch, in random order.
        seconds: most in a batch, with its padding.
        most: rows in a batch, whatever their length.
        pool: how many batches' rows are sorted together.

    Example:
        >>> rows = [Joined(str(i), (i,), (), duration_s=float(i)) for i in (1, 2, 3, 4)]
        >>> [[row.id for row in batch] for batch in cut_to(3, rows, 8.0, most=8, pool=16)]
        [['4'], ['3'], ['2', '1']]
    """
    most = max(most, math.ceil(len(rows) / max(count, 1)))
    batches = cut_by_seconds(rows, seconds, most=most, pool=pool)
    while len(batches) > count:
        batches = cut_by_seconds(rows, seconds, most=most, pool=len(rows))
        seconds *= 1.02
    while len(batches) < count:
        place = max((p for p, batch in enumerate(batches) if len(batch) > 1), key=lambda p: _seconds(batches[p]))
        half = len(batches[place]) // 2
        batches[place : place + 1] = [batches[place][:half], batches[place][half:]]
    return sorted(batches, key=lambda batch: -batch[0].duration_s)


def _seconds(batch: Batch) -> float:
    return len(batch) * batch[0].duration_s  # the longest comes first


def _longest_first(rows: Sequence[Joined]) -> list[Joined]:
    return sorted(rows, key=lambda row: -row.duration_s)


def _fill(ordered: Sequence[Joined], seconds: float, most: int) -> list[Batch]:
    """Put one row after the other, the longest first, into a batch until it is full."""
    edges = [0]
    for place in range(len(ordered)):
        rows = place - edges[-1]
        if rows and (rows == most or (rows + 1) * ordered[edges[-1]].duration_s > seconds):
            edges.append(place)
    return [tuple(ordered[low:high]) for low, high in pairwise([*edges, len(ordered)])] if ordered else []


def _fill_evenly(ordered: Sequence[Joined], seconds: float, most: int) -> list[Batch]:
    """Fill as few batches, none fuller than it has to be: otherwise the last one holds what happens to be left."""
    batches = _fill(ordered, seconds, most)
    low, high = 0.0, 1.0
    for _ in range(8):
        share = (low + high) / 2
        tried = _fill(ordered, share * seconds, max(1, math.ceil(share * most)))
        if len(tried) <= len(batches):
            batches, high = tried, share
        else:
            low = share
    return batches
