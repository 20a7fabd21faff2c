"""Scores and comparisons as plain data: numbers as files have them, rows in the order of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from speechaug.robustness.bootstrap import Basis, Estimate
from speechaug.robustness.comparison import Comparison, Row
from speechaug.robustness.scores import MeanScore, Scores

DIGITS = 12
"""Significant digits of numbers in files: more than any sum of counts needs, fewer than processors agree on."""

Cell = str | int | float | None


def plain(value: Any) -> Any:
    """Return scores, or any part of them, as plain data."""
    if isinstance(value, Estimate):
        return spread("", value)
    if isinstance(value, Basis):
        return {**{field.name: plain(getattr(value, field.name)) for field in fields(value)}, "text": value.text}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return rounded(value) if isinstance(value, float) else value


def rounded(value: float) -> float:
    """Keep the digits that files have."""
    return float(f"{value:.{DIGITS}g}")


def spread(name: str, estimate: Estimate | None) -> dict[str, Cell]:
    """Return cells of an estimate: its value, ``low`` and ``high``, after the name if there is one."""
    interval = estimate.interval if estimate else None
    ends = [interval.low, interval.high] if interval else [None, None]
    values = [estimate.value if estimate else None, *ends]
    keys = [name, f"{name}_low", f"{name}_high"] if name else ["value", "low", "high"]
    return {key: None if value is None else rounded(value) for key, value in zip(keys, values, strict=True)}


def means_of(scores: Scores) -> Iterator[tuple[str, MeanScore]]:
    """Yield the means, each with what it is of."""
    yield from (("corruption", each) for each in scores.corruptions.values())
    yield from (("family", each) for each in scores.families.values())
    yield from [("all", scores.overall)] if scores.overall else []


def rows_of(comparison: Comparison) -> Iterator[tuple[str, Row]]:
    """Yield the rows, each with what it is of."""
    yield from (("condition", each) for each in comparison.conditions.values())
    yield from (("corruption", each) for each in comparison.corruptions.values())
    yield from (("family", each) for each in comparison.families.values())
    yield from [("all", comparison.overall)] if comparison.overall else []
