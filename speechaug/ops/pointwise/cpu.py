"""Stages on single samples: one pass over each row, a second only where its peak is asked for."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run
from speechaug.ops.pointwise.reference import MU

_BLOCK = 2_048  # samples that stay in the nearest cache while all stages go over them
_EXACT = {"contract"}  # where a sample stands decides whether it is computed in a vector: both ways to the same bits
_LOG_TOP, _LOG_TWO = math.log1p(MU), math.log(2.0)
_HALF_ROOT = int(np.float64(math.sqrt(0.5)).view(np.int64))  # its bits
_FACTORIALS = tuple(1.0 / math.factorial(n) for n in range(12))  # one over them


@jit(inline="always", fastmath=_EXACT)
def _tanh(u):
    """A quotient of polynomials, 4e-7 from tanh: what vectorises."""
    u = min(max(u, np.float32(-7.9)), np.float32(7.9))
    s = u * u
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return u * p / q


@jit(inline="always", fastmath=_EXACT)
def _log(u):
    """The exponent, and the series of the area tangent between the roots of 1/2 and 2: what vectorises."""
    bits = np.float64(u).view(np.int64)
    exponent = (bits - _HALF_ROOT) >> 52
    mantissa = np.int64(bits - (exponent << 52)).view(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square, p = s * s, 1.0 / 17.0
    for n in range(15, 0, -2):
        p = p * square + 1.0 / n
    return np.int32(exponent) * _LOG_TWO + 2.0 * s * p


@jit(inline="always", fastmath=_EXACT)
def _exp_of_eight(u):
    """``exp(8 u)`` to float32, for u in 0 .. log 2; that of 0 is exact."""
    p = _FACTORIALS[11]
    for n in range(10, -1, -1):
        p = p * u + _FACTORIALS[n]
    p *= p
    p *= p
    return p * p


@jit(fastmath=_EXACT)
def _mu_law(y, steps):
    there, back = steps / _LOG_TOP, _LOG_TOP / (8.0 * steps)
    for i in range(y.size):
        sample = y[i]
        curve = there * _log(1.0 + MU * min(np.float64(abs(sample)), 1.0))
        level = _exp_of_eight(back * min(np.rint(curve), steps)) - 1.0
        rounded = math.copysign(np.float32(level * (1.0 / MU)), sample)
        y[i] = rounded if sample == sample else sample  # NaN, whose bits say nothing of its size


@jit(fastmath=_EXACT)
def _stage(code, y, value, peak):
    """Change the samples ``y`` in place."""
    if code == 0:
        for i in range(y.size):
            y[i] *= value
    elif code == 1:
        top = value * peak
        for i in range(y.size):
            y[i] = min(max(y[i], -top), top)
    elif code == 2:
        if peak > 0.0:
            inner, outer = value / peak, peak / np.float32(np.tanh(value))
            for i in range(y.size):
                y[i] = outer * _tanh(inner * y[i])
    elif code == 3:
        for i in range(y.size):
            y[i] = np.rint(y[i] * value) / value
    elif code == 4:
        if peak > 1.0:
            for i in range(y.size):
                y[i] /= peak
    elif code == 5:
        for i in range(y.size):
            y[i] = min(max(y[i], -value), value)
    else:
        _mu_law(y, np.float64(value))


@jit
def _rows(first, last, x, codes, values, on, out, in_place):
    size, stages = x.shape[1], codes.size
    peaks = np.empty(stages + 1, np.float32)
    one = np.empty(1, np.float32)
    for row in range(first, last):
        acting, asked = False, False
        for stage in range(stages):
            acting |= on[row, stage]
            asked |= on[row, stage] and (codes[stage] == 1 or codes[stage] == 2 or codes[stage] == 4)
        if in_place and not acting:
            continue
        peaks[0] = 0.0
        if asked:
            top = np.float32(0.0)
            for i in range(size):
                top = max(top, abs(x[row, i]))
            peaks[0] = top
            for stage in range(stages):
                one[0] = peaks[stage]
                if on[row, stage]:
                    _stage(codes[stage], one, values[row, stage], peaks[stage])
                peaks[stage + 1] = abs(one[0])
        for start in range(0, size, _BLOCK):
            stop = min(start + _BLOCK, size)
            y = out[row, start:stop]
            if not in_place:
                y[:] = x[row, start:stop]
            for stage in range(stages):
                if on[row, stage]:
                    _stage(codes[stage], y, values[row, stage], peaks[stage])


def pointwise(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    """See :func:`speechaug.ops.pointwise.pointwise`."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    _run(x, codes, values, on, out, in_place=False)
    return out


def pointwise_(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> None:
    """See :func:`speechaug.ops.pointwise.pointwise_`."""
    if x.is_contiguous():
        _run(x, codes, values, on, x, in_place=True)
    else:
        x.copy_(pointwise(x, codes, values, on))


def _run(x: Tensor, codes: list[int], values: Tensor, on: Tensor, out: Tensor, in_place: bool) -> None:
    if x.numel() == 0:
        return
    shape = (x.shape[0], -1)
    arguments = np.asarray(codes, np.int64), array(values.float()), array(on)
    run(_rows, x.shape[0], array(x).reshape(shape), *arguments, out.numpy().reshape(shape), in_place)
