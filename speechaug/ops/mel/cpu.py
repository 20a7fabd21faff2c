"""Log-mel features on the CPU: eight frames at a time through a Fourier transform of our own, then a row at once."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug.ops._cpu import array, jit, run
from speechaug.ops._lanes import WIDTH, load, splat, store, transpose
from speechaug.ops.mel import reference
from speechaug.ops.mel.reference import SMALLEST_POWER


@jit
def _frames(x, start, hop, window, out):
    """Window eight frames, the first at ``x[start]``; even samples to the first half of ``out``, odd to the second."""
    half = out.size // 2
    for block in range(window.size // WIDTH):
        i = start + block * WIDTH
        w = load(window, block * WIDTH)
        lines = transpose((
            load(x, i) * w, load(x, i + hop) * w, load(x, i + 2 * hop) * w, load(x, i + 3 * hop) * w,
            load(x, i + 4 * hop) * w, load(x, i + 5 * hop) * w, load(x, i + 6 * hop) * w, load(x, i + 7 * hop) * w,
        ))  # fmt: skip
        even, odd = block * 4 * WIDTH, half + block * 4 * WIDTH
        store(out, even, lines[0])
        store(out, odd, lines[1])
        store(out, even + WIDTH, lines[2])
        store(out, odd + WIDTH, lines[3])
        store(out, even + 2 * WIDTH, lines[4])
        store(out, odd + 2 * WIDTH, lines[5])
        store(out, even + 3 * WIDTH, lines[6])
        store(out, odd + 3 * WIDTH, lines[7])


@jit
def _transform(z, cos, sin):
    """Fourier transform of complex numbers in place: four points at a time, in the order of :func:`_order`."""
    half = z.size // 2
    points = half // WIDTH
    length = points
    while length >= 4:
        turn, hop = points // length, length // 4 * WIDTH
        for block in range(turn):
            for p in range(length // 4):
                i = (block * length + p) * WIDTH
                ar, ai = load(z, i), load(z, half + i)
                br, bi = load(z, i + hop), load(z, half + i + hop)
                cr, ci = load(z, i + 2 * hop), load(z, half + i + 2 * hop)
                dr, di = load(z, i + 3 * hop), load(z, half + i + 3 * hop)
                sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
                ur, ui, vr, vi = br + dr, bi + di, br - dr, bi - di
                store(z, i, sr + ur)
                store(z, half + i, si + ui)
                er, ei, fr, fi, gr, gi = tr + vi, ti - vr, sr - ur, si - ui, tr - vi, ti + vr
                if p == 0:
                    store(z, i + hop, er)
                    store(z, half + i + hop, ei)
                    store(z, i + 2 * hop, fr)
                    store(z, half + i + 2 * hop, fi)
                    store(z, i + 3 * hop, gr)
                    store(z, half + i + 3 * hop, gi)
                else:
                    c, s = splat(cos[p * turn]), splat(sin[p * turn])
                    store(z, i + hop, er * c - ei * s)
                    store(z, half + i + hop, er * s + ei * c)
                    c, s = splat(cos[2 * p * turn]), splat(sin[2 * p * turn])
                    store(z, i + 2 * hop, fr * c - fi * s)
                    store(z, half + i + 2 * hop, fr * s + fi * c)
                    c, s = splat(cos[3 * p * turn]), splat(sin[3 * p * turn])
                    store(z, i + 3 * hop, gr * c - gi * s)
                    store(z, half + i + 3 * hop, gr * s + gi * c)
        length //= 4
    if length == 2:
        for i in range(0, z.size, 2 * WIDTH):
            a, b = load(z, i), load(z, i + WIDTH)
            store(z, i, a + b)
            store(z, i + WIDTH, a - b)


@jit
def _power(z, order, cos, sin, out):
    """Four times the power of a real signal whose even and odd samples were transformed as one complex signal."""
    half, points = z.size // 2, order.size
    for k in range(points // 2 + 1):
        i, j = order[k] * WIDTH, order[(points - k) & (points - 1)] * WIDTH
        ar, ai, br, bi = load(z, i), load(z, half + i), load(z, j), load(z, half + j)
        er, ei, dr, di = ar + br, ai - bi, ai + bi, br - ar
        c, s = splat(cos[k]), splat(sin[k])
        tr, ti = dr * c - di * s, dr * s + di * c
        pr, pi, mr, mi = er + tr, ei + ti, er - tr, ei - ti
        store(out, k * WIDTH, pr * pr + pi * pi)
        store(out, (points - k) * WIDTH, mr * mr + mi * mi)


@jit
def _bands(power, first, ends, weights, out):
    """Sum the power of eight frames in each mel band; its weights are those from the end of the band before."""
    start = 0
    for band in range(first.size):
        total = splat(np.float32(0.0))
        for k in range(ends[band] - start):
            total = total + load(power, (first[band] + k) * WIDTH) * splat(weights[start + k])
        store(out, band * WIDTH, total)
        start = ends[band]


@jit
def _sparse(filters):
    """First bin of each band, where its weights end, and all weights one after another, a quarter of what they were."""
    bins, bands = filters.shape
    first, ends = np.zeros(bands, np.int64), np.zeros(bands, np.int64)
    last = np.zeros(bands, np.int64)
    for k in range(bins):
        for band in range(bands):
            if filters[k, band] != 0.0:
                first[band] = k if last[band] == 0 else first[band]
                last[band] = k + 1
    weights = np.empty((last - first).sum(), np.float32)
    end = 0
    for band in range(bands):
        for k in range(first[band], last[band]):
            weights[end] = np.float32(0.25) * filters[k, band]
            end += 1
        ends[band] = end
    return first, ends, weights


@jit
def _energies(x, length, hop, window, waves, bands, frames, width, out):
    """Mel energies of the first ``frames`` frames of a row into ``out``, a band's every ``width``."""
    order, cos, sin, half_cos, half_sin = waves
    first, ends, weights = bands
    n_fft = window.size
    points, span = n_fft // 2, (WIDTH - 1) * hop + n_fft
    z, edge = np.empty(n_fft * WIDTH, np.float32), np.empty(span, np.float32)
    power, lines = np.empty((points + 1) * WIDTH, np.float32), np.empty(first.size * WIDTH, np.float32)
    for frame in range(0, frames, WIDTH):
        start = frame * hop - points
        if start >= 0 and start + span <= length:
            _frames(x, start, hop, window, z)
        else:
            for i in range(span):
                edge[i] = x[start + i] if 0 <= start + i < length else np.float32(0.0)
            _frames(edge, 0, hop, window, z)
        _transform(z, cos, sin)
        _power(z, order, half_cos, half_sin, power)
        _bands(power, first, ends, weights, lines)
        if frame + WIDTH <= frames:
            for band in range(first.size):
                store(out, band * width + frame, load(lines, band * WIDTH))
        else:
            for band in range(first.size):
                for lane in range(frames - frame):
                    out[band * width + frame + lane] = lines[band * WIDTH + lane]


@jit
def _loudest(bits):
    """The largest of some energies by their bits, which order infinity above all numbers and NaN above infinity."""
    most = np.int32(0)
    for i in range(bits.size):
        value = np.int32(bits[i] & np.int32(0x7FFFFFFF))
        most = value if value > most else most
    return most


@jit
def _log(line, bits, lowest, exponents, fractions, fraction_bits):
    """Natural logarithm in place, of ``lowest`` at least, given as bits; good to 1 ulp (Cephes, ``logf``)."""
    for i in range(line.size):
        value = bits[i] if bits[i] > lowest else lowest
        shifted = np.int32(value - 0x3F3504F3)  # the square root of a half, so that fractions lie around one
        exponents[i] = np.float32(shifted >> 23)
        fraction_bits[i] = np.int32((shifted & 0x7FFFFF) + 0x3F3504F3)
    for i in range(line.size):
        m, e = fractions[i] - np.float32(1.0), exponents[i]
        y = np.float32(7.0376836292e-2) * m - np.float32(1.1514610310e-1)
        y = y * m + np.float32(1.1676998740e-1)
        y = y * m - np.float32(1.2420140846e-1)
        y = y * m + np.float32(1.4249322787e-1)
        y = y * m - np.float32(1.6668057665e-1)
        y = y * m + np.float32(2.0000714765e-1)
        y = y * m - np.float32(2.4999993993e-1)
        y = y * m + np.float32(3.3333331174e-1)
        y = y * m * m * m - np.float32(2.12194440e-4) * e - np.float32(0.5) * m * m
        line[i] = m + y + np.float32(0.693359375) * e


@jit
def _normalise(line):
    """Give a band mean zero and deviation one; a band that never changes becomes exactly zero."""
    total, squares, level = 0.0, 0.0, line[0]
    for start in range(0, line.size, 512):
        part = np.float32(0.0)
        block = line[start : start + 512]
        for i in range(block.size):
            part += block[i] - level
        total += part
    mean = level + np.float32(total / line.size)
    for start in range(0, line.size, 512):
        block, part = line[start : start + 512], np.float32(0.0)
        for i in range(block.size):
            block[i] -= mean
            part += block[i] * block[i]
        squares += part
    scale = np.float32(1.0 / np.sqrt(squares / line.size + 1e-3))
    for i in range(line.size):
        line[i] *= scale


@jit
def _finish(out, bits, frames, floor, normalise):
    """Turn one row's energies into what is returned."""
    loudest = np.zeros(1, np.int32)
    for band in range(out.shape[0]):
        loudest[0] = max(loudest[0], _loudest(bits[band][:frames]))
    if loudest[0] >= 0x7F800000:  # infinite, or NaN
        broken = loudest[0] > 0x7F800000 or normalise or floor == 0.0
        for band in range(out.shape[0]):
            for i in range(frames):
                out[band, i] = np.nan if broken else np.inf
        return
    lowest = loudest.view(np.float32)
    lowest[0] = max(lowest[0] * np.float32(floor), np.float32(SMALLEST_POWER))
    exponents, fractions = np.empty(frames, np.float32), np.empty(frames, np.float32)
    for band in range(out.shape[0]):
        line = out[band][:frames]
        _log(line, bits[band][:frames], loudest[0], exponents, fractions, fractions.view(np.int32))
        if normalise:
            _normalise(line)


@jit
def _rows(first, last, x, lengths, hop, window, waves, bands, floor, normalise, out, bits):
    for row in range(first, last):
        length = min(lengths[row], x.shape[1])
        frames = 1 + length // hop if length > 0 else 0
        for band in range(out.shape[1]):
            for i in range(frames, out.shape[2]):
                out[row, band, i] = 0.0
        if frames > 0:
            _energies(x[row], length, hop, window, waves, bands, frames, out.shape[2], out[row].reshape(-1))
            _finish(out[row], bits[row], frames, floor, normalise)


def _order(points: int) -> list[int]:
    """Say where the transform leaves each frequency: of those with the same remainder by four, one after another."""
    if points == 1:
        return [0]
    step = 4 if points >= 4 else 2
    inner = _order(points // step)
    return [k % step * (points // step) + inner[k // step] for k in range(points)]


@functools.cache
def _waves(n_fft: int) -> tuple[NDArray[Any], ...]:
    """Return the order of the transform, and cosine and negative sine of a full turn and of half a turn's steps."""
    turns = np.exp(-2j * np.pi * np.arange(n_fft) / n_fft)
    parts = [part for turn in (turns[::2], turns[: n_fft // 4 + 1]) for part in (turn.real, turn.imag)]
    return np.array(_order(n_fft // 2)), *(np.ascontiguousarray(part, np.float32) for part in parts)


def mel(
    x: Tensor, lengths: Tensor, window: Tensor, filters: Tensor, n_fft: int, hop: int, floor: float, normalise: bool
) -> Tensor:
    """Log-mel features, see the op. A row's bits depend on its samples alone."""
    if n_fft < 2 * WIDTH:
        return reference.mel(x, lengths, window, filters, n_fft, hop, floor, normalise)
    out = x.new_empty(x.shape[0], filters.shape[1], 1 + x.shape[1] // hop)
    frame = np.zeros(n_fft, np.float32)
    before = (n_fft - len(window)) // 2
    frame[before : before + len(window)] = array(window)
    bits = array(out.view(torch.int32))
    bands = _sparse(array(filters))
    run(_rows, len(x), array(x), array(lengths), hop, frame, _waves(n_fft), bands, floor, normalise, array(out), bits)
    return out
