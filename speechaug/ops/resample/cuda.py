"""Resampling in Triton: one pass makes the fine grid, even and odd samples apart, a second reads it."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device
from speechaug.ops.resample.tables import (
    BEFORE,
    FASTEST,
    FINENESS,
    FRACTION,
    HALF_POINT,
    POINT,
    QUALITIES,
    READ_TAPS,
    SPAN,
    tensors,
)

_BLOCK = 512
_LEAD = 4  # half of the fine grid's samples before the row's first
_TAIL = 12  # and after its last
_SPAN, _FRACTION, _FINENESS = tl.constexpr(SPAN), tl.constexpr(FRACTION), tl.constexpr(FINENESS)
_BEFORE, _TAPS, _HALF_POINT = tl.constexpr(BEFORE), tl.constexpr(READ_TAPS), tl.constexpr(HALF_POINT)
_FINER, _POINTS = tl.constexpr(FRACTION - POINT), tl.constexpr((1 << POINT) - 1)
_UNIT = tl.constexpr(2.0 ** (FRACTION + 1))
_BEGIN = tl.constexpr(_LEAD)


@triton.jit
def _reach(factor, LOW_PASS: tl.constexpr, HALF_BAND: tl.constexpr):
    """Samples of the input on each side that make one of the fine grid."""
    low_pass = tl.ceil((tl.maximum(factor, 1.0) * LOW_PASS - 1.0) * 0.5).to(tl.int32)
    return tl.where((factor <= 1.0) & (HALF_BAND > 0), HALF_BAND // 2, low_pass)


@triton.jit
def _filters(
    factors, low_pass, half_band, weights, LOW_PASS: tl.constexpr, HALF_BAND: tl.constexpr, WIDTH: tl.constexpr
):
    """The low-pass of each row at the fine grid's samples, from its middle on."""
    row, time = tl.program_id(0).to(tl.int64), tl.arange(0, WIDTH)
    factor = tl.load(factors + row)
    stretch = tl.maximum(factor, 1.0)
    place = tl.minimum(time.to(tl.float64) / stretch * _FINENESS, LOW_PASS * _FINENESS + 0.999)
    before = place.to(tl.int32)
    low, high = tl.load(low_pass + before), tl.load(low_pass + before + 1)
    weight = (low + (place - before).to(tl.float32) * (high - low)) / stretch.to(tl.float32)
    if HALF_BAND > 0:
        weight = tl.where(factor <= 1.0, tl.load(half_band + time, mask=time < HALF_BAND, other=0.0), weight)
    tl.store(weights + row * WIDTH + time, weight)


@triton.jit
def _place(n, factor):
    """Where output ``n`` is read, in fixed point, to the nearest point."""
    span = n // _SPAN * _SPAN
    step = (factor * _UNIT + 0.5).to(tl.int64)
    return (span.to(tl.float64) * (factor * _UNIT)).to(tl.int64) + (n - span) * step + _HALF_POINT


@triton.jit
def _double(
    x, lengths, factors, weights, fine, samples, half,
    LOW_PASS: tl.constexpr, HALF_BAND: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    start, factor = tl.program_id(1) * BLOCK - _BEGIN, tl.load(factors + row)
    length = tl.minimum(tl.load(lengths + row), samples)
    reach = _reach(factor, LOW_PASS, HALF_BAND)
    if factor == 1.0 or start > length + reach:
        reach *= 0
    m = start + tl.arange(0, BLOCK)
    x += row * samples
    weights += row * WIDTH
    right = tl.load(x + m, mask=(m >= 0) & (m < length), other=0.0)
    left, even, odd = right, right * tl.load(weights), right * 0.0
    for d in range(1, reach + 1):
        right = tl.load(x + m + d, mask=(m + d >= 0) & (m + d < length), other=0.0)
        odd += (left + right) * tl.load(weights + 2 * d - 1)
        left = tl.load(x + m - d, mask=(m >= d) & (m - d < length), other=0.0)
        even += (left + right) * tl.load(weights + 2 * d)
    place = m + _BEGIN
    fine += row * 2 * half
    tl.store(fine + place, even, mask=place < half)
    tl.store(fine + half + place, odd, mask=place < half)


@triton.jit
def _read(
    x, fine, lengths, new_lengths, factors, read, y, samples, half, width,
    BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    length, factor = tl.minimum(tl.load(lengths + row), samples), tl.load(factors + row)
    kept = n < tl.minimum(tl.load(new_lengths + row), width)
    if factor == 1.0:
        out = tl.load(x + row * samples + n, mask=kept & (n < length), other=0.0)
    else:
        place = _place(n, factor)
        taps = tl.arange(0, _TAPS)
        at = (place >> _FRACTION)[:, None] + (taps - _BEFORE + 2 * _BEGIN)[None]
        fine += row * 2 * half
        values = tl.load(fine + (at & 1) * half + (at >> 1), mask=kept[:, None], other=0.0)
        point = (place >> _FINER) & _POINTS
        out = tl.sum(values * tl.load(read + point[:, None] * _TAPS + taps[None]), axis=1)
    tl.store(y + row * width + n, tl.where(kept, out, 0.0), mask=n < width)


@triton.jit
def _write(y, fine, new_lengths, factors, read, width, half, BLOCK: tl.constexpr):
    """The transpose of :func:`_read`: each sample of the fine grid gathers from the outputs that read it."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    new_length, factor = tl.minimum(tl.load(new_lengths + row), width), tl.load(factors + row)
    j = (2 * (place % half - _BEGIN) + place // half).to(tl.int64)
    first = tl.floor((j.to(tl.float64) - _TAPS) / (2.0 * factor)).to(tl.int64)
    total = tl.zeros([BLOCK], tl.float32)
    for k in range(0, (1.0 / factor * _TAPS).to(tl.int32) + 2):
        n = tl.maximum(first + k, 0)
        at = _place(n, factor)
        tap = j - (at >> _FRACTION) + _BEFORE
        read_here = (tap >= 0) & (tap < _TAPS) & (first + k >= 0) & (n < new_length)
        point = (at >> _FINER) & _POINTS
        weight = tl.load(read + point * _TAPS + tap, mask=read_here, other=0.0)
        total += weight * tl.load(y + row * width + n, mask=read_here, other=0.0)
    tl.store(fine + row * 2 * half + place, total, mask=place < 2 * half)


@triton.jit
def _halve(
    y, fine, lengths, new_lengths, factors, weights, x, width, half, samples,
    LOW_PASS: tl.constexpr, HALF_BAND: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The transpose of :func:`_double`."""
    row = tl.program_id(0).to(tl.int64)
    m = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    length, factor = tl.minimum(tl.load(lengths + row), samples), tl.load(factors + row)
    kept, new_length = m < length, tl.minimum(tl.load(new_lengths + row), width)
    if factor == 1.0:
        out = tl.load(y + row * width + m, mask=kept & (m < new_length), other=0.0)
    else:
        at = m + _BEGIN
        evens, odds = fine + row * 2 * half, fine + row * 2 * half + half
        weights += row * WIDTH
        out = tl.load(evens + at, mask=kept, other=0.0) * tl.load(weights)
        for d in range(1, _reach(factor, LOW_PASS, HALF_BAND) + 1):
            before, after = kept & (at >= d), kept & (at + d < half)
            sides = tl.load(evens + at - d, mask=before, other=0.0) + tl.load(evens + at + d, mask=after, other=0.0)
            out += sides * tl.load(weights + 2 * d)
            after = kept & (at + d - 1 < half)
            sides = tl.load(odds + at - d, mask=before, other=0.0) + tl.load(odds + at + d - 1, mask=after, other=0.0)
            out += sides * tl.load(weights + 2 * d - 1)
    tl.store(x + row * samples + m, tl.where(kept, out, 0.0), mask=m < samples)


def resample(x: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str) -> Tensor:
    """See the op."""
    x, y = x.contiguous(), x.new_empty(x.shape[0], width)
    (rows, samples), half = x.shape, x.shape[1] + _LEAD + _TAIL
    if y.numel() == 0:
        return y
    fine = x.new_empty(rows, 2, half)
    with on_device(x):
        weights, read, sizes = _tables(x, factor, quality)
        _double[_grid(rows, half)](x, lengths, factor, weights, fine, samples, half, **sizes)
        _read[_grid(rows, width)](x, fine, lengths, new_lengths, factor, read, y, samples, half, width, BLOCK=_BLOCK)
    return y


def resample_adjoint(
    y: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str
) -> Tensor:
    """See the op."""
    y, x = y.contiguous(), y.new_empty(y.shape[0], width)
    (rows, samples), half = y.shape, width + _LEAD + _TAIL
    if x.numel() == 0:
        return x
    fine = y.new_empty(rows, 2, half)
    with on_device(y):
        weights, read, sizes = _tables(y, factor, quality)
        _write[_grid(rows, 2 * half)](y, fine, new_lengths, factor, read, samples, half, BLOCK=_BLOCK)
        _halve[_grid(rows, width)](y, fine, lengths, new_lengths, factor, weights, x, samples, half, width, **sizes)
    return x


def _tables(x: Tensor, factor: Tensor, quality: str) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Each row's low-pass, the weights of the reading, and what the kernels' loops need to know of them."""
    low_pass, half_band, read = tensors(quality, x.device, x.dtype)
    chosen = QUALITIES[quality]
    width = triton.next_power_of_2(int(FASTEST * chosen.low_pass) + 2)
    weights = x.new_empty(x.shape[0], width)
    sizes = {"LOW_PASS": chosen.low_pass, "HALF_BAND": chosen.half_band, "WIDTH": width}
    _filters[(x.shape[0],)](factor, low_pass, half_band, weights, **sizes)
    return weights, read, {**sizes, "BLOCK": _BLOCK}


def _grid(rows: int, width: int) -> tuple[int, int]:
    return rows, triton.cdiv(width, _BLOCK)
