"""Masks on the CPU, in the layout of the input."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run

_CELLS = 2048  # of a part, so that it stays in the first cache


@jit
def _fill(cells, start, lines, step, width, value):
    """Set ``width`` cells of each of some lines, the first from ``start``, the next from ``step`` further."""
    if width == step:
        lines, width = 1, lines * width
    for number in range(lines):
        part = cells[start + number * step : start + number * step + width]
        for i in range(part.size):
            part[i] = value


@jit
def _parts(first, last, x, lengths, by_frames, lines, part, across, width_across, along, width_along, filling, out):
    """Copy parts of some lines each, and fill stripes while they are in the cache.

    Stripes across are whole lines, stripes along are a part of every line; lines are frames or else bins.
    """
    size, parts = x.shape[1] // lines, (lines + part - 1) // part
    for job in range(first, last):
        row, begin = job // parts, job % parts * part
        end, value, valid = min(begin + part, lines), filling[row], max(lengths[row], 0)
        source, target = x[row][begin * size : end * size], out[row][begin * size : end * size]
        for i in range(target.size):
            target[i] = source[i]
        end, reach = (min(end, valid), size) if by_frames else (end, min(size, valid))
        for k in range(across.shape[1]):
            low, high = max(across[row, k], begin), min(across[row, k] + width_across[row, k], end)
            if low < high:
                _fill(target, (low - begin) * size, high - low, size, reach, value)
        for k in range(along.shape[1]):
            low, high = along[row, k], min(along[row, k] + width_along[row, k], reach)
            if low < high:
                _fill(target, low, end - begin, size, high - low, value)


def mask(
    x: Tensor,
    lengths: Tensor,
    first_bin: Tensor,
    bins: Tensor,
    first_frame: Tensor,
    frames: Tensor,
    filling: Tensor | None,
) -> Tensor:
    """Copy and mask, see the op."""
    out = torch.empty_like(x)
    by_frames = not out.is_contiguous()
    if by_frames and not out.transpose(1, 2).is_contiguous():
        return out.copy_(mask(x.contiguous(), lengths, first_bin, bins, first_frame, frames, filling))
    if x.numel() == 0:
        return out
    source, target = (array(part.mT if by_frames else part) for part in (x, out))
    rows, lines, size = source.shape
    stripes = [array(part) for part in (first_bin, bins, first_frame, frames)]
    stripes = stripes[2:] + stripes[:2] if by_frames else stripes
    value = np.zeros(rows, np.float32) if filling is None else array(filling.to(x.dtype))
    part = -(-_CELLS // size)
    cells = source.reshape(rows, lines * size), target.reshape(rows, lines * size)
    jobs = rows * -(-lines // part)
    run(_parts, jobs, cells[0], array(lengths), by_frames, lines, part, *stripes, value, cells[1])
    return out
