"""What the page shows, gathered from scores and put into words; every number comes from a score or a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

from numpy.typing import ArrayLike

from speechaug.data.manifest import shorten
from speechaug.page.pictures import audio_uri, seconds, spectrogram_uris
from speechaug.page.words import percent, signed, words_of
from speechaug.robustness import colours
from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.compare import ArmScore, Change, Comparison, Row
from speechaug.robustness.curves import Curve, curve_plot, legend_mark
from speechaug.robustness.differences import align, worst_records
from speechaug.robustness.metrics import EditCounts
from speechaug.robustness.records import Record
from speechaug.robustness.results import Results
from speechaug.robustness.scores import group_scores
from speechaug.robustness.words import (
    best_arm,
    clean_row,
    condition_facts,
    condition_label,
    marks,
    p_value,
    probability,
    quantities,
    row_label,
    span,
    with_span,
)

Sounds = Callable[[str, str], tuple[ArrayLike, ArrayLike, int]]
Facts = list[tuple[str, str]]
Heard = Mapping[tuple[str, str], str]

TOPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Ends of scales; the smallest that holds every rate is used, and what is above 100 % is drawn there."""


def page_of(results: Results, sounds: Sounds | None, examples: int) -> dict[str, Any]:
    """Everything the template shows of the results."""
    return {
        "results": results,
        "best": best_arm(results.comparison),
        "top": _top(_rates(results)),
        "comparison": results.comparison,
        "basis": results.comparison.basis.text,
        "figures": _figures(results),
        "maps": list(_maps(results)) if results.graded else [],
        "scales": _scales(results),
        "legend": [(results.place(arm), arm, legend_mark(results.place(arm))) for arm in results.comparison.arms],
        "panels": list(_panels(results)),
        "forests": [_forest(results, arm) for arm in results.comparison.arms if arm != results.comparison.baseline],
        "ranking": _ranking(results),
        "kinds": _kinds(results),
        "groups": _groups(results),
        "conditions": [_condition(results, row) for row in _all_rows(results.comparison)],
        "examples": list(_examples(results, sounds, examples)) if sounds else [],
        "facts": _facts(results),
    }


def _top(estimates: Iterable[Estimate]) -> float:
    highest = max((each.value for each in estimates), default=0.0)
    return next((top for top in TOPS if highest <= top), TOPS[-1])


def _rates(results: Results) -> list[Estimate]:
    return [score.wer for row in results.comparison.conditions.values() for score in row.scores.values()]


def _all_rows(comparison: Comparison) -> list[Row]:
    rows = list(comparison.conditions.values())
    return [*rows, comparison.overall] if comparison.overall and len(rows) > 2 else rows


# Headline figures.


def _figures(results: Results) -> list[dict[str, str]]:
    """Few large numbers of the arm that did best, with what they mean."""
    comparison, arm = results.comparison, best_arm(results.comparison)
    base = comparison.baseline if results.several else None
    clean, overall, worst = clean_row(comparison), comparison.overall, comparison.worst.get(arm)
    figures = []
    if clean:
        figures.append(_figure("Clean speech", clean, arm, base, "of the words are wrong"))
    if overall:
        figures.append(_figure("Corrupted speech", overall, arm, base, "of the words, the mean of all conditions"))
    if base and arm in comparison.mce:
        says = f"errors of each corruption, if {base} makes 100 (mCE)"
        figures.append(_large("Corruption error", comparison.mce[arm], says, unit=""))
    if arm in comparison.cvar10 and len(comparison.conditions) > 10:
        says = "of the words in the worst tenth of the conditions (CVaR10)"
        figures.append(_large("When it is bad", comparison.cvar10[arm], says))
    elif worst and len(comparison.conditions) > 2:
        row = comparison.conditions[worst]
        figures.append(_figure("Worst condition", row, arm, base, f"of the words in {row_label(row)}"))
    return figures


def _figure(name: str, row: Row, arm: str, base: str | None, says: str) -> dict[str, str]:
    said = f"{says}; {percent(row.scores[base].wer.value)} with {base}" if base else says
    return _large(name, row.scores[arm].wer, said)


def _large(name: str, estimate: Estimate, says: str, unit: str = "\N{NO-BREAK SPACE}%") -> dict[str, str]:
    value = with_span(Estimate(estimate.value), unit=unit)
    return {"name": name, "value": value, "spread": span(estimate.interval), "says": says}


# Heat maps.


def _maps(results: Results) -> Iterable[dict[str, Any]]:
    comparison = results.comparison
    top = _top(_rates(results))
    for arm in comparison.arms:
        yield _map(results, arm, partial(_rate_cell, results, arm, top), arm)
    extent = _top(_differences(comparison))
    for arm in comparison.arms:
        if arm != comparison.baseline:
            name = f"{arm} against {comparison.baseline}"
            yield _map(results, name, partial(_change_cell, arm, extent), arm, extent)


def _differences(comparison: Comparison) -> list[Estimate]:
    changes = [change for row in comparison.conditions.values() for change in row.changes.values()]
    return [Estimate(abs(change.difference.value)) for change in changes]


def _map(
    results: Results, name: str, cell: Callable[[Row], dict[str, str]], arm: str, extent: float | None = None
) -> dict[str, Any]:
    """One heat map: clean speech, then a row per corruption, under the heading of its family."""
    comparison = results.comparison
    rows = list(comparison.conditions.values())
    severities = sorted({row.severity for row in rows if row.severity})
    cells = {(row.corruption, row.severity): cell(row) for row in rows}
    clean = clean_row(comparison)
    families: dict[str, list[dict[str, Any]]] = {}
    for corruption in comparison.corruptions.values():
        graded = [cells.get((corruption.name, severity)) for severity in severities]
        signs = marks(corruption.held_out, arm in corruption.trained)
        line = {"name": words_of(corruption.name), "marks": signs, "cells": [*graded, cell(corruption)]}
        families.setdefault(words_of(corruption.family), []).append(line)
    return {
        "name": name,
        "place": results.place(arm),
        "worst": comparison.worst.get(arm, ""),
        "change": extent is not None,
        "severities": severities,
        "clean": cell(clean) if clean else None,
        "families": families,
    }


def _rate_cell(results: Results, arm: str, top: float, row: Row) -> dict[str, str]:
    score = row.scores[arm]
    title = _title(row, _rate_facts(results, arm, row))
    step = colours.rate_step(score.wer.value, top)
    return {"name": row.name, "step": step, "text": f"{100 * score.wer.value:.0f}", "title": title}


def _rate_facts(results: Results, arm: str, row: Row) -> Facts:
    one = results.scores[arm]
    if row.name in one.conditions and len(results.arms[arm]) == 1:
        score = one.conditions[row.name]
        return [*condition_facts(score), *_mark_facts(row, arm)]
    return [*_arm_facts(row.scores[arm]), *_error_facts(row, arm), *_mark_facts(row, arm)]


def _arm_facts(score: ArmScore) -> Facts:
    facts = [("words wrong", with_span(score.wer))]
    if score.cer is not None:
        facts.append(("characters wrong", with_span(score.cer)))
    if len(score.seeds) > 1:
        facts.append(("training seeds", ", ".join(percent(rate) for rate in score.seeds)))
    return facts


def _error_facts(row: Row, arm: str) -> Facts:
    return [("errors, baseline 100", with_span(row.errors[arm], unit=""))] if arm in row.changes else []


def _mark_facts(row: Row, arm: str) -> Facts:
    return [(sign, meaning) for sign, meaning in marks(row.held_out, arm in row.trained)]


def _change_cell(arm: str, extent: float, row: Row) -> dict[str, str]:
    change = row.changes[arm]
    step = colours.change_step(change.difference.value, extent)
    title = _title(row, _change_facts(change))
    state = "clear" if change.clear else "unclear"
    shown = signed(100 * change.difference.value, 0)
    return {"name": row.name, "step": f"{step} {state}", "text": shown, "title": title}


def _change_facts(change: Change) -> Facts:
    facts = [
        ("difference", with_span(change.difference, unit=" points")),
        ("fewer errors", with_span(change.reduction, 0)),
        ("p after Holm", p_value(change.p_holm)),
        ("probability of improvement", probability(change.probability)),
    ]
    if change.mapsswe is not None:
        facts.append(("MAPSSWE p after Holm", p_value(change.mapsswe.p_holm)))
    return facts


def _title(row: Row, facts: Facts) -> str:
    name = row_label(row)
    heading = f"{name}, mean of its severities" if row.severity is None else name
    return "\n".join([heading, *(f"{key}: {value}" for key, value in facts)])


def _scales(results: Results) -> dict[str, Any]:
    """What the colours of the heat maps stand for."""
    rates, changes = _top(_rates(results)), _top(_differences(results.comparison))
    more = " and more" if any(each.value > rates for each in _rates(results)) else ""
    steps = range(colours.STEPS + 1)
    return {
        "rate": {"low": "0", "high": f"{percent(rates, 0)}{more}", "steps": [f"h{step}" for step in steps]},
        "change": {
            "low": signed(-100 * changes, 0),
            "high": f"{signed(100 * changes, 0)} points",
            "steps": [f"d{step}" for step in steps],
        },
    }


# Curves.


def _panels(results: Results) -> Iterable[dict[str, Any]]:
    """A plot of each corruption whose severity is a ratio of speech to noise, and nothing else."""
    nominal = {each.condition: each.nominal for each in next(iter(results.scores.values())).conditions.values()}
    top = _top(_rates(results))
    for corruption in results.comparison.corruptions:
        rows = [row for row in results.comparison.conditions.values() if row.corruption == corruption]
        ratios = {nominal[row.name]["snr_db"]: row for row in rows if set(nominal[row.name]) == {"snr_db"}}
        if len(ratios) > 1:
            curves = [
                Curve(results.place(arm), arm, {ratio: row.scores[arm].wer for ratio, row in ratios.items()})
                for arm in results.comparison.arms
            ]
            plot, halves = curve_plot(curves, top), _halves(results, corruption)
            yield {"name": words_of(corruption), "plot": plot, "halves": halves}


def _halves(results: Results, corruption: str) -> list[tuple[int, str, str]]:
    """Where half of the words are wrong, by arm."""
    found = []
    for arm, scores in results.scores.items():
        curve = scores.corruptions[corruption].curve
        if curve is not None and curve.srt50_db is not None and len(results.arms[arm]) == 1:
            found.append((results.place(arm), arm, with_span(curve.srt50_db, unit=" dB", scale=1.0)))
    return found


# Comparison.


def _forest(results: Results, arm: str) -> dict[str, Any]:
    """Differences of one arm with their intervals: all, then each family and its corruptions."""
    comparison = results.comparison
    rows = _forest_rows(comparison)
    bounds = [bound for row, _ in rows for bound in _bounds(row.changes[arm].difference)]
    low, high = min(0.0, *bounds), max(0.0, *bounds)
    margin = 0.06 * (high - low) or 0.01
    axis = (low - margin, high + margin)
    holm = [row.changes[arm].p_holm for row in comparison.conditions.values() if row.severity]
    return {
        "arm": arm,
        "place": results.place(arm),
        "range": f"{signed(100 * low, 0)} to {signed(100 * high, 0)} points",
        "zero": _at(0.0, axis),
        "significant": sum(p < 0.05 for p in holm),
        "of": len(holm),
        "rows": [_forest_row(row, kind, arm, axis) for row, kind in rows],
    }


def _forest_rows(comparison: Comparison) -> list[tuple[Row, str]]:
    """Rows and what they are: a ``head``, or a ``member`` of the family above it; a family of one is that one."""
    rows = [(row, "head") for row in (comparison.overall, clean_row(comparison)) if row is not None]
    for family in comparison.families.values():
        members = [row for row in comparison.corruptions.values() if row.family == family.name]
        alone = len(members) == 1
        rows += [(members[0], "head")] if alone else [(family, "head"), *((row, "member") for row in members)]
    return rows


def _bounds(estimate: Estimate) -> list[float]:
    interval = estimate.interval
    return [estimate.value, *((interval.low, interval.high) if interval else ())]


def _at(value: float, axis: tuple[float, float]) -> str:
    return f"{100 * (value - axis[0]) / (axis[1] - axis[0]):.2f}%"


def _forest_row(row: Row, kind: str, arm: str, axis: tuple[float, float]) -> dict[str, Any]:
    change = row.changes[arm]
    at, *whisker = (_at(bound, axis) for bound in _bounds(change.difference))
    return {
        "name": row_label(row),
        "kind": kind,
        "marks": marks(row.held_out, arm in row.trained) if row.family else [],
        "change": change,
        "at": at,
        "whisker": whisker,
        "difference": signed(100 * change.difference.value),
        "spread": span(change.difference.interval),
        "reduction": percent(change.reduction.value, 0),
        "reduction_spread": span(change.reduction.interval, 0),
        "p": p_value(change.p_holm),
        "probability": probability(change.probability),
    }


# Ranking and kinds of errors.


def _ranking(results: Results) -> dict[str, Any]:
    """Corruptions by how many errors they add, worst first."""
    comparison, arm = results.comparison, best_arm(results.comparison)
    lost = {row.name: -each.value for row in comparison.corruptions.values() if (each := row.scores[arm].degradation)}
    known = [comparison.corruptions[name] for name in sorted(lost, key=lambda name: (lost[name], name))]
    rows = [
        {
            "name": words_of(row.name),
            "family": words_of(row.family),
            "marks": marks(row.held_out, arm in row.trained),
            "scores": [(results.place(each), row.scores[each]) for each in comparison.arms],
        }
        for row in known
    ]
    losses = [score.degradation for row in known for score in row.scores.values()]
    return {"rows": rows, "top": max((each.value for each in losses if each is not None), default=0.0) or 1.0}


def _kinds(results: Results) -> dict[str, Any]:
    """Substituted, missing and invented words by family and arm, over all training seeds."""
    rows: list[dict[str, Any]] = []
    for family in dict.fromkeys(row.family for row in results.comparison.conditions.values()):
        for arm, seeds in results.arms.items():
            found = [record for each in seeds for record in each.records if record["family"] == family]
            counts = reduce(EditCounts.__add__, map(_edits, found), EditCounts())
            rows.append({"family": words_of(family), "arm": arm, "place": results.place(arm), "counts": counts})
    return {"rows": rows, "top": max((row["counts"].wer for row in rows), default=0.0) or 1.0}


def _edits(record: Mapping[str, Any]) -> EditCounts:
    return EditCounts(record["substitutions"], record["deletions"], record["insertions"], record["words"])


def _groups(results: Results) -> list[dict[str, Any]]:
    """Scores of each group of speakers, by arm."""
    scores = [group_scores(seeds) for seeds in results.arms.values()]
    return [
        {"name": name, "utterances": group.utterances, "scores": [each[name] for each in scores]}
        for name, group in scores[0].items()
    ]


# Table of conditions.


def _condition(results: Results, row: Row) -> dict[str, Any]:
    """One row of the table of all conditions."""
    first = next(iter(results.scores.values()))
    score = first.conditions.get(row.name)
    return {
        "label": row_label(row),
        "mean": row is results.comparison.overall,
        "family": words_of(row.family),
        "marks": marks(row.held_out, row.trained) if row.family else [],
        "set": quantities(score.nominal) if score else "",
        "measured": quantities(score.realised) if score else "",
        "arms": [(results.place(arm), arm, row.scores[arm], row.changes.get(arm)) for arm in results.comparison.arms],
    }


# Examples.


def _examples(results: Results, sounds: Sounds, count: int) -> Iterable[dict[str, Any]]:
    heard = {
        name: [{(r["condition"], r["id"]): r["hypothesis"] for r in each.records if not r["draw"]} for each in seeds]
        for name, seeds in results.arms.items()
    }
    for record in worst_records(results.arms[best_arm(results.comparison)], count):
        yield _example(record, list(_texts(results, heard, record)), sounds)


def _texts(results: Results, heard: Mapping[str, Sequence[Heard]], record: Record) -> Iterable[tuple[int, str, str]]:
    """What each arm heard, and one alone also without the corruption; training seeds that heard the same as one."""
    clean = clean_row(results.comparison)
    told = [(arm, arm, record["condition"]) for arm in results.comparison.arms]
    if clean and not results.several:
        told = [(told[0][0], "before", clean.name), (told[0][0], "after", record["condition"])]
    for arm, name, condition in told:
        seeds: dict[str, list[str]] = {}
        for number, texts in enumerate(heard[arm], 1):
            if (condition, record["id"]) in texts:
                seeds.setdefault(texts[condition, record["id"]], []).append(str(number))
        for text, numbers in seeds.items():
            which = f", seed{'s' * (len(numbers) > 1)} {', '.join(numbers)}" if len(heard[arm]) > 1 else ""
            yield results.place(arm), f"{name}{which}", text


def _example(record: Record, texts: Sequence[tuple[int, str, str]], sounds: Sounds) -> dict[str, Any]:
    before, after, rate = sounds(record["condition"], record["id"])
    sides = ((before, rate), (after, rate))
    longest = max(map(seconds, sides)) or 1.0
    pictures = spectrogram_uris(*sides)
    return {
        "title": condition_label(record["condition"], record["corruption"], record["severity"]),
        "realised": quantities(record["realised"]),
        "id": record["id"],
        "speaker": record["speaker"],
        "reference": record["reference"],
        "texts": [(place, name, align(record["reference"], text)) for place, name, text in texts],
        "sides": [
            {
                "name": name,
                "picture": picture,
                "audio": audio_uri(*side),
                "seconds": seconds(side),
                "width": 100 * seconds(side) / longest,
                "khz": rate / 2_000,
            }
            for name, picture, side in zip(("before", "after"), pictures, sides, strict=True)
        ],
    }


# Facts.


def _facts(results: Results) -> dict[str, str]:
    """What was tested with what, for the end of the page."""
    first = next(iter(results.scores.values()))
    suite, normaliser = results.comparison.suite, results.comparison.normaliser
    facts = {
        "suite": f"{suite.get('name', '')} {suite.get('version', '')} {suite.get('subset', '')}".strip(),
        "suite hash": str(suite.get("hash", "")),
        "text normaliser": f"{normaliser.get('name', '')} {normaliser.get('version', '')}".strip(),
        "utterances": str(first.utterances),
        "conditions": str(len(first.conditions)),
    }
    failures = [f"{count} with {name}" for name in results.arms if (count := results.failed(name))]
    facts["recognizer failures"] = ", ".join(failures) or "0"
    meta = next(iter(results.arms.values()))[0].meta
    lost = meta.get("failed", {}).get("ids", [])
    few = meta.get("left_out", [])
    facts |= {"conditions that need a higher sample rate": f"{len(few)} ({shorten(few)})"} if few else {}
    facts |= {"recordings left out": f"{len(lost)} ({shorten(lost)})"} if lost else {}
    facts |= {
        f"{what} that {arm} was trained on": f"{len(names)} ({shorten(names)})"
        for arm, seeds in results.arms.items()
        for what, names in seeds[0].meta.get("trained_on", {}).items()
    }
    facts |= {"seed": str(meta["seed"]), "draws": str(meta["draws"])} if "draws" in meta else {}
    facts |= {f"version of {name}": str(version) for name, version in meta.get("versions", {}).items()}
    return {name: value for name, value in facts.items() if value}
