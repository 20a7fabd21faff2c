"""Scores and comparisons against jiwer and small tables worked by hand; nothing is ever NaN."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator
from typing import Any

import jiwer
import numpy as np
import pytest
from heard import WORDS, condition, evaluation, misheard

from speechaug.robustness import Estimate, Evaluation, compare, holm, to_csv, to_dict, to_json, to_markdown, write_table
from speechaug.robustness.measures import (
    corruption_error,
    diversity,
    effective_robustness,
    relative_corruption_error,
    snr_area,
    srt50,
    worst_tenth,
)

SPEAKERS = tuple(f"s{place}" for place in range(8))
RATES = {"clean": 0.1, "white:1": 0.2, "white:2": 0.5, "hum:1": 0.3}


def text_of(count: int) -> str:
    return " ".join(WORDS[:count])


def wrong(errors: dict[str, int], words: int = 10) -> dict[str, list[tuple[str, str]]]:
    """One utterance of ten words in each condition, of which the last few are lost."""
    return {name: [(text_of(words), text_of(words - count))] for name, count in errors.items()}


def numbers(value: Any) -> Iterator[float]:
    """Every number in plain data."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, (int, float)):
        yield value


# Rates


def test_rates_equal_jiwer_on_a_thousand_pairs():
    rng = np.random.default_rng(1)
    pairs = []
    for _ in range(1_000):
        said = list(rng.choice(WORDS, rng.integers(0, 7)))
        heard = [w for w in said if rng.random() < 0.8] + list(rng.choice(WORDS, rng.integers(0, 3)))
        pairs.append((" ".join(said), " ".join(heard)))
    clean = evaluation({"clean": pairs}, speakers=SPEAKERS).scores().clean
    assert clean is not None and clean.cer is not None and clean.wer_raw is not None
    words = jiwer.process_words(*map(list, zip(*pairs, strict=True)))
    characters = jiwer.process_characters(*map(list, zip(*pairs, strict=True)))
    assert clean.wer.value == pytest.approx(words.wer, rel=1e-12)
    assert clean.wer_raw.value == pytest.approx(words.wer, rel=1e-12)
    assert clean.cer.value == pytest.approx(characters.cer, rel=1e-12)
    assert dataclasses.astuple(clean.words)[:3] == (words.substitutions, words.deletions, words.insertions)
    assert clean.sentence_error.value == np.mean([said != heard for said, heard in pairs])


def test_the_order_of_the_records_and_batches_does_not_matter():
    whole = evaluation(misheard(RATES, 1), speakers=SPEAKERS)
    shuffled = [whole.records[place] for place in np.random.default_rng(2).permutation(len(whole.records))]
    again = Evaluation(whole.name, whole.meta, shuffled)
    assert again.records == whole.records
    assert to_json(again.scores()) == to_json(whole.scores())


def test_raw_rates_are_kept_beside_normalised_ones():
    clean = evaluation({"clean": [("One, two!", "one two")]}).scores().clean
    assert clean is not None and clean.wer_raw is not None
    assert (clean.wer.value, clean.wer_raw.value) == (0.0, 1.0)


def test_losses_against_clean_speech():
    scores = evaluation(wrong({"clean": 2, "white:1": 5, "hum:1": 1})).scores()
    white, hum = scores.conditions["white:1"], scores.conditions["hum:1"]
    assert white.degradation == Estimate(pytest.approx(0.3))
    assert white.relative_degradation == Estimate(pytest.approx(1.5))
    assert white.affinity == Estimate(pytest.approx(0.7))
    assert (hum.degradation, hum.affinity) == (Estimate(0.0), Estimate(pytest.approx(1.1)))
    assert scores.overall is not None
    assert scores.overall.wer.value == pytest.approx(0.3)
    assert scores.overall.degradation == Estimate(pytest.approx(0.15))


def test_a_perfect_recognizer_counts_as_having_one_error_in_all_words():
    white = evaluation(wrong({"clean": 0, "white:1": 5})).scores().conditions["white:1"]
    assert white.relative_degradation == Estimate(pytest.approx(0.5 / 0.1))


# Corruption errors


def test_mce_by_hand():
    mine = evaluation(wrong({"clean": 1, "white:1": 2, "white:2": 4, "hum:1": 3}))
    base = evaluation(wrong({"clean": 2, "white:1": 4, "white:2": 8, "hum:1": 4}), name="base")
    scores = mine.scores(base)
    assert scores.baseline == "base"
    assert scores.corruptions["white"].error == Estimate(pytest.approx(6 / 12))
    assert scores.corruptions["hum"].error == Estimate(pytest.approx(3 / 4))
    assert scores.mce == Estimate(pytest.approx((6 / 12 + 3 / 4) / 2))
    assert scores.relative_mce == Estimate(pytest.approx((4 / 8 + 2 / 2) / 2))
    assert scores.families["noise"].error == scores.mce
    comparison = compare({"base": base, "mine": mine})
    assert comparison.mce["mine"] == scores.mce
    assert comparison.relative_mce["mine"] == scores.relative_mce
    assert comparison.mce["base"] == comparison.relative_mce["base"] == Estimate(1.0)
    assert comparison.clean_cost["mine"] == Estimate(pytest.approx(-0.1))


def test_there_is_no_mce_without_a_baseline():
    scores = evaluation(wrong({"clean": 1, "white:1": 2})).scores()
    assert (scores.baseline, scores.mce, scores.relative_mce) == (None, None, None)


def test_a_baseline_without_errors_does_not_divide_by_zero():
    rates, zero = np.array([[0.1, 0.3]]), np.zeros((1, 2))
    assert corruption_error(rates, zero, [[0, 1]], words=100).tolist() == pytest.approx([0.4 * 100])
    assert corruption_error(zero, zero, [[0, 1]], words=100).tolist() == [1.0]
    below = np.array([[0.3, 0.1]])
    assert relative_corruption_error(below, below, 0, [[1]], words=100).tolist() == [1.0]
    assert relative_corruption_error(rates, zero, 0, [[1]], words=100).tolist() == pytest.approx([0.2 * 100])
    assert relative_corruption_error(rates, rates[:, ::-1], 0, [[1]], words=0).tolist() == pytest.approx([0.2])


# Curves


def test_area_is_the_trapezoid_rule():
    grid, rates = [0.0, 5.0, 10.0, 15.0, 20.0], np.random.default_rng(3).random((4, 5))
    expected = ((rates[:, 1:] + rates[:, :-1]) / 2).sum(1) / 4
    assert snr_area(grid, rates) == pytest.approx(expected)
    assert snr_area([0.0, 1.0, 4.0], np.array([[1.0, 0.0, 0.0]])) == pytest.approx([0.5 / 4])


def test_srt50_of_a_logistic_curve():
    """The rate is one half at 3.2 dB; straight lines between points of half a dB are that exact."""
    grid = np.arange(-10.0, 20.0, 0.5)
    rates = 1 / (1 + np.exp(0.4 * (grid - 3.2)))
    assert srt50(grid, rates[None]) == pytest.approx([3.2], abs=0.01)
    assert srt50([0.0, 10.0, 20.0], np.array([[0.9, 0.5, 0.1]])) == pytest.approx([10.0])
    assert srt50([0.0, 10.0, 20.0, 30.0], np.array([[0.8, 0.4, 0.6, 0.2]])) == pytest.approx([22.5])


def snr_conditions(ratios: list[float]) -> list[dict[str, Any]]:
    rated = [condition(f"white:{place}", nominal={"snr_db": ratio}) for place, ratio in enumerate(ratios, 1)]
    return [condition("clean"), *rated]


def test_the_curve_of_a_corruption():
    grid = [20.0, 15.0, 10.0, 5.0, 0.0]
    losses = {"clean": 0, "white:1": 1, "white:2": 2, "white:3": 4, "white:4": 6, "white:5": 9}
    curve = evaluation(wrong(losses), conditions=snr_conditions(grid)).scores().corruptions["white"].curve
    assert curve is not None
    assert curve.snr_db == (0.0, 5.0, 10.0, 15.0, 20.0)
    assert [each.value for each in curve.wer] == pytest.approx([0.9, 0.6, 0.4, 0.2, 0.1])
    assert curve.srt50_db == Estimate(7.5)
    assert curve.aurora == Estimate(pytest.approx(0.44))
    assert curve.area == Estimate(pytest.approx((0.75 + 0.5 + 0.3 + 0.15) / 4))


def test_what_a_curve_does_not_have_is_none():
    losses = {"clean": 0, "white:1": 1, "white:2": 2}
    curve = evaluation(wrong(losses), conditions=snr_conditions([10.0, 0.0])).scores().corruptions["white"].curve
    assert curve is not None and curve.srt50_db is None and curve.aurora is None
    assert evaluation(wrong({"clean": 0, "hum:1": 1, "hum:2": 2})).scores().corruptions["hum"].curve is None


# Worst conditions, stability, silence, groups


def test_the_worst_tenth():
    errors = {"clean": 0} | {f"white:{place}": place % 10 for place in range(1, 22)}
    scores = evaluation(wrong(errors)).scores()
    assert scores.worst == "white:9"
    assert scores.cvar10 == Estimate(pytest.approx((0.9 + 0.9 + 0.8) / 3))
    assert worst_tenth(np.array([[0.1, 0.4, 0.2]])).tolist() == [0.4]


def test_stability_over_draws():
    three = [("one two", "one two"), ("three", "three")] + [("one two", "one"), ("three", "three")] * 2
    heard = {"clean": [("one two", "one two"), ("three", "three")], "white:1": three}
    white = evaluation(heard, draws=3).scores().conditions["white:1"]
    assert white.stability is not None
    assert white.stability.draws == 3
    assert white.stability.wer_std == pytest.approx(np.std([0, 1 / 3, 1 / 3], ddof=1))
    assert white.stability.flip_rate == pytest.approx((2 / 3 + 0) / 2)
    assert white.wer.value == pytest.approx(2 / 9)
    assert evaluation(heard, draws=3).scores().conditions["clean"].stability is None


def test_false_words_on_items_without_speech():
    clean = evaluation({"clean": [("", "oh no"), ("", ""), ("one", "one")]}).scores().clean
    assert clean is not None
    assert clean.silent_s == 4.0
    assert clean.false_words_per_minute == pytest.approx(2 / 4 * 60)
    assert clean.wer.value == 2.0
    only = evaluation({"clean": [("", "oh no")]}).scores().clean
    assert only is not None and (only.wer.value, only.words.words) == (2.0, 0)
    assert evaluation({"clean": [("one", "two")]}).scores().conditions["clean"].false_words_per_minute is None


def test_failures_count_as_nothing_heard():
    scores = evaluation({"clean": [("one two", "")]}, facts={"error": "ValueError: no"}).scores()
    assert (scores.failed, scores.conditions["clean"].failed, scores.conditions["clean"].wer.value) == (1, 1, 1.0)


def test_groups_have_their_own_speakers():
    whole = evaluation(misheard(RATES, 4, count=80), speakers=SPEAKERS)
    named = [dict(r, group="few" if r["speaker"] in ("s0", "s1") else "many") for r in whole.records]
    scores = Evaluation("mine", whole.meta, named).scores()
    assert list(scores.groups) == ["few", "many"]
    assert (scores.groups["few"].basis.kind, scores.groups["many"].basis.kind) == ("utterances", "speakers")
    assert scores.groups["few"].utterances + scores.groups["many"].utterances == scores.utterances == 80
    for name, score in scores.conditions.items():
        parts = [score.groups[group] for group in ("few", "many")]
        assert sum(part.words.errors for part in parts) == score.words.errors, name
    few = [score.groups["few"].wer.value for score in scores.conditions.values() if score.severity]
    assert scores.groups["few"].wer is not None
    assert scores.groups["few"].wer.value == pytest.approx(np.mean(few))
    assert scores.groups["few"].clean_wer == scores.conditions["clean"].groups["few"].wer


def test_what_was_measured_back():
    whole = evaluation(misheard({"clean": 0.1, "white:1": 0.2}, 5, count=3))
    rows = [dict(r, realised={"snr_db": 9.0 + place}) for place, r in enumerate(whole.records)]
    realised = Evaluation("mine", whole.meta, rows).scores().conditions["white:1"].realised
    assert dataclasses.astuple(realised["snr_db"]) == (13.0, 12.0, 14.0)


# Comparisons


def test_every_difference_is_paired_and_corrected():
    base = evaluation(misheard(RATES, 6), name="base", speakers=SPEAKERS)
    mine = evaluation(misheard({name: rate / 2 for name, rate in RATES.items()}, 7), speakers=SPEAKERS)
    comparison = compare({"base": base, "mine": mine})
    one, two = base.scores(), mine.scores(base)
    for name, row in comparison.conditions.items():
        change = row.changes["mine"]
        assert row.scores["mine"].wer == two.conditions[name].wer
        before, after = one.conditions[name].wer.value, two.conditions[name].wer.value
        assert change.difference.value == pytest.approx(after - before)
        assert change.reduction.value == pytest.approx(1 - after / before)
        assert change.clear == (change.p < 0.05)
        assert change.mapsswe is not None and change.mapsswe.segments > 10
    changes = [row.changes["mine"] for row in comparison.conditions.values()]
    tests = [change.mapsswe for change in changes if change.mapsswe]
    for clean, *corrupted in (changes, tests):  # clean speech is a hypothesis of its own
        assert clean.p_holm == clean.p
        assert [each.p_holm for each in corrupted] == holm([each.p for each in corrupted])
    overall = comparison.overall
    assert overall is not None
    assert overall.changes["mine"].clear and overall.changes["mine"].probability == 1.0
    assert comparison.mce["mine"] == two.mce
    assert comparison.basis.kind == "speakers" and comparison.basis.blocks == 8


def test_more_conditions_make_clean_speech_no_less_certain():
    few, many = RATES, RATES | {f"buzz:{severity}": 0.2 for severity in range(1, 40)}
    for rates in (few, many):
        base = evaluation(misheard(rates, 6), name="base", speakers=SPEAKERS)
        mine = evaluation(misheard({name: rate / 4 for name, rate in rates.items()}, 7), speakers=SPEAKERS)
        change = compare({"base": base, "mine": mine}).conditions["clean"].changes["mine"]
        assert change.mapsswe is not None
        assert 0 < change.p == change.p_holm < 0.05
        assert change.mapsswe.p_holm == change.mapsswe.p
    only = {name: evaluation(misheard({"clean": 0.2}, seed), name=name) for seed, name in enumerate("ab")}
    assert compare(only).conditions["clean"].changes["b"].p_holm > 0


def test_losses_of_arms_are_those_of_their_scores():
    arms = {name: evaluation(misheard(RATES, seed), name=name, speakers=SPEAKERS) for seed, name in enumerate("ab")}
    comparison = compare(arms)
    for name, arm in arms.items():
        scores = arm.scores()
        for row in (*comparison.conditions.values(), *comparison.corruptions.values(), comparison.overall):
            assert row is not None
            known = scores.conditions | scores.corruptions | {"all": scores.overall}
            for loss in ("degradation", "relative_degradation"):
                mine, same = getattr(row.scores[name], loss), getattr(known[row.name], loss)
                assert mine is not None and str(mine) == str(same)
    without = compare({"a": arms["a"].only(["white:1"])}).conditions["white:1"].scores["a"]
    assert without.degradation is None and without.relative_degradation is None


def test_the_baseline_may_be_any_arm():
    arms = {name: evaluation(misheard(RATES, seed), name=name, speakers=SPEAKERS) for seed, name in enumerate("abc")}
    comparison = compare(arms, baseline="b")
    assert comparison.arms == ("a", "b", "c") and comparison.baseline == "b"
    assert all(set(row.changes) == {"a", "c"} for row in comparison.conditions.values())
    assert set(comparison.effective_robustness) == {"a", "b", "c"}
    assert compare({"a": arms["a"]}).conditions["clean"].changes == {}


def test_training_seeds_are_averaged_and_widen_the_interval():
    def arm(rate: float, spread: tuple[float, ...]) -> list[Evaluation]:
        return [
            evaluation(misheard({"clean": 0.1, "white:1": rate + more}, place), speakers=SPEAKERS)
            for place, more in enumerate(spread)
        ]

    steady, shaky = arm(0.3, (0.0, 0.0, 0.0)), arm(0.3, (-0.25, 0.0, 0.25))
    comparison = compare({"steady": steady, "shaky": shaky})
    row = comparison.conditions["white:1"]
    for name, seeds in (("steady", steady), ("shaky", shaky)):
        single = [each.scores().conditions["white:1"].wer.value for each in seeds]
        assert row.scores[name].seeds == pytest.approx(single)
        assert row.scores[name].wer.value == pytest.approx(np.mean(single))
    widths = {name: score.wer.interval.high - score.wer.interval.low for name, score in row.scores.items()}
    assert widths["shaky"] > 3 * widths["steady"]
    assert comparison.basis.seeds == 3
    assert row.changes["shaky"].mapsswe is None
    mixed = compare({"steady": steady, "one": shaky[0]})
    assert mixed.conditions["white:1"].scores["one"].seeds == row.scores["shaky"].seeds[:1]


def test_effective_robustness_is_the_distance_from_a_fitted_line():
    rng = np.random.default_rng(8)
    clean, corrupted = rng.random((3, 6)), rng.random((3, 6))
    gains = effective_robustness(clean, corrupted)
    for x, y, gain in zip(clean, corrupted, gains, strict=True):
        assert gain == pytest.approx(np.polyval(np.polyfit(x, y, 1), x) - y)
    assert effective_robustness(np.full((1, 3), 0.2), np.array([[0.1, 0.2, 0.3]])) == pytest.approx(
        np.array([[0.1, 0.0, -0.1]])
    )
    with pytest.raises(ValueError, match="3 or more, got 2"):
        effective_robustness(clean[:, :2], corrupted[:, :2])


def test_diversity_is_a_quotient_of_losses():
    assert diversity(0.3, 0.2) == pytest.approx(1.5)
    for losses in ((0.0, 1.0), (1.0, math.nan), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="must be positive and finite"):
            diversity(*losses)


def test_what_cannot_be_compared_is_refused():
    base = evaluation(misheard(RATES, 1), name="base", speakers=SPEAKERS)
    with pytest.raises(ValueError, match=r"one evaluation or more each, got \{'a': 0\}"):
        compare({"a": []})
    with pytest.raises(ValueError, match=r"one of the arms \['base'\], got 'other'"):
        compare({"base": base}, baseline="other")
    fewer = base.only(["clean", "white:1", "white:2"])
    with pytest.raises(ValueError, match="'mine' must hold the condition 'hum:1', got"):
        compare({"base": base, "mine": dataclasses.replace(fewer, name="mine")})
    others = {
        "suite": dict(base.meta["suite"], hash="other"),
        "conditions": [dict(each, hash="other") for each in base.meta["conditions"]],
        "normaliser": {"name": "none", "version": "1"},
        "seed": 1,
        "draws": 2,
    }
    for key, value in others.items():
        changed = Evaluation("mine", {**base.meta, key: value}, base.records)
        with pytest.raises(ValueError, match=f"'base' and 'mine' must have the same {key}"):
            compare({"base": base, "mine": changed})
        with pytest.raises(ValueError, match=f"'mine' and 'base' must have the same {key}"):
            changed.scores(base)
    missing = Evaluation("mine", base.meta, base.records[:-1])
    with pytest.raises(ValueError, match="same utterances, those of 'hum:1' differ, first in 'u079'"):
        compare({"base": base, "mine": missing})
    last = base.records[-1]
    other = Evaluation("mine", base.meta, [*base.records[:-1], {**last, "reference": f"x{last['reference'][1:]}"}])
    with pytest.raises(ValueError, match="same utterances, those of 'hum:1' differ, first in 'u079'"):
        compare({"base": base, "mine": other})


# Degenerate tests


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("pair", [("", ""), ("", "oh"), ("one two", "one two"), ("one two", ""), ("one", "a b c d")])
def test_degenerate_tests_stay_finite(count: int, pair: tuple[str, str]):
    mine = evaluation({"clean": [pair] * count, "white:1": [pair] * count})
    perfect = evaluation({name: [(pair[0], pair[0])] * count for name in ("clean", "white:1")}, name="perfect")
    results = [mine.scores(perfect), perfect.scores(mine), compare({"a": perfect, "b": mine, "c": mine})]
    for result in results:
        assert all(math.isfinite(value) for value in numbers(to_dict(result)))
        assert "NaN" not in to_json(result) and "nan" not in to_csv(result) + to_markdown(result)


def test_clean_speech_alone_or_missing():
    alone = evaluation({"clean": [("one", "two")]}).scores()
    assert (alone.overall, alone.worst, alone.cvar10, alone.corruptions) == (None, None, None, {})
    without = evaluation({"white:1": [("one", "two")]})
    scores = without.scores(without)
    assert scores.clean is None and scores.conditions["white:1"].degradation is None
    assert (scores.mce, scores.relative_mce) == (Estimate(1.0), None)
    assert compare({"a": without, "b": without, "c": without}).effective_robustness == {}
    for result in (alone, scores, compare({"a": without}), compare({"a": evaluation({"clean": [("one", "two")]})})):
        assert to_json(result) and to_csv(result) and to_markdown(result)


def test_one_speaker_is_said_to_be_one():
    scores = evaluation(misheard(RATES, 9)).scores()
    assert (scores.basis.kind, scores.basis.blocks) == ("utterances", 30)
    assert not scores.basis.generalises_over_speakers
    assert "for these speakers only" in to_markdown(scores)


# Tables


@pytest.fixture(scope="module")
def comparison() -> Any:
    arms = {name: evaluation(misheard(RATES, seed), name=name, speakers=SPEAKERS) for seed, name in enumerate("ab")}
    return compare({"a|\n<b>": arms["a"], "b": arms["b"]})


def test_tables_are_the_same_bytes_each_time(tmp_path: Any, comparison: Any):
    whole = evaluation(misheard(RATES, 1), speakers=SPEAKERS)
    for ending in ("json", "csv", "md"):
        first = write_table(tmp_path / f"a/1.{ending}", whole.scores(whole)).read_bytes()
        again = write_table(tmp_path / f"b/2.{ending}", whole.scores(whole)).read_bytes()
        assert first == again and b"\r" not in first
        assert write_table(tmp_path / f"3.{ending}", comparison).read_bytes()
    with pytest.raises(ValueError, match=r"must end in .json, .csv, .md, got 'x.txt'"):
        write_table("x.txt", comparison)


def test_json_holds_every_number():
    scores = evaluation(misheard(RATES, 1), speakers=SPEAKERS).scores()
    read = json.loads(to_json(scores))
    white = scores.conditions["white:1"]
    assert white.wer.interval is not None
    assert read["conditions"]["white:1"]["wer"]["value"] == pytest.approx(white.wer.value)
    assert read["conditions"]["white:1"]["wer"]["high"] == pytest.approx(white.wer.interval.high)
    assert read["basis"]["text"] == scores.basis.text


def test_csv_has_a_row_per_condition_and_mean(comparison: Any):
    scores = evaluation(misheard(RATES, 1), speakers=SPEAKERS).scores()
    rows = list(csv.DictReader(io.StringIO(to_csv(scores))))
    assert [row["name"] for row in rows] == [*RATES, "white", "hum", "noise", "all"]
    assert float(rows[1]["wer"]) == pytest.approx(scores.conditions["white:1"].wer.value)
    compared = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert len(compared) == 2 * 8
    assert [row["difference"] == "" for row in compared] == [True, False] * 8


def test_markdown_is_a_table_whatever_the_names(comparison: Any):
    lines = [line for line in to_markdown(comparison).splitlines() if line.startswith("|")]
    for block in (lines[:4], lines[4:]):
        assert len({line.replace(r"\|", "").count("|") for line in block}) == 1
    assert "a\\| <b>" in lines[2]
