"""Measure a folder job beside the script one would write with audiomentations: same files, effects and processes.

Each run is a process of its own, and the two take turns. Both read every file once and write three copies of it as
FLAC of 16 bits; ours also writes the manifest, with hashes and all that was drawn. Two times are told: that of the
whole process, and that of the job alone, after the libraries were imported.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple

import soundfile

EXAMPLES = """
examples:
  python -m benchmarks.folders speech/ --noise noise/ --rooms rir/
  python -m benchmarks.folders speech/ --noise noise/ --rooms rir/ --limit 300 --rounds 1    a first look
"""


class Job(NamedTuple):
    """What both do.

    Attributes:
        src: folder of recordings.
        dst: folder to write to.
        noise: folder of noise.
        rooms: folder of room responses.
        copies: of each recording.
        workers: processes.
        limit: how many recordings, spread evenly over all; 0 for all.
        p: probability of each effect.
    """

    src: str
    dst: str
    noise: str
    rooms: str
    copies: int
    workers: int
    limit: int
    p: float


def speechaug(job: Job) -> float:
    """Do it by ``augment_folder``; return the seconds after imports."""
    import speechaug as sa

    augment_folder, p, started = sa.augment_folder, job.p, time.perf_counter()
    policy = sa.Compose(
        [
            sa.TimeStretch(rate=(0.9, 1.1), p=p),
            sa.PitchShift(semitones=(-2.0, 2.0), p=p),
            sa.TimeShift(p=p),
            sa.Reverb(bank=sa.Bank(job.rooms, sample_rate=16_000), p=p),
            sa.AddNoise(bank=sa.Bank(job.noise, sample_rate=16_000), snr_db=(5.0, 20.0), p=p),
            sa.AddColoredNoise(snr_db=(10.0, 30.0), p=p),
            sa.LowPass(cutoff_hz=(2_000.0, 7_500.0), p=p),
            sa.HighPass(cutoff_hz=(50.0, 300.0), p=p),
            sa.Clipping(threshold_db=(-10.0, 0.0), p=p),
            sa.Gain(gain_db=(-6.0, 6.0), p=p),
        ]
    )
    done = augment_folder(
        job.src, job.dst, policy, copies=job.copies, workers=job.workers, limit=job.limit or None, progress=False
    )
    for failure in done.failures:
        print(f"{failure.id}: {failure.reason}", file=sys.stderr)
    return time.perf_counter() - started


def audiomentations(job: Job) -> float:
    """Do it by a pool of processes, each of which reads, augments and writes a file at a time."""
    import audiomentations  # noqa: F401  # once for all of the pool

    started = time.perf_counter()
    names = recordings(job)
    with Pool(job.workers, _prepare, (job,)) as pool:
        for failed in filter(None, pool.imap_unordered(_augment, names, chunksize=8)):
            print(failed, file=sys.stderr)
    return time.perf_counter() - started


RUNS = {"speechaug": speechaug, "audiomentations": audiomentations}


def recordings(job: Job) -> list[str]:
    """List the recordings, as paths within the folder."""
    known = {f".{name.lower()}" for name in soundfile.available_formats()}
    found = sorted(path for path in Path(job.src).rglob("*") if path.suffix.lower() in known)
    limit = min(job.limit or len(found), len(found))
    return [found[number * len(found) // limit].relative_to(job.src).as_posix() for number in range(limit)]


_worker: dict[str, Any] = {}


def _prepare(job: Job) -> None:
    import audiomentations as am

    warnings.filterwarnings("ignore")
    _worker["job"] = job
    _worker["augment"] = am.Compose(
        [
            am.TimeStretch(0.9, 1.1, leave_length_unchanged=False, p=job.p),
            am.PitchShift(-2.0, 2.0, p=job.p),
            am.Shift(rollover=False, p=job.p),
            am.ApplyImpulseResponse(job.rooms, p=job.p),
            am.AddBackgroundNoise(job.noise, 5.0, 20.0, p=job.p),
            am.AddColorNoise(10.0, 30.0, p=job.p),
            am.LowPassFilter(2_000.0, 7_500.0, p=job.p),
            am.HighPassFilter(50.0, 300.0, p=job.p),
            am.ClippingDistortion(0, 10, p=job.p),
            am.Gain(-6.0, 6.0, p=job.p),
        ]
    )


def _augment(name: str) -> str:
    job, augment = _worker["job"], _worker["augment"]
    try:
        samples, rate = soundfile.read(Path(job.src, name), dtype="float32", always_2d=True)
        path = Path(job.dst, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        for copy in range(1, job.copies + 1):
            y = augment(mono if (mono := samples[:, 0]).size == samples.size else samples.T, sample_rate=rate)
            soundfile.write(path.with_name(f"{path.stem}_aug{copy}.flac"), y.T, rate)
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"
    return ""


def hours(folder: str) -> float:
    """Return how much audio a folder of copies holds."""
    return float(sum(soundfile.info(path).duration for path in Path(folder).rglob("*.flac"))) / 3_600.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both in turns, and print a table of what they took."""
    options = _parser().parse_args(arguments)
    if options.run:
        print(RUNS[options.run](Job(options.src, options.dst, options.noise, options.rooms, *_numbers(options))))
        return
    whole: dict[str, list[float]] = {name: [] for name in RUNS}
    alone: dict[str, list[float]] = {name: [] for name in RUNS}
    made: dict[str, float] = {}
    # Deleted in the end: where many files were deleted a moment ago, some file systems make new ones slowly.
    with tempfile.TemporaryDirectory(prefix="folders-", dir=options.dst) as root:
        for number in range(options.rounds):
            for name in sorted(RUNS, reverse=number % 2 == 1):
                folder = os.path.join(root, f"{name}-{number}")
                os.mkdir(folder)
                started, command = time.perf_counter(), [*_command(options), "--run", name, "--dst", folder]
                told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                whole[name].append(time.perf_counter() - started)
                alone[name].append(float(told))
                made[name] = hours(folder)
                taken = f"{whole[name][-1]:.1f} s, {alone[name][-1]:.1f} s without imports"
                print(f"  round {number + 1}: {name} {taken}, {made[name]:.2f} h", file=sys.stderr)
    for what, times in (("whole process", whole), ("job alone", alone)):
        for name, seconds in times.items():
            middle = statistics.median(seconds)
            spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
            print(
                f"{what:13}  {name:15} {middle:5.1f} s ({spread}), {made[name] / middle:.3f} hours of audio per second"
            )
        pairs = zip(times["audiomentations"], times["speechaug"], strict=True)
        print(f"{what:13}  ratio {statistics.median(theirs / ours for theirs, ours in pairs):.2f}")


def _command(options: argparse.Namespace) -> list[str]:
    places = ["--noise", options.noise, "--rooms", options.rooms]
    named = zip(("copies", "workers", "limit", "p"), _numbers(options), strict=True)
    numbers = [f"--{name}={value}" for name, value in named]
    return [sys.executable, "-m", "benchmarks.folders", options.src, *places, *numbers]


def _numbers(options: argparse.Namespace) -> tuple[int, int, int, float]:
    return options.copies, options.workers, options.limit, options.p


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.folders",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("src", help="folder of recordings")
    parser.add_argument("--noise", required=True, help="folder of noise")
    parser.add_argument("--rooms", required=True, help="folder of room responses")
    parser.add_argument("--copies", type=int, default=3, help="of each recording (3)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (one for each core)")
    parser.add_argument("--limit", type=int, default=0, help="recordings, spread evenly over all (all)")
    parser.add_argument("--p", type=float, default=0.5, help="probability of each of the ten effects (0.5)")
    parser.add_argument("--rounds", type=int, default=3, help="of both (3)")
    parser.add_argument("--dst", help="where to write, and to delete again (a temporary folder)")
    parser.add_argument("--run", choices=sorted(RUNS), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
