"""Everybody in turns, in one process: what slows the machine slows all."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import Spread
from benchmarks.subject import Stages

LEAST_ROUNDS = 3


@dataclass
class Entrant:
    """Somebody who takes part: the stages of a call, and the seconds each took, round by round."""

    name: str
    stages: Stages
    note: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    rounds: int = 0
    error: str = ""

    @property
    def total(self) -> Spread | None:
        """The whole call."""
        times = [sum(parts) for parts in zip(*self.seconds.values(), strict=True)]
        return Spread.of(times) if times else None


def call(entrant: Entrant, number: int, device: torch.device) -> dict[str, float]:
    """Run every stage once and return the seconds of each, what a GPU still has to do included."""
    _reseed(number)
    value: Any = number
    taken = {}
    for name, stage in entrant.stages.items():
        start = time.perf_counter()
        value = stage(value)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken[name] = time.perf_counter() - start
    return taken


def race(entrants: list[Entrant], rounds: int, budget_s: float, device: torch.device) -> None:
    """Time the entrants in interleaved rounds.

    Each is warmed up by two calls, then has as many rounds as fit into its budget, at least three. A call longer than
    twice the budget is not repeated: then the second call is what counts, or the first where even that was longer than
    four budgets. An error ends an entrant's part.
    """
    for entrant in entrants:
        if entrant.error:
            continue
        try:
            once = call(entrant, 0, device)
            if sum(once.values()) <= 4 * budget_s:  # the first call may import and compile
                once = call(entrant, 1, device)
        except Exception as error:
            entrant.error = explained(error)
            continue
        length_s = sum(once.values())
        if length_s > 2 * budget_s:
            entrant.seconds = {name: [taken] for name, taken in once.items()}
        else:
            entrant.rounds = min(rounds, max(LEAST_ROUNDS, int(budget_s / max(length_s, 1e-9))))
    for number in range(rounds):
        turn = number % len(entrants)
        for entrant in entrants[turn:] + entrants[:turn]:
            if number < entrant.rounds:
                for name, taken in call(entrant, number + 2, device).items():
                    entrant.seconds.setdefault(name, []).append(taken)


def explained(error: BaseException) -> str:
    """Say what went wrong in half a line."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text[:90]}" if text else type(error).__name__


def peak_memory_mb(entrant: Entrant, device: torch.device) -> float | None:
    """Return what one call needs beside its input, result included.

    On a GPU what torch allocated at most. On Linux the growth of the resident set's high-water mark, which is set back
    before the call, after freed memory was returned to the system. None elsewhere.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call(entrant, 0, device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        call(entrant, 0, device)
        lines = Path("/proc/self/status").read_text().splitlines()
        highest = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, AttributeError, StopIteration):
        return None
    return max(0.0, highest - resident)


def _reseed(number: int) -> None:
    """Give peers, who draw from global generators, the same numbers in the same round of every run."""
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002  it is the one they use
    torch.manual_seed(number)
