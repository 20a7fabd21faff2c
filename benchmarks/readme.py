"""The table in the README, made from the results file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.goals import SHAPE, named_peers
from benchmarks.machine import quiet
from benchmarks.results import FOLDER, Result, Run, load
from benchmarks.rows import NAMED
from benchmarks.text import markdown, number, ratio

START, END = "<!-- benchmark:start -->\n", "<!-- benchmark:end -->"
README = Path(__file__).parents[1] / "README.md"
RESULTS = FOLDER / "cpu.json"


def block(run: Run) -> str:
    """Return the lines between the markers: a row with a goal a line, on one thread and on all."""
    of_shape = [result for result in run.results if (result.rows, result.seconds) == SHAPE and result.ours.ms]
    most = max((result.threads for result in of_shape), default=1)
    single, many = ({r.row: r for r in of_shape if r.threads == threads} for threads in (1, most))
    names = [row.name for row in NAMED if row.name in single]
    head = ["operation", "ms", "audio s / s", f"ms, {most} threads", "times as fast as, one thread"]
    lines = [_line(single[name], many.get(name) if most > 1 else None) for name in names]
    machine, state = run.machine, "" if quiet(run.others) else " The machine was not quiet: ratios are in doubt."
    return (
        f"A batch of {SHAPE[0]} x {SHAPE[1]:g} s at 16 kHz on {machine['cpu']}, median; drawing the parameters is "
        f"counted.\nCommit {machine['commit']}, {machine['date'].split()[0]}; versions, spread and more rows in "
        f"`benchmarks/results/cpu.md`.{state}\n\n{markdown(head, lines)}"
    )


def _line(one: Result, all_threads: Result | None) -> list[str]:
    named = [peer for peer in one.peers if peer.ms and peer.name in named_peers(one.row)]
    shown = named or ([one.fastest] if one.fastest else [])
    ratios = ", ".join(f"{peer.name} {ratio(one.ratio(peer.name))}" for peer in shown)
    many = all_threads.ours.ms.p50 if all_threads and all_threads.ours.ms else None
    return [one.title, number(one.ours.ms.p50 if one.ours.ms else None), number(one.speed), number(many), ratios]


def inside(text: str) -> str | None:
    """Return what stands between the markers; None where they are not.

    Example:
        >>> inside("a <!-- benchmark:start -->\\nb\\n<!-- benchmark:end -->")
        'b\\n'
    """
    _, marker, rest = text.partition(START)
    table, end, _ = rest.partition(END)
    return table if marker and end else None


def rewritten(text: str, table: str) -> str:
    """Return a page with another table between its markers.

    Raises:
        ValueError: if the page has no markers.
    """
    if inside(text) is None:
        raise ValueError(f"README: must hold the markers {START.strip()} and {END}, got neither or one")
    before, _, rest = text.partition(START)
    return before + START + table + END + rest.partition(END)[2]


def rewrite(readme: Path = README, results: Path = RESULTS) -> None:
    """Put the table of the results file into the README.

    Raises:
        ValueError: if there are no results, or the README has no markers.
    """
    section = load(results).get("speed")
    if section is None:
        raise ValueError(f"README: {results.name} must hold a run, got none; run python -m benchmarks")
    run = Run.from_dict(section)
    readme.write_text(rewritten(readme.read_text(encoding="utf-8"), block(run)), encoding="utf-8")
