"""Heat maps: corruption by severity, the rate of each arm and how it differs from the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from speechaug.page.words import percent, signed, words_of
from speechaug.robustness import colours
from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.comparison import ArmScore, Change, Comparison, Row
from speechaug.robustness.results import Results
from speechaug.robustness.words import clean_row, condition_facts, marks, p_value, probability, row_label, with_span

Facts = list[tuple[str, str]]

TOPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Ends of scales; the smallest that holds every rate is used, and what is above 100 % is drawn there."""


def top_of(estimates: Iterable[Estimate]) -> float:
    highest = max((each.value for each in estimates), default=0.0)
    return next((top for top in TOPS if highest <= top), TOPS[-1])


def rates_of(results: Results) -> list[Estimate]:
    return [score.wer for row in results.comparison.conditions.values() for score in row.scores.values()]


def maps(results: Results) -> Iterable[dict[str, Any]]:
    comparison = results.comparison
    top = top_of(rates_of(results))
    for arm in comparison.arms:
        yield _map(results, arm, partial(_rate_cell, results, arm, top), arm)
    extent = top_of(_differences(comparison))
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


def scales(results: Results) -> dict[str, Any]:
    """What the colours of the heat maps stand for."""
    rates, changes = top_of(rates_of(results)), top_of(_differences(results.comparison))
    more = " and more" if any(each.value > rates for each in rates_of(results)) else ""
    steps = range(colours.STEPS + 1)
    return {
        "rate": {"low": "0", "high": f"{percent(rates, 0)}{more}", "steps": [f"h{step}" for step in steps]},
        "change": {
            "low": signed(-100 * changes, 0),
            "high": f"{signed(100 * changes, 0)} points",
            "steps": [f"d{step}" for step in steps],
        },
    }
