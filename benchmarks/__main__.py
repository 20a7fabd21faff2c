"""Time every transform on a batch, beside audiomentations where it has the effect.

Both sides of a row run interleaved in one process on one thread, after the contract's row-alone check is green. Printed
and written to ``benchmarks/results/cpu.md``: medians with the 20th and 80th percentile.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import speechaug as sa
from speechaug.testing import check_row_alone, example

RATE = 16_000
ROWS, SECONDS = 32, 4


def bank(length: int, decay: float) -> sa.Bank:
    """Return clips of decaying noise."""
    generator = np.random.default_rng(1)
    envelope = np.exp(-np.arange(length) / decay)
    return sa.Bank.from_arrays([generator.standard_normal(length) * envelope * 0.1 for _ in range(8)], sample_rate=RATE)


def subjects() -> list[sa.Transform]:
    """Return every waveform and spectrogram transform at p=1."""
    built = []
    for name, cls in sorted(sa.TRANSFORMS.items()):
        if name in ("Compose", "OneOf", "SomeOf") or not cls.__module__.startswith("speechaug."):
            continue
        transform = example(cls)
        if name in ("AddNoise", "Reverb"):
            transform = dataclasses.replace(
                transform, bank=bank(*((80_000, 1e9) if name == "AddNoise" else (8_000, 1_500.0)))
            )
        built.append(dataclasses.replace(transform, p=1.0))
    return built


def peers() -> dict[str, Callable[[], Any]]:
    """Return audiomentations' transform of the same effect, for each of ours that has one."""
    import audiomentations as am

    return {
        "Gain": lambda: am.Gain(-6.0, 6.0, p=1.0),
        "Polarity": lambda: am.PolarityInversion(p=1.0),
        "AddColoredNoise": lambda: am.AddColorNoise(5.0, 30.0, p=1.0),
        "LowPass": lambda: am.LowPassFilter(2_000.0, 7_500.0, 12, 12, p=1.0),
        "HighPass": lambda: am.HighPassFilter(50.0, 600.0, 12, 12, p=1.0),
        "PitchShift": lambda: am.PitchShift(-3.0, 3.0, p=1.0),
        "TimeStretch": lambda: am.TimeStretch(0.8, 1.25, leave_length_unchanged=False, p=1.0),
        "TimeShift": lambda: am.Shift(-0.1, 0.1, rollover=False, p=1.0),
    }


def timed(work: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def percentiles(values: list[float]) -> str:
    """Return the median with the 20th and 80th percentile."""
    low, middle, high = np.percentile(values, [20, 50, 80])
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def measure(transform: sa.Transform, peer: Any, rounds: int) -> tuple[str, str, str, str]:
    """Return draw, apply and peer times and the ratio, interleaved."""
    check_row_alone(transform)
    spectrogram = transform.domain == "spectrogram"
    shape = (ROWS, 80, 100 * SECONDS) if spectrogram else (ROWS, RATE * SECONDS)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32) * 0.1)
    clips = x.numpy()
    draw, apply, other = [], [], []
    for number in range(rounds + 2):
        rng = sa.Rng.from_ids(seed=0, epoch=number, ids=[str(row) for row in range(ROWS)])
        drawn: list[sa.Draws] = []
        draw.append(timed(lambda rng=rng, drawn=drawn: drawn.append(transform.sample(rng))))
        apply.append(timed(lambda drawn=drawn: transform(x, None, drawn[0], sample_rate=None if spectrogram else RATE)))
        if peer is not None:
            other.append(timed(lambda: [peer(clip, RATE) for clip in clips]))
    draw, apply, other = draw[2:], apply[2:], other[2:]
    ratio = f"{np.median(other) / np.median(np.add(draw, apply)):.1f}" if other else ""
    return percentiles(draw), percentiles(apply), percentiles(other) if other else "", ratio


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    import audiomentations

    table = [
        f"Milliseconds for a batch of {ROWS} x {SECONDS} s ({RATE} Hz; spectrograms of 80 bands, 100 frames/s), "
        f"one thread, medians of {rounds} interleaved rounds (20th to 80th percentile). Plain PyTorch, no kernels yet.",
        "",
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"audiomentations {audiomentations.__version__}, speechaug {sa.__version__}.",
        "",
        "| transform | draw | apply | audiomentations | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    known = peers()
    for transform in subjects():
        name = type(transform).__name__
        row = measure(transform, known[name]() if name in known else None, rounds)
        table.append(f"| {name} | " + " | ".join(row) + " |")
        print(table[-1], flush=True)
    target = Path(__file__).parent / "results" / "cpu.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(table) + "\n", encoding="utf-8")
    print(f"Wrote {target.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main()
