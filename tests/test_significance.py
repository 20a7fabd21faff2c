"""MAPSSWE against a published example and an independent computation; Holm's correction against its definition."""

from __future__ import annotations

import math
import re

import jiwer
import numpy as np
import pytest
from scipy import stats

from speechaug.robustness import holm, mapsswe

WORDS = [f"w{place}" for place in range(30)]
BEST_OF_TIMES = "it was the best of times it was the worst of times it was"
SYSTEM_A = "its the best of times it is the worst of times or it was"
SYSTEM_B = "it was the best times it won the test of times it was"


def test_the_textbook_example():
    """Four segments in which the systems make 2 and 0, 0 and 1, 1 and 2, 1 and 0 errors (Jurafsky and Martin)."""
    test = mapsswe([BEST_OF_TIMES], [SYSTEM_A], [SYSTEM_B])
    z = 0.25 / (np.std([2, -1, -1, 1], ddof=1) / 2)
    assert (test.segments, test.mean) == (4, 0.25)
    assert test.z == pytest.approx(z, rel=1e-12)
    assert test.p == pytest.approx(2 * stats.norm.sf(z), rel=1e-12)
    mirrored = mapsswe([BEST_OF_TIMES], [SYSTEM_B], [SYSTEM_A])
    assert (mirrored.mean, mirrored.p) == (-test.mean, test.p)


def marked(reference: str, hypothesis: str) -> str:
    """A digit for each place, from before the first word to after the last: how many errors there are."""
    said, marks = reference.split(), []
    edits = jiwer.process_words(reference, hypothesis).alignments[0] if said or hypothesis else []
    wrong = {place for edit in edits if edit.type in ("substitute", "delete") for place in range(*_span(edit))}
    added = {edit.ref_start_idx: edit.hyp_end_idx - edit.hyp_start_idx for edit in edits if edit.type == "insert"}
    for place in range(len(said) + 1):
        marks += [str(added.get(place, 0)), str(int(place in wrong))]
    return "".join(marks[:-1])


def _span(edit: jiwer.AlignmentChunk) -> tuple[int, int]:
    return edit.ref_start_idx, edit.ref_end_idx


def differences(reference: str, first: str, second: str) -> list[int]:
    """Cut with a regular expression at stretches without an error that hold two words or more."""
    marks = [marked(reference, hypothesis) for hypothesis in (first, second)]
    both = "".join("." if a == b == "0" else "x" for a, b in zip(*marks, strict=True))
    found, start = [], 0
    for gap in [*re.finditer(r"\.+", both), None]:
        if gap is not None and len(range(gap.start() + 1 - gap.start() % 2, gap.end(), 2)) < 2:
            continue
        stop = len(both) if gap is None else gap.start()
        if "x" in both[start:stop]:
            found.append(sum(int(a) - int(b) for a, b in zip(*(each[start:stop] for each in marks), strict=True)))
        start = stop
    return found


def test_segments_and_statistic_equal_an_independent_computation():
    rng = np.random.default_rng(1)
    texts: list[tuple[str, str, str]] = []
    for _ in range(300):
        said = list(rng.choice(WORDS, rng.integers(0, 15)))
        heard = []
        for rate in (0.15, 0.25):
            kept = [str(rng.choice(WORDS)) if rng.random() < rate / 2 else word for word in said]
            kept = [word for word in kept if rng.random() > rate / 2]
            kept += ["oh"] * int(rng.random() < rate)
            heard.append(" ".join(kept))
        texts.append((" ".join(said), *heard))
    test = mapsswe(*map(list, zip(*texts, strict=True)))
    expected = np.array([each for text in texts for each in differences(*text)])
    z = expected.mean() / (expected.std(ddof=1) / math.sqrt(len(expected)))
    assert test.segments == len(expected) > 200
    assert test.mean == pytest.approx(expected.mean(), rel=1e-12)
    assert test.z == pytest.approx(z, rel=1e-12)
    assert test.p == test.p_holm == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_false_alarms_are_as_rare_as_stated():
    """Two recognizers that are equally good: five in a hundred tests may say otherwise."""
    rng, alarms, tests = np.random.default_rng(2), 0, 300
    said = [" ".join(rng.choice(WORDS, 10)) for _ in range(60)]
    for _ in range(tests):
        heard = [[" ".join(w for w in text.split() if rng.random() > 0.15) for text in said] for _ in range(2)]
        alarms += mapsswe(said, *heard).p < 0.05
    assert stats.binom.ppf(0.0005, tests, 0.05) <= alarms <= stats.binom.ppf(0.9995, tests, 0.05)


def test_no_error_and_no_difference_are_no_evidence():
    for texts in ((["a b"], ["a b"], ["a b"]), (["a b"], ["a"], ["a"]), ([], [], []), ([""], [""], [""])):
        test = mapsswe(*texts)
        assert (test.mean, test.z, test.p) == (0.0, 0.0, 1.0)


def test_the_same_difference_everywhere_is_judged_by_its_sign():
    test = mapsswe(["a b c"] * 10, ["a b"] * 10, ["a b c"] * 10)
    assert test.z is None
    assert test.p == pytest.approx(stats.binomtest(10, 10).pvalue)
    assert mapsswe(["a"], ["b"], ["a"]).p == 1.0


def test_texts_must_be_as_many():
    with pytest.raises(ValueError, match="as many as references, 2, got 2 and 1"):
        mapsswe(["a", "b"], ["a", "b"], ["a"])


def test_holm_is_its_definition():
    rng = np.random.default_rng(3)
    for count in (0, 1, 2, 7, 50):
        p = rng.random(count) ** 3
        corrected = holm(p.tolist())
        ranks = np.argsort(p)
        for rank, place in enumerate(ranks):
            steps = [min(1.0, (count - earlier) * p[ranks[earlier]]) for earlier in range(rank + 1)]
            assert corrected[place] == pytest.approx(max(steps), rel=1e-12)


def test_holm_worked_by_hand():
    """Five times the smallest, four times the second, ...; none below the one before it."""
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
