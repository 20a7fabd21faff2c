"""One row on one shape: the gate, then ours, a copy and the peers in interleaved rounds."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import gpu
from benchmarks.batch import Batch
from benchmarks.gate import Gate
from benchmarks.goals import named_peers
from benchmarks.machine import Others
from benchmarks.peers import peers_of
from benchmarks.race import Entrant, explained, peak_memory_mb, race
from benchmarks.results import Measured, Result, Spread
from benchmarks.rows import Row
from benchmarks.subject import Stages, given, stages


class Effort(NamedTuple):
    """How thorough a measurement is.

    Args:
        rounds: at most.
        budget_s: for the rounds of each entrant.
        patience_s: a peer that needs longer for a call, by what it took on an earlier shape, is left out.
        every_peer: or only those that a goal names.
        memory: also measure peak memory.
    """

    rounds: int = 15
    budget_s: float = 2.0
    patience_s: float = 10.0
    every_peer: bool = True
    memory: bool = True


def use_threads(number: int) -> None:
    """Give torch, our kernels and the BLAS of NumPy so many threads."""
    torch.set_num_threads(number)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with librosa; without the NumPy libraries there is nothing to limit
        return
    threadpool_limits(number, user_api="blas")


class Bench:
    """Measures rows; remembers which passed the gate and how long each peer takes.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        folder: for files of the batches.
    """

    def __init__(self, device: str, folder: Path) -> None:
        """Make the gate."""
        self.device = device
        self._gate = Gate(device, folder)
        self._pace: dict[tuple[str, str, int], float] = {}  # seconds of a peer's call per second of audio

    def measure(self, row: Row, batch: Batch, threads: int, effort: Effort) -> Result:
        """Return a row's result; where the gate or our own call fails it has no times."""
        use_threads(threads)
        shell = Result(row.name, row.title, batch.rows, batch.seconds, threads)
        failed = self._gate.failure(row)
        if failed:
            return dataclasses.replace(shell, failed=failed)
        others = Others()
        with torch.no_grad():
            result = self._race(row, batch, effort, shell)
        gc.collect()
        return dataclasses.replace(result, others=_rounded(others.cores()))

    def _race(self, row: Row, batch: Batch, effort: Effort, shell: Result) -> Result:
        subject = row.make(batch)
        ours = Entrant("speechaug", stages(subject, batch))
        try:
            size = _bytes(given(subject, batch), ours.stages)
        except Exception as error:
            return dataclasses.replace(shell, failed=explained(error))
        copying = Entrant("copy", copy_stages(size, batch.device))
        special = gpu.entrants(row, subject, batch) if self.device == "cuda" else []
        peers, out = self._peers(row, batch, effort, shell.threads)
        race([ours, copying, *special, *peers], effort.rounds, effort.budget_s, batch.device)
        for entrant in peers:
            if entrant.total:
                self._pace[row.name, entrant.name, shell.threads] = entrant.total.p50 / 1e3 / batch.audio_s
        finished = [finish(entrant, batch, effort.memory) for entrant in peers]
        own = finish(ours, batch, effort.memory)
        result = dataclasses.replace(
            shell,
            failed=ours.error,
            ours=own,
            stages={name: Spread.of(taken) for name, taken in ours.seconds.items()},
            copy=copying.total,
            bytes=size,
            peers=tuple(sorted([*finished, *out], key=lambda peer: peer.ms.p50 if peer.ms else float("inf"))),
            device=gpu.finished(special),
        )
        return gpu.with_device_clock(result, ours.stages, copying.stages) if self.device == "cuda" else result

    def _peers(self, row: Row, batch: Batch, effort: Effort, threads: int) -> tuple[list[Entrant], list[Measured]]:
        """Return the peers that take part, and those that do not with the reason."""
        taking, out = [], []
        for peer in peers_of(row.name, self.device):
            if not effort.every_peer and peer.library not in named_peers(row.name):
                continue
            expected_s = self._pace.get((row.name, peer.library, threads), 0.0) * batch.audio_s
            if expected_s > effort.patience_s:
                out.append(Measured(peer.library, note=f"left out, needs some {expected_s:.0f} s"))
                continue
            try:
                taking.append(Entrant(peer.library, {"call": _ignoring_round(peer.build(batch))}, note=peer.note))
            except ImportError as error:
                out.append(Measured(peer.library, note=f"absent: {error}"))
            except Exception as error:  # a library that cannot be set up is a result too
                out.append(Measured(peer.library, note=f"fails: {explained(error)}"))
        return taking, out


def finish(entrant: Entrant, batch: Batch, memory: bool) -> Measured:
    """Return what an entrant's race came to; its memory by one more call, where its calls are short."""
    if entrant.error:
        return Measured(entrant.name, note=f"fails: {entrant.error}")
    peak = peak_memory_mb(entrant, batch.device) if memory and entrant.rounds else None
    return Measured(entrant.name, entrant.total, entrant.note, _rounded(peak))


def copy_stages(size: int, device: torch.device) -> Stages:
    """Return a copy that reads and writes ``size`` bytes together."""
    source = torch.ones(size // 8, device=device)
    target = torch.empty_like(source)
    return {"copy": lambda _: target.copy_(source)}


def _bytes(x: Tensor, own: Stages) -> int:
    """Bytes read and written once each."""
    value: Any = 0
    for stage in own.values():
        value = stage(value)
    return x.nbytes + int(value[0].nbytes)


def _ignoring_round(work: Callable[[], object]) -> Callable[[Any], object]:
    return lambda _: work()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
