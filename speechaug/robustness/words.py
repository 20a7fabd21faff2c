"""Numbers, conditions and outcomes in words, for people: the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speechaug.page.words import NBSP, compact, number, percent, split_unit, words_of
from speechaug.page.words import quantity as plain_quantity
from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.comparison import Comparison, Row
from speechaug.robustness.condition_names import label as plain_label
from speechaug.robustness.metrics import Interval
from speechaug.robustness.scores import ConditionScore, Spread

HELD_OUT, TRAINED = "◇", "†"
NO_SPEAKERS = (
    "Fewer than five speakers were tested: the intervals say how other takes of these speakers would come out, "
    "and nothing about other speakers."
)


def span(interval: Interval | None, digits: int = 1, joint: str = " to ", scale: float = 100.0) -> str:
    """Format an interval; of rates in percent. Nothing for None."""
    if interval is None:
        return ""
    return joint.join(number(scale * value, digits) for value in (interval.low, interval.high))


def with_span(estimate: Estimate, digits: int = 1, *, unit: str = f"{NBSP}%", scale: float = 100.0) -> str:
    """Format an estimate and, in brackets, its interval.

    Example:
        >>> with_span(Estimate(0.25, Interval(0.2, 0.31))).replace("\\xa0", " ")
        '25.0 % (20.0 to 31.0)'
    """
    shown = f"{number(scale * estimate.value, digits)}{unit}"
    return f"{shown} ({span(estimate.interval, digits, scale=scale)})" if estimate.interval else shown


def p_value(value: float) -> str:
    """Format a p-value; what is below 0.001 is only said to be."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def probability(value: float) -> str:
    """Format a share of resamples; all or none of them proves no certainty."""
    if value > 0.999:
        return f"> 99.9{NBSP}%"
    return f"< 0.1{NBSP}%" if value < 0.001 else percent(value)


def condition_label(name: str, corruption: str, severity: int | None) -> str:
    """Write a condition in words: ``white:3`` is ``white, severity 3`` and ``noise_5db`` is ``noise, 5 dB``.

    Example:
        >>> condition_label("far_field:2", "far_field", 2), condition_label("noise_5db", "noise", 2)
        ('far field, severity 2', 'noise, 5 dB')
    """
    return f"{words_of(corruption)}, severity {severity}" if name == f"{corruption}:{severity}" else plain_label(name)


def row_label(row: Row) -> str:
    """Write what a row of a comparison is about."""
    if row.severity is not None:
        return "clean speech" if row.severity == 0 else condition_label(row.name, row.corruption, row.severity)
    return words_of(row.name) if row.family else "all corrupted"


def quantities(values: Mapping[str, float | Spread]) -> str:
    """Write what was set or measured: ``{"snr_db": 10.0}`` is ``SNR 10 dB``.

    Example:
        >>> quantities({"snr_db": 10.0, "loss": 0.05})
        'SNR 10 dB, loss 0.05'
    """
    return ", ".join(quantity(name, value) for name, value in values.items())


def quantity(name: str, value: float | Spread) -> str:
    """Write one quantity with its unit; of what was measured the mean and, if they differ, the extremes."""
    if not isinstance(value, Spread):
        return plain_quantity(name, value)
    low, high = (compact(end, split_unit(name)[1]) for end in (value.low, value.high))
    return plain_quantity(name, value.mean) + (f" ({low} to {high})" if low != high else "")


def best_arm(comparison: Comparison) -> str:
    """Return the arm with the lowest mean over all corrupted conditions; of several arms not the baseline."""
    arms = [arm for arm in comparison.arms if arm != comparison.baseline] or list(comparison.arms)
    row = comparison.overall or next(iter(comparison.conditions.values()))
    return min(arms, key=lambda arm: row.scores[arm].wer.value)


def clean_row(comparison: Comparison) -> Row | None:
    """Return the row of clean speech."""
    return next((row for row in comparison.conditions.values() if row.severity == 0), None)


def headline(comparison: Comparison) -> str:
    """Say the outcome in one sentence."""
    rows = [(comparison.overall, _where(comparison)), (clean_row(comparison), "on clean speech")]
    known = [(row, where) for row, where in rows if row is not None]
    arm = best_arm(comparison)
    if len(comparison.arms) == 1:
        said = " and ".join(f"{percent(row.scores[arm].wer.value)} {where}" for row, where in known)
        return f"Words wrong with {arm}: {said}."
    said = " and ".join(_outcome(row, where, comparison, arm) for row, where in known)
    base = "no augmentation" if comparison.baseline == "none" else comparison.baseline
    return f"Compared with {base}, {arm} makes {said}."


def _where(comparison: Comparison) -> str:
    """Say what the corrupted conditions are."""
    rows = [row for row in comparison.conditions.values() if row.severity != 0]
    if len(rows) == 1:
        return f"in {row_label(rows[0])}"
    families = sorted({row.family for row in rows})
    named = {("noise",): "in noise", ("room",): "in rooms", ("noise", "room"): "in noise and rooms"}
    kinds = len({row.corruption for row in rows})
    counted = f"in {len(rows)} altered conditions"
    return named.get(tuple(families), counted if kinds == len(rows) else f"over {kinds} corruptions")


def _outcome(row: Row, where: str, comparison: Comparison, arm: str) -> str:
    before, after = (row.scores[each].wer.value for each in (comparison.baseline, arm))
    change = row.changes[arm]
    numbers = f"{percent(before)} → {percent(after)} of the words"
    if not change.clear:
        return f"about as many errors {where} ({numbers}; the difference may be chance)"
    kind = "fewer" if change.reduction.value > 0 else "more"
    return f"{percent(abs(change.reduction.value), 0)} {kind} errors {where} ({numbers})"


def marks(held_out: bool, trained: bool | Sequence[str]) -> list[tuple[str, str]]:
    """Return the sign and the meaning of each mark of a condition."""
    said = []
    if trained:
        whom = f" of {', '.join(trained)}" if not isinstance(trained, bool) else ""
        said.append((TRAINED, f"this family is in the training policy{whom}"))
    if held_out:
        said.append((HELD_OUT, "held out: kept out of every training preset"))
    return said


def condition_facts(score: ConditionScore) -> list[tuple[str, str]]:
    """Everything known of one condition, as pairs of a name and what is said."""
    words = score.words
    edits = f"{words.substitutions} + {words.deletions} + {words.insertions} of {words.words} words"
    facts = [("words wrong", with_span(score.wer)), ("substituted + missing + invented", edits)]
    if score.cer is not None:
        facts.append(("characters wrong", with_span(score.cer)))
    facts.append(("utterances with an error", with_span(score.sentence_error, 0)))
    if score.degradation is not None and score.severity:
        facts.append(("more than on clean speech", with_span(score.degradation, unit=" points")))
    if score.nominal:
        facts.append(("set", quantities(score.nominal)))
    if score.realised:
        facts.append(("measured", quantities(score.realised)))
    if score.stability is not None:
        draws = f"heard otherwise in another of {score.stability.draws} draws"
        facts.append((draws, percent(score.stability.flip_rate)))
    if score.false_words_per_minute is not None:
        facts.append(("words heard per minute without speech", number(score.false_words_per_minute)))
    if score.failed:
        facts.append(("recognizer failed on", f"{score.failed} of {score.utterances}"))
    return facts
