"""Drifting copies in one pass over each row, some samples at a time; sines by the theorem of addition."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run

_TILE = 256  # always computed as a whole, whatever the row's length: the same bits in any batch
_BEFORE = 4  # samples of silence
_ONE, _TWO, _THREE = (np.uint64(n) for n in (1, 2, 3))  # indices that cannot be negative can be vectors


@jit
def _drift(start, delay, depth, phase, rate, sines, cosines, index, part):
    """Say where the first of four samples is that each of a tile is read between, and how far behind the second."""
    angle = 2.0 * np.pi * (rate * start + phase)
    sine, cosine = depth * np.sin(angle), depth * np.cos(angle)
    for i in range(_TILE):
        place = start + i - max(1.0, delay + sine * cosines[i] + cosine * sines[i])
        whole = np.floor(place)
        part[i] = place - whole
        index[i] = max(np.int64(whole) + _BEFORE - 1, 0)


@jit(inline="always")
def _weights(p):
    below, above, beyond = p + np.float32(1.0), p - np.float32(1.0), p - np.float32(2.0)
    outer, inner = p * np.float32(1.0 / 6.0), below * beyond * np.float32(0.5)
    return -outer * above * beyond, inner * above, -inner * p, outer * below * above


@jit
def _read(line, index, part, decay, tile):
    for i in range(_TILE):
        a, b, c, d = _weights(part[i])
        k = index[i]
        tile[i] += decay * (a * line[k] + b * line[k + _ONE] + c * line[k + _TWO] + d * line[k + _THREE])


@jit
def _give_back(line, index, part, decay, tile):
    for i in range(_TILE):
        a, b, c, d = _weights(part[i])
        k, value = index[i], decay * tile[i]
        line[k] += a * value
        line[k + _ONE] += b * value
        line[k + _TWO] += c * value
        line[k + _THREE] += d * value


@jit
def _rows(first, last, x, lengths, delay, phase, depth, rate, decay, adjoint, y):
    width, channels = x.shape[1], len(x) // len(delay)
    line = np.empty(_BEFORE + width + _TILE, np.float32)
    tile, index, part = np.empty(_TILE, np.float32), np.empty(_TILE, np.uint64), np.empty(_TILE, np.float32)
    for r in range(first, last):
        row = r // channels
        length = min(max(lengths[row], 0), width)
        turned = 2.0 * np.pi * rate[row] * np.arange(_TILE)
        sines, cosines = np.sin(turned), np.cos(turned)
        line[:] = 0.0
        if not adjoint:
            line[_BEFORE : _BEFORE + length] = x[r, :length]
        for start in range(0, length, _TILE):
            stop = min(start + _TILE, length)
            tile[: stop - start] = x[r, start:stop]
            tile[stop - start :] = 0.0
            for copy in range(delay.shape[1]):
                _drift(start, delay[row, copy], depth[row], phase[row, copy], rate[row], sines, cosines, index, part)
                if adjoint:
                    _give_back(line, index, part, decay[row], tile)
                else:
                    _read(line, index, part, decay[row], tile)
            y[r, start:stop] = tile[: stop - start]
        if adjoint:
            y[r, :length] += line[_BEFORE : _BEFORE + length]
        y[r, length:] = 0.0


def chorus(
    x: Tensor,
    lengths: Tensor,
    delay: Tensor,
    phase: Tensor,
    depth: Tensor,
    rate: Tensor,
    decay: Tensor,
    adjoint: bool,
) -> Tensor:
    """See :func:`speechaug.ops.chorus.chorus`."""
    y = torch.empty(x.shape, dtype=x.dtype)
    lines = x.shape[0] * x.shape[1]
    if x.numel():
        drifts = [array(values.double()) for values in (delay, phase, depth, rate)]
        flat, out = array(x).reshape(lines, -1), y.numpy().reshape(lines, -1)
        run(_rows, lines, flat, array(lengths), *drifts, array(decay.float()), adjoint, out)
    return y
