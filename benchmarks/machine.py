"""What a figure depends on: the device, the versions, the commit, and what else the machine was doing."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import speechaug

QUIET = 0.1
"""Cores that other processes may use, on average, in a run that is called quiet."""

_PACKAGES = (
    "torch", "torchaudio", "triton", "numba", "numpy", "scipy", "audiomentations", "python-stretch",
    "torch-audiomentations", "torch-pitch-shift", "speechbrain", "librosa", "soxr", "julius", "pedalboard", "lhotse",
)  # fmt: skip
_FLAGS = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "asimd", "sve")
_ROOT = Path(__file__).parents[1]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Others:
    """CPU time of all other processes since this was made or last asked, from ``/proc/stat``; None where there is none.

    Time stolen by other virtual machines counts as theirs.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self._last = self._now()

    def cores(self) -> float | None:
        """Return how many cores the others kept busy, on average."""
        before, self._last = self._last, self._now()
        if before is None or self._last is None:
            return None
        seconds, busy, own = (now - then for now, then in zip(self._last, before, strict=True))
        return max(0.0, (busy - own) / seconds) if seconds > 0 else None

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        try:
            fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # all but idle and waiting for a disk
        return time.perf_counter(), busy, sum(os.times()[:4])  # own and finished children's, user and system


def load_average() -> list[float]:
    """Return the load average over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


def describe(device: str) -> dict[str, Any]:
    """Return plain data about the machine, the software and the moment."""
    found = {
        "device": device,
        "cpu": _cpu(),
        "flags": [flag for flag in _FLAGS if flag in _cpuinfo("flags").split() + _cpuinfo("Features").split()],
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"speechaug": speechaug.__version__, **{name: _version(name) for name in _PACKAGES}},
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": load_average(),
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = str(torch.version.cuda)
    return found


def quiet(others: list[float]) -> bool:
    """Say whether so little else was going on that ratios can be trusted; no measure of it is no."""
    return bool(others) and sum(others) / len(others) <= QUIET


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def _cpu() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _commit() -> str:
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + (" with uncommitted changes" if changed else "")
