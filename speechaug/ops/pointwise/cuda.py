"""Stages on single samples in Triton: one pass, after one for the peaks where a stage asks for them."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device
from speechaug.ops.pointwise.reference import Stage

_BLOCK = 4_096
_PEAKED = (Stage.CLIP, Stage.TANH, Stage.RESCALE)


@triton.jit
def _peaks(x, peaks, size, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    samples = tl.load(x + row * size + place, mask=place < size, other=0.0)
    tl.atomic_max(peaks + row, tl.max(tl.abs(samples), axis=0))


@triton.jit
def _tanh(u):
    """By the exponential of a magnitude that only falls, so that nothing overflows."""
    fall = tl.exp(-2.0 * tl.abs(u))
    high = (1.0 - fall) / (1.0 + fall)
    s = u * u
    low = tl.abs(u) * (1.0 - s * (0.33333334 - s * (0.13333334 - s * 0.053968254)))
    magnitude = tl.where(s < 0.01, low, high)
    return tl.where(u < 0.0, -magnitude, magnitude)


@triton.jit
def _mu_law(v, steps):
    magnitude = tl.minimum(tl.abs(v.to(tl.float64)), 1.0)
    scaled = tl.log2(1.0 + 255.0 * magnitude) / 8.0 * steps
    rounded = (scaled + 4503599627370496.0) - 4503599627370496.0
    rounded = tl.minimum(rounded / steps, 1.0)
    level = ((tl.exp2(8.0 * rounded) - 1.0) / 255.0).to(v.dtype)
    return tl.where(v < 0.0, -level, level)


@triton.jit
def _stage(v, peak, value, CODE: tl.constexpr):
    if CODE == 0:
        y = v * value
    elif CODE == 1:
        y = tl.minimum(tl.maximum(v, -value * peak), value * peak)
    elif CODE == 2:
        loud = tl.where(peak > 0.0, peak, 1.0)
        y = tl.where(peak > 0.0, peak * _tanh(value * (v / loud)) / _tanh(value), v)
    elif CODE == 3:
        scaled = tl.abs(v * value)
        rounded = (scaled + 8388608.0) - 8388608.0  # the sum has no digits after the point, halves to even
        rounded = tl.where(scaled < 8388608.0, rounded, scaled) / value
        y = tl.where(v < 0.0, -rounded, rounded)
    elif CODE == 4:
        y = v / tl.maximum(peak, 1.0)
    elif CODE == 5:
        y = tl.minimum(tl.maximum(v, -value), value)
    else:
        y = _mu_law(v, value)
    return y


@triton.jit
def _apply(x, peaks, values, on, out, size, touched, CODES: tl.constexpr, STAGES: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (place < size) & (tl.load(touched + row) != 0)
    v = tl.load(x + row * size + place, mask=inside, other=0.0)
    peak = tl.load(peaks + row)
    for stage in tl.static_range(STAGES):
        value = tl.load(values + row * STAGES + stage)
        gate = tl.load(on + row * STAGES + stage) != 0
        moved = _stage(v, peak, value, (CODES >> (3 * stage)) & 7)
        peak = tl.where(gate, tl.abs(_stage(peak, peak, value, (CODES >> (3 * stage)) & 7)), peak)
        v = tl.where(gate, moved, v)
    tl.store(out + row * size + place, v, mask=inside)


def pointwise(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    """See :func:`speechaug.ops.pointwise.pointwise`."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _run(x, codes, values, on, out, on.new_ones(x.shape[0]))
    return out


def pointwise_(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> None:
    """See :func:`speechaug.ops.pointwise.pointwise_`."""
    if x.is_contiguous():
        _run(x, codes, values, on, x, on.any(dim=1))
    else:
        x.copy_(pointwise(x, codes, values, on))


def _run(x: Tensor, codes: list[int], values: Tensor, on: Tensor, out: Tensor, touched: Tensor) -> None:
    if x.numel() == 0:
        return
    rows, size = x.shape[0], x.numel() // x.shape[0]
    grid = (rows, triton.cdiv(size, _BLOCK))
    packed = sum(code << (3 * stage) for stage, code in enumerate(codes))
    gates, acting, amounts = on.to(torch.uint8).contiguous(), touched.to(torch.uint8), values.float().contiguous()
    with on_device(x):
        peaks = torch.zeros(rows, dtype=x.dtype, device=x.device)
        if any(code in _PEAKED for code in codes):
            _peaks[grid](x, peaks, size, BLOCK=_BLOCK)
        _apply[grid](x, peaks, amounts, gates, out, size, acting, CODES=packed, STAGES=len(codes), BLOCK=_BLOCK)
