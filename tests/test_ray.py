"""Folder jobs on Ray: the bytes of the local engine, by a cluster of two workers, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import speechaug as sa
from speechaug.folders import augment_folder, augment_manifest, engines
from speechaug.folders import ray as ours
from speechaug.folders.items import Item, Made, Recording, Work

ray = pytest.importorskip("ray", reason="needs Ray")
POLICY = sa.Compose([sa.Speed(), sa.AddColoredNoise(), sa.HighPass(), sa.Gain()])
QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


@dataclass(frozen=True)
class Tell:
    """Work that tells which process did it."""

    def __call__(self, items: Sequence[Item]) -> Iterator[list[Made]]:
        return ([Made(item, {"id": item.id, "process": os.getpid()})] for item in items)


@dataclass(frozen=True)
class Slow:
    """Work that takes a moment, and leaves a mark."""

    folder: Path

    def __call__(self, items: Sequence[Item]) -> Iterator[list[Made]]:
        for item in items:
            (self.folder / item.recording.id).touch()
            time.sleep(0.02)
            yield [Made(item, {"id": item.id})]


@dataclass(frozen=True)
class Killed:
    """Work whose process is killed at one recording, the first time or each time."""

    work: Work
    mark: Path
    victim: str
    always: bool = False

    def __call__(self, items: Sequence[Item]) -> Iterator[list[Made]]:
        for item in items:
            if item.recording.id == self.victim and (self.always or not self.mark.exists()):
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield from self.work([item])


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers, connected to before the engine is called: it leaves them as they are."""
    os.environ.update(ours._SETTINGS)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests
    ray.init(address="local", num_cpus=2, **QUIET)
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Write recordings of several rates, one of them empty."""
    generator = np.random.default_rng(0)
    for number, rate in enumerate((8_000, 16_000, 22_050, 16_000)):
        path = tmp_path / "speech" / f"speaker{number % 2}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, generator.uniform(-0.3, 0.3, 6_000), rate)
    (tmp_path / "speech" / "empty.wav").touch()
    return tmp_path / "speech"


def items(count: int) -> list[Item]:
    names = [f"{number:02d}" for number in range(count)]
    return [Item(recording=Recording(id=name, source=name, name=name), copy=1) for name in names]


def made(work: Work, wanted: list[Item], workers: int | None = None) -> list[Made]:
    return sorted(ours.ray_engine(work, wanted, workers), key=lambda made: made.item.id)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(speech: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    policy = out.with_suffix(".yaml")
    sa.save_policy(POLICY, policy)
    words = ["augment", str(speech), str(out), "--policy", str(policy), "--copies", "2", "--engine", "ray"]
    given = [sys.executable, "-m", "speechaug", *words, "--workers", "2"]
    return subprocess.run(given, capture_output=True, text=True, timeout=200, env={**os.environ, **environment})


def test_every_item_is_made_by_other_processes(cluster):
    wanted = items(12)
    done = made(Tell(), wanted, 2)
    assert [each.item for each in done] == wanted
    processes: set[Any] = {each.row["process"] for each in done if each.row}
    assert os.getpid() not in processes and 1 <= len(processes) <= 2


def test_what_is_not_done_is_taken_back_from_a_cluster_that_stays(cluster, tmp_path):
    done = ours.ray_engine(Slow(tmp_path), items(400), None)  # all of them are given to the cluster at once
    next(done)
    done.close()
    begun = set(tmp_path.iterdir())
    time.sleep(1.0)
    assert set(tmp_path.iterdir()) == begun and len(begun) < 200


def test_relative_paths_start_where_the_job_was_started(cluster, speech, tmp_path, monkeypatch):
    here = augment_folder(speech, tmp_path / "local", POLICY, workers=0)
    monkeypatch.chdir(speech.parent)  # the workers were started elsewhere
    there = augment_folder(speech.name, "ray", POLICY, engine="ray")
    assert there.files == here.files == 4
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_an_item_that_kills_every_worker_is_named(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(ours, "RETRIES", 1)
    done = made(Killed(Tell(), tmp_path / "mark", "01", always=True), items(64), 2)  # given out two by two
    assert len(done) == 64
    failed = [each for each in done if each.row is None]
    assert [each.item.recording.id for each in failed] == ["01"]
    assert failed[0].reason.startswith("its worker died 2 times: ") and "\n" not in failed[0].reason


def test_the_bytes_of_the_local_engine_though_a_worker_is_killed(cluster, speech, tmp_path, monkeypatch):
    here = augment_folder(speech, tmp_path / "local", POLICY, copies=2, workers=0)
    mark = tmp_path / "mark"
    monkeypatch.setitem(
        engines.ENGINES,
        "ray",
        lambda work, items, workers: ours.ray_engine(Killed(work, mark, "speaker1/1.wav"), items, workers),
    )
    there = augment_folder(speech, tmp_path / "ray", POLICY, copies=2, engine="ray")
    assert mark.exists()
    assert (there.files, there.failures) == (here.files, here.failures)
    assert here.files == 8 and [failure.id for failure in here.failures] == ["empty.wav"]
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_shards_are_those_of_the_local_engine(cluster, speech, tmp_path):
    for number in range(3):
        path = tmp_path / "shards" / f"train-{number}.tar"
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for sound in sorted(speech.rglob("*.wav")):
                tar.add(sound, f"{number}{sound.name}")
                tar.add(Path(__file__), f"{number}{sound.stem}.py")  # what is no sound is copied
    here = augment_manifest(tmp_path / "shards", tmp_path / "local", POLICY, copies=2, workers=0)
    there = augment_manifest(tmp_path / "shards", tmp_path / "ray", POLICY, copies=2, engine="ray")
    assert here.files == there.files == 6
    assert here.failures == there.failures and {one.id for one in here.failures} == {
        f"train-{number}/{number}empty" for number in range(3)
    }
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_without_ray_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'engine="ray" needs Ray: pip install "speechaug\[ray\]"'):
        made(Tell(), items(1))


def test_an_address_where_nobody_listens_is_told_at_once(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"RAY_ADDRESS must be that of a running cluster, got 127\.0"):
        made(Tell(), items(1))


@pytest.mark.slow
def test_the_command_starts_a_cluster_and_ends_it(speech, tmp_path):
    augment_folder(speech, tmp_path / "local", POLICY, copies=2, workers=0)
    done = command(speech, tmp_path / "ray")
    assert done.returncode == 1 and done.stderr == ""  # one recording is empty
    assert "empty.wav" in done.stdout and "raylet" not in done.stdout
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


@pytest.mark.slow
def test_the_command_uses_a_cluster_of_two_machines_and_leaves_it(speech, tmp_path):
    """In a process of its own: Ray knows one cluster at a time."""
    augment_folder(speech, tmp_path / "local", POLICY, copies=2, workers=0)
    script = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as both:
        assert both.stdin is not None and both.stdout is not None
        address = both.stdout.readline().strip()
        done = command(speech, tmp_path / "ray", RAY_ADDRESS=address)
        again = command(speech, tmp_path / "ray2", RAY_ADDRESS=address)
        both.stdin.close()
    assert done.returncode == again.returncode == 1, done.stderr
    assert contents(tmp_path / "ray") == contents(tmp_path / "ray2") == contents(tmp_path / "local")
