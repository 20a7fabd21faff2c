"""Noise on the CPU: made or looked up in the cache, measured there, mixed in; nothing of it goes to memory."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic
from torch import Tensor

from speechaug.functional.level import FLOOR_DB
from speechaug.ops._cpu import array, jit, run
from speechaug.ops.noise.reference import BEND, BEND_STEP, GROUP, NOMINAL_DB, SECTIONS, SILENCE_DB, ladder, shaping

LANES = GROUP  # what is computed side by side
BLOCK = 2048  # samples whose squares are summed in float32
_F32 = np.float32
_LOW = np.uint64(0xFFFFFFFF)


def _bits_of(typingctx: Any, value: Any) -> Any:
    """The bits of a float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), codegen


def _float_of(typingctx: Any, bits: Any) -> Any:
    """The float32 of some bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), codegen


_as_bits: Any = intrinsic(_bits_of)
_as_float: Any = intrinsic(_float_of)


@jit
def philox_words(key: int, stream: int, first: int, bits: int, words: Any) -> None:
    """Words ``(4, LANES)`` of the blocks ``first + lane % 2 ** bits * LANES + lane // 2 ** bits``.

    Words are kept in the lower halves of 64-bit lanes, for that is how AVX2 multiplies; the upper halves of c1 and c3
    hold rubbish, which no product sees.
    """
    for lane in range(LANES):
        block = np.uint64(first + (lane & ((1 << bits) - 1)) * LANES + (lane >> bits))
        c0, c1 = block & _LOW, np.uint64(first) >> np.uint64(32)  # LANES * LANES blocks never pass a 2 ** 32
        c2, c3 = np.uint64(stream), np.uint64(0)
        k0, k1 = np.uint64(key) & _LOW, np.uint64(key) >> np.uint64(32)
        for _ in range(10):
            product0 = (c0 & _LOW) * np.uint64(0xD2511F53)
            product1 = (c2 & _LOW) * np.uint64(0xCD9E8D57)
            c0, c1 = (product1 >> np.uint64(32)) ^ c1 ^ k0, product1
            c2, c3 = (product0 >> np.uint64(32)) ^ c3 ^ k1, product0
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
        words[0, lane] = np.uint32(c0)
        words[1, lane] = np.uint32(c1)
        words[2, lane] = np.uint32(c2)
        words[3, lane] = np.uint32(c3)


@jit(inline="always")
def _radius(word: Any) -> Any:
    """``sqrt(-2 log u)`` of a 31-bit uniform number ``u``; the polynomial is that of Cephes' logf, times -2."""
    number = _F32(np.int32(np.uint32(word >> np.uint32(1)))) + _F32(0.5)
    bits = np.uint32(_as_bits(number) - np.uint32(0x3F3504F3 + (31 << 23)))
    exponent = _F32(np.int32(np.int32(bits) >> np.int32(23)))
    f = _as_float(np.uint32((bits & np.uint32(0x007FFFFF)) + np.uint32(0x3F3504F3))) - _F32(1)
    p = _F32(-1.40753672584e-1) * f + _F32(2.3029220620e-1)
    p = p * f - _F32(2.3353997480e-1)
    p = p * f + _F32(2.4840281692e-1)
    p = p * f - _F32(2.8498644574e-1)
    p = p * f + _F32(3.3336115330e-1)
    p = p * f - _F32(4.0001429530e-1)
    p = p * f + _F32(4.9999987986e-1)
    p = p * f - _F32(6.6666662348e-1)
    return np.sqrt(exponent * _F32(-1.38629436112) + (f * f * (p * f + _F32(1)) - (f + f)))


@jit(inline="always")
def _cosine_and_sine(word: Any) -> Any:
    """Of an angle whose upper two bits are its quarter; the polynomials are those of Cephes."""
    x = _F32(np.int32(np.uint32(word << np.uint32(2)))) * _F32(3.6572951981678990e-10)
    s = x * x
    sine = x + x * s * (_F32(-1.6666654611e-1) + s * (_F32(8.3321608736e-3) - s * _F32(1.9515295891e-4)))
    cosine = _F32(4.166664568298827e-2) + s * (_F32(-1.388731625493765e-3) + s * _F32(2.443315711809948e-5))
    cosine = (_F32(1) - _F32(0.5) * s) + s * s * cosine
    odd = np.uint32(word << np.uint32(1))
    across, up = (sine, cosine) if np.int32(odd) < np.int32(0) else (cosine, sine)
    sign = np.uint32(0x80000000)
    across = _as_float(np.uint32(_as_bits(across) ^ np.uint32(np.uint32(word ^ odd) & sign)))
    return across, _as_float(np.uint32(_as_bits(up) ^ np.uint32(word & sign)))


@jit
def gaussians(key: int, stream: int, first: int, bits: int, words: Any, out: Any) -> None:
    """Gaussian numbers ``out (4, LANES)`` of the blocks that :func:`philox_words` names."""
    philox_words(key, stream, first, bits, words)
    for pair in range(0, 4, 2):
        sizes, turns, across, up = words[pair], words[pair + 1], out[pair], out[pair + 1]
        for lane in range(LANES):
            radius = _radius(sizes[lane])
            cosine, sine = _cosine_and_sine(turns[lane])
            across[lane] = radius * cosine
            up[lane] = radius * sine


@jit
def _white(key: int, n: int, words: Any, fresh: Any, out: Any) -> None:
    size = 4 * LANES
    for begin in range(0, n, size):
        whole = begin + size <= n
        part = out[begin : begin + size].reshape(4, LANES) if whole else fresh
        gaussians(key, 0, begin // 4, 0, words, part)
        if not whole:
            for t in range(begin, n):
                out[t] = fresh[(t - begin) // LANES, t % LANES]


@jit
def _weights(exponent: float, corner: float, ratio: float, poles: Any) -> Any:
    weights = np.ones(SECTIONS)
    for k in range(SECTIONS):
        for j in range(SECTIONS - 1):
            weights[k] *= poles[k] - np.exp(corner * ratio ** (j - 0.5 * exponent))
        weights[k] *= poles[k] - (BEND + BEND_STEP * exponent)
        for j in range(SECTIONS):
            if j != k:
                weights[k] /= poles[k] - poles[j]
    return weights


@jit
def _colored(key: int, n: int, poles: Any, weights: Any, start: Any, words: Any, fresh: Any, out: Any) -> None:
    """The ladder in parallel form.

    Each lane filters a stretch of ``LANES`` samples, once for what it leaves behind, once more from the states it
    begins with. Lane ``16 * (s % 4) + s // 4`` has stretch ``s``, for so the numbers of a group are laid out.
    """
    noise, states = np.empty(LANES * LANES, np.float32), np.empty(SECTIONS * LANES, np.float32)
    power, carried, quarter = poles**LANES, np.zeros(SECTIONS), LANES // 4
    for first in range(0, n, LANES * LANES):
        states[:] = 0
        for t in range(-4 if first == 0 else 0, LANES, 4):
            # One call, for it is compiled into each place it is called from.
            gaussians(key, 1 if t < 0 else 0, first // 4 + max(t, 0), 0 if t < 0 else 4, words, fresh)
            if t < 0:
                for k in range(SECTIONS):
                    for j in range(SECTIONS):
                        carried[k] += start[k, j] * fresh[0, j]
                continue
            for step in range(4):
                for number in range(4):
                    begin = (t + step) * LANES + number * quarter
                    for lane in range(quarter):
                        noise[begin + lane] = fresh[number, step * quarter + lane]
            _advance(noise[t * LANES : (t + 4) * LANES], poles, states)
        for stretch in range(LANES):
            lane = stretch % 4 * quarter + stretch // 4
            for k in range(SECTIONS):
                left = states[k * LANES + lane]
                states[k * LANES + lane] = carried[k]
                carried[k] = carried[k] * power[k] + left
        for t in range(0, LANES, 4):
            _filter(noise[t * LANES : (t + 4) * LANES], poles, weights, states)
        for stretch in range(LANES):
            begin, lane = first + stretch * LANES, stretch % 4 * quarter + stretch // 4
            part = out[begin : min(begin + LANES, n)]
            for t in range(part.shape[0]):
                part[t] = noise[t * LANES + lane]


@jit
def _advance(w: Any, poles: Any, states: Any) -> None:
    """Four samples in each lane: the states after them.

    Arrays are flat, so that the compiler sees which parts do not overlap.
    """
    p0, p1, p2, p3, p4 = _F32(poles[0]), _F32(poles[1]), _F32(poles[2]), _F32(poles[3]), _F32(poles[4])
    for lane in range(LANES):
        s0, s1, s2 = states[lane], states[LANES + lane], states[2 * LANES + lane]
        s3, s4 = states[3 * LANES + lane], states[4 * LANES + lane]
        for t in range(4):
            sample = w[t * LANES + lane]
            s0, s1, s2 = p0 * s0 + sample, p1 * s1 + sample, p2 * s2 + sample
            s3, s4 = p3 * s3 + sample, p4 * s4 + sample
        states[lane], states[LANES + lane], states[2 * LANES + lane] = s0, s1, s2
        states[3 * LANES + lane], states[4 * LANES + lane] = s3, s4


@jit
def _filter(w: Any, poles: Any, weights: Any, states: Any) -> None:
    """Four samples in each lane: filtered in place, and the states after them."""
    p0, p1, p2, p3, p4 = _F32(poles[0]), _F32(poles[1]), _F32(poles[2]), _F32(poles[3]), _F32(poles[4])
    c0, c1, c2, c3, c4 = _F32(weights[0]), _F32(weights[1]), _F32(weights[2]), _F32(weights[3]), _F32(weights[4])
    for lane in range(LANES):
        s0, s1, s2 = states[lane], states[LANES + lane], states[2 * LANES + lane]
        s3, s4 = states[3 * LANES + lane], states[4 * LANES + lane]
        for t in range(4):
            sample = w[t * LANES + lane]
            w[t * LANES + lane] = sample + ((c0 * s0 + c1 * s1) + (c2 * s2 + c3 * s3) + c4 * s4)
            s0, s1, s2 = p0 * s0 + sample, p1 * s1 + sample, p2 * s2 + sample
            s3, s4 = p3 * s3 + sample, p4 * s4 + sample
        states[lane], states[LANES + lane], states[2 * LANES + lane] = s0, s1, s2
        states[3 * LANES + lane], states[4 * LANES + lane] = s3, s4


@jit
def _energy(x: Any) -> float:
    """The sum of squares: in float32 over a block, in float64 over all."""
    total = 0.0
    for first in range(0, x.shape[0], BLOCK):
        part, block = x[first : first + BLOCK], _F32(0)
        for t in range(part.shape[0]):
            value = _F32(part[t])
            block += value * value
        total += np.float64(block)
    return total


@jit
def _gain(own: float, noise: float, samples: int, scale: float, snr_db: float, above_db: float) -> Any:
    """How much of the noise to add, and the ratio then reached, of the sums of squares of speech and noise."""
    floor = 10.0 ** (FLOOR_DB / 10.0)
    own_db = 10.0 * np.log10(max(own / samples, floor))
    noise_db = 10.0 * np.log10(max(scale * scale * noise / samples, floor))
    speech_db = own_db + above_db
    if noise_db <= FLOOR_DB:
        return 0.0, speech_db - FLOOR_DB
    gain_db = (NOMINAL_DB if own_db < SILENCE_DB else speech_db) - snr_db - noise_db
    return scale * 10.0 ** (gain_db / 20.0), speech_db - (noise_db + gain_db)


@jit
def _own_energy(x: Any, n: int) -> float:
    total = 0.0
    for channel in range(x.shape[0]):
        total += _energy(x[channel, :n])
    return total


@jit
def _generated(
    first: int,
    last: int,
    x: Any,
    lengths: Any,
    key: Any,
    exponent: Any,
    levels: Any,
    corner: float,
    ratio: float,
    poles: Any,
    start: Any,
    y: Any,
    achieved: Any,
) -> None:
    words, fresh = np.empty((4, LANES), np.uint32), np.empty((4, LANES), np.float32)
    for row in range(first, last):
        n = lengths[row]
        # The noise waits, in the cache, in the first channel of the output.
        noise = y[row, 0]
        if exponent[row] == 0.0:
            _white(key[row], n, words, fresh, noise)
        else:
            weights = _weights(exponent[row], corner, ratio, poles)
            _colored(key[row], n, poles, weights, start, words, fresh, noise)
        own = _own_energy(x[row], n) / x.shape[1]
        snr_db, above_db = levels[0, row], levels[1, row]
        gain, achieved[row] = _gain(own, _energy(noise[:n]), max(n, 1), 1.0, snr_db, above_db)
        loud = _F32(gain)
        for channel in range(1, x.shape[1]):
            speech, out = x[row, channel], y[row, channel]
            for t in range(n):
                out[t] = speech[t] + loud * noise[t]
            out[n:] = 0
        speech = x[row, 0]
        for t in range(n):  # in a loop of its own, for the compiler to see what is what
            noise[t] = speech[t] + loud * noise[t]
        noise[n:] = 0


@jit
def _recorded(
    first: int,
    last: int,
    x: Any,
    lengths: Any,
    pcm: Any,
    start: Any,
    period: Any,
    scale: Any,
    clip: Any,
    offset: Any,
    levels: Any,
    y: Any,
    achieved: Any,
) -> None:
    for row in range(first, last):
        n, which = lengths[row], clip[row]
        loop = pcm[start[which] : start[which] + period[which]]
        begin = np.int64(offset[row] * period[which])
        energy, done, place = 0.0, 0, begin
        while done < n:
            size = min(n - done, loop.shape[0] - place)
            energy += _energy(loop[place : place + size])
            done, place = done + size, 0
        own = _own_energy(x[row], n) / x.shape[1]
        snr_db, above_db = levels[0, row], levels[1, row]
        gain, achieved[row] = _gain(own, energy, max(n, 1), np.float64(scale[which]), snr_db, above_db)
        loud = _F32(gain)
        for channel in range(x.shape[1]):
            done, place = 0, begin
            while done < n:
                size = min(n - done, loop.shape[0] - place)
                speech, out = x[row, channel, done : done + size], y[row, channel, done : done + size]
                noise = loop[place : place + size]
                for t in range(size):
                    out[t] = speech[t] + loud * _F32(noise[t])
                done, place = done + size, 0
            y[row, channel, n:] = 0


def add_generated(
    x: Tensor, lengths: Tensor, key: Tensor, exponent: Tensor, snr_db: Tensor, above_db: Tensor, sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Make the noise of a row and mix it in; see the reference."""
    speech, levels, y, achieved = _prepared(x, snr_db, above_db)
    keys, colors, filters = array(key), array(exponent.double()), _filters(sample_rate)
    run(_generated, x.shape[0], speech, array(lengths), keys, colors, levels, *filters, y, achieved)
    return torch.from_numpy(y).view(x.shape), torch.from_numpy(achieved)


def add_recorded(
    x: Tensor,
    lengths: Tensor,
    pcm: Tensor,
    start: Tensor,
    period: Tensor,
    scale: Tensor,
    clip: Tensor,
    offset: Tensor,
    snr_db: Tensor,
    above_db: Tensor,
) -> tuple[Tensor, Tensor]:
    """Mix a stretch of each row's clip in; see the reference."""
    speech, levels, y, achieved = _prepared(x, snr_db, above_db)
    bank = [array(part) for part in (pcm, start, period, scale, clip, offset.double())]
    run(_recorded, x.shape[0], speech, array(lengths), *bank, levels, y, achieved)
    return torch.from_numpy(y).view(x.shape), torch.from_numpy(achieved)


@functools.cache
def _filters(sample_rate: int) -> tuple[Any, ...]:
    poles, _, start = shaping(torch.zeros(1), sample_rate)
    return *ladder(sample_rate), array(poles), array(start)


def _prepared(x: Tensor, snr_db: Tensor, above_db: Tensor) -> Any:
    speech = array(x if x.ndim == 3 else x.unsqueeze(1))
    levels = array(torch.stack([snr_db.double(), above_db.double()]))
    return speech, levels, array(torch.empty(speech.shape)), np.empty(x.shape[0])
