"""Word and character error rates from integer edit counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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


def relative_reduction(before: Array | float, after: Array | float, words: float) -> Array | float:
    """Share of the errors that is gone: 0.5 for half of them, negative when there are more than before.

    Always finite: a rate before of less than one error in ``words`` counts as one error in ``words``.

    Example:
        >>> float(relative_reduction(0.5, 0.125, words=100))
        0.75
    """
    return (before - after) / np.maximum(before, 1 / max(1.0, words))
