"""Time warp on a GPU, in the layout of the input; positions in float64."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device


@triton.jit
def _follow(times, start, end, last):
    """Map times by the lines from (0, 0) over (start, end) to (last, last)."""
    early = times * (end / tl.maximum(start, 1e-9))
    late = end + (times - start) * ((last - end) / tl.maximum(last - start, 1e-9))
    return tl.where(times <= start, early, tl.where(times <= last, late, times))


@triton.jit
def _places(times, source, target, last, end):
    """The two frames that each is taken from, and the second one's share."""
    position = tl.minimum(tl.maximum(_follow(times, target, source, last), 0.0), end.to(tl.float64))
    left = position.to(tl.int32)
    return left, tl.minimum(left + 1, end), (position - left.to(tl.float64)).to(tl.float32)


@triton.jit
def _blocks(
    x, lengths, center, shift, window, out, lines, size,
    BY_FRAMES: tl.constexpr, ADJOINT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of one row, whose memory holds ``lines`` lines of ``size`` cells."""
    row = tl.program_id(0).to(tl.int64)
    cell = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cell < lines * size
    last = tl.maximum(tl.load(lengths + row).to(tl.float64) - 1.0, 0.0)
    window = tl.load(window)
    reach = tl.minimum(last / 2.0, window)
    source = reach + tl.load(center + row) * (last - 2.0 * reach)
    target = source + tl.load(shift + row) * (reach / tl.maximum(window, 1e-9))
    if BY_FRAMES:
        frame, start, step, end = cell // size, cell % size, size, lines - 1
    else:
        frame, start, step, end = cell % size, cell // size * size, 1, size - 1
    base = x + row * lines * size + start
    if ADJOINT:  # look at all frames that can have been taken from this one
        low = _follow(tl.maximum(frame - 1, 0).to(tl.float64), source, target, last)
        high = _follow(tl.minimum(frame + 1, end).to(tl.float64), source, target, last)
        first = tl.maximum(low.to(tl.int32) - 1, 0)
        final = tl.minimum(high.to(tl.int32) + 2, end)
        value = tl.zeros((BLOCK,), tl.float32)
        for k in range(tl.max(final - first, 0) + 1):
            time = first + k
            left, right, share = _places(time.to(tl.float64), source, target, last, end)
            part = tl.where(left == frame, 1.0 - share, 0.0) + tl.where(right == frame, share, 0.0)
            used = inside & (time <= final) & ((left == frame) | (right == frame))
            value += tl.where(used, part * tl.load(base + time * step, mask=used, other=0.0), 0.0)
    else:
        left, right, share = _places(frame.to(tl.float64), source, target, last, end)
        before = tl.load(base + left * step, mask=inside, other=0.0)
        value = before + share * (tl.load(base + right * step, mask=inside, other=0.0) - before)
    tl.store(out + row * lines * size + cell, value, mask=inside)


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
    if x.numel() == 0:
        return out
    source = x.mT.contiguous() if by_frames else x.contiguous()
    rows, lines, size = source.shape
    block = min(1024, triton.next_power_of_2(lines * size))
    moves = center.double().contiguous(), shift.double().contiguous()
    # A number given to a kernel arrives as float32.
    widest = torch.full((), window, dtype=torch.float64, device=x.device)
    with on_device(x):
        _blocks[rows, triton.cdiv(lines * size, block)](
            source, lengths.contiguous(), *moves, widest, out, lines, size, by_frames, adjoint, block
        )
    return out
