"""Folder jobs on Ray: a cluster of two workers on this machine, one of which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from speechaug.folders.items import Item, Made, Recording

pytest.importorskip("ray", reason="needs Ray")


@dataclass(frozen=True)
class Killed:
    """Work whose process is killed at one item, the first time or each time."""

    folder: Path
    victim: str = ""
    again: bool = False

    def __call__(self, item: Item) -> Made:
        mark = self.folder / "killed"
        if item.recording.id == self.victim and (self.again or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / item.recording.name).write_text(str(item.copy))
        return Made(item, {"id": item.recording.id, "pid": os.getpid()})


def items(count: int) -> list[Item]:
    names = [f"{number:02d}" for number in range(count)]
    return [Item(recording=Recording(id=name, source=name, name=name), copy=1) for name in names]


@pytest.fixture(scope="module")
def cluster():
    """Two workers, connected to before the engine is called: it leaves them as they are."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    assert ray.is_initialized()
    ray.shutdown()


def made(work, wanted, workers=None):
    from speechaug.folders.ray import ray_engine

    return sorted(ray_engine(work, wanted, workers), key=lambda made: made.item.recording.id)


def test_every_item_is_made_by_other_processes(cluster, tmp_path):
    wanted = items(12)
    done = made(Killed(tmp_path), wanted, 2)
    assert [each.item for each in done] == wanted
    pids = {each.row["pid"] for each in done}
    assert os.getpid() not in pids and 1 <= len(pids) <= 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [item.recording.name for item in wanted]


def test_a_killed_worker_is_replaced(cluster, tmp_path):
    done = made(Killed(tmp_path, victim="03"), items(8))
    assert (tmp_path / "killed").exists()
    assert all(each.row is not None for each in done) and len(done) == 8


def test_an_item_that_kills_every_worker_is_named(cluster, tmp_path):
    done = made(Killed(tmp_path, victim="01", again=True), items(4), 2)
    failed = [each for each in done if each.row is None]
    assert [each.item.recording.id for each in failed] == ["01"]
    assert failed[0].reason.startswith("its worker died") and "\n" not in failed[0].reason
