"""Folder jobs on several machines, by Ray.

Every machine must see the same files: ``src`` and ``dst`` lie on a shared file system, under the same path everywhere,
and speechaug is installed. What is computed is what the local engine computes, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any

from speechaug.folders.items import Item, Made, Work

RETRIES = 3
"""How often an item is tried again whose worker died."""

_MOST_PENDING = 1_000  # tasks that Ray is given at once: enough to keep a cluster busy, and to let it grow
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
    most = workers or _MOST_PENDING
    with _cluster(workers) as ray:
        make = ray.remote(num_cpus=1, max_retries=RETRIES)(_make)
        shared = [ray.put(work)]  # in a list: a reference on its own is read anew for each task
        rest = iter(items)
        tasks: dict[Any, Item] = {}
        while True:
            tasks.update((make.remote(shared, item), item) for item in islice(rest, most - len(tasks)))
            if not tasks:
                return
            done, _ = ray.wait(list(tasks))
            for task in done:
                yield _result(ray, task, tasks.pop(task))


def _make(shared: list[Any], item: Item) -> Made:
    """Make an item; in a process of the cluster."""
    return _load(shared[0])(item)


@lru_cache(maxsize=1)
def _load(reference: Any) -> Work:
    """Unpack the work, once in each process."""
    import ray

    work: Work = ray.get(reference)
    return work


def _result(ray: Any, task: Any, item: Item) -> Made:
    """Return what came of a task; of Ray's pages about what stopped it the line that says why."""
    try:
        made: Made = ray.get(task)
    except ray.exceptions.RayTaskError as error:  # such as a policy of a module that is not on the other machine
        return Made(item, None, str(error).strip().splitlines()[-1])
    except ray.exceptions.RayError as error:
        return Made(item, None, f"its worker died {RETRIES + 1} times: {str(error).strip().splitlines()[0]}")
    return made


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
    options = {"address": address} if address else {"address": "local", "num_cpus": workers, "include_dashboard": False}
    ray.init(**options, log_to_driver=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        ray.shutdown()
