"""Intervals against simulated truth, Student's t against scipy, and plans against direct computation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from speechaug.robustness import Estimate, Interval
from speechaug.robustness.bootstrap import LEVEL, Basis, Blocks, Plan, make_blocks
from speechaug.robustness.student import student_quantile, student_tail


def binomial_bounds(sets: int, low: float = 0.93, high: float = 0.97, doubt: float = 1e-3) -> tuple[float, float]:
    """Shares of ``sets`` that a coverage between ``low`` and ``high`` leaves with a chance of less than ``doubt``."""
    return stats.binom.ppf(doubt / 2, sets, low) / sets, stats.binom.ppf(1 - doubt / 2, sets, high) / sets


# Blocks


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


def test_blocks_do_not_depend_on_the_order():
    speakers = {f"{name}{take}": name for take in range(50) for name in "ba"}
    assert make_blocks(dict(reversed(speakers.items()))).index == make_blocks(speakers).index


def test_few_utterances_are_a_block_each():
    assert make_blocks({"x": "", "y": "", "z": ""}).count == 3
    with pytest.raises(ValueError, match="at least one utterance"):
        make_blocks({})


def test_the_basis_says_what_it_does_not_say():
    assert Basis("speakers", 8).generalises_over_speakers
    assert not Basis("utterances", 30).generalises_over_speakers
    assert "for these speakers only" in Basis("utterances", 30).text
    assert "8 speakers" in Basis("speakers", 8).text and "3 training seeds" in Basis("speakers", 8, seeds=3).text
    assert not Basis("utterances", 1).has_intervals
    assert Basis("utterances", 1).text == "too few utterances for an interval"


# Student's t


@pytest.mark.parametrize("freedom", [1, 2, 2.5, 4, 29, 300])
def test_student_quantile_and_tail_are_scipys(freedom: float):
    assert student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)
    for t in (0.0, 0.5, 2.0, 9.0):
        assert student_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-4)


# Plans


def test_a_plan_repeats_and_draws_every_block_once_on_average():
    plan, again, other = Plan.draw(20), Plan.draw(20), Plan.draw(20, random_seed=1)
    assert np.array_equal(plan.blocks, again.blocks)
    assert not np.array_equal(plan.blocks, other.blocks)
    assert plan.blocks.shape == (2_001, 20)
    assert np.all(plan.blocks[0] == 1)
    assert np.all(plan.blocks.sum(axis=1) == 20)
    assert np.abs(plan.blocks[1:].mean(axis=0) - 1).max() < 5 / math.sqrt(2_000)


def test_a_nested_plan_draws_both_then_each_alone():
    plan = Plan.draw(20, (3, 5, 1), resamples=100)
    assert sorted(plan.seeds) == [1, 3, 5]
    assert plan.blocks.shape == (301, 20)
    for drawn, rows in ((True, slice(1, 201)), (False, slice(201, 301)), (False, slice(0, 1))):
        assert np.any(plan.blocks[rows] != 1) == drawn
    for drawn, rows in ((True, slice(1, 101)), (False, slice(101, 201)), (True, slice(201, 301))):
        assert np.any(plan.seeds[5][rows] != 1) == drawn
    assert np.all(plan.seeds[1] == 1) and np.all(plan.seeds[3].sum(1) == 3)


def test_rates_are_the_direct_computation():
    rng = np.random.default_rng(3)
    errors, words = rng.integers(0, 9, (2, 4, 7)).astype(float), rng.integers(9, 20, (4, 7)).astype(float)
    plan = Plan.draw(7, (2,), resamples=50)
    rates, estimates = plan.rate(errors, np.stack([words, words]))
    for row in range(151):
        blocks = np.repeat(np.arange(7), plan.blocks[row].astype(int))
        seeds = np.repeat(np.arange(2), plan.seeds[2][row].astype(int))
        for condition in range(4):
            wrong = sum(errors[seed, condition, blocks].sum() for seed in seeds)
            assert rates[row, condition] == pytest.approx(wrong / (2 * words[condition, blocks].sum()), rel=1e-12)
    assert [each.value for each in estimates] == rates[0].tolist()


# Estimates


def standard_normal_plan(blocks: int, resamples: int = 200_000) -> tuple[Plan, Any]:
    """A plan of many rows and a normal statistic: what remains is how the interval is made."""
    plan = Plan(np.broadcast_to(1.0, (resamples + 1, blocks)), {1: np.ones((resamples + 1, 1))}, resamples)
    return plan, np.concatenate([[0.0], np.random.default_rng(4).standard_normal(resamples)])


@pytest.mark.parametrize("blocks", [2, 5, 30, 10_000])
def test_percentiles_are_stretched_as_student_says(blocks: int):
    plan, values = standard_normal_plan(blocks)
    interval = plan.estimate(2 + values).interval
    assert interval is not None
    reach = math.sqrt(blocks / (blocks - 1)) * stats.t.ppf(0.975, blocks - 1)
    assert interval.low == pytest.approx(2 - reach, abs=0.01 * reach)
    assert interval.high == pytest.approx(2 + reach, abs=0.01 * reach)


@pytest.mark.parametrize("value", [1.5, -2.5, 4.0])
def test_p_values_are_those_of_student(value: float):
    plan, values = standard_normal_plan(8)
    expected = 2 * stats.t.sf(abs(value) / math.sqrt(8 / 7), 7)
    assert plan.p_value(value + values) == pytest.approx(expected, rel=0.05)


def test_p_is_below_five_percent_just_where_the_interval_excludes_zero():
    plan, values = standard_normal_plan(12, resamples=2_000)
    skewed = np.concatenate([[0.0], np.exp(values[1:]) - 1.5])
    for shift in np.linspace(-6.0, 6.0, 241):
        estimate, p = plan.estimate(skewed + shift), plan.p_value(skewed + shift)
        assert estimate.excludes(0.0) == (p < 1 - LEVEL)
        assert 0 <= p <= 1


def test_variances_of_blocks_and_seeds_are_corrected_apart():
    """Independent normal parts of known size: Satterthwaite's formula with scipy's quantile is the answer."""
    rng, rows = np.random.default_rng(5), 100_000
    plan = Plan(np.ones((3 * rows + 1, 10)), {1: np.ones((1, 1)), 3: np.ones((3 * rows + 1, 3))}, rows)
    of_blocks, of_seeds = 1.0 * rng.standard_normal(2 * rows), 0.5 * rng.standard_normal(2 * rows)
    both = of_blocks[:rows] + of_seeds[:rows]
    interval = plan.estimate(np.concatenate([[0.0], both, of_blocks[rows:], of_seeds[rows:]])).interval
    corrected = np.array([1.0 * 10 / 9, 0.25 * 3 / 2])
    freedom = corrected.sum() ** 2 / (corrected[0] ** 2 / 9 + corrected[1] ** 2 / 2)
    expected = stats.t.ppf(0.975, freedom) * math.sqrt(corrected.sum())
    assert interval is not None
    assert interval.high == pytest.approx(expected, rel=0.02)
    assert interval.low == pytest.approx(-expected, rel=0.02)


def test_the_probability_of_improvement_counts_ties_half():
    plan = Plan(np.ones((5, 3)), {1: np.ones((5, 1))}, 4)
    assert plan.probability_below(np.array([9.0, -1.0, 0.0, 0.0, 2.0])) == 0.5


def test_nothing_is_said_without_a_spread():
    plan = Plan.draw(1)
    rates, (estimate,) = plan.rate(np.array([[[3.0]]]), np.array([[[2.0]]]))
    assert estimate == Estimate(1.5)
    assert plan.p_value(rates[:, 0]) == 1.0
    rates, (estimate,) = Plan.draw(9).rate(np.full((1, 1, 9), 4.0), np.full((1, 1, 9), 4.0))
    assert estimate == Estimate(1.0)
    assert str(estimate) == "1" and not estimate.excludes(0.0)


def test_no_errors_leave_doubt_as_clopper_and_pearson_say():
    _, (estimate,) = Plan.draw(10).rate(np.zeros((1, 1, 10)), np.full((1, 1, 10), 30.0))
    assert estimate.value == 0.0
    assert estimate.interval is not None and estimate.interval.low == 0.0
    assert estimate.interval.high == pytest.approx(stats.beta.ppf(0.975, 1, 300), rel=1e-9)


def test_a_share_is_one_at_most():
    wrong, plan = np.array([[[1.0] * 9 + [0.0]]]), Plan.draw(10)
    highest = [plan.rate(wrong, np.ones((1, 1, 10)), most=most)[1][0].interval for most in (math.inf, 1.0)]
    assert highest[0] is not None and highest[0].high > 1.0
    assert highest[1] is not None and highest[1].high == 1.0


def test_a_rate_without_words_is_finite():
    _, (estimate,) = Plan.draw(3).rate(np.array([[[1.0, 0.0, 2.0]]]), np.zeros((1, 1, 3)))
    assert estimate.value == 3.0
    assert estimate.interval is not None and math.isfinite(estimate.interval.high)


# Coverage


def share_covered(blocks: int, sets: int, *, seeds: int = 1, seed_spread: float = 0.0, random_seed: int = 5) -> float:
    """Share of simulated test sets whose interval holds the true rate of 25 %; speakers and trainings differ."""
    rng = np.random.default_rng(random_seed)
    plan, hits = Plan.draw(blocks, (seeds,)), 0
    for _ in range(sets):
        words = np.broadcast_to(rng.integers(60, 180, blocks), (seeds, 1, blocks))
        rates = rng.beta(4, 12, blocks) + seed_spread * rng.standard_normal((seeds, 1, 1))
        errors = rng.binomial(words, np.clip(rates, 0.0, 1.0))
        _, (estimate,) = plan.rate(errors.astype(float), words.astype(float))
        hits += estimate.interval is not None and estimate.interval.low <= 0.25 <= estimate.interval.high
    return hits / sets


@pytest.mark.parametrize("speakers", [8, 20])
def test_coverage_in_a_few_sets(speakers: int):
    low, high = binomial_bounds(400)
    assert low <= share_covered(speakers, sets=400) <= high


@pytest.mark.slow
@pytest.mark.parametrize("speakers", [8, 12, 20, 40])
def test_coverage_is_what_is_stated(speakers: int):
    assert 0.93 <= share_covered(speakers, sets=4_000) <= 0.97


@pytest.mark.slow
def test_coverage_of_five_speakers_is_a_little_less():
    assert 0.91 <= share_covered(5, sets=4_000) <= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("speakers", "seeds", "seed_spread"), [(8, 3, 0.01), (12, 5, 0.03), (30, 5, 0.03)])
def test_coverage_with_training_seeds(speakers: int, seeds: int, seed_spread: float):
    assert 0.93 <= share_covered(speakers, sets=2_000, seeds=seeds, seed_spread=seed_spread) <= 0.975


@pytest.mark.slow
def test_three_seeds_that_differ_more_than_speakers_are_too_few():
    assert 0.89 <= share_covered(30, sets=2_000, seeds=3, seed_spread=0.08) <= 0.97


def sums(blocks: Blocks, ids: list[str], values: Any) -> Any:
    places = [blocks.index[name] for name in ids]
    return np.bincount(places, weights=values, minlength=blocks.count)[None, None]


def test_coverage_with_groups_of_utterances():
    """Two speakers, so utterances are grouped: the interval holds for these speakers."""
    rng = np.random.default_rng(6)
    blocks = make_blocks({f"{name}{take}": name for name in "ab" for take in range(150)})
    plan, ids, hits, sets = Plan.draw(blocks.count), list(blocks.index), 0, 1_000
    words = np.full(len(ids), 4)
    rates = np.array([0.2 if name[0] == "a" else 0.3 for name in ids])
    for _ in range(sets):
        _, (estimate,) = plan.rate(sums(blocks, ids, rng.binomial(words, rates)), sums(blocks, ids, words))
        assert estimate.interval is not None
        hits += estimate.interval.low <= 0.25 <= estimate.interval.high
    low, high = binomial_bounds(sets)
    assert low <= hits / sets <= high


def test_coverage_of_a_paired_reduction():
    rng = np.random.default_rng(7)
    plan, sets, hits = Plan.draw(30), 1_000, 0
    words = np.full((1, 1, 30), 40.0)
    for _ in range(sets):
        skill = rng.beta(4, 12, (1, 1, 30))
        errors = [rng.binomial(40, factor * skill).astype(float) for factor in (1.0, 0.5)]
        before, after = (plan.rate(each, words)[0][:, 0] for each in errors)
        interval = plan.estimate(1 - after / before).interval
        assert interval is not None
        hits += interval.low <= 0.5 <= interval.high
    low, high = binomial_bounds(sets)
    assert low <= hits / sets <= high


def test_pairing_makes_a_difference_sharper():
    rng = np.random.default_rng(8)
    plan, words = Plan.draw(20), np.full((1, 1, 20), 100.0)
    base = rng.binomial(100, rng.beta(4, 12, (1, 1, 20))).astype(float)
    steady = plan.rate(base + 5, words)[0] - plan.rate(base, words)[0]
    other = plan.rate(rng.permuted(base, axis=2) + 5, words)[0] - plan.rate(base, words)[0]
    assert plan.estimate(steady[:, 0]) == Estimate(pytest.approx(0.05), None)
    unpaired = plan.estimate(other[:, 0]).interval
    assert isinstance(unpaired, Interval) and unpaired.low < 0 < unpaired.high
