"""What the first call costs: kernels compile once, and are kept on disk from then on.

``python -m benchmarks.first_call ROW DEVICE`` prints the seconds of the first two calls in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.batch import Batch
from benchmarks.race import Entrant, call
from benchmarks.rows import rows
from benchmarks.subject import stages

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class FirstCall:
    """Seconds of a row's first call with nothing compiled, with all compiled earlier, and of a later call."""

    row: str
    title: str
    empty_s: float | None = None
    kept_s: float | None = None
    later_s: float | None = None
    failed: str = ""


def measure(name: str, device: str) -> FirstCall:
    """Start two processes with a cache of their own, the first to fill it."""
    title = rows()[name].title
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
        caches = {"NUMBA_CACHE_DIR": folder, "TRITON_CACHE_DIR": folder}
        try:
            (empty, _), (kept, later) = (_start(name, device, caches) for _ in range(2))
        except (subprocess.SubprocessError, ValueError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().split("\n")[-1]
            return FirstCall(name, title, failed=said[:120])
    return FirstCall(name, title, empty, kept, later)


def _start(name: str, device: str, caches: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.first_call", name, device]
    done = subprocess.run(
        command, cwd=_ROOT, env={**os.environ, **caches}, capture_output=True, text=True, timeout=600, check=True
    )
    first, second = json.loads(done.stdout.strip().split("\n")[-1])
    return float(first), float(second)


def _calls(name: str, device: str) -> list[float]:
    """Return the seconds of two calls; the batch is made, and a GPU started, before."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        batch = Batch(4, 1.0, device, Path(folder))
        entrant = Entrant(name, stages(rows()[name].make(batch), batch))
        return [round(sum(call(entrant, number, batch.device).values()), 4) for number in range(2)]


if __name__ == "__main__":
    print(json.dumps(_calls(sys.argv[1], sys.argv[2])))
