"""What must be reached: how many times faster than whom, and what share of the device's bandwidth."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.results import Measured, Result

SHAPE = (32, 4.0)
"""Utterances and seconds for which the goals against peers hold."""


class Goal(NamedTuple):
    """Our median must be ``at_least`` times shorter than that of the fastest of ``peers``."""

    row: str
    peers: tuple[str, ...]
    at_least: float
    threads: int = 1


_TORCH_FFT = ("torch-audiomentations convolve", "torchaudio", "plain torch")

GOALS = (
    Goal("pitch-shift", ("audiomentations",), 15.0),
    Goal("pitch-shift", ("torch-audiomentations",), 100.0),
    Goal("time-stretch", ("audiomentations",), 40.0),
    Goal("time-stretch", ("torchaudio",), 30.0),
    Goal("speed-any-high", ("soxr HQ",), 1.5),
    Goal("speed-any-fast", ("soxr HQ",), 2.5),
    Goal("speed-one", ("torchaudio",), 1.0),
    Goal("white-noise", ("audiomentations",), 11.0),
    Goal("white-noise", ("torchaudio",), 4.0),
    Goal("background-noise", ("audiomentations",), 9.0),
    Goal("background-noise", ("plain torch",), 3.0),
    Goal("low-pass", ("audiomentations",), 5.0),
    Goal("low-pass", ("torch-audiomentations",), 10.0),
    Goal("reverb", ("audiomentations",), 3.0),
    Goal("reverb", _TORCH_FFT, 1.2),
    Goal("masks", ("torchaudio",), 10.0),
    Goal("masks", ("NeMo vectorised",), 4.0),
    Goal("time-warp", ("lhotse",), 14.0),
    Goal("log-mel", ("torchaudio",), 3.5),
    Goal("policy", ("audiomentations",), 5.0),
    Goal("policy", ("torch-audiomentations",), 20.0),
    Goal("policy", ("audiomentations",), 8.0, threads=2),
    Goal("policy", ("torch-audiomentations",), 20.0, threads=2),
)

CUDA_SHARE_OF_COPY = 0.7
CUDA_SHARE_ROWS = ("Gain", "Polarity", "FrequencyMask", "TimeMask", "masks")
CUDA_SHARE_SHAPE = (64, 15.0)
CUDA_POLICY_SPEED = 500_000.0
"""On a GPU: pointwise and masking kernels against the measured copy; the whole policy in audio seconds per second."""


class Verdict(NamedTuple):
    """A goal beside what was measured; None where that could not be."""

    title: str
    against: str
    threads: int
    at_least: float
    measured: float | None
    apply_alone: float | None
    failed: bool = False

    @property
    def word(self) -> str:
        """Say whether the goal is reached."""
        if self.failed:
            return "**FAILED**"
        if self.measured is None:
            return "not measured"
        return "reached" if self.measured >= self.at_least else "**not reached**"


def named_peers(row: str) -> set[str]:
    """Return the peers that some goal of a row names."""
    return {name for goal in GOALS if goal.row == row for name in goal.peers}


def verdicts(results: list[Result]) -> list[Verdict]:
    """Judge the goals against peers that were measured: those of the rows and threads among the results."""
    known = {(result.row, result.threads): result for result in results if (result.rows, result.seconds) == SHAPE}
    judged = []
    for goal in GOALS:
        result = known.get((goal.row, goal.threads))
        if result is not None:
            ratios = result.ratio(*goal.peers), result.ratio(*goal.peers, stage="apply")
            against, failed = " / ".join(goal.peers), bool(result.failed)
            judged.append(Verdict(result.title, against, goal.threads, goal.at_least, *ratios, failed))
    return judged


def cuda_verdicts(results: list[Result]) -> list[Verdict]:
    """Judge the goals on a GPU, by the device's own clock where kernels are meant."""
    judged = []
    for result in results:
        rates = result.bandwidth()
        if result.row in CUDA_SHARE_ROWS and (result.rows, result.seconds) == CUDA_SHARE_SHAPE:
            share, failed = rates[0] / rates[1] if rates else None, bool(result.failed)
            judged.append(Verdict(result.title, "share of a copy's GB/s", 0, CUDA_SHARE_OF_COPY, share, None, failed))
        if result.row == "policy":
            judged += _policy_speeds(result)
    return judged


def _policy_speeds(result: Result) -> list[Verdict]:
    """The whole policy launch by launch and as a CUDA graph."""
    own = Measured("apply", result.stages.get("apply"))
    timed = {"eager": (result.ours, own)}
    if "graph" in result.device:
        timed["CUDA graph"] = result.device["graph"], result.device.get("graph apply", Measured("graph apply"))
    judged = []
    for name, both in timed.items():
        title = f"{result.title}, {result.rows} x {result.seconds:g} s, {name}"
        speeds = [result.rows * result.seconds * 1e3 / part.ms.p50 if part.ms else None for part in both]
        judged.append(Verdict(title, "audio s / s", 0, CUDA_POLICY_SPEED, speeds[0], speeds[1], bool(result.failed)))
    return judged
