"""Scores and comparisons as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

from speechaug.robustness.comparison import Comparison, Row
from speechaug.robustness.plain import Cell, means_of, plain, rounded, rows_of, spread
from speechaug.robustness.scores import ConditionScore, MeanScore, Scores

_RATES = ("wer", "cer", "sentence_error", "wer_raw")
_LOSSES = ("degradation", "relative_degradation")


def to_csv(result: Scores | Comparison) -> str:
    """Return a table with a row per condition, of a comparison per condition and arm; rates are fractions.

    Means follow: corruptions, families, all. A cell that is not known is empty.
    """
    if isinstance(result, Scores):
        rows = [*map(_condition_cells, result.conditions.values()), *map(_mean_cells, means_of(result))]
    else:
        rows = [cells for kind, row in rows_of(result) for cells in _row_cells(result, kind, row)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: "" if value is None else value for name, value in row.items()} for row in rows])
    return text.getvalue()


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
        "wer_std": rounded(score.stability.wer_std) if score.stability else None,
        "flip_rate": rounded(score.stability.flip_rate) if score.stability else None,
        "false_words_per_minute": plain(score.false_words_per_minute),
        "nominal": json.dumps(plain(score.nominal), sort_keys=True),
        "realised": json.dumps({name: rounded(spread.mean) for name, spread in score.realised.items()}),
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
    return {key: value for name in names for key, value in spread(name, getattr(score, name)).items()}


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
            "seeds": " ".join(str(rounded(wer)) for wer in score.seeds),
            **spread("difference", change.difference if change else None),
            **spread("reduction", change.reduction if change else None),
            "probability": rounded(change.probability) if change else None,
            "p": rounded(change.p) if change else None,
            "p_holm": rounded(change.p_holm) if change else None,
            "mapsswe_segments": test.segments if test else None,
            "mapsswe_z": rounded(test.z) if test and test.z is not None else None,
            "mapsswe_p": rounded(test.p) if test else None,
            "mapsswe_p_holm": rounded(test.p_holm) if test else None,
            **spread("error", row.errors[arm]),
            **spread("relative_error", row.relative_errors.get(arm)),
        }
