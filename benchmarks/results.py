"""What a run found, as plain data: written as JSON beside the table, read back for the README."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Spread:
    """Milliseconds per call: median, 20th and 80th percentile, and of how many calls."""

    p20: float
    p50: float
    p80: float
    rounds: int

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        """Summarise times.

        Example:
            >>> Spread.of([0.001, 0.002, 0.003])
            Spread(p20=1.4, p50=2.0, p80=2.6, rounds=3)
        """
        low, middle, high = (float(f"{value * 1e3:.4g}") for value in np.percentile(seconds, [20, 50, 80]))
        return cls(low, middle, high, len(seconds))


@dataclass(frozen=True)
class Measured:
    """One library on one row: its times, or why there are none."""

    name: str
    ms: Spread | None = None
    note: str = ""
    memory_mb: float | None = None


@dataclass(frozen=True)
class Result:
    """One row on one shape with one number of threads.

    Args:
        row: its name.
        title: of the row.
        rows: utterances in the batch.
        seconds: length of each.
        threads: of torch and of our kernels.
        ours: with the time of all stages together.
        stages: draw, transfer and apply apart.
        copy: a copy of as many bytes as the row reads and writes.
        bytes: read and written, once each.
        peers: the others.
        failed: what the gate found wrong; there are no times then.
        others: cores that other processes kept busy meanwhile.
        device: what only a CUDA device has: ``"apply"`` by its own clock, ``"graph"`` replayed, whole and ``"graph
            apply"`` alone, ``"CPU"`` ours on the CPU beside it.
    """

    row: str
    title: str
    rows: int
    seconds: float
    threads: int
    ours: Measured = Measured("speechaug")
    stages: dict[str, Spread] = field(default_factory=dict)
    copy: Spread | None = None
    bytes: int = 0
    peers: tuple[Measured, ...] = ()
    failed: str = ""
    others: float | None = None
    device: dict[str, Measured] = field(default_factory=dict)

    @property
    def speed(self) -> float | None:
        """Seconds of audio per second."""
        return self.rows * self.seconds * 1e3 / self.ours.ms.p50 if self.ours.ms else None

    @property
    def fastest(self) -> Measured | None:
        """The fastest peer."""
        timed = [(peer.ms.p50, peer) for peer in self.peers if peer.ms]
        return min(timed, key=lambda pair: pair[0])[1] if timed else None

    def ratio(self, *names: str, stage: str = "") -> float | None:
        """Return the median of the fastest of some peers, all without a name, over ours (or over one stage of ours)."""
        times = [peer.ms.p50 for peer in self.peers if peer.ms and (not names or peer.name in names)]
        own = self.stages.get(stage) if stage else self.ours.ms
        return min(times) / own.p50 if times and own else None

    def bandwidth(self) -> tuple[float, float] | None:
        """Return GB/s of the apply stage, and of the copy; on a GPU by the device's own clock, where there is one."""
        apply = self.device["apply"].ms if "apply" in self.device else self.stages.get("apply")
        if apply is None or self.copy is None:
            return None
        return self.bytes / apply.p50 / 1e6, self.bytes / self.copy.p50 / 1e6

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Result:
        """Rebuild what ``dataclasses.asdict`` made."""

        def spread(found: dict[str, Any] | None) -> Spread | None:
            return Spread(**found) if found else None

        def measured(found: dict[str, Any]) -> Measured:
            return Measured(**{**found, "ms": spread(found["ms"])})

        kept = {
            "ours": measured(data["ours"]),
            "stages": {name: Spread(**found) for name, found in data["stages"].items()},
            "copy": spread(data["copy"]),
            "peers": tuple(map(measured, data["peers"])),
            "device": {name: measured(found) for name, found in data["device"].items()},
        }
        return cls(**{**data, **kept})


@dataclass(frozen=True)
class Run:
    """The speeds measured in one go, and where: one section of a results file."""

    machine: dict[str, Any]
    results: list[Result]

    @property
    def others(self) -> list[float]:
        """Cores that other processes kept busy, row by row."""
        return [result.others for result in self.results if result.others is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"machine": self.machine, "results": [dataclasses.asdict(result) for result in self.results]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Run:
        """Rebuild what :meth:`to_dict` returned."""
        return cls(data["machine"], [Result.from_dict(found) for found in data["results"]])


def load(path: Path) -> dict[str, Any]:
    """Return the sections of a results file; none where there is no file."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return data


def save(path: Path, section: str, content: dict[str, Any]) -> dict[str, Any]:
    """Put one section into a results file, leave the others, and return them all."""
    data = {**load(path), section: content}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, separators=(",", ":")).replace('{"row"', '\n{"row"') + "\n", encoding="utf-8")
    return data
