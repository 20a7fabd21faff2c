"""What CPU kernels share: compiling with numba, and a small pool of threads over blocks of jobs.

numba's own ``prange`` is not used: its OpenMP layer kills forked workers, its workqueue aborts under several threads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numba.core.caching import FunctionCache
from numpy.typing import NDArray
from torch import Tensor

FAST = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""What a kernel may do to its sums; infinities and NaN keep their meaning."""

_BLOCKS = 4  # for each thread, so that a slow row does not leave the others waiting
_pool: ThreadPoolExecutor | None = None
_starting = threading.Lock()


def _forget_pool() -> None:
    """Leave the parent's threads behind: they do not exist after a fork."""
    global _pool, _starting
    _pool, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile at the first call, without the GIL, kept on disk where a folder for that is writable.

    Args:
        function: a kernel ``(first, last, *args)`` over some of its jobs, or a function that kernels call.
        options: of ``numba.njit``, such as ``inline="always"``.
    """
    if function is None:
        return lambda wrapped: jit(wrapped, **options)
    compiled = numba.njit(**{"nogil": True, "fastmath": FAST, "error_model": "numpy", **options})(function)
    with contextlib.suppress(RuntimeError):  # numba found no folder to write to
        compiled._cache = _Kept(function)
    return compiled


class _Kept(FunctionCache):
    """numba's cache on disk, for a call that must not fail because of it, and fresh when a file beside has changed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file._source_stamp = self._cache_file._source_stamp, _files_beside(function.__code__.co_filename)

    def load_overload(self, *args: Any) -> Any:
        """Return what was kept; None where it cannot be read, and then it is forgotten."""
        try:
            return super().load_overload(*args)  # type: ignore[no-untyped-call]
        except Exception:  # a damaged file raises anything
            with contextlib.suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, *args: Any) -> None:
        """Keep, where there is still room."""
        with contextlib.suppress(OSError):
            super().save_overload(*args)  # type: ignore[no-untyped-call]


@functools.cache
def _files_beside(path: str) -> str:
    """A digest of all that kernels in a file can be made of: numba looks at that file alone."""
    files = [*Path(path).parent.glob("*.py"), *Path(__file__).parent.glob("*.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(set(files)))).hexdigest()


def run(kernel: Callable[..., None], jobs: int, *args: Any) -> None:
    """Call ``kernel(first, last, *args)`` over ``0 .. jobs - 1``, on as many threads as torch uses.

    That is one in a DataLoader's worker. Jobs may not depend on each other; which thread does which changes nothing.
    """
    threads = min(torch.get_num_threads(), jobs)
    if threads <= 1:
        kernel(0, jobs, *args)
        return
    block, numbers = -(-jobs // (threads * _BLOCKS)), itertools.count()

    def work() -> None:
        while (first := next(numbers) * block) < jobs:
            kernel(first, min(first + block, jobs), *args)

    helpers = [_threads().submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():
                helper.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _starting:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="speechaug")
        return _pool


def array(x: Tensor) -> NDArray[Any]:
    """Return a tensor as a C-contiguous array: its own memory where it is contiguous, else a copy.

    Example:
        >>> array(torch.ones(2, 3)).flags.c_contiguous
        True
    """
    values: NDArray[Any] = (x.detach() if x.requires_grad else x).numpy()
    return values if values.flags.c_contiguous else np.ascontiguousarray(values)
