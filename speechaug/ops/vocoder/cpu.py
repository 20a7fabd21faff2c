"""The phase vocoder on CPU: a few rows and some frames at a time in small buffers; torch's FFT, numba for the rest."""

from __future__ import annotations

import math

import numpy as np
import torch

from speechaug.ops._cpu import array, jit, run
from speechaug.ops.vocoder.reference import DOUBT, LEAST, LOUD, ONSET, OVERLAP, SILENCE, TINY

_FRAMES = 128  # at a time: their spectra stay in the cache


def vocoder(x, lengths, rate, width, hop):
    """See the op."""
    rows, channels, size = x.shape[0], x.shape[1], OVERLAP * hop
    y, source, ends, rates = (
        torch.zeros(rows, channels, width),
        array(x),
        array(lengths.clamp(max=x.shape[2])),
        array(rate.double()),
    )
    group, bins = max(1, min(rows, torch.get_num_threads())), size // 2 + 1
    frames = torch.empty(group * 2 * _FRAMES * channels * size)
    spectra = torch.empty(group * 2 * _FRAMES * channels * bins, dtype=torch.complex64)
    state = np.empty((group, 2 + 2 * channels, bins), np.float32)
    cover, scale = np.empty((group, width), np.float32), np.empty(group, np.float32)
    window = array(torch.hann_window(size))
    out, steps = array(torch.round(lengths.double() / rate.double()).long()).clip(max=width), OVERLAP // 2 * hop - 2
    for first in range(0, rows, group):
        count, last = min(group, rows - first), min(first + group, rows)
        tables = source[first:last], ends[first:last], rates[first:last], out[first:last]
        laid = array(y)[first:last]
        run(_begin, count, *tables, scale, cover, state, size, laid)
        turning = rates[first:last] != 1.0
        total = int(((out[first:last] + steps) // hop + 1)[turning & (out[first:last] > 0)].max(initial=0))
        for start in range(0, total, _FRAMES):
            # One transform alone may take another path, with other last bits: give it company.
            shape = count, 2, min(_FRAMES, max(2, total - start)), channels
            some, spectrum = _first(frames, *shape, size), _first(spectra, *shape, bins)
            run(_frames, count, *tables, scale, window, hop, start, cover, array(some))
            torch.fft.rfft(some, out=spectrum)
            run(_turn, count, array(torch.view_as_real(spectrum)), state)
            turned = torch.fft.irfft(spectrum[:, 0], n=size)
            run(_overlap, count, *tables, window, hop, start, array(turned), laid)
        run(_finish, count, *tables, scale, cover, laid)
    return y


def _first(buffer, *shape):
    """Return the first samples of a buffer, in a shape."""
    return buffer[: math.prod(shape)].view(shape)


@jit
def _begin(first, last, x, lengths, rate, out, scale, cover, state, size, y):
    state[first:last] = 0
    cover[first:last] = 0
    for b in range(first, last):
        if rate[b] == 1.0:
            y[b, :, : out[b]] = x[b, :, : out[b]]
        bits, most = x[b].view(np.int32), np.int32(0)
        for c in range(bits.shape[0]):
            for i in range(lengths[b]):  # floats without their sign order as whole numbers do
                most = max(most, np.int32(bits[c, i] & np.int32(0x7FFFFFFF)))
        scale[b] = max(np.int32(most).view(np.float32), np.float32(SILENCE)) * np.float32(size / 2 / LOUD)


@jit
def _frames(first, last, x, lengths, rate, out, scale, window, hop, start, cover, frames):
    """Cut windowed frames, and those a hop before them; count what of a window lies on each sample."""
    size = window.size
    for b in range(first, last):
        length, gain = lengths[b], np.float32(1) / scale[b]
        for n in range(frames.shape[2]):
            centre = np.int64(np.rint((start + n) * hop * rate[b]))
            for kind in range(2):
                begin = centre - size // 2 - kind * hop
                low, high = min(max(-begin, 0), size), max(min(length - begin, size), 0)
                low = min(low, high)
                for c in range(x.shape[1]):
                    frame = frames[b, kind, n, c]
                    frame[:low] = 0
                    frame[high:] = 0
                    part, run, weight = frame[low:high], x[b, c, begin + low : begin + high], window[low:high]
                    for i in range(part.size):
                        part[i] = run[i] * gain * weight[i]
                if kind == 0:
                    at = (start + n) * hop - size // 2
                    low, high = max(low, -at), min(high, out[b] - at)
                    if low < high:
                        laid, weight = cover[b, at + low : at + high], window[low:high]
                        for i in range(laid.size):
                            laid[i] += weight[i] * weight[i]


@jit
def _turn(first, last, spectra, state):
    """Turn the frames of some rows; ``state`` holds the last turn and the last frame of each channel."""
    channels, bins = spectra.shape[3], spectra.shape[4]
    pull, onset, doubt = np.zeros((2, bins + 2), np.float32), np.empty(bins, np.float32), np.zeros(bins + 2, np.float32)
    for b in range(first, last):
        turn_r, turn_i = state[b, 0], state[b, 1]
        for n in range(spectra.shape[2]):
            wish_r, wish_i, sure = pull[0, 1:-1], pull[1, 1:-1], doubt[1:-1]
            wish_r[:], wish_i[:], onset[:] = 0, 0, 0
            for c in range(channels):
                s, p = spectra[b, 0, n, c], spectra[b, 1, n, c]
                old_r, old_i = state[b, 2 + 2 * c], state[b, 3 + 2 * c]
                for k in range(bins):
                    sr, si, pr, pi = s[k, 0], s[k, 1], p[k, 0], p[k, 1]
                    wish_r[k] += old_r[k] * pr + old_i[k] * pi
                    wish_i[k] += old_i[k] * pr - old_r[k] * pi
                    onset[k] += sr * sr + si * si - np.float32(ONSET) * (pr * pr + pi * pi)
                    old_r[k], old_i[k] = sr, si
            for k in range(bins):
                ar, ai, rise = wish_r[k], wish_i[k], max(onset[k], np.float32(0)) + np.float32(TINY)
                power, rise = ar * ar + ai * ai, rise * rise
                root = np.sqrt(max(power, np.float32(TINY * TINY)))
                ar, ai = ar * root, ai * root
                wish_r[k] = ar * turn_r[k] - ai * turn_i[k] + rise
                wish_i[k] = ar * turn_i[k] + ai * turn_r[k]
                sure[k] = power * power + rise * rise
            for k in range(bins):
                r = pull[0, k] + pull[0, k + 1] + pull[0, k + 2]
                i = pull[1, k] + pull[1, k + 1] + pull[1, k + 2]
                d = (doubt[k] + doubt[k + 1] + doubt[k + 2]) * np.float32(DOUBT * DOUBT)
                size = np.float32(1) / np.sqrt(r * r + i * i + d)
                turn_r[k], turn_i[k] = r * size, i * size
            for c in range(channels):
                s = spectra[b, 0, n, c]
                for k in range(bins):
                    sr, si = s[k, 0], s[k, 1]
                    s[k, 0] = sr * turn_r[k] - si * turn_i[k]
                    s[k, 1] = sr * turn_i[k] + si * turn_r[k]


@jit
def _overlap(first, last, x, lengths, rate, out, window, hop, start, frames, y):
    size = window.size
    for b in range(first, last):
        if rate[b] == 1.0:
            continue
        for n in range(frames.shape[1]):
            at = (start + n) * hop - size // 2
            low, high = max(0, -at), min(size, out[b] - at)
            if low < high:
                for c in range(frames.shape[2]):
                    laid, part, weight = y[b, c, at + low : at + high], frames[b, n, c, low:high], window[low:high]
                    for i in range(laid.size):
                        laid[i] += part[i] * weight[i]


@jit
def _finish(first, last, x, lengths, rate, out, scale, cover, y):
    for b in range(first, last):
        if rate[b] != 1.0:
            weight = cover[b]
            for c in range(y.shape[1]):
                row = y[b, c, : out[b]]
                for i in range(row.size):
                    row[i] *= scale[b] / max(weight[i], np.float32(LEAST))
