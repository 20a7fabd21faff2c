"""A robustness test for people: a table in the terminal and one page that holds everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechaug.robustness.metrics import LEVEL, Interval
from speechaug.robustness.pictures import RUN_COLOURS, audio_uri, seconds, spectrogram_uris, wer_plot
from speechaug.robustness.summary import CLEAN, NOISY_MEAN, ROOM, Change, Row, Runs, Summary, snr_db, summarise

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import Console

MINUS = "−"
UNITS = {"db": "dB", "hz": "Hz", "ms": "ms", "s": "s", "semitones": "semitones", "frames": "frames", "bins": "bins"}
_MEMBERS = {"Compose": "all of these, in order", "OneOf": "one of these", "SomeOf": "some of these"}
_NOT_SAID = ("p", "bank", "members", "range_policy", "max_growth", "fuse")


def write_report(
    path: str | Path,
    runs: Runs,
    *,
    title: str = "Robustness report",
    conditions: Sequence[str] | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
    policies: Sequence[Mapping[str, Any]] = (),
    details: Mapping[str, object] | None = None,
) -> Path:
    """Write one self-contained HTML page: headline, table, plot, sounds, policy and details.

    The page loads nothing, works offline, in light and dark, on a phone, and may be sent by mail.

    Args:
        path: where to write; missing folders are made.
        runs: results of one or more runs, as in :func:`speechaug.robustness.summarise`; the first is compared with.
        title: heading of the page.
        conditions: conditions in the order of the rows; by default that of the first run.
        examples: what to listen to: mappings with ``title`` (a condition's name is put into words), ``reference``,
            ``before`` and ``after`` (each a pair of samples ``(T,)`` or ``(C, T)`` and a rate in Hz) and
            ``hypotheses`` (text by run).
        policies: ``policy.to_dict()`` of what was applied in training, in order.
        details: facts of the runs by name, such as versions, seed, steps and minutes.

    Returns:
        The path written.

    Raises:
        ValueError: as :func:`speechaug.robustness.summarise`.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speechaug.robustness", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(span=_span, gain=_gain, breakable=_breakable)
    summary = summarise(runs, conditions)
    page = environment.get_template("report.html.jinja").render(
        title=title,
        headline=headline(summary),
        summary=summary,
        basis=basis(summary),
        top=max(score.interval.high for row in summary.rows for score in row.scores.values()) or 1.0,
        colours=RUN_COLOURS,
        plot=wer_plot(summary),
        examples=[_example(example, summary) for example in examples],
        policies=[{"lines": list(describe(policy)), "yaml": _yaml(policy)} for policy in policies],
        details=details or {},
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def print_table(runs: Runs, *, conditions: Sequence[str] | None = None, console: Console | None = None) -> Summary:
    """Print word error rates with intervals to the terminal and return the summary they come from."""
    from rich import box
    from rich.console import Console as RichConsole
    from rich.markup import escape
    from rich.table import Table

    summary = summarise(runs, conditions)
    caption = f"In brackets {basis(summary)}" if summary.has_intervals else basis(summary).capitalize()
    table = Table(title="Words wrong, %", title_justify="left", caption=caption, box=box.SIMPLE_HEAD)
    table.add_column("condition", no_wrap=True)
    for place, run in enumerate(summary.runs):
        table.add_column(escape(run), justify="right")
        if place:
            table.add_column("fewer errors", justify="right")
    for row in summary.rows:
        cells = [escape(row.label)]
        for run in summary.runs:
            score = row.scores[run]
            spread = f" [dim]({_span(score.interval, joint='–')})[/]" if summary.has_intervals else ""
            cells.append(f"[bold]{100 * score.wer:.1f}[/]{spread}")
            if run in row.changes:
                cells.append(_rich_change(row.changes[run], summary.has_intervals))
        table.add_row(*cells, end_section=row is summary.rows[-2] if len(summary.rows) > 1 else False)
    (console or RichConsole()).print(table)
    return summary


def _rich_change(change: Change, has_intervals: bool) -> str:
    colour = "green" if change.reduction > 0 else "red"
    style = f"bold {colour}" if change.clear else "default"
    spread = f" [dim]({_span(change.interval, 0)})[/]" if has_intervals else ""
    return f"[{style}]{_gain(change.reduction)}[/]{spread}"


def headline(summary: Summary) -> str:
    """Say the outcome in one sentence."""
    last = summary.runs[-1]
    parts = [_altered(summary), (summary.row(CLEAN), "on clean speech")]
    known = [(row, where) for row, where in parts if row is not None]
    if len(summary.runs) == 1:
        said = " and ".join(f"{percent(row.scores[last].wer)} {where}" for row, where in known)
        return f"Words wrong with {last}: {said}."
    said = " and ".join(_outcome(row, where, summary) for row, where in known)
    base = "no augmentation" if summary.runs[0] == "none" else summary.runs[0]
    return f"Compared with {base}, {last} makes {said}."


def _altered(summary: Summary) -> tuple[Row | None, str]:
    """Return the row that stands for all conditions but clean, and what to call them."""
    rows = [row for row in summary.rows if row.condition not in (CLEAN, NOISY_MEAN)]
    if len(rows) < 2:
        return (rows[0], f"in {rows[0].label}") if rows else (None, "")
    kinds = {"noise" if snr_db(row.condition) is not None else row.condition for row in rows}
    where = {frozenset({"noise"}): "in noise", frozenset({"noise", ROOM}): "in noise and rooms"}
    return summary.row(NOISY_MEAN), where.get(frozenset(kinds), f"in {len(rows)} altered conditions")


def _outcome(row: Row, where: str, summary: Summary) -> str:
    before, after = (row.scores[run].wer for run in (summary.runs[0], summary.runs[-1]))
    change = row.changes[summary.runs[-1]]
    numbers = f"{percent(before)} → {percent(after)} of the words"
    if not change.clear:
        return f"about as many errors {where} ({numbers}; the difference may be chance)"
    kind = "fewer" if change.reduction > 0 else "more"
    return f"{100 * abs(change.reduction):.0f}\N{NO-BREAK SPACE}% {kind} errors {where} ({numbers})"


def basis(summary: Summary) -> str:
    """Say what the intervals rest on, or that there are none."""
    if not summary.has_intervals:
        return "too few utterances for an interval"
    level = f"{100 * LEVEL:.0f}\N{NO-BREAK SPACE}% intervals"
    if summary.blocks == "speakers":
        return f"{level}, drawing again from {summary.block_count} speakers"
    return f"{level}, drawing again from {summary.block_count} groups of utterances, for these speakers only"


def percent(value: float) -> str:
    """Format a rate: 0.2345 is ``23.4 %`` with a space that does not break."""
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def _span(interval: Interval, digits: int = 1, joint: str = " to ") -> str:
    low, high = (f"{100 * value:.{digits}f}".replace("-", MINUS) for value in (interval.low, interval.high))
    return f"{low}{joint}{high}"


def _gain(value: float) -> str:
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%".replace("-", MINUS)


def _breakable(name: str) -> Markup:
    """Let a long name break after its underscores."""
    from markupsafe import Markup, escape

    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def _example(example: Mapping[str, Any], summary: Summary) -> dict[str, Any]:
    before, after = example["before"], example["after"]
    longest = max(seconds(before), seconds(after)) or 1.0
    pictures = spectrogram_uris(before, after)
    sides = [
        {
            "name": name,
            "picture": picture,
            "audio": audio_uri(*recording),
            "seconds": seconds(recording),
            "width": 100 * seconds(recording) / longest,
            "khz": recording[1] / 2_000,
        }
        for name, picture, recording in zip(("before", "after"), pictures, (before, after), strict=True)
    ]
    row = summary.row(example["title"])
    texts = {"title": row.label if row else example["title"], "reference": example["reference"]}
    return {**texts, "hypotheses": example["hypotheses"], "sides": sides}


def describe(policy: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, str]]:
    """Put a policy, as ``to_dict()`` gives it, into words: pairs of depth and line.

    Example:
        >>> noise = {"class_path": "speechaug.AddNoise", "init_args": {"snr_db": [0.0, 20.0], "p": 0.8}}
        >>> list(describe(noise))
        [(0, 'AddNoise on 80\\xa0% of the utterances: snr 0 to 20 dB')]
    """
    arguments = policy.get("init_args", {})
    name = str(policy["class_path"]).rpartition(".")[2]
    chance = arguments.get("p", 1.0)
    share = "" if chance == 1.0 else f" on {100 * chance:g}\N{NO-BREAK SPACE}% of the utterances"
    given = {key: value for key, value in arguments.items() if key not in _NOT_SAID and value not in (None, [], ())}
    said = [_argument(key, value) for key, value in given.items()]
    said = [_MEMBERS[name], *said] if name in _MEMBERS else said
    yield depth, f"{name}{share}" + (f": {', '.join(said)}" if said else "")
    for member in arguments.get("members", ()):
        yield from describe(member, depth + 1)


def _argument(name: str, value: object) -> str:
    stem, _, suffix = name.rpartition("_")
    unit = UNITS.get(suffix, "") if stem else ""
    ends = dict.fromkeys(value if isinstance(value, (list, tuple)) else [value])  # a range of one value says it once
    shown = " to ".join(_number(end) for end in ends)
    return f"{(stem if unit else name).replace('_', ' ')} {shown} {unit}".rstrip()


def _number(value: object) -> str:
    return f"{value:g}".replace("-", MINUS) if isinstance(value, (int, float)) else str(value)


def _yaml(policy: Mapping[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(dict(policy), sort_keys=False, allow_unicode=True)
    return text
