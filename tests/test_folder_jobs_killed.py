"""Folder jobs that are killed: nothing is lost but what was at work, and the end is the same."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechaug.folders import Item, Made, Recording
from speechaug.folders.local import local

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

PROGRAM = """
import sys, time
import speechaug as sa
from speechaug.folders import copies
def slow(path, target, tags, write=copies.copy_writer):
    time.sleep(0.02)
    return write(path, target, tags)
copies.copy_writer = slow
policy = sa.Compose([sa.Speed(factor=(0.8, 1.2)), sa.AddColoredNoise(), sa.LowPass(cutoff_hz=(1_000.0, 3_000.0))])
print(sa.augment_folder(sys.argv[1], sys.argv[2], policy, copies=4, workers=int(sys.argv[3])))
"""


@pytest.fixture
def src(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    for seed in range(15):
        noise = np.random.default_rng(seed).uniform(-0.3, 0.3, 2_000)
        soundfile.write(tmp_path / "src" / f"{seed}.wav", noise, 8_000)
    return tmp_path / "src"


def start(src: Path, dst: Path, workers: int = 2) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, str(src), str(dst), str(workers)]
    return subprocess.Popen(
        words,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background shells hand down an ignored one
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def visible(folder: Path) -> dict[str, str]:
    names = (path for path in folder.rglob("*") if not path.name.startswith("."))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names if path.is_file()}


def finish(src: Path, dst: Path, workers: int = 2) -> str:
    told, errors = start(src, dst, workers).communicate(timeout=120)
    assert errors == ""
    return told


def wait_for(folder: Path, count: int) -> None:
    for _ in range(6_000):
        if len(list(folder.glob("*.flac"))) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} files in a minute")


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_and_resumed(src: Path, tmp_path: Path, kills: int) -> None:
    whole, dst, chance = tmp_path / "whole", tmp_path / "dst", random.Random(kills)
    finish(src, whole, 1)
    expected = visible(whole)
    assert len(expected) == 62
    for number in range(kills):
        at = (number + 1) * 54 // (kills + 1)
        job = start(src, dst)
        wait_for(dst, at)
        time.sleep(chance.uniform(0.0, 0.1))
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
        found = visible(dst)
        assert found.items() <= expected.items(), "a file is there under its name that is not whole"
    told = finish(src, dst)
    assert visible(dst) == expected
    assert not [path for path in dst.iterdir() if path.name.startswith(".")]
    new = int(told.split(", ")[1].split()[0])
    assert new < 60


@pytest.mark.slow
def test_killed_without_its_workers(src: Path, tmp_path: Path) -> None:
    dst = tmp_path / "dst"
    job = start(src, dst)
    wait_for(dst, 8)
    job.kill()
    job.communicate(timeout=30)  # ends when the workers have closed their ends of the pipes
    assert finish(src, dst).startswith("60 files")


def test_stopped_by_ctrl_c(src: Path, tmp_path: Path) -> None:
    job = start(src, tmp_path / "dst")
    wait_for(tmp_path / "dst", 8)
    os.killpg(job.pid, signal.SIGINT)
    _, errors = job.communicate(timeout=30)
    assert errors.strip().endswith("of 60 files are in " + f"{tmp_path / 'dst'}; the same call goes on from there")
    assert not list((tmp_path / "dst").glob(".*.tmp"))
    assert finish(src, tmp_path / "dst").startswith("60 files")


class _Deadly:
    """Work that kills the process at some of its items: each time, or the first time only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, items: Sequence[Item]) -> Iterator[list[Made]]:
        for item in items:
            mark = self.folder / item.recording.id
            if item.recording.id == "always" or (item.recording.id == "once" and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield [Made(item, {"id": item.id})]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_that_are_killed(tmp_path: Path, workers: int) -> None:
    names = ["a", "always", "b", "once", *(str(number) for number in range(200))]
    items = [Item(recording=Recording(id=name, source="", name=name), copy=1) for name in names]
    made = {one.item.recording.id: one for one in local(_Deadly(tmp_path), items, workers)}
    assert len(made) == len(items)
    failed = {name: one.reason for name, one in made.items() if one.row is None}
    assert failed == {"always": "the process at it died 3 times, killed, perhaps for want of memory"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell children")
def test_workers_die_with_the_job(src: Path, tmp_path: Path) -> None:
    slow = PROGRAM.replace("time.sleep(0.02)", "print(os.getpid(), flush=True); time.sleep(60)")
    words = [sys.executable, "-c", f"import os{slow}", str(src), str(tmp_path / "dst"), "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        workers = [int(job.stdout.readline()) for _ in range(2)]
        job.kill()
        assert job.stdout.read() == ""  # until the workers, whose output it is, have ended
    assert job.pid not in workers


def test_nobody_is_left_behind(tmp_path: Path) -> None:
    items = [Item(recording=Recording(id=str(number), source="", name=""), copy=1) for number in range(100)]
    made: Generator[Made, None, None] = local(_Deadly(tmp_path), items, 2)
    next(made)
    import multiprocessing

    workers: list[Any] = multiprocessing.active_children()
    assert len(workers) == 2
    made.close()
    assert not multiprocessing.active_children()
