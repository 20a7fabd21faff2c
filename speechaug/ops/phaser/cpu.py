"""A phaser in one pass over each row: all fixed filters side by side, in double precision, some samples at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run
from speechaug.ops._lanes import WIDTH, load, store

_TILE = 128  # always computed as a whole, whatever the row's length: the same bits in any batch
_NOTHING = 1e-100  # what has died away to this is set to 0: numbers near the least there are cost many times as much


@jit
def _filter(block, first, lanes, a, states):
    """Run two all-pass filters over eight of the lanes, in place; ``states`` are the last of what came and went."""
    a = load(a, first)
    before, between, after = load(states, 0), load(states, WIDTH), load(states, 2 * WIDTH)
    for place in range(first, first + _TILE * lanes, lanes):
        x = load(block, place)
        y = (a * x + before) - a * between
        z = (a * y + between) - a * after
        store(block, place, z)
        before, between, after = x, y, z
    store(states, 0, before)
    store(states, WIDTH, between)
    store(states, 2 * WIDTH, after)


@jit
def _cascades(block, a, states):
    for number in range(len(states)):
        for pair in range(states.shape[1]):
            _filter(block, number * WIDTH, len(a), a, states[number, pair])
            for i in range(3 * WIDTH):
                if abs(states[number, pair, i]) < _NOTHING:
                    states[number, pair, i] = 0.0


@jit
def _forward(tile, low, part, a, states, block):
    """Filter, then fade."""
    lanes = len(a)
    for i in range(_TILE):
        block[i * lanes : (i + 1) * lanes] = tile[i]
    _cascades(block, a, states)
    for i in range(_TILE):
        place = i * lanes + low[i]
        tile[i] = block[place] + part[i] * (block[place + 1] - block[place])


@jit
def _back(tile, low, part, a, states, block):
    """Fade, then filter from the end."""
    lanes = len(a)
    block[:] = 0.0
    for i in range(_TILE):
        place = (_TILE - 1 - i) * lanes + low[i]
        block[place], block[place + 1] = (1.0 - part[i]) * tile[i], part[i] * tile[i]
    _cascades(block, a, states)
    for i in range(_TILE):
        place = (_TILE - 1 - i) * lanes
        tile[i] = block[place : place + lanes].sum()


@jit
def _rows(first, last, x, lengths, coefficient, rate, phase, decay, stages, adjoint, y):
    channels, steps, width = len(x) // len(coefficient), coefficient.shape[1], x.shape[1]
    numbers = (steps + WIDTH - 1) // WIDTH
    a, states = np.zeros(numbers * WIDTH), np.empty((numbers, stages // 2, 3 * WIDTH))
    tile, low, part = np.empty(_TILE), np.empty(_TILE, np.int64), np.empty(_TILE)
    block = np.empty(_TILE * len(a))
    for r in range(first, last):
        row = r // channels
        length, weight = min(max(lengths[row], 0), width), decay[row]
        a[:steps], states[:] = coefficient[row], 0.0
        turned = 2.0 * np.pi * rate[row] * np.arange(_TILE)
        sines, cosines = np.sin(turned), np.cos(turned)
        tiles = (length + _TILE - 1) // _TILE
        for number in range(tiles):
            start = (tiles - 1 - number if adjoint else number) * _TILE
            given = x[r, start : min(start + _TILE, length)]
            tile[: given.size] = given
            tile[given.size :] = 0.0
            angle = 2.0 * np.pi * (rate[row] * start + phase[row])
            sine, cosine = np.sin(angle), np.cos(angle)
            for i in range(_TILE):
                place = (0.5 + 0.5 * (sine * cosines[i] + cosine * sines[i])) * (steps - 1)
                low[i] = min(max(np.int64(place), 0), steps - 2)
                part[i] = place - low[i]
            if adjoint:
                _back(tile, low, part, a, states, block)
            else:
                _forward(tile, low, part, a, states, block)
            for i in range(given.size):
                y[r, start + i] = (given[i] + weight * tile[i]) / (1.0 + weight)
        y[r, length:] = 0.0


def phaser(
    x: Tensor,
    lengths: Tensor,
    coefficient: Tensor,
    rate: Tensor,
    phase: Tensor,
    decay: Tensor,
    stages: int,
    adjoint: bool,
) -> Tensor:
    """See :func:`speechaug.ops.phaser.phaser`."""
    y = torch.empty(x.shape, dtype=x.dtype)
    lines = x.shape[0] * x.shape[1]
    if x.numel():
        swings = [array(values.double()) for values in (coefficient, rate, phase, decay)]
        flat, out = array(x).reshape(lines, -1), y.numpy().reshape(lines, -1)
        run(_rows, lines, flat, array(lengths), *swings, stages, adjoint, out)
    return y
