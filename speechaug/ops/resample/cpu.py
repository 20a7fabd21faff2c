"""Resampling in numba: a block of outputs at a time, its part of the fine grid never leaving the nearest cache.

Every sum is written in registers of eight. A block's position and the order of its sums are fixed, so that neither the
number of threads nor the rest of the batch changes a bit.

Rows of one factor have no path of their own: a strided convolution by a kept kernel of the same quality takes from 1.1
times as long (a factor of 1.1) to 5 times (0.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run
from speechaug.ops.resample.simd import add, even_odd, every_other, load, multiply, multiply_add, spread, store, sums
from speechaug.ops.resample.tables import BEFORE, FASTEST, FINENESS, FRACTION, HALF_POINT, POINT, SPAN, tables

_MARGIN = 128  # around buffers, for what is read or written in eights and thrown away
_REACH = 256  # more than the reach of the longest filter


def resample(x: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str) -> Tensor:
    """See the op."""
    y = torch.empty(x.shape[0], width)
    _run(_forward, x, y, lengths, new_lengths, factor, quality)
    return y


def resample_adjoint(
    y: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str
) -> Tensor:
    """See the op."""
    x = torch.empty(y.shape[0], width)
    _run(_transposed, y, x, new_lengths, lengths, factor, quality)
    return x


def _run(
    kernel: Callable[..., None],
    source: Tensor,
    made: Tensor,
    lengths: Tensor,
    new_lengths: Tensor,
    factor: Tensor,
    quality: str,
) -> None:
    # Buffers are made for these; nothing below checks a bound.
    if not bool(((factor > 0.999 / FASTEST) & (factor < 1.001 * FASTEST)).all()):
        raise ValueError(f"resample: factor must be within [{1.0 / FASTEST:g}, {FASTEST:g}], got {factor.tolist()}")
    table = tables(quality)
    limits = (lengths.clamp(max=source.shape[1]), new_lengths.clamp(max=made.shape[1]))
    arrays = [array(t) for t in (source, *limits, factor, made)]
    jobs = made.shape[0] * -(-made.shape[1] // SPAN)
    run(kernel, jobs, *arrays, table.low_pass, table.half_band, table.read.reshape(-1))


@jit(fastmath=False)
def _forward(first, last, x, lengths, new_lengths, factor, y, low_pass, half_band, read):
    even, odd = np.zeros(_REACH, np.float32), np.zeros(_REACH, np.float32)
    buffer = np.zeros(4 * SPAN + 2 * _REACH + _MARGIN, np.float32)
    fine = np.zeros(8 * SPAN + 2 * _MARGIN, np.float32)
    flat_x, flat_y, rest = x.reshape(-1), y.reshape(-1), np.zeros(8, np.float32)
    blocks, previous, reach = -(-y.shape[1] // SPAN), -1, 0
    for job in range(first, last):
        row, start = job // blocks, job % blocks * SPAN
        stop = max(start, min(start + SPAN, new_lengths[row]))
        y[row, stop : start + SPAN] = 0.0
        if start == stop:
            continue
        if factor[row] == 1.0:
            _copy(x[row], start, stop, lengths[row], y[row, start:stop])
            continue
        if row != previous:
            previous, reach = row, _filters(factor[row], low_pass, half_band, even, odd)
        place, step = _place(start, factor[row]), _step(factor[row])
        low = ((place >> FRACTION) - BEFORE) >> 1
        count = ((place + (stop - start) * step) >> (FRACTION + 1)) + 3 - low
        if low < reach or low + count + reach + 64 > lengths[row]:
            _copy(x[row], low - reach, low + count + reach + 64, lengths[row], buffer)
            samples, at = buffer, 0
        else:
            samples, at = flat_x, row * x.shape[1] + low - reach
        if factor[row] <= 1.0 and len(half_band) > 1:
            _double_half_band(samples, at, odd, reach, count, fine)
        else:
            _double(samples, at, even, odd, reach, count, fine)
        place -= (2 * low + BEFORE) << FRACTION
        whole, at = (stop - start) & ~7, row * y.shape[1] + start
        _read(fine, read, whole, place, step, flat_y, at)
        if start + whole < stop:
            _read(fine, read, 8, place + whole * step, step, rest, 0)
            y[row, start + whole : stop] = rest[: stop - start - whole]


@jit(fastmath=False)
def _transposed(first, last, y, new_lengths, lengths, factor, x, low_pass, half_band, read):
    even, odd = np.zeros(_REACH, np.float32), np.zeros(_REACH, np.float32)
    samples = np.zeros(4 * SPAN + 4 * _REACH + _MARGIN, np.float32)
    fine = np.zeros((4, 2 * SPAN + 2 * _REACH + 2 * _MARGIN), np.float32)
    evens, odds = np.zeros(fine.shape[1] // 2, np.float32), np.zeros(fine.shape[1] // 2, np.float32)
    block = np.zeros(SPAN, np.float32)
    blocks, previous, reach = -(-x.shape[1] // SPAN), -1, 0
    for job in range(first, last):
        row, start = job // blocks, job % blocks * SPAN
        stop = max(start, min(start + SPAN, lengths[row]))
        x[row, stop : start + SPAN] = 0.0
        if start == stop:
            continue
        if factor[row] == 1.0:
            _copy(y[row], start, stop, new_lengths[row], x[row, start:stop])
            continue
        if row != previous:
            previous, reach = row, _filters(factor[row], low_pass, half_band, even, odd)
        low, high = 2 * (start - reach), 2 * (start + SPAN + reach)
        early = max(0, math.floor((low - 8) / (2.0 * factor[row]))) & ~3
        late = max(early, int((high + 8) / (2.0 * factor[row])))
        _copy(y[row], early, late + 8, new_lengths[row], samples)
        _write(samples, read, early, late, factor[row], low + BEFORE - _MARGIN // 2, fine)
        _split(fine, _MARGIN // 2, high - low, evens, odds)
        if factor[row] <= 1.0 and len(half_band) > 1:
            _halve_half_band(evens, odds, odd, reach, stop - start, block)
        else:
            _halve(evens, odds, even, odd, reach, stop - start, block)
        x[row, start:stop] = block[: stop - start]


@jit(fastmath=False)
def _copy(row, start, stop, length, out):
    """``out = row[start:stop]``, zero outside of ``0 .. length - 1``."""
    low, high = min(max(start, 0), stop), max(min(stop, length), 0)
    high = max(low, high)
    out[: low - start] = 0.0
    out[low - start : high - start] = row[low:high]
    out[high - start : stop - start] = 0.0


@jit(fastmath=False)
def _filters(factor, low_pass, half_band, even, odd):
    """Weights of the input ``d`` samples to either side, for the fine grid's even samples, and its odd ones; the reach.

    ``even[d]`` is that of ``x[m - d]`` and ``x[m + d]`` in sample ``2 m``, ``odd[d]`` that of ``x[m - d + 1]`` and
    ``x[m + d]`` in sample ``2 m + 1``.
    """
    if factor <= 1.0 and len(half_band) > 1:
        reach = len(half_band) >> 1
        for d in range(1, reach + 1):
            odd[d] = half_band[2 * d - 1]
        return reach
    stretch = max(factor, 1.0)
    reach = math.ceil(((len(low_pass) - 2) // FINENESS * stretch - 1.0) / 2.0)
    for time in range(2 * reach + 1):
        place = min(time * (FINENESS / stretch), len(low_pass) - 1.001)
        before = int(place)
        weight = (low_pass[before] + (place - before) * (low_pass[before + 1] - low_pass[before])) / stretch
        if time & 1:
            odd[(time + 1) >> 1] = weight
        else:
            even[time >> 1] = weight
    return reach


@jit(inline="always")
def _step(factor):
    return np.int64(factor * 2.0 ** (FRACTION + 1) + 0.5)


@jit(inline="always")
def _place(n, factor):
    """Where output ``n`` is read on the fine grid, in fixed point."""
    span = n & ~(SPAN - 1)
    return np.int64(span * (factor * 2.0 ** (FRACTION + 1))) + (n - span) * _step(factor)


@jit(fastmath=False)
def _double(samples, at, even, odd, reach, count, fine):
    """The fine grid, 48 samples at a time: the filters are symmetric, and what one side loads serves both."""
    zero = spread(np.float32(0.0))
    for m in range(0, count, 24):
        middle, a = at + m + reach, spread(even[0])
        x0, x1, x2 = load(samples, middle), load(samples, middle + 8), load(samples, middle + 16)
        a0, a1, a2, b0, b1, b2 = multiply(x0, a), multiply(x1, a), multiply(x2, a), zero, zero, zero
        for d in range(1, reach + 1):
            a, b, left, right = spread(even[d]), spread(odd[d]), middle - d, middle + d
            y = load(samples, right)
            b0, x0 = multiply_add(add(x0, y), b, b0), load(samples, left)
            a0 = multiply_add(add(x0, y), a, a0)
            y = load(samples, right + 8)
            b1, x1 = multiply_add(add(x1, y), b, b1), load(samples, left + 8)
            a1 = multiply_add(add(x1, y), a, a1)
            y = load(samples, right + 16)
            b2, x2 = multiply_add(add(x2, y), b, b2), load(samples, left + 16)
            a2 = multiply_add(add(x2, y), a, a2)
        _interleave(a0, b0, 2 * m, fine)
        _interleave(a1, b1, 2 * m + 16, fine)
        _interleave(a2, b2, 2 * m + 32, fine)


@jit(fastmath=False)
def _double_half_band(samples, at, odd, reach, count, fine):
    """The same where even samples are those of the input."""
    zero = spread(np.float32(0.0))
    for m in range(0, count, 64):
        b0, b1, b2, b3, b4, b5, b6, b7 = zero, zero, zero, zero, zero, zero, zero, zero
        middle = at + m + reach
        for d in range(1, reach + 1):
            b, left, right = spread(odd[d]), middle - d + 1, middle + d
            b0 = multiply_add(add(load(samples, left), load(samples, right)), b, b0)
            b1 = multiply_add(add(load(samples, left + 8), load(samples, right + 8)), b, b1)
            b2 = multiply_add(add(load(samples, left + 16), load(samples, right + 16)), b, b2)
            b3 = multiply_add(add(load(samples, left + 24), load(samples, right + 24)), b, b3)
            b4 = multiply_add(add(load(samples, left + 32), load(samples, right + 32)), b, b4)
            b5 = multiply_add(add(load(samples, left + 40), load(samples, right + 40)), b, b5)
            b6 = multiply_add(add(load(samples, left + 48), load(samples, right + 48)), b, b6)
            b7 = multiply_add(add(load(samples, left + 56), load(samples, right + 56)), b, b7)
        _interleave(load(samples, middle), b0, 2 * m, fine)
        _interleave(load(samples, middle + 8), b1, 2 * m + 16, fine)
        _interleave(load(samples, middle + 16), b2, 2 * m + 32, fine)
        _interleave(load(samples, middle + 24), b3, 2 * m + 48, fine)
        _interleave(load(samples, middle + 32), b4, 2 * m + 64, fine)
        _interleave(load(samples, middle + 40), b5, 2 * m + 80, fine)
        _interleave(load(samples, middle + 48), b6, 2 * m + 96, fine)
        _interleave(load(samples, middle + 56), b7, 2 * m + 112, fine)


@jit(inline="always")
def _interleave(even, odd, at, fine):
    store(fine, at, even_odd(even, odd, False))
    store(fine, at + 8, even_odd(even, odd, True))


@jit(fastmath=False)
def _read(fine, read, count, place, step, out, at):
    """Write ``count`` outputs, a multiple of eight; ``place`` is that of the first, less ``BEFORE``."""
    place += HALF_POINT
    for n in range(at, at + count, 8):
        a, place = _weighted(fine, read, place), place + step
        b, place = _weighted(fine, read, place), place + step
        c, place = _weighted(fine, read, place), place + step
        d, place = _weighted(fine, read, place), place + step
        e, place = _weighted(fine, read, place), place + step
        f, place = _weighted(fine, read, place), place + step
        g, place = _weighted(fine, read, place), place + step
        h, place = _weighted(fine, read, place), place + step
        store(out, n, sums(a, b, c, d, e, f, g, h))


@jit(inline="always")
def _weighted(fine, read, place):
    point = (place >> (FRACTION - POINT)) & ((1 << POINT) - 1)
    return multiply(load(fine, place >> FRACTION), load(read, point << 3))


@jit(fastmath=False)
def _write(samples, read, early, late, factor, origin, fine):
    """The transpose of :func:`_read`; neighbours go to buffers of their own, or each would wait for the one before."""
    fine[:] = 0.0
    step, shift = _step(factor), HALF_POINT - (origin << FRACTION)
    for n in range(early, late, 4):
        place = _place(n, factor) + shift
        for k in range(4):
            point, at, line = (place >> (FRACTION - POINT)) & ((1 << POINT) - 1), place >> FRACTION, fine[k]
            value = spread(samples[n + k - early])
            store(line, at, multiply_add(value, load(read, point << 3), load(line, at)))
            place += step


@jit(fastmath=False)
def _split(fine, margin, count, evens, odds):
    for at in range(0, count, 16):
        place = margin + at
        a = add(add(load(fine[0], place), load(fine[1], place)), add(load(fine[2], place), load(fine[3], place)))
        place += 8
        b = add(add(load(fine[0], place), load(fine[1], place)), add(load(fine[2], place), load(fine[3], place)))
        store(evens, at >> 1, every_other(a, b, False))
        store(odds, at >> 1, every_other(a, b, True))


@jit(fastmath=False)
def _halve(evens, odds, even, odd, reach, count, out):
    """The transpose of :func:`_double`."""
    zero = spread(np.float32(0.0))
    for m in range(0, count, 32):
        at, a = m + reach, spread(even[0])
        a0, a1 = multiply(load(evens, at), a), multiply(load(evens, at + 8), a)
        a2, a3 = multiply(load(evens, at + 16), a), multiply(load(evens, at + 24), a)
        b0, b1, b2, b3 = zero, zero, zero, zero
        for d in range(1, reach + 1):
            a, b, left, right = spread(even[d]), spread(odd[d]), at - d, at + d
            a0 = multiply_add(add(load(evens, left), load(evens, right)), a, a0)
            a1 = multiply_add(add(load(evens, left + 8), load(evens, right + 8)), a, a1)
            a2 = multiply_add(add(load(evens, left + 16), load(evens, right + 16)), a, a2)
            a3 = multiply_add(add(load(evens, left + 24), load(evens, right + 24)), a, a3)
            right -= 1
            b0 = multiply_add(add(load(odds, left), load(odds, right)), b, b0)
            b1 = multiply_add(add(load(odds, left + 8), load(odds, right + 8)), b, b1)
            b2 = multiply_add(add(load(odds, left + 16), load(odds, right + 16)), b, b2)
            b3 = multiply_add(add(load(odds, left + 24), load(odds, right + 24)), b, b3)
        store(out, m, add(a0, b0))
        store(out, m + 8, add(a1, b1))
        store(out, m + 16, add(a2, b2))
        store(out, m + 24, add(a3, b3))


@jit(fastmath=False)
def _halve_half_band(evens, odds, odd, reach, count, out):
    for m in range(0, count, 32):
        at = m + reach
        b0, b1, b2, b3 = load(evens, at), load(evens, at + 8), load(evens, at + 16), load(evens, at + 24)
        for d in range(1, reach + 1):
            b, left, right = spread(odd[d]), at - d, at + d - 1
            b0 = multiply_add(add(load(odds, left), load(odds, right)), b, b0)
            b1 = multiply_add(add(load(odds, left + 8), load(odds, right + 8)), b, b1)
            b2 = multiply_add(add(load(odds, left + 16), load(odds, right + 16)), b, b2)
            b3 = multiply_add(add(load(odds, left + 24), load(odds, right + 24)), b, b3)
        store(out, m, b0)
        store(out, m + 8, b1)
        store(out, m + 16, b2)
        store(out, m + 24, b3)
