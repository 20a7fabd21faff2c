"""What differs, and how surely: the differences of an arm with their intervals, side by side."""

from __future__ import annotations

from typing import Any

from speechaug.page.words import percent, signed
from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.comparison import Comparison, Row
from speechaug.robustness.results import Results
from speechaug.robustness.words import clean_row, marks, p_value, probability, row_label, span


def forest(results: Results, arm: str) -> dict[str, Any]:
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
