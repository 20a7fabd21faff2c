"""Edit counts against jiwer and a plain Levenshtein, intervals against simulated truth and scipy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import jiwer
import numpy as np
import pytest
from scipy import stats

from speechaug.robustness import EditCounts, count_edits, summarise
from speechaug.robustness.metrics import (
    _student_quantile,
    make_blocks,
    percentile_interval,
    relative_reduction,
    resample,
    resampled_wer,
    wer_interval,
)
from speechaug.robustness.summary import label, snr_db

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


def test_errors_equal_a_plain_levenshtein():
    for reference, hypothesis in random_pairs(300, seed=2):
        assert count_edits(reference, hypothesis).errors == levenshtein(reference.split(), hypothesis.split())


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"),
    [("", "", 0.0), ("", "a b", 2.0), ("a b", "", 1.0), (" a  b ", "a b", 0.0), ("a", "A", 1.0), ("a", "b c d", 3.0)],
)
def test_wer_is_defined_everywhere(reference: str, hypothesis: str, wer: float):
    assert count_edits(reference, hypothesis).wer == wer


def test_nothing_counted_is_no_error():
    assert EditCounts().wer == 0.0


def test_speakers_are_blocks_from_five_on():
    four = make_blocks({f"{name}{take}": name for name in "abcd" for take in range(100)})
    five = make_blocks({f"{name}{take}": name for name in "abcde" for take in range(100)})
    assert (four.kind, four.count) == ("utterances", 30)
    assert (five.kind, five.count) == ("speakers", 5)
    assert all(five.index[f"c{take}"] == five.index["c0"] for take in range(100))


def test_groups_of_utterances_are_even_and_hold_every_speaker():
    blocks = make_blocks({f"{name}{take}": name for take in range(50) for name in "ba"})
    sizes = np.bincount(list(blocks.index.values()), minlength=blocks.count)
    assert sizes.min() >= 3
    assert sizes.max() <= 4
    assert all({blocks.index[f"{name}{take}"] for take in range(50)} == set(range(30)) for name in "ab")


def test_few_utterances_are_a_block_each():
    assert make_blocks({"x": "", "y": "", "z": ""}).count == 3
    with pytest.raises(ValueError, match="at least one utterance"):
        make_blocks({})


def test_totals_per_block():
    blocks = make_blocks({"x": "", "y": "", "z": ""})
    assert blocks.total(["z", "x", "z"], [1, 2, 3]).tolist() == [2.0, 0.0, 4.0]


@pytest.mark.parametrize("freedom", [1, 2, 4, 29, 300])
def test_student_quantile_is_scipys(freedom: int):
    assert _student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)


def test_resamples_repeat_and_draw_every_block_once_on_average():
    plan = resample(20)
    assert np.array_equal(plan, resample(20))
    assert not np.array_equal(plan, resample(20, seed=1))
    assert plan.shape == (2_000, 20)
    assert np.all(plan.sum(axis=1) == 20)
    assert np.abs(plan.mean(axis=0) - 1).max() < 5 / math.sqrt(2_000)


def test_resampled_wer_is_the_direct_computation():
    rng = np.random.default_rng(3)
    errors, words = rng.integers(0, 9, (2, 7)).astype(float), rng.integers(9, 20, (2, 7)).astype(float)
    drawn = [4, 4, 1, 0, 6, 6, 6]
    plan = np.bincount(drawn, minlength=7)[None].astype(float)
    expected = np.mean([errors[c, drawn].sum() / words[c, drawn].sum() for c in range(2)])
    assert resampled_wer(errors, words, plan)[0] == pytest.approx(expected, rel=1e-12)


def test_plain_percentiles_are_reached_with_many_blocks():
    values = np.random.default_rng(4).standard_normal(100_000)
    interval = percentile_interval(values, blocks=100_000)
    assert interval.low == pytest.approx(np.quantile(values, 0.025), abs=1e-3)
    assert interval.high == pytest.approx(np.quantile(values, 0.975), abs=1e-3)


def coverage(speakers: int, sets: int, seed: int) -> float:
    """Share of simulated test sets whose interval holds the true rate; speakers differ, as they do."""
    rng = np.random.default_rng(seed)
    plan = resample(speakers)
    rates = rng.beta(4, 12, (sets, speakers))  # mean 0.25
    words = rng.integers(20, 60, (sets, speakers))
    errors = rng.binomial(words, rates)
    pairs = zip(errors.astype(float), words.astype(float), strict=True)
    intervals = [wer_interval(wrong[None], spoken[None], plan) for wrong, spoken in pairs]
    return float(np.mean([interval.low <= 0.25 <= interval.high for interval in intervals]))


@pytest.mark.parametrize(("speakers", "least"), [(5, 0.90), (20, 0.93), (40, 0.93)])
def test_coverage_is_what_is_stated(speakers: int, least: float):
    assert least <= coverage(speakers, sets=1_500, seed=5) <= 0.97


def test_coverage_with_groups_of_utterances():
    """Two speakers, so utterances are grouped: the interval holds for these speakers."""
    rng = np.random.default_rng(6)
    blocks = make_blocks({f"{name}{take}": name for name in "ab" for take in range(150)})
    plan = resample(blocks.count)
    ids, hits, sets = list(blocks.index), 0, 1_000
    words = np.full(len(ids), 4)
    rates = np.array([0.2 if name[0] == "a" else 0.3 for name in ids])
    for _ in range(sets):
        errors = blocks.total(ids, rng.binomial(words, rates))
        interval = wer_interval(errors[None], blocks.total(ids, words)[None], plan)
        hits += interval.low <= 0.25 <= interval.high
    assert 0.93 <= hits / sets <= 0.97


def test_no_errors_leave_doubt_as_clopper_and_pearson_say():
    interval = wer_interval(np.zeros((1, 10)), np.full((1, 10), 30.0), resample(10))
    assert interval.low == 0.0
    assert interval.high == pytest.approx(stats.beta.ppf(0.975, 1, 300), rel=1e-9)


def test_one_block_says_nothing():
    interval = wer_interval(np.array([[3.0]]), np.array([[2.0]]), resample(1))
    assert (interval.low, interval.high) == (0.0, 1.5)


@pytest.mark.parametrize(
    ("before", "after", "words", "expected"),
    [(0.5, 0.25, 100, 0.5), (0.0, 0.0, 0, 0.0), (0.0, 0.02, 100, -2.0)],
)
def test_relative_reduction_is_finite(before: float, after: float, words: int, expected: float):
    assert relative_reduction(before, after, words) == pytest.approx(expected)


def results(rates: dict[str, float], *, seed: int, speakers: int = 10, takes: int = 20) -> list[dict[str, Any]]:
    """Invented test results: four words an utterance, errors at the condition's rate, the same ids everywhere."""
    rng = np.random.default_rng(seed)
    rows = []
    for condition, rate in rates.items():
        for place in range(speakers * takes):
            wrong = int(rng.binomial(4, rate))
            edits = {"substitutions": wrong, "deletions": 0, "insertions": 0, "words": 4}
            rows.append({"condition": condition, "id": f"u{place}", "speaker": f"s{place % speakers}", **edits})
    return rows


BEFORE = {"clean": 0.1, "noise_10db": 0.4, "noise_0db": 0.6, "room": 0.5}
AFTER = {"clean": 0.1, "noise_10db": 0.2, "noise_0db": 0.3, "room": 0.25}


def test_rows_keep_the_order_and_end_with_the_noisy_mean():
    runs = {"none": results(BEFORE, seed=1), "small_sample": results(AFTER, seed=2)}
    summary = summarise(runs)
    assert [row.condition for row in summary.rows] == [*BEFORE, "noisy mean"]
    mean = summary.rows[-1]
    for run in runs:
        expected = np.mean([row.scores[run].wer for row in summary.rows[1:-1]])
        assert mean.scores[run].wer == pytest.approx(expected, rel=1e-12)
        assert mean.scores[run].counts.words == 3 * 800
    assert mean.changes["small_sample"].reduction == pytest.approx(0.5, abs=0.03)
    assert mean.changes["small_sample"].clear
    assert not summary.rows[0].changes["small_sample"].clear
    assert (summary.blocks, summary.block_count) == ("speakers", 10)
    other = summarise(runs, ["room", "clean"])
    assert [row.condition for row in other.rows] == ["room", "clean"]


def test_intervals_hold_the_point_and_repeat():
    runs = {"none": results(BEFORE, seed=3), "small_sample": results(AFTER, seed=4)}
    first, second = summarise(runs), summarise(runs)
    assert first == second
    for row in first.rows:
        for score in row.scores.values():
            assert score.interval.low < score.wer < score.interval.high
        change = row.changes["small_sample"]
        assert change.interval.low < change.reduction < change.interval.high


def test_pairing_makes_the_change_sharper():
    """One run's errors are the other's and a few more: only a paired interval can see how steady that is."""
    base = results({"clean": 0.4}, seed=5, takes=40)
    more = [dict(r, deletions=1 if place // 10 % 4 == 0 else 0) for place, r in enumerate(base)]
    paired = summarise({"none": more, "small_sample": base}).rows[0].changes["small_sample"].interval
    other = results({"clean": 0.4}, seed=6, takes=40)
    unpaired = summarise({"none": more, "small_sample": other}).rows[0].changes["small_sample"].interval
    assert paired.low > 0
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_coverage_of_the_paired_reduction():
    rng = np.random.default_rng(7)
    plan, sets, hits = resample(30), 1_000, 0
    words = np.full((1, 30), 40.0)
    for _ in range(sets):
        skill = rng.beta(4, 12, (1, 30))
        before, after = rng.binomial(40, skill).astype(float), rng.binomial(40, 0.5 * skill).astype(float)
        rates = [resampled_wer(errors, words, plan) for errors in (before, after)]
        interval = percentile_interval(np.asarray(relative_reduction(*rates, words=1_200)), 30)
        hits += interval.low <= 0.5 <= interval.high
    assert 0.93 <= hits / sets <= 0.97


def everything(summary: Any) -> Iterable[float]:
    for row in summary.rows:
        for score in row.scores.values():
            yield from (score.wer, score.interval.low, score.interval.high)
        for change in row.changes.values():
            yield from (change.reduction, change.interval.low, change.interval.high)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("words", "inserted"), [(0, 0), (0, 2), (3, 0), (3, 9)])
def test_degenerate_results_stay_finite(count: int, words: int, inserted: int):
    edits = {"substitutions": 0, "deletions": 0, "insertions": inserted, "words": words}
    rows = [{"id": str(place), "condition": "clean", "speaker": "", **edits} for place in range(count)]
    clean = [dict(row, insertions=0) for row in rows]
    for runs in ({"none": rows, "small_sample": clean}, {"none": clean, "small_sample": rows}):
        assert all(math.isfinite(value) for value in everything(summarise(runs)))


def test_runs_that_cannot_be_compared_are_refused():
    rows = results({"clean": 0.3}, seed=8)
    with pytest.raises(ValueError, match=r"at least one result each, got \{'none': 0\}"):
        summarise({"none": []})
    with pytest.raises(ValueError, match="at least one result"):
        summarise({})
    with pytest.raises(ValueError, match="'u0' twice in run 'none'"):
        summarise({"none": [*rows, rows[0]]})
    with pytest.raises(ValueError, match="'small_sample' must be tested on the same utterances, those of"):
        summarise({"none": rows, "small_sample": rows[1:]})
    with pytest.raises(ValueError, match=r"must hold the condition 'room', got \['clean'\]"):
        summarise({"none": rows}, ["clean", "room"])


@pytest.mark.parametrize(
    ("name", "ratio", "text"),
    [
        ("noise_-5db", -5.0, "noise, -5 dB"),
        ("noise_2.5db", 2.5, "noise, 2.5 dB"),
        ("noise_xdb", None, "noise xdb"),
        ("far_room", None, "far room"),
        ("5", None, "5"),
    ],
)
def test_condition_names(name: str, ratio: float | None, text: str):
    assert snr_db(name) == ratio
    assert label(name) == text
