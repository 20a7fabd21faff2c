"""The tables of a run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.goals import Verdict
from benchmarks.machine import QUIET
from benchmarks.results import Measured, Result
from benchmarks.text import markdown, number, ratio, times


def ours(results: Sequence[Result]) -> str:
    """Return what ours took, stage by stage, and how it compares with a copy and with the fastest peer."""
    head = ["row", "draw", "transfer", "apply, ms", "all, ms", "audio s / s", "GB/s", "copy GB/s", "peak MB"]
    return markdown([*head, "fastest peer", "ratio"], map(_our_line, results))


def _our_line(result: Result) -> list[str]:
    if result.failed:
        return [result.title, *[""] * 8, f"**FAILED**: {result.failed}", ""]
    stages = [number(result.stages[name].p50) if name in result.stages else "" for name in ("draw", "transfer")]
    rates, fastest = result.bandwidth() or (None, None), result.fastest
    return [
        result.title + busy(result.others),
        *stages,
        times(result.stages.get("apply")),
        number(result.ours.ms.p50 if result.ours.ms else None),
        number(result.speed),
        *map(number, rates),
        number(result.ours.memory_mb),
        fastest.name if fastest else "",
        ratio(result.ratio()),
    ]


def busy(others: float | None) -> str:
    """Mark a row during which the machine had other work."""
    return f" (others: {others:.1f} cores)" if others is not None and others > QUIET else ""


def peers(results: Sequence[Result]) -> str:
    """Return every peer of every row: its times, or why it has none."""
    head = ["row", "peer", "note", "ms", "ratio", "peak MB"]
    lines = [_peer_line(result, peer) for result in results if not result.failed for peer in result.peers]
    return markdown(head, lines, left=3) if lines else "No peers.\n"


def _peer_line(result: Result, peer: Measured) -> list[str]:
    if peer.ms is None:
        return [result.title, peer.name, peer.note, "", "", ""]
    own = result.ratio(peer.name)
    return [result.title, peer.name, peer.note, times(peer.ms), ratio(own), number(peer.memory_mb)]


def goals(judged: Sequence[Verdict]) -> str:
    """Return the goals beside what was measured, for all stages together and for apply alone."""
    head = ["operation", "against", "threads", "at least", "measured", "apply alone", ""]
    lines = [
        [
            verdict.title,
            verdict.against,
            str(verdict.threads) if verdict.threads else "",
            number(verdict.at_least, 6),
            number(verdict.measured),
            number(verdict.apply_alone),
            verdict.word,
        ]
        for verdict in judged
    ]
    return markdown(head, lines, left=2)


def device_times(results: Sequence[Result]) -> str:
    """Return what only a GPU has: its own clock, the CUDA graph, the CPU of the same machine."""
    head = ["row", "device ms", "share of copy", "graph, ms", "CPU, ms", "CPU / GPU"]
    lines = []
    for result in results:
        if not result.device:
            continue
        parts = {name: result.device.get(name) for name in ("apply", "graph", "CPU")}
        rates, cpu = result.bandwidth(), parts["CPU"].ms if parts["CPU"] else None
        cells = [times(part.ms) or part.note if part else "" for part in parts.values()]
        share = f"{rates[0] / rates[1]:.0%}" if rates else ""
        times_faster = cpu.p50 / result.ours.ms.p50 if cpu and result.ours.ms else None
        lines.append([result.title, cells[0], share, *cells[1:], ratio(times_faster)])
    return markdown(head, lines) if lines else ""
