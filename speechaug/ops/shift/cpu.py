"""Rows moved by whole samples: a copy."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run


@jit
def _rows(first, last, x, lengths, samples, out):
    width = x.shape[2]
    for row in range(first, last):
        length = max(0, min(lengths[row], width))
        start = max(0, min(samples[row], length))
        stop = max(start, min(length, length + samples[row]))
        for channel in range(x.shape[1]):
            out[row, channel, :start] = 0.0
            out[row, channel, stop:] = 0.0
            if stop > start:
                out[row, channel, start:stop] = x[row, channel, start - samples[row] : stop - samples[row]]


def shift(x: Tensor, lengths: Tensor, samples: Tensor) -> Tensor:
    """See :func:`speechaug.ops.shift.shift`."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel():
        shape = (x.shape[0], -1, x.shape[-1])
        run(_rows, x.shape[0], array(x).reshape(shape), array(lengths), array(samples), out.numpy().reshape(shape))
    return out
