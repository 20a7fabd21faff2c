"""Noise on CUDA: each program makes, or looks up, its stretch of the noise to measure it, and again to mix it in."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.functional.level import FLOOR_DB
from speechaug.ops._cuda import on_device
from speechaug.ops.noise.reference import FLAT_BELOW_HZ, GROUP, NOMINAL_DB, SECTIONS, SILENCE_DB, shaping

_CHUNK = 1024
_FLOOR_DB, _NOMINAL_DB, _SILENCE_DB = tl.constexpr(FLOOR_DB), tl.constexpr(NOMINAL_DB), tl.constexpr(SILENCE_DB)
_SECTIONS, _GROUP = tl.constexpr(SECTIONS), tl.constexpr(GROUP)
_FLOOR = tl.constexpr(10.0 ** (FLOOR_DB / 10.0))
_DB, _PER_DB = tl.constexpr(10.0 / math.log(10.0)), tl.constexpr(math.log(10.0) / 20.0)


@triton.jit
def words(key, block, stream):
    """The four words of each block of a row's stream."""
    low = (block & 0xFFFFFFFF).to(tl.uint32)
    high = (block >> 32).to(tl.uint32)
    zero = low * 0
    return tl.philox(key, low, high, zero + stream, zero, 10)


@triton.jit
def _radius(word):
    """``sqrt(-2 log u)`` of a 31-bit uniform number ``u``; see the CPU kernel."""
    number = (word >> 1).to(tl.int32).to(tl.float32) + 0.5
    bits = number.to(tl.int32, bitcast=True) - (0x3F3504F3 + (31 << 23))
    exponent = (bits >> 23).to(tl.float32)
    f = ((bits & 0x007FFFFF) + 0x3F3504F3).to(tl.float32, bitcast=True) - 1.0
    p = -1.40753672584e-1 * f + 2.3029220620e-1
    p = p * f - 2.3353997480e-1
    p = p * f + 2.4840281692e-1
    p = p * f - 2.8498644574e-1
    p = p * f + 3.3336115330e-1
    p = p * f - 4.0001429530e-1
    p = p * f + 4.9999987986e-1
    p = p * f - 6.6666662348e-1
    return tl.sqrt_rn(exponent * -1.38629436112 + (f * f * (p * f + 1.0) - (f + f)))


@triton.jit
def _cosine_and_sine(word):
    """Of an angle whose upper two bits are its quarter; see the CPU kernel."""
    x = (word << 2).to(tl.int32, bitcast=True).to(tl.float32) * 3.6572951981678990e-10
    s = x * x
    sine = x + x * s * (-1.6666654611e-1 + s * (8.3321608736e-3 - s * 1.9515295891e-4))
    cosine = 4.166664568298827e-2 + s * (-1.388731625493765e-3 + s * 2.443315711809948e-5)
    cosine = (1.0 - 0.5 * s) + s * s * cosine
    quarter = (word >> 30).to(tl.int32)
    odd = (quarter & 1) == 1
    across, up = tl.where(odd, sine, cosine), tl.where(odd, cosine, sine)
    return tl.where((quarter == 1) | (quarter == 2), -across, across), tl.where(quarter >= 2, -up, up)


@triton.jit
def _white(key, chunk, size: tl.constexpr):
    """Samples ``chunk * size`` and on, in their order."""
    block = (chunk.to(tl.int64) * (size // 4)) + tl.arange(0, size // 4)
    w0, w1, w2, w3 = words(key, block, 0)
    first, second = _radius(w0), _radius(w2)
    across, up = _cosine_and_sine(w1)
    other_across, other_up = _cosine_and_sine(w3)
    pairs = tl.join(tl.join(first * across, second * other_across), tl.join(first * up, second * other_up))
    groups: tl.constexpr = size // (4 * _GROUP)
    return tl.reshape(tl.permute(tl.reshape(pairs, (groups, _GROUP, 2, 2)), (0, 2, 3, 1)), (size,))


@triton.jit
def _power(base, exponent):
    """``base ** exponent`` for a whole exponent; the base may be negative."""
    size = tl.exp(exponent.to(tl.float32) * tl.log(tl.abs(base)))
    return tl.where(base < 0.0, size * (1 - 2 * (exponent % 2)), size)


@triton.jit
def _after(decay, value, next_decay, next_value):
    return decay * next_decay, value * next_decay + next_value


@triton.jit
def _first_state(key, start, section):
    """The state of a section after an endless past."""
    place = tl.arange(0, 8)
    w0, w1, _, _ = words(key, place.to(tl.int64), 1)
    across, _ = _cosine_and_sine(w1)
    factor = tl.load(start + section * _SECTIONS + place, mask=place < _SECTIONS, other=0.0).to(tl.float32)
    return tl.sum(factor * _radius(w0) * across)


@triton.jit
def _leave(key, exponent, poles, left, chunks, size: tl.constexpr):
    """What each stretch of white noise leaves behind in each section."""
    row, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    if tl.load(exponent + row) != 0.0:
        noise = _white(tl.load(key + row), chunk, size)
        age = size - 1 - tl.arange(0, size)
        for section in tl.static_range(_SECTIONS):
            pole = tl.load(poles + section).to(tl.float32)
            state = tl.sum(noise * _power(pole, age))
            tl.store(left + (row * chunks + chunk) * _SECTIONS + section, state)


@triton.jit
def _colored(key, row, chunk, poles, weights, start, left, chunks, lookback, size: tl.constexpr):
    noise = _white(key, chunk, size)
    place = tl.arange(0, size)
    before = tl.gather(noise, tl.maximum(place - 1, 0), 0)
    shaped = noise
    for section in tl.static_range(_SECTIONS):
        pole = tl.load(poles + section).to(tl.float32)
        decay = tl.exp(size * tl.log(tl.abs(pole)))
        state = _first_state(key, start, section)
        for earlier in range(tl.maximum(chunk - lookback, 0), chunk):
            state = state * decay + tl.load(left + (row * chunks + earlier) * _SECTIONS + section)
        value = tl.where(place == 0, state, before)
        _, states = tl.associative_scan((place * 0.0 + pole, value), 0, _after)
        shaped += tl.load(weights + row * _SECTIONS + section).to(tl.float32) * states
    return shaped


@triton.jit
def _noise(
    row, chunk, key, exponent, poles, weights, start, left, chunks, lookback, pcm, starts, periods, clip, offset,
    recorded: tl.constexpr, size: tl.constexpr,
):  # fmt: skip
    if recorded:
        which = tl.load(clip + row)
        period = tl.load(periods + which)
        begin = (tl.load(offset + row) * period).to(tl.int64) + chunk.to(tl.int64) * size
        place = ((begin % period).to(tl.int32) + tl.arange(0, size)) % period.to(tl.int32)
        noise = tl.load(pcm + tl.load(starts + which) + place).to(tl.float32)
    else:
        own = tl.load(key + row)
        if tl.load(exponent + row) == 0.0:
            noise = _white(own, chunk, size)
        else:
            noise = _colored(own, row, chunk, poles, weights, start, left, chunks, lookback, size)
    return noise


@triton.jit
def _measure(
    x, lengths, sums, channels, width,
    key, exponent, poles, weights, start, left, chunks, lookback, pcm, starts, periods, clip, offset,
    recorded: tl.constexpr, size: tl.constexpr,
):  # fmt: skip
    """The sums of squares of speech and noise over each stretch."""
    row, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = chunk * size + tl.arange(0, size)
    valid = place < tl.load(lengths + row)
    noise = _noise(
        row, chunk, key, exponent, poles, weights, start, left, chunks, lookback, pcm, starts, periods, clip, offset,
        recorded, size,
    )  # fmt: skip
    noise = tl.where(valid, noise, 0.0)
    own = 0.0
    for channel in range(channels):
        speech = tl.load(x + (row * channels + channel) * width + place, mask=valid, other=0.0)
        own += tl.sum(speech * speech)
    tl.store(sums + (row * chunks + chunk) * 2, own)
    tl.store(sums + (row * chunks + chunk) * 2 + 1, tl.sum(noise * noise))


@triton.jit
def _level_db(power):
    return _DB * tl.log(tl.maximum(power, _FLOOR, propagate_nan=tl.PropagateNan.ALL))


@triton.jit
def _mix(
    x, lengths, sums, channels, width, snr_db, above_db, scale, y, achieved,
    key, exponent, poles, weights, start, left, chunks, lookback, pcm, starts, periods, clip, offset,
    recorded: tl.constexpr, size: tl.constexpr,
):  # fmt: skip
    row, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    length = tl.load(lengths + row)
    part = tl.arange(0, 256)
    own, added = tl.zeros((256,), tl.float64), tl.zeros((256,), tl.float64)
    for first in range(0, chunks, 256):
        at = sums + (row * chunks + first + part) * 2
        own += tl.load(at, mask=first + part < chunks, other=0.0).to(tl.float64)
        added += tl.load(at + 1, mask=first + part < chunks, other=0.0).to(tl.float64)
    samples = tl.maximum(length, 1).to(tl.float64)
    loud = samples * 0.0 + 1.0
    if recorded:
        loud = tl.load(scale + tl.load(clip + row)).to(tl.float64)
    own_db = _level_db(tl.sum(own) / (samples * channels))
    noise_db = _level_db(loud * loud * tl.sum(added) / samples)
    speech_db = own_db + tl.load(above_db + row)
    gain_db = tl.where(own_db < _SILENCE_DB, _NOMINAL_DB, speech_db) - tl.load(snr_db + row) - noise_db
    silent = noise_db <= _FLOOR_DB
    if chunk == 0:
        tl.store(achieved + row, speech_db - tl.where(silent, _FLOOR_DB, noise_db + gain_db))
    gain = tl.where(silent, 0.0, loud * tl.exp(gain_db * _PER_DB)).to(tl.float32)

    place = chunk * size + tl.arange(0, size)
    valid = place < length
    noise = gain * _noise(
        row, chunk, key, exponent, poles, weights, start, left, chunks, lookback, pcm, starts, periods, clip, offset,
        recorded, size,
    )  # fmt: skip
    for channel in range(channels):
        line = (row * channels + channel) * width + place
        speech = tl.load(x + line, mask=valid, other=0.0)
        tl.store(y + line, tl.where(valid, speech + noise, 0.0), mask=place < width)


def add_generated(
    x: Tensor, lengths: Tensor, key: Tensor, exponent: Tensor, snr_db: Tensor, above_db: Tensor, sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Make the noise of a row and mix it in; see the op."""
    exponent = exponent.double().contiguous()
    key, filters = key.contiguous(), [part.contiguous() for part in shaping(exponent, sample_rate)]
    chunks = triton.cdiv(x.shape[-1], _CHUNK)
    left = torch.empty(x.shape[0], chunks, SECTIONS, device=x.device)
    # After so many stretches less than 1e-8 is left of a state.
    lookback = math.ceil(8.0 * math.log(10.0) * sample_rate / (2.0 * math.pi * FLAT_BELOW_HZ * _CHUNK))
    if x.numel():
        with on_device(x):
            _leave[x.shape[0], chunks](key, exponent, filters[0], left, chunks, size=_CHUNK)
    made = (key, exponent, *filters, left, chunks, lookback, key, key, key, key, exponent)
    return _added(x, lengths, snr_db, above_db, exponent, made, recorded=False)


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
    """Mix a stretch of each row's clip in; see the op."""
    bank = (pcm, start, period, clip.contiguous(), offset.double().contiguous())
    chunks = triton.cdiv(x.shape[-1], _CHUNK)
    looked_up = (clip, scale, scale, scale, scale, scale, chunks, 0, *bank)
    return _added(x, lengths, snr_db, above_db, scale, looked_up, recorded=True)


def _added(
    x: Tensor, lengths: Tensor, snr_db: Tensor, above_db: Tensor, scale: Tensor, source: Any, recorded: bool
) -> tuple[Tensor, Tensor]:
    x, lengths = x.contiguous(), lengths.contiguous()
    levels = (snr_db.double().contiguous(), above_db.double().contiguous())
    y, achieved = torch.empty_like(x), levels[1].clone()  # of an empty row that is right
    chunks, channels = triton.cdiv(x.shape[-1], _CHUNK), 1 if x.ndim == 2 else x.shape[1]
    if x.numel() == 0:
        return y, achieved
    sums = torch.empty(x.shape[0], chunks, 2, device=x.device)
    fixed = {"recorded": recorded, "size": _CHUNK}
    with on_device(x):
        grid = x.shape[0], chunks
        _measure[grid](x, lengths, sums, channels, x.shape[-1], *source, **fixed)
        _mix[grid](x, lengths, sums, channels, x.shape[-1], *levels, scale, y, achieved, *source, **fixed)
    return y, achieved
