"""Is the difference chance: matched pairs of segments (MAPSSWE), and Holm's correction for many tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

BUFFER_WORDS = 2


@dataclass(frozen=True)
class Mapsswe:
    """Matched-pairs sentence-segment word error test of two recognizers on the same utterances.

    Args:
        segments: stretches with an error of either, parted by two or more words that both got right.
        mean: errors of the first less those of the second per segment; negative when the first is better.
        z: mean over its standard error; None where all segments differ by the same, but not by nothing.
        p: two-sided p-value.
        p_holm: that after Holm's correction over the conditions compared; p itself for one test alone.
    """

    segments: int
    mean: float
    z: float | None
    p: float
    p_holm: float


def mapsswe(references: Sequence[str], first: Sequence[str], second: Sequence[str]) -> Mapsswe:
    """Test whether two recognizers make equally many errors.

    Errors follow errors, so words are no independent trials. Utterances are cut into segments whose ends are two or
    more words that both recognizers got right, or the end of the utterance; only segments with an error count. The
    normal distribution is meant for some fifty segments or more; where all segments differ by the same, and a
    variance is not to be had, the sign test is taken, which is exact.

    Args:
        references: what was said.
        first: what one recognizer heard.
        second: what the other heard.

    Raises:
        ValueError: if there are not equally many texts.

    Source: Gillick and Cox (1989), Some Statistical Issues in the Comparison of Speech Recognition Algorithms.

    Example:
        >>> said = "it was the best of times it was the worst of times it was"
        >>> test = mapsswe(
        ...     [said],
        ...     ["its the best of times it is the worst of times or it was"],
        ...     ["it was the best times it won the test of times it was"],
        ... )
        >>> test.segments, test.mean, round(test.z, 3)
        (4, 0.25, 0.333)
    """
    if not len(references) == len(first) == len(second):
        raise ValueError(
            f"mapsswe: hypotheses must be as many as references, {len(references)}, got {len(first)} and {len(second)}"
        )
    errors = (_errors_by_place(references, texts) for texts in (first, second))
    differences = [each for pair in zip(*errors, strict=True) for each in _segments(*pair)]
    return _matched_pairs(np.array(differences, dtype=np.float64))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values of several tests, so that any false alarm among all of them is as rare as stated.

    Source: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return [float(value) for value in np.minimum(1.0, corrected)]


def _errors_by_place(references: Sequence[str], hypotheses: Sequence[str]) -> list[NDArray[np.int64]]:
    """Count the errors at each place of each reference: before the first word, the word, after it, and so on."""
    import jiwer

    if not references:
        return []
    aligned = jiwer.process_words(list(references), list(hypotheses))
    places = []
    for said, chunks in zip(aligned.references, aligned.alignments, strict=True):
        errors = np.zeros(2 * len(said) + 1, np.int64)
        for chunk in chunks:
            if chunk.type == "insert":
                errors[2 * chunk.ref_start_idx] += chunk.hyp_end_idx - chunk.hyp_start_idx
            elif chunk.type != "equal":
                errors[2 * chunk.ref_start_idx + 1 : 2 * chunk.ref_end_idx : 2] += 1
        places.append(errors)
    return places


def _segments(first: NDArray[np.int64], second: NDArray[np.int64]) -> list[int]:
    """Return the difference of the errors in each segment that has one."""
    differences: list[int] = []
    open_segment, start = False, 0
    wrong = (first + second) > 0
    for is_wrong, run in groupby(wrong.tolist()):
        stop = start + len(list(run))
        words = stop // 2 - start // 2  # words are the odd places
        if is_wrong:
            difference = int(first[start:stop].sum() - second[start:stop].sum())
            if open_segment:
                differences[-1] += difference
            else:
                differences.append(difference)
            open_segment = True
        elif words >= BUFFER_WORDS:
            open_segment = False
        start = stop
    return differences


def _matched_pairs(differences: NDArray[np.float64]) -> Mapsswe:
    count = len(differences)
    if not differences.any():
        return Mapsswe(count, 0.0, 0.0, 1.0, 1.0)
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        p = 2 * 0.5**count
        return Mapsswe(count, mean, None, p, p)
    z = mean / (float(differences.std(ddof=1)) / math.sqrt(count))
    p = 2 * NormalDist().cdf(-abs(z))
    return Mapsswe(count, mean, z, p, p)
