"""Whole pages, from the plain data of a results file."""

from __future__ import annotations

from typing import Any

from benchmarks import table
from benchmarks.first_call import FirstCall
from benchmarks.goals import SHAPE, cuda_verdicts, verdicts
from benchmarks.machine import quiet
from benchmarks.results import Run
from benchmarks.scaling import Scaling, slope
from benchmarks.text import markdown, number


def where(machine: dict[str, Any], others: list[float]) -> str:
    """Return the lines that say what a figure depends on.

    Args:
        machine: what :func:`benchmarks.machine.describe` found, and the load after the run.
        others: cores that other processes kept busy, row by row.
    """
    gpu = f"{machine['gpu']}, CUDA {machine['cuda']}; " if "gpu" in machine else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    loads = " ".join(map(str, machine["load_before"])), " ".join(map(str, machine.get("load_after", [])))
    if not others:
        state = "What other processes did is not known: not a quiet run."
    else:
        mean, most = sum(others) / len(others), max(others)
        judged = "Quiet" if quiet(others) else "**NOT QUIET, ratios are in doubt**"
        state = f"{judged}: other processes kept {mean:.2f} cores busy, {most:.2f} in the worst row."
    hardware = f"{gpu}{machine['cpu']} ({' '.join(machine['flags'])}), {machine['cores']} cores used at most"
    return (
        f"{hardware}, {machine['system']}, Python {machine['python']}.\n{versions}.\n"
        f"Commit {machine['commit']}, {machine['date']}. {state} "
        f"Load average before: {loads[0]}, after: {loads[1]}.\n"
    )


LEGEND = """Milliseconds: median (20th to 80th percentile) of interleaved rounds in one process. All: draw, transfer and
apply; a ratio is a peer's median, its own draws included, over that. GB/s: what apply reads and writes, once each,
beside a copy of as many bytes. Peak MB: growth of the resident set's high-water mark in one call (on a GPU: of what
torch allocated), result included.
"""


def speed(content: dict[str, Any]) -> str:
    """Return the goals, then every shape and number of threads."""
    run = Run.from_dict(content)
    device = run.machine["device"]
    judged = verdicts(run.results) if device == "cpu" else cuda_verdicts(run.results)
    parts = [where(run.machine, run.others), LEGEND]
    if judged:
        shape = f"{SHAPE[0]} x {SHAPE[1]:g} s; " if device == "cpu" else ""
        parts.append(f"### Goals\n\n{shape}ratio of medians, everything (draw, transfer, apply) counted.\n")
        parts.append(table.goals(judged))
    for rows, seconds, threads in dict.fromkeys((r.rows, r.seconds, r.threads) for r in run.results):
        some = [r for r in run.results if (r.rows, r.seconds, r.threads) == (rows, seconds, threads)]
        named = f"{threads} thread" + ("s" if threads > 1 else "")
        parts.append(f"### {rows} x {seconds:g} s, {named}\n\n{table.ours(some)}")
        parts += [text for text in (table.device_times(some),) if text]
        parts.append(table.peers(some))
    return "\n".join(parts)


def growth(content: dict[str, Any]) -> str:
    """Return the costs per second of audio, and with what power of the size the whole cost grows."""
    lines = [Scaling(**line) for line in content["rows"]]
    by_rows = [f"{size} rows" for size in next((line.by_rows for line in lines if not line.failed), {})]
    by_seconds = [f"{size} s" for size in next((line.by_seconds for line in lines if not line.failed), {})]
    head = ["row", *by_rows, "power", *by_seconds, "power"]
    cells = []
    for line in lines:
        if line.failed:
            cells.append([line.title, f"**FAILED**: {line.failed}", *[""] * (len(head) - 2)])
            continue
        rows, seconds = ([number(value) for value in costs.values()] for costs in (line.by_rows, line.by_seconds))
        powers = [number(slope(costs)) for costs in (line.by_rows, line.by_seconds)]
        cells.append([line.title, *rows, powers[0], *seconds, powers[1]])
    about = "Microseconds per second of audio, one thread: rows of 4 s, then 8 rows. Power 1 is linear.\n"
    return "\n".join([where(content["machine"], content["others"]), about, markdown(head, cells)])


def first_calls(content: dict[str, Any]) -> str:
    """Return what compiling costs: the first call with nothing on disk, with all on disk, a later one."""
    lines = [FirstCall(**line) for line in content["rows"]]
    cells = [
        [
            line.title,
            *map(number, (line.empty_s, line.kept_s, line.later_s)),
            line.failed and f"**FAILED**: {line.failed}",
        ]
        for line in lines
    ]
    head = ["row", "first call ever, s", "first call of a process, s", "later call, s", ""]
    about = "A batch of 4 x 1 s, each row in processes of its own with a cache of kernels of its own.\n"
    return "\n".join([where(content["machine"], content["others"]), about, markdown(head, cells)])


SECTIONS = {
    "speed": ("Speed", speed),
    "scaling": ("Growth with the audio", growth),
    "first_call": ("First call", first_calls),
}
"""What a results file may hold: a heading, and what makes the page."""


def page(section: str, content: dict[str, Any]) -> str:
    """Return one section."""
    heading, make = SECTIONS[section]
    return f"## {heading}\n\n{make(content)}"


def whole(data: dict[str, Any]) -> str:
    """Return the page of a results file."""
    parts = [page(section, data[section]) for section in SECTIONS if section in data]
    return "\n".join(["# Benchmark\n\nMade by `python -m benchmarks`; see its `--help`.\n", *parts])
