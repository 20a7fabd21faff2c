"""Edit counts against jiwer and a plain Levenshtein."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest

from speechaug.robustness import EditCounts, count_edits
from speechaug.robustness.metrics import count_characters, relative_reduction

WORDS = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


def random_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """References of 0 to 6 words, and hypotheses of 0 to 7 words that often share some."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        reference = list(rng.choice(WORDS, rng.integers(0, 7)))
        kept = [word for word in reference if rng.random() < 0.8]
        for _ in range(rng.integers(0, 3)):
            kept.insert(int(rng.integers(0, len(kept) + 1)), str(rng.choice(WORDS)))
        pairs.append((" ".join(reference), " ".join(kept)))
    return pairs


def levenshtein(a: list[str], b: list[str]) -> int:
    """Textbook dynamic programming."""
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


def test_totals_equal_jiwer_on_a_thousand_pairs():
    pairs = random_pairs(1_000, seed=1)
    total = sum((count_edits(*pair) for pair in pairs), EditCounts())
    oracle = jiwer.process_words([r for r, _ in pairs], [h for _, h in pairs])
    assert (total.substitutions, total.deletions) == (oracle.substitutions, oracle.deletions)
    assert total.insertions == oracle.insertions
    assert total.words == oracle.hits + oracle.substitutions + oracle.deletions
    assert total.wer == pytest.approx(oracle.wer, abs=1e-12)


def test_totals_of_characters_equal_jiwer_on_a_thousand_pairs():
    pairs = random_pairs(1_000, seed=3)
    total = sum((count_characters(*pair) for pair in pairs), EditCounts())
    oracle = jiwer.process_characters([r for r, _ in pairs], [h for _, h in pairs])
    assert (total.substitutions, total.deletions) == (oracle.substitutions, oracle.deletions)
    assert total.insertions == oracle.insertions
    assert total.words == oracle.hits + oracle.substitutions + oracle.deletions
    assert total.wer == pytest.approx(oracle.cer, abs=1e-12)


def test_errors_equal_a_plain_levenshtein():
    for reference, hypothesis in random_pairs(300, seed=2):
        assert count_edits(reference, hypothesis).errors == levenshtein(reference.split(), hypothesis.split())
        assert count_characters(reference, hypothesis).errors == levenshtein(list(reference), list(hypothesis))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"),
    [("", "", 0.0), ("", "a b", 2.0), ("a b", "", 1.0), (" a  b ", "a b", 0.0), ("a", "A", 1.0), ("a", "b c d", 3.0)],
)
def test_wer_is_defined_everywhere(reference: str, hypothesis: str, wer: float):
    assert count_edits(reference, hypothesis).wer == wer


def test_nothing_counted_is_no_error():
    assert EditCounts().wer == 0.0


@pytest.mark.parametrize(
    ("before", "after", "words", "expected"),
    [(0.5, 0.25, 100, 0.5), (0.0, 0.0, 0, 0.0), (0.0, 0.02, 100, -2.0)],
)
def test_relative_reduction_is_finite(before: float, after: float, words: int, expected: float):
    assert relative_reduction(before, after, words) == pytest.approx(expected)
