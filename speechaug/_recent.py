"""What was made is kept for the next call, as long as it is among the last that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def recent(kept: dict[K, V], key: K, make: Callable[[], V], most: int) -> V:
    """Return what is kept under a key, or make it; what was not asked for the longest goes first.

    Args:
        kept: what there is, changed here; the last that was asked for comes last.
        key: of what is wanted.
        make: makes it.
        most: how many are kept.

    Example:
        >>> kept = {}
        >>> [recent(kept, number, lambda: 10 * number, most=2) for number in (1, 2, 1, 3)], list(kept)
        ([10, 20, 10, 30], [1, 3])
    """
    value = kept.pop(key) if key in kept else make()
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]
    return value
