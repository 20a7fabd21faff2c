"""Work shared among processes of this machine, which outlives any of them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from speechaug.folders.items import MOST_AT_ONCE, Item, Made, Work

_ATTEMPTS = 3
_MOST_WORKERS = 64
_BATCHES = 16  # for each worker, at least, so that all end at about the same time
_PR_SET_PDEATHSIG = 1  # of Linux
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of the GNU C library

Batch = list[tuple[Item, int]]
"""Items, and how often each was begun by a worker that died."""


def local(work: Work, items: Sequence[Item], workers: int | None) -> Generator[Made, None, None]:
    """Make items by processes of this machine; a worker that is killed is replaced, and its item tried again.

    Args:
        work: what makes an item.
        items: what to make; neighbours are given to the same worker, which may keep what they have in common.
        workers: processes; 0 for none beside this one, None for as many as there are cores.

    Returns:
        What came of each item, in any order. One whose worker died three times has failed.
    """
    workers = min(_MOST_WORKERS, os.cpu_count() or 1) if workers is None else workers
    batches = in_batches(items, workers)
    if workers == 0:
        yield from chain.from_iterable(chain.from_iterable(map(work, batches)))
        return
    waiting = deque([(item, 0) for item in batch] for batch in batches)
    pool = _Pool(work, waiting)
    try:
        pool.start(min(workers, len(waiting)))
        while pool.workers:
            yield from pool.results()
    finally:
        pool.stop()


def in_batches(items: Sequence[Item], workers: int) -> list[Sequence[Item]]:
    """Cut items into what a worker is given at once.

    Args:
        items: to be made.
        workers: that share them; 0 for one that has them all.
    """
    size = min(MOST_AT_ONCE, max(1, len(items) // (_BATCHES * max(1, workers))))
    return [items[start : start + size] for start in range(0, len(items), size)]


class _Worker:
    """A process, the pipe to it, and what it was given and has not yet returned."""

    def __init__(self, work: Work, others: Sequence[_Worker]) -> None:
        fork: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.pipe, theirs = fork.Pipe()
        # A forked process has the pipes to the others, too; only when it closes them do those notice that we are gone.
        inherited = [self.pipe, *(other.pipe for other in others)] if sys.platform == "linux" else []
        self.process = fork.Process(target=_serve, args=(work, theirs, inherited), daemon=True)
        self.process.start()
        theirs.close()
        self.given: Batch = []

    def give(self, batch: Batch) -> None:
        self.given = batch
        with contextlib.suppress(BrokenPipeError):  # that it died is seen when its results are looked for
            self.pipe.send([item for item, _ in batch])


class _Pool:
    """The workers, and the batches that none of them has been given."""

    def __init__(self, work: Work, waiting: deque[Batch]) -> None:
        self._work, self._waiting = work, waiting
        self.workers: list[_Worker] = []

    def start(self, count: int) -> None:
        for _ in range(count):
            self._add()

    def _add(self) -> None:
        worker = _Worker(self._work, self.workers)
        self.workers.append(worker)
        worker.give(self._waiting.popleft())

    def _let_go(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def results(self) -> Iterator[Made]:
        """Wait until something is done or a worker has died, and deal with it."""
        ready = set(wait([worker.pipe for worker in self.workers]))
        for worker in [worker for worker in self.workers if worker.pipe in ready]:
            try:
                told = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._replace(worker)
                continue
            made = [Made(item, *one) for (item, _), one in zip(worker.given, told, strict=False)]
            del worker.given[: len(made)]  # they come in the order in which they were given
            if not worker.given and self._waiting:
                worker.give(self._waiting.popleft())
            elif not worker.given:
                self._let_go(worker)
            yield from made

    def _replace(self, worker: _Worker) -> Iterator[Made]:
        """Give what a dead worker was at to others, one by one, to find out which it was; or that has failed."""
        self._let_go(worker)
        again = [(item, attempts + 1) for item, attempts in worker.given if attempts + 1 < _ATTEMPTS]
        self._waiting.extendleft([one] for one in reversed(again))
        if self._waiting:
            self._add()
        for item, attempts in worker.given:
            if attempts + 1 == _ATTEMPTS:
                yield Made(item, None, f"the process at it died {_ATTEMPTS} times, {_cause(worker.process.exitcode)}")

    def stop(self) -> None:
        """End what is still at work."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed, perhaps for want of memory"
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _end_with_parent() -> None:
    """Be killed when the parent dies, where that can be had, so that the next job meets no writer of this one."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _keep_memory() -> None:
    """Keep what is freed, for the next batch: to have it from the system anew takes a tenth of the time."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**25)  # the most there is
        libc.mallopt(_M_TRIM_THRESHOLD, 2**28)


def _serve(work: Work, pipe: Connection, inherited: Sequence[Connection]) -> None:
    """Make what comes through the pipe until it ends; what a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gives the work
    _end_with_parent()
    for other in inherited:
        other.close()
    torch.set_num_threads(1)
    gc.freeze()  # what was there before is not looked through again and again
    _keep_memory()
    with contextlib.suppress(EOFError, OSError):
        while True:
            for made in work(pipe.recv()):
                pipe.send([one[1:] for one in made])
