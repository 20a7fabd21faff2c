"""What the page shows, gathered from scores and put into words; every number comes from a score or a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from speechaug.data.manifest import shorten
from speechaug.page.words import percent, words_of
from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.comparison import Comparison, Row
from speechaug.robustness.curves import Curve, curve_plot, legend_mark
from speechaug.robustness.examples import Sounds, examples_of
from speechaug.robustness.forest import forest
from speechaug.robustness.groups import group_scores
from speechaug.robustness.heat import maps, rates_of, scales, top_of
from speechaug.robustness.metrics import EditCounts
from speechaug.robustness.results import Results
from speechaug.robustness.words import (
    best_arm,
    clean_row,
    marks,
    quantities,
    row_label,
    span,
    with_span,
)


def page_of(results: Results, sounds: Sounds | None, examples: int) -> dict[str, Any]:
    """Everything the template shows of the results."""
    return {
        "results": results,
        "best": best_arm(results.comparison),
        "top": top_of(rates_of(results)),
        "comparison": results.comparison,
        "basis": results.comparison.basis.text,
        "figures": _figures(results),
        "maps": list(maps(results)) if results.graded else [],
        "scales": scales(results),
        "legend": [(results.place(arm), arm, legend_mark(results.place(arm))) for arm in results.comparison.arms],
        "panels": list(_panels(results)),
        "forests": [forest(results, arm) for arm in results.comparison.arms if arm != results.comparison.baseline],
        "ranking": _ranking(results),
        "kinds": _kinds(results),
        "groups": _groups(results),
        "conditions": [_condition(results, row) for row in _all_rows(results.comparison)],
        "examples": list(examples_of(results, sounds, examples)) if sounds else [],
        "facts": _facts(results),
    }


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


# Curves.


def _panels(results: Results) -> Iterable[dict[str, Any]]:
    """A plot of each corruption whose severity is a ratio of speech to noise, and nothing else."""
    nominal = {each.condition: each.nominal for each in next(iter(results.scores.values())).conditions.values()}
    top = top_of(rates_of(results))
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
    """Scores of each group of speakers that all arms know, by arm."""
    scores = [group_scores(seeds) for seeds in results.arms.values()]
    return [
        {"name": name, "utterances": group.utterances, "scores": [each[name] for each in scores]}
        for name, group in scores[0].items()
        if all(name in each for each in scores)
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
