"""One program for each row and block of frequencies; all sections multiplied up in registers."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device

_BLOCK = 256


@triton.jit
def _evaluate(sections, out, bins, size, count: tl.constexpr, block: tl.constexpr, pi: tl.constexpr):
    row, place = tl.program_id(0).to(tl.int64), tl.program_id(1) * block + tl.arange(0, block)
    angle = tl.full((block,), 2.0 * pi, tl.float64) * place.to(tl.float64) / size.to(tl.float64)
    real, imag = tl.cos(angle), -tl.sin(angle)
    real2, imag2 = 2.0 * real * real - 1.0, 2.0 * real * imag
    top_r, top_i = real * 0.0 + 1.0, real * 0.0
    low_r, low_i = real * 0.0 + 1.0, real * 0.0
    for k in tl.static_range(count):
        at = sections + (row * count + k) * 5
        b0, b1, b2 = tl.load(at), tl.load(at + 1), tl.load(at + 2)
        a1, a2 = tl.load(at + 3), tl.load(at + 4)
        nr, ni = b0 + b1 * real + b2 * real2, b1 * imag + b2 * imag2
        dr, di = 1.0 + a1 * real + a2 * real2, a1 * imag + a2 * imag2
        next_r = top_r * nr - top_i * ni
        top_i = top_r * ni + top_i * nr
        top_r = next_r
        next_r = low_r * dr - low_i * di
        low_i = low_r * di + low_i * dr
        low_r = next_r
    scale = 1.0 / (low_r * low_r + low_i * low_i)
    place_out = out + (row * bins + place) * 2
    tl.store(place_out, ((top_r * low_r + top_i * low_i) * scale).to(tl.float32), mask=place < bins)
    tl.store(place_out + 1, ((top_i * low_r - top_r * low_i) * scale).to(tl.float32), mask=place < bins)


def transfer(sections: Tensor, size: int) -> Tensor:
    """Evaluate; see the op."""
    sections = sections.double().contiguous()
    rows, count, bins = sections.shape[0], sections.shape[1], size // 2 + 1
    out = torch.empty(rows, bins, 2, dtype=torch.float32, device=sections.device)
    if rows:
        with on_device(sections):
            grid = (rows, triton.cdiv(bins, _BLOCK))
            _evaluate[grid](sections, out, bins, size, count=count, block=_BLOCK, pi=math.pi)
    return torch.view_as_complex(out)
