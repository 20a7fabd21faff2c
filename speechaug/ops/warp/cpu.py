"""Time warp on the CPU, in the layout of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run
from speechaug.ops._lanes import WIDTH, load, splat, store, transpose


@jit(fastmath=False)
def _places(length, center, shift, window, left, right, weight):
    """The two frames that each is taken from and the second one's share, as the reference has them."""
    last = max(length - 1.0, 0.0)
    reach = min(last / 2.0, window)
    source = reach + center * (last - 2.0 * reach)
    target = source + shift * (reach / max(window, 1e-9))
    early, late = source / max(target, 1e-9), (last - source) / max(last - target, 1e-9)
    end = left.size - 1
    for t in range(left.size):
        position = t * early if t <= target else source + (t - target) * late if t <= last else float(t)
        position = position if position > 0.0 else 0.0
        position = position if position < end else float(end)
        whole = int(position)
        left[t], right[t], weight[t] = whole, min(whole + 1, end), position - whole


@jit
def _turn(source, begin, line, step, target, start, column, stride, size):
    """Transpose eight lines of ``size``: a line's neighbours are ``step`` apart, or else those of a column."""
    for block in range(0, size, WIDTH):
        t = min(block, size - WIDTH)
        i, o = begin + t * step, start + t * stride
        rows = transpose((
            load(source, i), load(source, i + line), load(source, i + 2 * line), load(source, i + 3 * line),
            load(source, i + 4 * line), load(source, i + 5 * line), load(source, i + 6 * line),
            load(source, i + 7 * line),
        ))  # fmt: skip
        store(target, o, rows[0])
        store(target, o + column, rows[1])
        store(target, o + 2 * column, rows[2])
        store(target, o + 3 * column, rows[3])
        store(target, o + 4 * column, rows[4])
        store(target, o + 5 * column, rows[5])
        store(target, o + 6 * column, rows[6])
        store(target, o + 7 * column, rows[7])


@jit
def _frames(x, size, places, adjoint, out):
    """Warp a row whose frames are ``size`` numbers side by side."""
    left, right, weight = places
    whole = size // WIDTH * WIDTH
    if adjoint:
        out[:] = 0.0
    for t in range(left.size):
        low, high, at, share = left[t] * size, right[t] * size, t * size, weight[t]
        first, second = splat(np.float32(1.0) - share), splat(share)
        if adjoint:
            for i in range(0, whole, WIDTH):
                store(out, low + i, load(out, low + i) + load(x, at + i) * first)
                store(out, high + i, load(out, high + i) + load(x, at + i) * second)
            for i in range(whole, size):
                out[low + i] += (np.float32(1.0) - share) * x[at + i]
                out[high + i] += share * x[at + i]
        else:
            for i in range(0, whole, WIDTH):
                before = load(x, low + i)
                store(out, at + i, before + (load(x, high + i) - before) * second)
            for i in range(whole, size):
                out[at + i] = x[low + i] + share * (x[high + i] - x[low + i])


@jit
def _rows(first, last, x, lengths, center, shift, window, frames, by_frames, adjoint, out):
    """Warp rows, laid out by frames or else by bins: of these eight are turned, warped and turned back."""
    places = np.empty(frames, np.int64), np.empty(frames, np.int64), np.empty(frames, np.float32)
    before, after = np.empty(frames * WIDTH, np.float32), np.empty(frames * WIDTH, np.float32)
    bins = x.shape[1] // frames
    for row in range(first, last):
        _places(lengths[row], center[row], shift[row], window, *places)
        turned = 0
        if by_frames:
            _frames(x[row], bins, places, adjoint, out[row])
            turned = bins
        elif frames >= WIDTH:
            turned = bins // WIDTH * WIDTH
            for number in range(0, turned, WIDTH):
                _turn(x[row], number * frames, frames, 1, before, 0, WIDTH, WIDTH, frames)
                _frames(before, WIDTH, places, adjoint, after)
                _turn(after, 0, WIDTH, WIDTH, out[row], number * frames, frames, 1, frames)
        for number in range(turned, bins):
            start, end = number * frames, (number + 1) * frames
            _frames(x[row][start:end], 1, places, adjoint, out[row][start:end])


def warp(x: Tensor, *bend: Any) -> Tensor:
    """Warp, see the op."""
    return _warp(x, False, *bend)


def unwarp(grad: Tensor, *bend: Any) -> Tensor:
    """Apply the adjoint, see the op."""
    return _warp(grad, True, *bend)


def _warp(x: Tensor, adjoint: bool, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    out = torch.empty_like(x)
    by_frames = not out.is_contiguous()
    if by_frames and not out.mT.is_contiguous():
        return out.copy_(_warp(x.contiguous(), adjoint, lengths, center, shift, window))
    source, target = (array(part.mT if by_frames else part) for part in (x, out))
    moves = array(center.double()), array(shift.double())
    if x.numel() > 0:
        cells = [part.reshape(len(x), x.shape[1] * x.shape[2]) for part in (source, target)]
        run(_rows, len(x), cells[0], array(lengths), *moves, float(window), x.shape[2], by_frames, adjoint, cells[1])
    return out
