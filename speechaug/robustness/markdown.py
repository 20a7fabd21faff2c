"""Scores and comparisons as tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.comparison import Comparison, Row
from speechaug.robustness.plain import means_of, rows_of
from speechaug.robustness.scores import MeanScore, Scores

_STAR = (
    "\\* p < 0.05, of conditions after Holm's correction over all of them but clean speech, a hypothesis of its own."
)


def to_markdown(result: Scores | Comparison) -> str:
    """Return tables of percent for people: a row per corruption, a column per severity; of a comparison per arm."""
    return _scores_markdown(result) if isinstance(result, Scores) else _comparison_markdown(result)


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
        for _, each in means_of(scores)
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
        for _, row in rows_of(comparison)
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
