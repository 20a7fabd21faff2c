"""Gains that change from time to time: powers where a gain changes, one number where it holds."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run
from speechaug.ops.gain_steps.reference import PER_DB


@jit
def _fill(gains_db, begun, interval, ramp, factor):
    before, stop = gains_db[0], 0
    for index, gain_db in enumerate(gains_db):
        start, edge = stop, index * interval - begun
        stop = min(max(start, math.ceil(edge + interval)), factor.size)
        held = min(max(start, math.ceil(edge + ramp)), stop)
        for t in range(start, held):
            factor[t] = np.exp(PER_DB * (before + (t - edge) / ramp * (gain_db - before)))
        factor[held:stop] = np.exp(PER_DB * gain_db)
        before = gain_db


@jit
def _rows(first, last, x, gains_db, begun, interval, ramp, out):
    factor = np.empty(x.shape[2], np.float32)
    for row in range(first, last):
        _fill(gains_db[row], begun[row], interval, ramp, factor)
        for channel in range(x.shape[1]):
            for t in range(x.shape[2]):
                out[row, channel, t] = x[row, channel, t] * factor[t]


def gain_steps(x: Tensor, gains_db: Tensor, begun: Tensor, interval: float, ramp: float) -> Tensor:
    """See :func:`speechaug.ops.gain_steps.gain_steps`."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel():
        shape = (x.shape[0], -1, x.shape[-1])
        changes = array(gains_db), array(begun), interval, ramp
        run(_rows, x.shape[0], array(x).reshape(shape), *changes, out.numpy().reshape(shape))
    return out
