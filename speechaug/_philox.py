"""Philox on the host, compiled: the draws of a batch are many small calls, in which NumPy's overhead is what costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from speechaug.ops._cpu import jit
from speechaug.rng import Floats, Ints, Words


def units(keys: Words, place: Words, first: int, size: int) -> Floats:
    """See :func:`speechaug.rng.philox_units`."""
    out = np.empty((len(keys), size))
    _fill(keys, place, first, out)
    return out


def key(keys: Words, place: Words, first: int) -> Ints:
    """See :func:`speechaug.rng.philox_key`."""
    out = np.empty(len(keys), np.int64)
    _fill_keys(keys, place, first, out)
    return out


@jit
def _block(keys: Any, row: int, place: Any, number: int) -> Any:
    """The first two words of a block."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1 = np.uint64(number) & mask, np.uint64(0)
    c2, c3 = np.uint64(place[0]), np.uint64(place[1])
    k0, k1 = np.uint64(keys[row, 0]), np.uint64(keys[row, 1])
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c2 = (p1 >> half) ^ c1 ^ k0, (p0 >> half) ^ c3 ^ k1
        c1, c3 = p1 & mask, p0 & mask
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return c0, c1


@jit
def _fill(keys: Any, place: Any, first: int, out: Any) -> None:
    for row in range(out.shape[0]):
        for index in range(out.shape[1]):
            c0, c1 = _block(keys, row, place, first + index)
            high, low = c0 >> np.uint64(5), c1 >> np.uint64(6)
            out[row, index] = (np.float64(high) * 2.0**26 + np.float64(low)) * 2.0**-53


@jit
def _fill_keys(keys: Any, place: Any, first: int, out: Any) -> None:
    for row in range(out.shape[0]):
        c0, c1 = _block(keys, row, place, first)
        out[row] = np.int64(c1 << np.uint64(32) | c0)
