"""Rows moved by whole samples, in Triton."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device

_BLOCK = 4_096


@triton.jit
def _shift(x, lengths, samples, out, width, channels, BLOCK: tl.constexpr):
    line = tl.program_id(0).to(tl.int64)
    length, moved = tl.load(lengths + line // channels), tl.load(samples + line // channels)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    source = place - moved
    kept = (source >= 0) & (source < length) & (place < length) & (place < width)
    values = tl.load(x + line * width + source, mask=kept, other=0.0)
    tl.store(out + line * width + place, values, mask=place < width)


def shift(x: Tensor, lengths: Tensor, samples: Tensor) -> Tensor:
    """See :func:`speechaug.ops.shift.shift`."""
    x = x.contiguous()
    out = torch.empty_like(x)
    if x.numel():
        width, lines = x.shape[-1], x.numel() // x.shape[-1]
        grid = (lines, triton.cdiv(width, _BLOCK))
        with on_device(x):
            _shift[grid](x, lengths, samples, out, width, lines // x.shape[0], BLOCK=_BLOCK)
    return out
