"""Tables for a terminal of 80 columns, without colour as good as with it."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill
from typing import TYPE_CHECKING

from speechaug.data.manifest import shorten
from speechaug.page.words import number, words_of
from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.comparison import Change, Comparison, Row
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.results import Results, gather
from speechaug.robustness.words import (
    HELD_OUT,
    NO_SPEAKERS,
    TRAINED,
    clean_row,
    headline,
    marks,
    p_value,
    probability,
    row_label,
    span,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CONDITION_COLUMNS, ARM_COLUMNS = 40, 38
"""Width of conditions and baseline, and of each arm beside them."""


def print_table(
    *evaluations: Evaluation, baseline: str | Evaluation | None = None, console: Console | None = None
) -> None:
    """Print word error rates with intervals to the terminal; of several recognizers also what differs, and how surely.

    Args:
        evaluations: one or more; those of one name are training seeds of one recognizer.
        baseline: what the others are compared with: a name among them or another evaluation; by default the first.
        console: where to; by default standard output.

    Raises:
        ValueError: as :func:`speechaug.robustness.compare`.
    """
    print_results(gather(evaluations, baseline), console)


def print_results(results: Results, console: Console | None = None) -> None:
    """Print what :func:`print_table` prints, from results that are there already."""
    from rich.console import Console as RichConsole
    from rich.text import Text

    output = console or RichConsole()
    for part in _tables(results, output.width):
        output.print(part)
    for line in (headline(results.comparison), *_notes(results)):
        output.print(Text(fill(line, output.width)))  # rich itself would break a number from its unit


def _tables(results: Results, width: int) -> Iterable[Table]:
    comparison = results.comparison
    graded = [_grid(results, arm) for arm in comparison.arms] if results.graded else []
    yield from graded
    if results.several or not graded:
        arms = [arm for arm in comparison.arms if arm != comparison.baseline]
        room = max(1, (width - CONDITION_COLUMNS) // ARM_COLUMNS)
        for start in range(0, max(1, len(arms)), room):
            yield _side_by_side(results, [comparison.baseline, *arms[start : start + room]])
    if results.several and comparison.overall:
        yield _overall(results)


def _notes(results: Results) -> Iterable[str]:
    basis = results.comparison.basis
    yield f"In brackets {basis.text}." if basis.has_intervals else f"{basis.text.capitalize()}."
    if not basis.generalises_over_speakers:
        yield NO_SPEAKERS
    rows = results.comparison.conditions.values()
    if any(row.trained for row in rows):
        yield f"{TRAINED} this family is in the training policy."
    if any(row.held_out for row in rows):
        yield f"{HELD_OUT} held out: kept out of every training preset."
    for arm in results.arms:
        if count := results.failed(arm):
            yield f"{arm} failed on {count} utterances; they count as nothing heard."
    suite, normaliser = results.comparison.suite, results.comparison.normaliser
    left_out = next(iter(results.arms.values()))[0].meta.get("left_out")
    if left_out:
        yield f"Left out, since they need a higher sample rate: {shorten(left_out)}."
    if suite["subset"]:
        yield f"Suite {suite['name']}, version {suite['version']}, {suite['subset']}, hash {suite['hash']}."
    yield f"Text normaliser {normaliser['name']}, version {normaliser['version']}."


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table as RichTable

    return RichTable(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _grid(results: Results, arm: str) -> Table:
    """Corruptions by severity, for one arm."""
    from rich.markup import escape

    comparison = results.comparison
    rows = list(comparison.conditions.values())
    severities = sorted({row.severity for row in rows if row.severity})
    cells = {(row.corruption, row.severity): row.scores[arm].wer for row in rows}
    table = _table(f"Words wrong, %: {escape(arm)}")
    table.add_column("severity", no_wrap=True)
    for severity in severities:
        table.add_column(str(severity), justify="right")
    table.add_column("mean", justify="right", no_wrap=True)
    clean = clean_row(comparison)
    if clean:
        table.add_row("clean speech", *[""] * len(severities), _rate(clean.scores[arm].wer), end_section=True)
    for family in comparison.families.values():
        members = [row for row in comparison.corruptions.values() if row.family == family.name]
        for row in members:
            graded = [cells.get((row.name, severity)) for severity in severities]
            shown = [_short(each.value) if each else "·" for each in graded]
            table.add_row(_name(row, arm), *shown, _rate(row.scores[arm].wer), end_section=row is members[-1])
    if comparison.overall:
        table.add_row("[bold]all corrupted[/]", *[""] * len(severities), _rate(comparison.overall.scores[arm].wer))
    return table


def _name(row: Row, arm: str) -> str:
    from rich.markup import escape

    signs = "".join(sign for sign, _ in marks(row.held_out, arm in row.trained))
    return escape(f"{words_of(row.name) if row.severity is None else row_label(row)} {signs}".rstrip())


def _short(rate: float) -> str:
    """Four characters, also for rates of 100 % and more."""
    return f"{100 * rate:.1f}" if rate < 0.9995 else f"{100 * rate:.0f}"


def _rate(estimate: Estimate) -> str:
    spread = f" [dim]({span(estimate.interval, joint='–')})[/]" if estimate.interval else ""
    return f"[bold]{number(100 * estimate.value)}[/]{spread}"


def _side_by_side(results: Results, arms: list[str]) -> Table:
    """Each corruption, or each condition where there are no severities, for some arms."""
    from rich.markup import escape

    comparison = results.comparison
    table = _table("Words wrong, %")
    table.add_column("corruption" if results.graded else "condition", no_wrap=True)
    for arm in arms:
        table.add_column(escape(arm), justify="right")
        if arm != comparison.baseline:
            table.add_column("fewer errors", justify="right")
    rows = _compared(comparison, results.graded)
    for place, row in enumerate(rows):
        cells = [_name(row, arms[-1])] if row.family else ["all corrupted"]
        for arm in arms:
            cells.append(_rate(row.scores[arm].wer))
            if arm in row.changes:
                cells.append(_fewer(row.changes[arm]))
        table.add_row(*cells, end_section=bool(comparison.overall) and place == len(rows) - 2)
    return table


def _compared(comparison: Comparison, graded: bool) -> list[Row]:
    rows = list(comparison.conditions.values())
    if graded:
        rows = [row for row in rows if row.severity == 0] + list(comparison.corruptions.values())
    return [*rows, comparison.overall] if comparison.overall and len(rows) > 2 else rows


def _fewer(change: Change) -> str:
    colour = "green" if change.reduction.value > 0 else "red"
    style = f"bold {colour}" if change.clear else "default"
    interval = change.reduction.interval
    spread = f" [dim]({span(interval, 0)})[/]" if interval else ""
    return f"[{style}]{number(100 * change.reduction.value, 0)}\N{NO-BREAK SPACE}%[/]{spread}"


def _overall(results: Results) -> Table:
    """One line per arm: what it comes to."""
    from rich.markup import escape

    comparison = results.comparison
    table = _table(f"All together; errors of {escape(comparison.baseline)} are 100")
    for name in ("", "mCE", "relative mCE", "probability", "p"):
        table.add_column(name, justify="right" if name else "left", no_wrap=bool(name))
    for arm in comparison.arms:
        cells = [escape(arm), _rate(comparison.mce[arm])]
        cells.append(_rate(comparison.relative_mce[arm]) if arm in comparison.relative_mce else "")
        change = comparison.overall.changes.get(arm) if comparison.overall else None
        table.add_row(*cells, *((probability(change.probability), p_value(change.p)) if change else ("", "")))
    return table
