"""Word error rates from integer edit counts, with intervals that respect who spoke.

Errors of one speaker come together, so a bootstrap over single utterances gives intervals that are too narrow. Here
whole blocks are drawn again: speakers where there are enough of them, else groups of utterances; the result says which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MIN_SPEAKERS = 5
UTTERANCE_BLOCKS = 30
RESAMPLES = 2_000
LEVEL = 0.95

Array = NDArray[np.float64]
BlockKind = Literal["speakers", "utterances"]


@dataclass(frozen=True)
class EditCounts:
    """Whole numbers of word edits between references and hypotheses; they add up without loss.

    Args:
        substitutions: words recognized as another word.
        deletions: words of the reference that are missing.
        insertions: words that nobody said.
        words: words of the reference.

    Example:
        >>> count_edits("one two three", "one too") + count_edits("four", "four")
        EditCounts(substitutions=1, deletions=1, insertions=0, words=4)
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Errors per reference word; above 1 when much was invented.

        Never NaN: silence has no words, and there each invented word counts as if the reference had one word.
        """
        return self.errors / max(1, self.words)

    def __add__(self, other: EditCounts) -> EditCounts:
        return EditCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )


def count_edits(reference: str, hypothesis: str) -> EditCounts:
    """Count the word edits that turn the reference into the hypothesis, as few as possible.

    Words are what white space separates; case and punctuation count. Either text may be empty.

    Source: Levenshtein (1966), as implemented by jiwer.

    Example:
        >>> count_edits("", "hello").wer
        1.0
    """
    import jiwer

    edits = jiwer.process_words(reference, hypothesis)
    return EditCounts(edits.substitutions, edits.deletions, edits.insertions, len(reference.split()))


def count_characters(reference: str, hypothesis: str) -> EditCounts:
    """Count the edits of characters, spaces between words among them; ``words`` of the result are characters.

    Source: as :func:`count_edits`.

    Example:
        >>> count_characters("one two", "one too")
        EditCounts(substitutions=1, deletions=0, insertions=0, words=7)
    """
    import jiwer

    edits = jiwer.process_characters(reference, hypothesis)
    length = edits.hits + edits.substitutions + edits.deletions
    return EditCounts(edits.substitutions, edits.deletions, edits.insertions, length)


@dataclass(frozen=True)
class Interval:
    """Bounds between which a quantity lies at the stated level; ``low <= high``, both finite."""

    low: float
    high: float


@dataclass(frozen=True)
class Blocks:
    """Which utterances are drawn together.

    Args:
        kind: ``"speakers"``, or ``"utterances"`` where there are fewer than five speakers; the interval then says
            nothing about speakers who were not heard.
        index: block of each utterance id, from 0.
        count: number of blocks.
    """

    kind: BlockKind
    index: dict[str, int]
    count: int

    def total(self, ids: Sequence[str], values: Sequence[int]) -> Array:
        """Sum one value per utterance over each block; returns ``(count,)`` float64."""
        places = np.array([self.index[name] for name in ids], dtype=np.int64)
        totals = np.zeros(self.count)
        np.add.at(totals, places, np.asarray(values, dtype=np.float64))
        return totals


def make_blocks(speakers: dict[str, str]) -> Blocks:
    """Group utterances for the bootstrap.

    Args:
        speakers: speaker of each utterance id. With five speakers or more each is a block. Otherwise the utterances,
            ordered by speaker, are dealt to at most 30 blocks like cards, so that every block holds every speaker.

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
        return Blocks("speakers", {name: number[speaker] for name, speaker in speakers.items()}, len(names))
    ordered = sorted(speakers, key=lambda name: speakers[name])
    count = min(len(ordered), UTTERANCE_BLOCKS)
    return Blocks("utterances", {name: place % count for place, name in enumerate(ordered)}, count)


def resample(count: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Draw blocks with replacement: how often each block was drawn, ``(resamples, count)``.

    The same arguments give the same plan. One plan serves every condition and every run, which pairs their differences.
    """
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def resampled_wer(errors: Array, words: Array, plan: Array) -> Array:
    """Word error rate of each resample, averaged over conditions.

    Args:
        errors: ``(conditions, count)`` errors of each block.
        words: ``(conditions, count)`` reference words of each block.
        plan: ``(resamples, count)`` from :func:`resample`.
    """
    rates: Array = np.mean((plan @ errors.T) / np.maximum(1.0, plan @ words.T), axis=1)
    return rates


def percentile_interval(values: Array, blocks: int, *, level: float = LEVEL) -> Interval:
    """Take the interval between two percentiles of resampled values, widened for few blocks.

    The plain percentiles are too narrow by ``sqrt((n - 1) / n)`` and by the normal tail standing in for Student's t;
    they are moved outward by just that, which matters below about 30 blocks.

    Args:
        values: ``(resamples,)`` values of the quantity.
        blocks: number n of blocks they were drawn from, at least 2.
        level: share of intervals that hold the true value.

    Source: Hesterberg (2015), What Teachers Should Know About the Bootstrap, section 5 (expanded percentile interval);
    resampling for WER: Bisani and Ney (2004); blocks of speakers: Liu and Peng (2020).
    """
    tail = NormalDist().cdf(-math.sqrt(blocks / (blocks - 1)) * _student_quantile((1 + level) / 2, blocks - 1))
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _student_quantile(probability: float, freedom: int) -> float:
    """Quantile above the median of Student's t, by summing its density on a grid uniform in the angle.

    With ``x = sqrt(freedom) tan(angle)`` the density becomes ``cos(angle) ** (freedom - 1)``, finite and smooth.
    """
    angle = np.linspace(0.0, math.pi / 2, 20_001)
    weight = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum(weight[1:] + weight[:-1])])
    place = np.interp(2 * probability - 1, mass / mass[-1], angle)
    return math.sqrt(freedom) * math.tan(float(place))


def wer_interval(errors: Array, words: Array, plan: Array) -> Interval:
    """Interval of a word error rate averaged over conditions; arguments as in :func:`resampled_wer`.

    A single block tells nothing about the spread: the answer is everything from 0 to 1 (or to the rate, if above).
    No error at all does not prove perfection: the upper bound is then the rate at which as many words pass without an
    error in 2.5 % of the cases (Clopper and Pearson, 1934).
    """
    count = errors.shape[1]
    if count < 2:
        return Interval(0.0, max(1.0, float(resampled_wer(errors, words, np.ones((1, count)))[0])))
    if not errors.any():
        return Interval(0.0, 1 - ((1 - LEVEL) / 2) ** (1 / max(1.0, float(words.sum()))))
    return percentile_interval(resampled_wer(errors, words, plan), count)


def relative_reduction(before: Array | float, after: Array | float, words: float) -> Array | float:
    """Share of the errors that is gone: 0.5 for half of them, negative when there are more than before.

    Always finite: a rate before of less than one error in ``words`` counts as one error in ``words``.

    Example:
        >>> float(relative_reduction(0.5, 0.125, words=100))
        0.75
    """
    return (before - after) / np.maximum(before, 1 / max(1.0, words))
