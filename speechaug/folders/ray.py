"""Folder jobs on several machines, by Ray.

Every machine must see the same files: ``src`` and ``dst`` lie on a shared file system, under the same path everywhere,
and speechaug is installed. What is computed is what the local engine computes, byte for byte.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from typing import Any

from speechaug.folders.items import Item, Made, Work
from speechaug.folders.local import in_batches

RETRIES = 3
"""How often an item is tried again whose worker died."""

_MOST_PENDING = 1_000  # tasks that Ray is given at once: enough to keep a cluster busy, and to let it grow
_ANSWERS_WITHIN_S = 10.0
_ENDS_WITHIN_S = 5.0
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a change of Ray's that it warns of, and that is nothing to us
    "RAY_DEDUP_LOGS_SKIP_REGEX": "Task _make failed|A worker died",  # tried again, or told in the end
}


def ray_engine(work: Work, items: Sequence[Item], workers: int | None) -> Iterator[Made]:
    """Make items as tasks of a Ray cluster.

    The cluster is the one this process is connected to, or that of ``RAY_ADDRESS`` (``auto`` on a machine of it);
    without either, one is started on this machine and shut down at the end. An item whose worker is killed, or whose
    machine is lost, is made by another; one that kills its workers again and again has failed.

    Args:
        work: what makes an item; sent once to each machine.
        items: what to make.
        workers: how many items are made at a time; None for as many as there are cores in the cluster.

    Yields:
        What came of each item, as it is done.

    Raises:
        ImportError: if Ray is not installed.
        ConnectionError: if there is no cluster at ``RAY_ADDRESS``.
    """
    tasks: dict[Any, Sequence[Item]] = {}
    with _cluster(workers) as ray, _ended(tasks):
        shared = [ray.put((work, os.getcwd()))]  # in a list: a reference on its own is read anew for each task
        waiting = deque(in_batches(items, workers or int(ray.cluster_resources().get("CPU", 1))))
        while waiting or tasks:
            while waiting and len(tasks) < (workers or _MOST_PENDING):
                batch = waiting.popleft()
                retries = RETRIES if len(batch) == 1 else 0
                tasks[ray.remote(num_cpus=1, max_retries=retries)(_make).remote(shared, batch)] = batch
            for task in ray.wait(list(tasks))[0]:
                batch = tasks.pop(task)
                try:
                    yield from ray.get(task)
                except ray.exceptions.RayError as error:
                    if len(batch) == 1:
                        yield Made(batch[0], None, _reason(ray, error))
                    else:  # one by one, to find out which it was
                        waiting.extendleft([item] for item in batch)


def _make(shared: list[Any], batch: Sequence[Item]) -> list[Made]:
    """Make the items of a batch; in a process of the cluster."""
    work, folder = _load(shared[0])
    with _within(folder):
        return list(chain.from_iterable(work(batch)))


@lru_cache(maxsize=1)
def _load(reference: Any) -> tuple[Work, str]:
    """Unpack the work, and the folder that it was given out in, once in each process."""
    import ray

    work, folder = ray.get(reference)
    return work, folder


@contextmanager
def _within(folder: str) -> Iterator[None]:
    """Work in a folder, from which relative paths start; where it is absent, they lead nowhere, and are told so."""
    before = os.getcwd()
    with suppress(OSError):
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _ended(tasks: Mapping[Any, Sequence[Item]]) -> Iterator[None]:
    """Take back what is not done when the job is stopped: a cluster that stays would make it all."""
    import ray

    try:
        yield
    finally:
        for task in tasks:
            ray.cancel(task)
        if tasks:
            ray.wait(list(tasks), num_returns=len(tasks), timeout=_ENDS_WITHIN_S)


def _reason(ray: Any, error: Exception) -> str:
    """Return the line that matters of Ray's pages about what stopped a task."""
    lines = str(error).strip().splitlines()
    if isinstance(error, ray.exceptions.RayTaskError):  # such as a policy of a module that is not on that machine
        return lines[-1]
    return f"its worker died {RETRIES + 1} times: {lines[0]}"


@contextmanager
def _cluster(workers: int | None) -> Iterator[Any]:
    """Connect to a cluster, or start one, and in the end shut down what was started."""
    os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
    try:
        import ray
    except ImportError as error:
        raise ImportError('engine="ray" needs Ray: pip install "speechaug[ray]"') from error
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _check_answers(address)
    options = {"address": address} if address else {"address": "local", "num_cpus": workers, "include_dashboard": False}
    ray.init(**options, log_to_driver=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself tries for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():  # such as auto
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN_S).close()
    except OSError as error:
        raise ConnectionError(f"ray: RAY_ADDRESS must be that of a running cluster, got {address} ({error})") from error
