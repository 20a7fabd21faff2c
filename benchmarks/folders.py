"""Measure a folder job beside the script one would write with audiomentations: same files, effects and processes.

Each run is a process of its own, its imports included, and the two take turns. Both read every file once and write
three copies of it as FLAC of 16 bits; ours also writes the manifest, with hashes and all that was drawn.
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
    """

    src: str
    dst: str
    noise: str
    rooms: str
    copies: int
    workers: int
    limit: int


def speechaug(job: Job) -> None:
    """Do it by ``augment_folder``."""
    import speechaug as sa

    policy = sa.Compose(
        [
            sa.TimeStretch(rate=(0.9, 1.1), p=0.5),
            sa.PitchShift(semitones=(-2.0, 2.0), p=0.5),
            sa.TimeShift(p=0.5),
            sa.Reverb(bank=sa.Bank(job.rooms, sample_rate=16_000), p=0.5),
            sa.AddNoise(bank=sa.Bank(job.noise, sample_rate=16_000), snr_db=(5.0, 20.0), p=0.5),
            sa.AddColoredNoise(snr_db=(10.0, 30.0), p=0.5),
            sa.LowPass(cutoff_hz=(2_000.0, 7_500.0), p=0.5),
            sa.HighPass(cutoff_hz=(50.0, 300.0), p=0.5),
            sa.Clipping(threshold_db=(-10.0, 0.0), p=0.5),
            sa.Gain(gain_db=(-6.0, 6.0), p=0.5),
        ]
    )
    done = sa.augment_folder(
        job.src, job.dst, policy, copies=job.copies, workers=job.workers, limit=job.limit or None, progress=False
    )
    for failure in done.failures:
        print(f"{failure.id}: {failure.reason}", file=sys.stderr)


def audiomentations(job: Job) -> None:
    """Do it by a pool of processes, each of which reads, augments and writes a file at a time."""
    names = recordings(job)
    with Pool(job.workers, _prepare, (job,)) as pool:
        for failed in filter(None, pool.imap_unordered(_augment, names, chunksize=8)):
            print(failed, file=sys.stderr)


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
            am.TimeStretch(0.9, 1.1, leave_length_unchanged=False),
            am.PitchShift(-2.0, 2.0),
            am.Shift(rollover=False),
            am.ApplyImpulseResponse(job.rooms),
            am.AddBackgroundNoise(job.noise, 5.0, 20.0),
            am.AddColorNoise(10.0, 30.0),
            am.LowPassFilter(2_000.0, 7_500.0),
            am.HighPassFilter(50.0, 300.0),
            am.ClippingDistortion(0, 10),
            am.Gain(-6.0, 6.0),
        ]
    )  # each with a probability of 0.5, which is their default


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
        RUNS[options.run](Job(options.src, options.dst, options.noise, options.rooms, *_numbers(options)))
        return
    taken: dict[str, list[float]] = {name: [] for name in RUNS}
    made: dict[str, float] = {}
    # Deleted in the end: where many files were deleted a moment ago, some file systems make new ones slowly.
    with tempfile.TemporaryDirectory(prefix="folders-", dir=options.dst) as root:
        for number in range(options.rounds):
            for name in sorted(RUNS, reverse=number % 2 == 1):
                folder = os.path.join(root, f"{name}-{number}")
                os.mkdir(folder)
                started = time.perf_counter()
                subprocess.run([*_command(options), "--run", name, "--dst", folder], check=True)
                taken[name].append(time.perf_counter() - started)
                made[name] = hours(folder)
                print(f"  round {number + 1}: {name} {taken[name][-1]:.1f} s, {made[name]:.2f} h", file=sys.stderr)
    for name, times in taken.items():
        middle = statistics.median(times)
        print(f"{name:16} {middle:6.1f} s, {made[name] / middle:.4f} hours of audio per second")
    pairs = zip(taken["audiomentations"], taken["speechaug"], strict=True)
    print(f"audiomentations takes {statistics.median(theirs / ours for theirs, ours in pairs):.2f} times as long")


def _command(options: argparse.Namespace) -> list[str]:
    places = ["--noise", options.noise, "--rooms", options.rooms]
    named = zip(("copies", "workers", "limit"), _numbers(options), strict=True)
    numbers = [f"--{name}={value}" for name, value in named]
    return [sys.executable, "-m", "benchmarks.folders", options.src, *places, *numbers]


def _numbers(options: argparse.Namespace) -> tuple[int, int, int]:
    return options.copies, options.workers, options.limit


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
    parser.add_argument("--rounds", type=int, default=3, help="of both (3)")
    parser.add_argument("--dst", help="where to write, and to delete again (a temporary folder)")
    parser.add_argument("--run", choices=sorted(RUNS), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
