"""Scores and comparisons as JSON, CSV and Markdown: the same input gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from speechaug._lines import write_text
from speechaug.robustness.bootstrap import Basis, Estimate
from speechaug.robustness.compare import Comparison, Row
from speechaug.robustness.scores import ConditionScore, MeanScore, Scores

DIGITS = 12
"""Significant digits of numbers in files: more than any sum of counts needs, fewer than processors agree on."""

Cell = str | int | float | None

_STAR = (
    "\\* p < 0.05, of conditions after Holm's correction over all of them but clean speech, a hypothesis of its own."
)
_RATES = ("wer", "cer", "sentence_error", "wer_raw")
_LOSSES = ("degradation", "relative_degradation")


def to_dict(result: Scores | Comparison) -> dict[str, Any]:
    """Return scores or a comparison as plain data, fit for JSON; rates are fractions.

    An estimate is a mapping of ``value``, ``low`` and ``high``, the latter two None without an interval.
    """
    plain: dict[str, Any] = _plain(result)
    return plain


def to_json(result: Scores | Comparison) -> str:
    """Return scores or a comparison as JSON with sorted keys; numbers have twelve significant digits."""
    return json.dumps(to_dict(result), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(result: Scores | Comparison) -> str:
    """Return a table with a row per condition, of a comparison per condition and arm; rates are fractions.

    Means follow: corruptions, families, all. A cell that is not known is empty.
    """
    if isinstance(result, Scores):
        rows = [*map(_condition_cells, result.conditions.values()), *map(_mean_cells, _means(result))]
    else:
        rows = [cells for kind, row in _rows(result) for cells in _row_cells(result, kind, row)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: "" if value is None else value for name, value in row.items()} for row in rows])
    return text.getvalue()


def to_markdown(result: Scores | Comparison) -> str:
    """Return tables of percent for people: a row per corruption, a column per severity; of a comparison per arm."""
    return _scores_markdown(result) if isinstance(result, Scores) else _comparison_markdown(result)


def write_table(path: str | Path, result: Scores | Comparison) -> Path:
    """Write a table in the format that the ending states.

    Args:
        path: ending in ``.json``, ``.csv`` or ``.md``; folders are made.
        result: scores or a comparison.

    Returns:
        The path written.

    Raises:
        ValueError: for another ending.
    """
    target = Path(path)
    formats = {".json": to_json, ".csv": to_csv, ".md": to_markdown}
    if target.suffix not in formats:
        raise ValueError(f"write_table: path must end in {', '.join(formats)}, got {str(path)!r}")
    write_text(target, formats[target.suffix](result))
    return target


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return _spread("", value)
    if isinstance(value, Basis):
        return {**{field.name: _plain(getattr(value, field.name)) for field in fields(value)}, "text": value.text}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return _rounded(value) if isinstance(value, float) else value


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _spread(name: str, estimate: Estimate | None) -> dict[str, Cell]:
    """Cells of an estimate: its value, ``low`` and ``high``, after the name if there is one."""
    interval = estimate.interval if estimate else None
    ends = [interval.low, interval.high] if interval else [None, None]
    values = [estimate.value if estimate else None, *ends]
    keys = [name, f"{name}_low", f"{name}_high"] if name else ["value", "low", "high"]
    return {key: None if value is None else _rounded(value) for key, value in zip(keys, values, strict=True)}


# CSV


def _condition_cells(score: ConditionScore) -> dict[str, Cell]:
    return {
        "kind": "condition",
        "name": score.condition,
        "corruption": score.corruption,
        "family": score.family,
        "severity": score.severity,
        "held_out": int(score.held_out),
        "trained": int(score.trained),
        **_estimates(score, (*_RATES, *_LOSSES)),
        "utterances": score.utterances,
        "failed": score.failed,
        "substitutions": score.words.substitutions,
        "deletions": score.words.deletions,
        "insertions": score.words.insertions,
        "words": score.words.words,
        "characters": score.characters.words if score.characters else None,
        "draws": score.stability.draws if score.stability else 1,
        "wer_std": _rounded(score.stability.wer_std) if score.stability else None,
        "flip_rate": _rounded(score.stability.flip_rate) if score.stability else None,
        "false_words_per_minute": _plain(score.false_words_per_minute),
        "nominal": json.dumps(_plain(score.nominal), sort_keys=True),
        "realised": json.dumps({name: _rounded(spread.mean) for name, spread in score.realised.items()}),
    }


def _mean_cells(kind_and_score: tuple[str, MeanScore]) -> dict[str, Cell]:
    kind, score = kind_and_score
    curve = score.curve
    return {
        "kind": kind,
        "name": score.name,
        "corruption": score.name if kind == "corruption" else "",
        "family": "" if kind == "all" else score.family,
        "held_out": int(score.held_out),
        "trained": int(score.trained),
        **_estimates(score, (*_RATES[:3], *_LOSSES, "error", "relative_error")),
        **(_estimates(curve, ("area", "srt50_db", "aurora")) if curve else {}),
    }


def _estimates(score: object, names: Sequence[str]) -> dict[str, Cell]:
    return {key: value for name in names for key, value in _spread(name, getattr(score, name)).items()}


def _means(scores: Scores) -> Iterator[tuple[str, MeanScore]]:
    yield from (("corruption", each) for each in scores.corruptions.values())
    yield from (("family", each) for each in scores.families.values())
    yield from [("all", scores.overall)] if scores.overall else []


def _rows(comparison: Comparison) -> Iterator[tuple[str, Row]]:
    yield from (("condition", each) for each in comparison.conditions.values())
    yield from (("corruption", each) for each in comparison.corruptions.values())
    yield from (("family", each) for each in comparison.families.values())
    yield from [("all", comparison.overall)] if comparison.overall else []


def _row_cells(comparison: Comparison, kind: str, row: Row) -> Iterator[dict[str, Cell]]:
    for arm, score in row.scores.items():
        change = row.changes.get(arm)
        test = change.mapsswe if change else None
        yield {
            "kind": kind,
            "name": row.name,
            "corruption": row.corruption,
            "family": row.family,
            "severity": row.severity,
            "held_out": int(row.held_out),
            "arm": arm,
            "trained": int(arm in row.trained),
            **_estimates(score, ("wer", "cer", *_LOSSES)),
            "seeds": " ".join(str(_rounded(wer)) for wer in score.seeds),
            **_spread("difference", change.difference if change else None),
            **_spread("reduction", change.reduction if change else None),
            "probability": _rounded(change.probability) if change else None,
            "p": _rounded(change.p) if change else None,
            "p_holm": _rounded(change.p_holm) if change else None,
            "mapsswe_segments": test.segments if test else None,
            "mapsswe_z": _rounded(test.z) if test and test.z is not None else None,
            "mapsswe_p": _rounded(test.p) if test else None,
            "mapsswe_p_holm": _rounded(test.p_holm) if test else None,
            **_spread("error", row.errors[arm]),
            **_spread("relative_error", row.relative_errors.get(arm)),
        }


# Markdown


def _scores_markdown(scores: Scores) -> str:
    severities = sorted({each.severity for each in scores.conditions.values() if each.severity})
    rates = {(each.corruption, each.severity): _percent(each.wer) for each in scores.conditions.values()}
    error = [f"CE ({scores.baseline} = 100)"] if scores.baseline is not None else []
    rows = [
        [
            _marked(each),
            *(rates.get((each.name, severity), "") for severity in severities),
            _percent(each.wer),
            *(_percent(each.error) for _ in error),
        ]
        for _, each in _means(scores)
    ]
    header = ["words wrong, %", *map(str, severities), "mean", *error]
    facts = [
        _fact("clean speech", scores.clean.wer if scores.clean else None),
        _fact("worst tenth of the conditions", scores.cvar10),
        f"worst condition {scores.worst}" if scores.worst else "",
    ]
    return _page(scores, "; ".join(filter(None, facts)), [_table(header, rows)] if rows else [])


def _comparison_markdown(comparison: Comparison) -> str:
    arms, base = comparison.arms, comparison.baseline
    rows = [
        [
            row.name,
            *(_percent(row.scores[arm].wer) for arm in arms),
            *(_change_cell(row, arm) for arm in arms if arm != base),
        ]
        for _, row in _rows(comparison)
    ]
    header = ["words wrong, %", *arms, *(f"fewer errors, {arm}" for arm in arms if arm != base)]
    measures = (
        comparison.mce,
        comparison.relative_mce,
        comparison.cvar10,
        comparison.clean_cost,
        comparison.effective_robustness,
    )
    summary = [
        [
            arm,
            *(_percent(each.get(arm)) for each in measures),
        ]
        for arm in arms
    ]
    names = [
        "",
        f"mCE ({base} = 100)",
        "relative mCE",
        "worst tenth, %",
        "clean cost, points",
        "effective robustness, points",
    ]
    return _page(comparison, "", [_table(names, summary), _table(header, rows)])


def _change_cell(row: Row, arm: str) -> str:
    change = row.changes[arm]
    return f"{_percent(change.reduction, digits=0)} {'*' if change.p_holm < 0.05 else ''}".rstrip()


def _page(result: Scores | Comparison, facts: str, tables: Iterable[str]) -> str:
    suite = " ".join(str(result.suite[key]) for key in ("name", "version", "subset", "hash") if result.suite.get(key))
    normaliser = " ".join(map(str, result.normaliser.values()))
    basis = f"Suite {suite}; texts normalised by {normaliser}; {result.basis.text}."
    star = _STAR if isinstance(result, Comparison) else ""
    parts = [f"{facts[:1].upper()}{facts[1:]}." if facts else "", *tables, f"{basis} {star}".rstrip()]
    return "\n\n".join(filter(None, parts)) + "\n"


def _fact(name: str, estimate: Estimate | None) -> str:
    return f"{name} {_percent(estimate)} % of the words wrong" if estimate else ""


def _marked(score: MeanScore) -> str:
    marks = [word for word, there in (("held out", score.held_out), ("in training", score.trained)) if there]
    return f"{score.name} ({', '.join(marks)})" if marks else score.name


def _percent(estimate: Estimate | None, digits: int = 1) -> str:
    if estimate is None:
        return ""
    shown = f"{100 * estimate.value:.{digits}f}"
    if estimate.interval is None:
        return shown
    return f"{shown} ({100 * estimate.interval.low:.{digits}f} to {100 * estimate.interval.high:.{digits}f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def _escaped(cell: str) -> str:
    """Keep a name inside its cell."""
    return " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|")
