"""What rendering the robustness suite costs: ``python -m benchmarks.suite``.

Each corruption is rendered as an evaluation does it, one utterance alone on one thread, all its severities in turn, in
rounds interleaved with audiomentations where that has the effect. ``--whole`` also renders every condition of 100
utterances of 5 s in two processes, against the clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from benchmarks.machine import Others, describe
from benchmarks.measure import use_threads
from benchmarks.progress import progress
from benchmarks.results import FOLDER
from speechaug import audio
from speechaug.robustness.catalogue import SOUNDS
from speechaug.robustness.render import render
from speechaug.robustness.suite import Condition, load_suite

RATE = 16_000
SECONDS = 5.0
UTTERANCES = 100
PROCESSES = 2
GOAL_S = 180.0
"""Of the whole suite of 100 utterances of 5 s on two cores."""

Samples = NDArray[np.float32]
Call = Callable[[Samples], object]


class Line(NamedTuple):
    """One corruption: median ms for a second of speech, and that of audiomentations, if it has the effect."""

    corruption: str
    severities: int
    ms: float
    other_ms: float | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line says; returns the exit code: 1 where the whole suite misses its goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, of which the median counts (7)")
    parser.add_argument("--whole", action="store_true", help="also render the full suite of 100 utterances of 5 s")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write suite.md there (benchmarks/results)")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    use_threads(1)
    others = Others()
    lines = measure(options.rounds)
    whole_s = whole() if options.whole else None
    page = table(lines, whole_s, others.cores())
    print(page)
    folder = options.output or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.md").write_text(page, encoding="utf-8")
    print(f"Wrote suite.md in {folder}", file=sys.stderr)
    return 1 if whole_s is not None and whole_s > GOAL_S else 0


def measure(rounds: int) -> list[Line]:
    """Time every corruption of the full suite."""
    suite = load_suite("full", sample_rate=RATE)
    names = dict.fromkeys(c.corruption for c in suite.conditions if c.policy is not None)
    x, lines = speech(0), []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, progress(float(len(names))) as step:
        peers = audiomentations(Path(folder))
        for name in names:
            step(name, 1.0)
            steps = [condition for condition in suite.conditions if condition.corruption == name]
            lines.append(_line(name, steps, peers.get(name), x, rounds))
    return lines


def _line(name: str, steps: Sequence[Condition], peer: Call | None, x: Samples, rounds: int) -> Line:
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds + 1):  # the first compiles and fills caches
        for condition in steps:
            ours.append(_timed(partial(render, condition, x, RATE, id=f"utt-{number}")))
            if peer is not None:
                theirs.append(_timed(partial(peer, x)))
    kept = slice(len(steps), None)
    return Line(name, len(steps), median(ours[kept]), median(theirs[kept]) if theirs else None)


def _timed(call: Callable[[], object]) -> float:
    """Return ms for a second of speech."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3 / SECONDS


@cache
def speech(number: int) -> Samples:
    """Make an utterance: noise that swells as syllables do."""
    rng = np.random.default_rng(number)
    moments = np.arange(round(SECONDS * RATE)) / RATE
    swell = np.abs(np.sin(2.0 * np.pi * 2.0 * moments)) * (np.sin(2.0 * np.pi * 0.37 * moments) < 0.6)
    samples: Samples = (0.1 * rng.standard_normal(len(moments)) * swell).astype(np.float32)
    return samples


def audiomentations(folder: Path) -> dict[str, Call]:
    """Return its transforms by the name of ours, at about the middle severity; nothing where it is not installed."""
    try:
        import audiomentations as am
    except ImportError:
        return {}
    room = folder / "rooms"
    for number in range(2):
        audio.write(room / f"{number}.wav", audio.read(SOUNDS / "rooms" / "t60_0.6" / f"{'ab'[number]}.flac")[0], RATE)
    noises = {kind: str(SOUNDS / kind) for kind in ("noise", "music", "babble")}

    def background(kind: str) -> Any:
        return am.AddBackgroundNoise(noises[kind], 10.0, 10.0, p=1.0)

    made: dict[str, Any] = {
        "white": am.AddGaussianSNR(10.0, 10.0, p=1.0),
        "pink": am.AddColorNoise(10.0, 10.0, p=1.0, min_f_decay=-3.01, max_f_decay=-3.01),
        "brown": am.AddColorNoise(0.0, 0.0, p=1.0, min_f_decay=-6.02, max_f_decay=-6.02),
        "environment": background("noise"),
        "music": background("music"),
        "competing_talker": background("babble"),
        "room": am.ApplyImpulseResponse(str(room), p=1.0),
        "low_pass": am.LowPassFilter(2_000.0, 2_000.0, 48, 48, p=1.0),
        "high_pass": am.HighPassFilter(1_000.0, 1_000.0, 48, 48, p=1.0),
        "bit_crush": am.BitCrush(7, 7, p=1.0),
        "clipping": am.ClippingDistortion(7, 7, p=1.0),
        "tempo_up": am.TimeStretch(1.4, 1.4, leave_length_unchanged=False, p=1.0),
        "tempo_down": am.TimeStretch(0.7, 0.7, leave_length_unchanged=False, p=1.0),
        "pitch_up": am.PitchShift(4.0, 4.0, p=1.0),
        "pitch_down": am.PitchShift(-4.0, -4.0, p=1.0),
        "speed_up": am.Resample(round(RATE / 1.4), round(RATE / 1.4), p=1.0),
        "speed_down": am.Resample(round(RATE / 0.7), round(RATE / 0.7), p=1.0),
        "bass": am.LowShelfFilter(250.0, 250.0, 18.0, 18.0, 0.7, 0.7, p=1.0),
        "treble": am.HighShelfFilter(2_500.0, 2_500.0, 18.0, 18.0, 0.7, 0.7, p=1.0),
        "device_eq": am.SevenBandParametricEQ(-9.0, 9.0, p=1.0),
    }
    return {name: partial(transform, sample_rate=RATE) for name, transform in made.items()}


class _Everything(Dataset[float]):
    """The full suite, one condition of one utterance at a time."""

    def __init__(self) -> None:
        self.suite = load_suite("full", sample_rate=RATE)

    def __len__(self) -> int:
        return UTTERANCES * len(self.suite)

    def __getitem__(self, number: int) -> float:
        utterance, condition = divmod(number, len(self.suite))
        return float(len(render(self.suite.conditions[condition], speech(utterance), RATE, id=str(utterance)).samples))


def whole() -> float:
    """Return the seconds that the full suite of 100 utterances takes in two processes."""
    began = time.perf_counter()
    with progress(float(UTTERANCES)) as step:
        loader = DataLoader(_Everything(), batch_size=UTTERANCES, num_workers=PROCESSES)
        for number, _ in enumerate(loader):
            step(f"{number + 1} of {len(loader)} parts", UTTERANCES / len(loader))
    return time.perf_counter() - began


def table(lines: Sequence[Line], whole_s: float | None, busy: float | None) -> str:
    """Return the page."""
    machine = describe("cpu")
    total_s = sum(line.ms * line.severities for line in lines) * SECONDS * UTTERANCES / 1e3
    head = [
        "# Rendering the robustness suite",
        "",
        f"{machine['cpu']}, one thread, {SECONDS:g} s of speech at {RATE // 1000} kHz, median over all severities; "
        f"audiomentations {machine['versions']['audiomentations']} at the middle one, in the same rounds."
        + (f" Other processes used {busy:.1f} cores." if busy is not None else ""),
        "",
        f"All of it for {UTTERANCES} utterances: {total_s:.0f} s of one core"
        + (f"; measured in {PROCESSES} processes: {whole_s:.0f} s (goal {GOAL_S:.0f} s)." if whole_s else "."),
        "",
        "| corruption | ms per second of speech | audiomentations | ratio |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *map(_row, lines)]) + "\n"


def _row(line: Line) -> str:
    if line.other_ms is None:
        return f"| `{line.corruption}` | {line.ms:.2f} | - | - |"
    return f"| `{line.corruption}` | {line.ms:.2f} | {line.other_ms:.2f} | {line.other_ms / line.ms:.1f}x |"


if __name__ == "__main__":
    sys.exit(main())
