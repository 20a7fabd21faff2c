"""Masks on a GPU, in the layout of the input."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device


@triton.jit
def _hidden(first, width, place, count: tl.constexpr):
    """Which places any of a row's stripes covers."""
    inside = place < 0
    for k in range(count):
        start = tl.load(first + k)
        inside |= (place >= start) & (place < start + tl.load(width + k))
    return inside


@triton.jit
def _blocks(
    x, lengths, first_bin, bins, first_frame, frames, filling, out, lines, size,
    K: tl.constexpr, N: tl.constexpr, BY_FRAMES: tl.constexpr, FILLED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Copy and mask a block of one row, whose memory holds ``lines`` lines of ``size`` cells."""
    row = tl.program_id(0).to(tl.int64)
    cell = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cell < lines * size
    if BY_FRAMES:
        frame, bin_ = cell // size, cell % size
    else:
        frame, bin_ = cell % size, cell // size
    masked = _hidden(first_bin + row * K, bins + row * K, bin_, K)
    masked |= _hidden(first_frame + row * N, frames + row * N, frame, N)
    masked &= frame < tl.load(lengths + row)
    at = row * lines * size + cell
    value = tl.load(x + at, mask=inside & ~masked, other=0.0)
    if FILLED:
        value = tl.where(masked, tl.load(filling + row), value)
    tl.store(out + at, value, mask=inside)


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
    if by_frames and not out.mT.is_contiguous():
        return out.copy_(mask(x.contiguous(), lengths, first_bin, bins, first_frame, frames, filling))
    if x.numel() == 0:
        return out
    source = x.mT.contiguous() if by_frames else x.contiguous()
    rows, lines, size = source.shape
    block = min(2048, triton.next_power_of_2(lines * size))
    stripes = [part.contiguous() for part in (first_bin, bins, first_frame, frames)]
    value = None if filling is None else filling.to(x.dtype).contiguous()
    with on_device(x):
        _blocks[rows, triton.cdiv(lines * size, block)](
            source, lengths.contiguous(), *stripes, value, out, lines, size,
            bins.shape[1], frames.shape[1], by_frames, filling is not None, block,
        )  # fmt: skip
    return out
