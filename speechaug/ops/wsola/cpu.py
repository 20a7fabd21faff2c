"""WSOLA on CPU: a row at a time; the search on int16, which multiplies and adds sixteen at once."""

from __future__ import annotations

import numpy as np
import torch

from speechaug.ops._cpu import array, jit, run
from speechaug.ops.wsola.reference import sizes


def wsola(x, lengths, rate, width, hop, reach, coarse):
    """See the op."""
    size, lengths = sizes(x.shape[1], width, hop, reach, coarse), lengths.clamp(max=x.shape[2])
    y = torch.empty(*x.shape[:2], width)
    starts = torch.empty(x.shape[0], size.frames, dtype=torch.int64)
    tables = (array(lengths), array(rate.double()), array(starts))
    run(_rows, x.shape[0], array(x), *tables, hop, reach, coarse, size.shift, size.peak, array(y))
    return y, starts


def wsola_adjoint(g, starts, lengths, rate, width, hop):
    """See the op."""
    x, lengths = torch.empty(*g.shape[:2], width), lengths.clamp(max=width)
    run(_adjoint, g.shape[0], array(g), array(starts), array(lengths), array(rate.double()), hop, array(x))
    return x


# No rounding may differ from the reference's where decisions are made: no fastmath.


@jit(fastmath=False)
def _rows(first, last, x, lengths, rate, starts, hop, reach, coarse, shift, peak, y):
    size = hop + 2 * reach
    runs, whole = np.empty((2, x.shape[1], size), np.float32), np.empty((4, x.shape[1], size), np.int16)
    dots, energies = np.empty(2 * reach + 1, np.int32), np.empty(2 * reach + 1, np.int32)
    buffers = runs[0], runs[1], whole[0], whole[1], whole[2], whole[3], dots, energies
    for b in range(first, last):
        length, step = lengths[b], min(max(lengths[b] // 4, 1), hop)
        out = np.int64(np.rint(length / rate[b]))
        start, around = -step, reach * step // hop
        for k in range(starts.shape[1]):
            want = start + step
            start = want
            if k * step < out:
                most = max(length - min(2 * step, out - k * step), 0)
                centre = min(np.int64(k * step * rate[b]), most)
                low, high = max(centre - around, 0), min(centre + around, most)
                if abs(want - centre) > around // 2 or want > most:
                    start = _search(x[b], length, want, centre, low, high, step, around, coarse, shift, peak, buffers)
            starts[b, k] = start
        _lay(x[b], length, out, step, starts[b], y[b])


@jit(fastmath=False)
def _search(x, length, want, centre, low, high, step, reach, coarse, shift, peak, buffers):
    old, new, old_q, new_q, old_sums, new_sums, dots, energies = buffers
    size, most = high - low + step, np.int32(0)
    for c in range(x.shape[0]):
        most = max(most, _read(x[c], length, want, old[c][:step]), _read(x[c], length, low, new[c][:size]))
    loudest = np.int32(most).view(np.float32)
    scale = np.float32(peak / np.float64(loudest)) if loudest > 1e-30 else np.float32(0)
    lags, count = (high - low) // coarse + 1, step // coarse
    dots[:lags], energies[:lags] = 0, 0
    for c in range(x.shape[0]):
        _quantise(old[c][:step], scale, old_q[c])
        _quantise(new[c][:size], scale, new_q[c])
        _sums(old_q[c][:step], coarse, shift, old_sums[c])
        _sums(new_q[c][:size], coarse, shift, new_sums[c])
        _dots(old_sums[c][:count], new_sums[c], lags, dots)
        _energies(new_sums[c], count, lags, energies)
    rough = _best(dots, energies, low, lags, coarse, centre, reach)
    first = max(low, rough - coarse + 1)
    lags = min(high, rough + coarse - 1) - first + 1
    dots[:lags], energies[:lags] = 0, 0
    for c in range(x.shape[0]):
        _few_dots(old_q[c][:step], new_q[c][first - low :], lags, dots)
        _energies(new_q[c][first - low :], step, lags, energies)
    return _best(dots, energies, first, lags, 1, centre, reach)


@jit(fastmath=False)
def _read(x, length, first, run):
    """Samples of a channel from ``first`` on, zero beyond the end; returns the bits of the loudest."""
    inside = min(max(length - first, 0), run.size)
    run[:inside] = x[first : first + inside]
    run[inside:] = 0
    bits, most = run.view(np.int32), np.int32(0)
    # floats without their sign order as whole numbers do, and those are compared eight at once
    for i in range(run.size):
        most = max(most, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    return most


@jit(fastmath=False)
def _quantise(run, scale, q):
    for i in range(run.size):
        q[i] = np.int16(np.int32(run[i] * scale))


@jit(fastmath=False)
def _sums(q, coarse, shift, sums):
    for i in range(q.size // coarse):
        total = np.int32(0)
        for j in range(coarse):
            total += q[i * coarse + j]
        sums[i] = total >> shift


@jit(fastmath=False)
def _dots(old, new, lags, dots):
    """Add sums of products at ``lags`` places: side by side, four products at a time."""
    for i in range(0, old.size - 3, 4):
        a, b, c, d = np.int32(old[i]), np.int32(old[i + 1]), np.int32(old[i + 2]), np.int32(old[i + 3])
        run = new[i : i + lags + 3]
        for lag in range(lags):
            dots[lag] += np.int32(
                np.int32(np.int32(a * np.int32(run[lag])) + np.int32(b * np.int32(run[lag + 1])))
                + np.int32(np.int32(c * np.int32(run[lag + 2])) + np.int32(d * np.int32(run[lag + 3])))
            )
    for i in range(old.size - old.size % 4, old.size):
        for lag in range(lags):
            dots[lag] += np.int32(np.int32(old[i]) * np.int32(new[i + lag]))


@jit(fastmath=False)
def _few_dots(old, new, lags, dots):
    """The same where there are more products than places."""
    for lag in range(lags):
        run, dot = new[lag : lag + old.size], np.int32(0)
        for i in range(old.size):
            dot = np.int32(dot + np.int32(np.int32(old[i]) * np.int32(run[i])))
        dots[lag] += dot


@jit(fastmath=False)
def _energies(new, count, lags, energies):
    """Add sums of ``count`` squares at ``lags`` places."""
    energy = np.int32(0)
    for i in range(count):
        energy += np.int32(np.int32(new[i]) * np.int32(new[i]))
    for lag in range(lags):
        energies[lag] += energy
        if lag < lags - 1:
            gone, come = np.int32(new[lag]), np.int32(new[lag + count])
            energy += np.int32(np.int32(come * come) - np.int32(gone * gone))


@jit(fastmath=False)
def _best(dots, energies, first, lags, step, centre, reach):
    """Of the starts ``first + step * lag`` the one most alike and near; of equals the nearest, then the earlier."""
    best, best_rank, best_start = -np.inf, 0, first
    for lag in range(lags):
        apart = first + step * lag - centre
        alike = np.float64(dots[lag])
        score = alike * abs(alike) / np.float64(max(energies[lag], 1)) * np.float64(3 * reach - 2 * abs(apart))
        rank = 2 * abs(apart) + (apart > 0)
        if score > best or (score == best and rank < best_rank):
            best, best_rank, best_start = score, rank, first + step * lag
    return best_start


@jit(fastmath=False)
def _lay(x, length, out, step, starts, y):
    """Copy where a frame goes on from the one before, else cross over to it."""
    valid = min(out, y.shape[1], starts.size * step)
    for c in range(x.shape[0]):
        row, laid, before = x[c], y[c], 0
        for k in range((valid + step - 1) // step):
            n = k * step
            count, now = min(step, valid - n), starts[k]
            part = laid[n : n + count]
            inside = min(max(min(length - before, length - now), 0), count)
            old, new = row[before : before + inside], row[now : now + inside]
            if now == before:
                for i in range(inside):
                    part[i] = old[i]
            else:
                for i in range(inside):
                    t = (np.float32(i) + np.float32(0.5)) / np.float32(step)
                    part[i] = old[i] + t * t * (np.float32(3) - np.float32(2) * t) * (new[i] - old[i])
            for i in range(inside, count):
                t = (np.float32(i) + np.float32(0.5)) / np.float32(step)
                a = row[before + i] if before + i < length else np.float32(0)
                b = row[now + i] if now + i < length else np.float32(0)
                part[i] = a + t * t * (np.float32(3) - np.float32(2) * t) * (b - a)
            before = now + step
        laid[valid:] = 0


@jit
def _adjoint(first, last, g, starts, lengths, rate, hop, x):
    for b in range(first, last):
        length, step = lengths[b], min(max(lengths[b] // 4, 1), hop)
        valid = min(np.int64(np.rint(length / rate[b])), g.shape[2], starts.shape[1] * step)
        for c in range(g.shape[1]):
            row, laid, before = x[b, c], g[b, c], 0
            row[:] = 0
            for k in range((valid + step - 1) // step):
                n, now = k * step, starts[b, k]
                part = laid[n : n + min(step, valid - n)]
                if now == before:
                    there = row[now : min(now + part.size, length)]
                    for i in range(there.size):
                        there[i] += part[i]
                else:
                    for i in range(part.size):
                        t = (np.float32(i) + np.float32(0.5)) / np.float32(step)
                        late = t * t * (np.float32(3) - np.float32(2) * t) * part[i]
                        if before + i < length:
                            row[before + i] += part[i] - late
                        if now + i < length:
                            row[now + i] += late
                before = now + step
