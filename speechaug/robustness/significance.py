"""Is the difference chance: matched pairs of segments (MAPSSWE), and Holm's correction for many tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mapsswe:
    """Matched-pairs sentence-segment word error test of two recognizers on the same utterances.

    Args:
        segments: stretches with an error of either, parted by two or more words that both got right.
        mean: errors of the first less those of the second per segment; negative when the first is better.
        z: mean over its standard error; None where all segments differ by the same.
        p: two-sided p-value.
        p_holm: that after Holm's correction over the conditions compared.
    """

    segments: int
    mean: float
    z: float | None
    p: float
    p_holm: float
