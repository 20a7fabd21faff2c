"""WSOLA on CUDA: a program per row decides frame by frame; then every sample of the output at once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from speechaug.ops._cuda import on_device
from speechaug.ops.wsola.reference import sizes

_BLOCK = 512
_power = triton.next_power_of_2


def wsola(x, lengths, rate, width, hop, reach, coarse):
    """See the op."""
    size = sizes(x.shape[1], width, hop, reach, coarse)
    x, rate = x.contiguous(), rate.double()
    y = x.new_empty(*x.shape[:2], width)
    starts = lengths.new_empty(x.shape[0], size.frames)
    out = torch.round(lengths.double() / rate).long()
    if x.shape[0] == 0:
        return y, starts
    blocks = {
        "OLD": _power(hop),
        "NEW": _power(hop + 2 * reach),
        "COUNT": _power(max(1, hop // coarse)),
        "LAGS": _power(2 * reach // coarse + 1),
        "NEAR": _power(2 * coarse - 1),
    }
    settings = {"HOP": hop, "REACH": reach, "COARSE": coarse, "SHIFT": size.shift, "PEAK": size.peak}
    with on_device(x):
        _starts[(x.shape[0],)](
            x, lengths, out, rate, starts, x.shape[1], x.shape[2], size.frames, **settings, **blocks, num_warps=8
        )
        _lay[(x.shape[0] * x.shape[1], triton.cdiv(width, _BLOCK))](
            x, lengths, out, starts, y, x.shape[1], x.shape[2], width, size.frames, HOP=hop, BLOCK=_BLOCK
        )
    return y, starts


def wsola_adjoint(g, starts, lengths, rate, width, hop):
    """See the op."""
    g, starts, rate = g.contiguous(), starts.contiguous(), rate.double()
    x = g.new_empty(*g.shape[:2], width)
    if x.numel() == 0:
        return x
    out = torch.round(lengths.double() / rate).long()
    shapes = (g.shape[1], width, g.shape[2], starts.shape[1])
    with on_device(g):
        _adjoint[(g.shape[0] * g.shape[1], triton.cdiv(width, _BLOCK))](
            g, lengths, out, rate, starts, x, *shapes, HOP=hop, BLOCK=_BLOCK
        )
    return x


@triton.jit
def _read(x, at, length, kept):
    """Samples of a channel, zero beyond the end."""
    return tl.load(x + at, kept & (at < length), 0.0)


@triton.jit
def _best(dot, energy, start, valid, centre, reach):
    """Of ``start`` the one most alike and near; of equals the nearest, then the earlier."""
    alike, apart = dot.to(tl.float64), start - centre
    score = alike * tl.abs(alike) / tl.maximum(energy, 1).to(tl.float64)
    score = tl.where(valid, score * (3 * reach - 2 * tl.abs(apart)).to(tl.float64), float("-inf"))
    rank = 2 * tl.abs(apart) + (apart > 0).to(tl.int64)
    rank = tl.min(tl.where(score == tl.max(score, 0), rank, 1 << 40), 0)
    return centre + tl.where(rank % 2 == 1, rank // 2, -(rank // 2))


@triton.jit
def _starts(
    x, lengths, out, rate, starts, channels, width, frames,
    HOP: tl.constexpr, REACH: tl.constexpr, COARSE: tl.constexpr, SHIFT: tl.constexpr, PEAK: tl.constexpr,
    OLD: tl.constexpr, NEW: tl.constexpr, COUNT: tl.constexpr, LAGS: tl.constexpr, NEAR: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    length, end, speed = tl.load(lengths + b), tl.load(out + b), tl.load(rate + b)
    x += b * channels * width
    step = tl.minimum(tl.maximum(length // 4, 1), HOP)
    around = REACH * step // HOP
    i, j = tl.arange(0, OLD).to(tl.int64), tl.arange(0, NEW).to(tl.int64)
    few, lag = tl.arange(0, COUNT).to(tl.int64), tl.arange(0, LAGS).to(tl.int64)
    near = tl.arange(0, NEAR).to(tl.int64)
    start = -step
    for k in range(frames):
        want = start + step
        start = want
        n = k * step
        if n < end:
            most = tl.maximum(length - tl.minimum(2 * step, end - n), 0)
            centre = tl.minimum((n.to(tl.float64) * speed).to(tl.int64), most)
            if (tl.abs(want - centre) > around // 2) | (want > most):
                low, high = tl.maximum(centre - around, 0), tl.minimum(centre + around, most)
                loudest = 0.0
                for c in range(channels):
                    old = _read(x + c * width, want + i, length, i < step)
                    new = _read(x + c * width, low + j, length, j < high - low + step)
                    loudest = tl.maximum(loudest, tl.maximum(tl.max(tl.abs(old), 0), tl.max(tl.abs(new), 0)))
                scale = (PEAK / tl.maximum(loudest, 1e-30).to(tl.float64)).to(tl.float32)
                scale = tl.where(loudest > 1e-30, scale, 0.0)
                # the first look, at sums of COARSE samples
                dot, energy = tl.zeros((LAGS,), tl.int32), tl.zeros((LAGS,), tl.int32)
                kept = few < step // COARSE
                for c in range(channels):
                    q = tl.zeros((COUNT,), tl.int32)
                    r = tl.zeros((LAGS, COUNT), tl.int32)
                    for part in range(COARSE):
                        at = low + (lag[:, None] + few[None, :]) * COARSE + part
                        inside = kept[None, :] & (at < high + step)
                        ahead = want + few * COARSE + part
                        q += (_read(x + c * width, ahead, length, kept) * scale).to(tl.int32)
                        r += (_read(x + c * width, at, length, inside) * scale).to(tl.int32)
                    q, r = q >> SHIFT, r >> SHIFT
                    dot += tl.sum(r * q[None, :], 1)
                    energy += tl.sum(r * r, 1)
                place = low + lag * COARSE
                rough = _best(dot, energy, place, place <= high, centre, around)
                # and around the best of them
                place = rough + near - (COARSE - 1)
                valid = (near < 2 * COARSE - 1) & (place >= low) & (place <= high)
                at = place[:, None] + i[None, :]
                inside = valid[:, None] & (i < step)[None, :]
                dot, energy = tl.zeros((NEAR,), tl.int32), tl.zeros((NEAR,), tl.int32)
                for c in range(channels):
                    q = (_read(x + c * width, want + i, length, i < step) * scale).to(tl.int32)
                    s = (_read(x + c * width, at, length, inside) * scale).to(tl.int32)
                    dot += tl.sum(s * q[None, :], 1)
                    energy += tl.sum(s * s, 1)
                start = _best(dot, energy, place, valid, centre, around)
        tl.store(starts + b * frames + k, start)


@triton.jit
def _fade(inside, step):
    t = (inside.to(tl.float32) + 0.5) / step.to(tl.float32)
    return t * t * (3.0 - 2.0 * t)


@triton.jit
def _lay(x, lengths, out, starts, y, channels, x_width, width, frames, HOP: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    b = row // channels
    length, end = tl.load(lengths + b), tl.load(out + b)
    step = tl.minimum(tl.maximum(length // 4, 1), HOP)
    n = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = n < tl.minimum(end, width)
    k = n // step
    inside = n - k * step
    now = tl.load(starts + b * frames + k, valid, 0) + inside
    before = tl.where(k > 0, tl.load(starts + b * frames + k - 1, valid & (k > 0), 0) + step, 0) + inside
    a = tl.load(x + row * x_width + before, valid & (before < length), 0.0)
    c = tl.load(x + row * x_width + now, valid & (now < length), 0.0)
    tl.store(y + row * width + n, tl.where(valid, a + _fade(inside, step) * (c - a), 0.0), n < width)


@triton.jit
def _adjoint(
    g, lengths, out, rate, starts, x, channels, width, g_width, frames, HOP: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    b = row // channels
    length, end, speed = tl.load(lengths + b), tl.minimum(tl.load(out + b), g_width), tl.load(rate + b)
    step = tl.minimum(tl.maximum(length // 4, 1), HOP)
    first = tl.program_id(1).to(tl.int64) * BLOCK
    m = first + tl.arange(0, BLOCK)
    # no frame starts further than its reach, and twice its hop near the end, from where its number says
    spread = 6 * HOP
    pace = tl.maximum(step.to(tl.float64) * speed, 1e-9)
    low = tl.maximum(((first - spread).to(tl.float64) / pace).to(tl.int64) - 1, -1)
    high = tl.minimum(((first + BLOCK + spread).to(tl.float64) / pace).to(tl.int64) + 2, frames)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(low, high):
        start = tl.where(k < 0, -step, tl.load(starts + b * frames + tl.maximum(k, 0)))
        j = m - start
        n = k * step + j
        kept = (j >= 0) & (j < 2 * step) & (n >= 0) & (n < end) & (m < length)
        rises = j < step
        fade = _fade(tl.where(rises, j, j - step), step)
        total += tl.load(g + row * g_width + n, kept, 0.0) * tl.where(rises, fade, 1.0 - fade)
    tl.store(x + row * width + m, total, m < width)
