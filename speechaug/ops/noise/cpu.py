"""Noise on the CPU: made or looked up in the cache, measured there, mixed in; nothing of it goes to memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechaug.functional.level import FLOOR_DB
from speechaug.ops._cpu import array, jit, run
from speechaug.ops.noise import reference
from speechaug.ops.noise.generator import (
    BLOCKS,
    LANES,
    energy,
    fill,
    fill_white,
    filters_at,
    philox_words,
    round_keys,
)
from speechaug.ops.noise.reference import NOMINAL_DB, SILENCE_DB

_F32 = np.float32


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
        total += energy(x[channel, :n])
    return total


@jit
def _mix(speech: Any, loud: float, noise: Any, out: Any, in_place: bool) -> None:
    if in_place:  # in a loop of its own, for the compiler to see what is what
        for t in range(speech.shape[0]):
            speech[t] += loud * _F32(noise[t])
    else:
        for t in range(speech.shape[0]):
            out[t] = speech[t] + loud * _F32(noise[t])


@jit
def _generated(
    first: int,
    last: int,
    x: Any,
    rows: Any,
    in_place: bool,
    lengths: Any,
    key: Any,
    exponent: Any,
    levels: Any,
    filters: Any,
    y: Any,
    achieved: Any,
) -> None:
    fresh, waiting = np.empty(4 * LANES, np.float32), np.empty(x.shape[2], np.float32)
    for job in range(first, last):
        row, n = rows[job], lengths[job]
        # The noise waits in the cache; in the first channel of the output, where that is not the speech.
        noise = waiting[:n] if in_place else y[row, 0, :n]
        squares = fill(round_keys(key[job]), exponent[job], filters, x[row], fresh, noise)
        own = _own_energy(x[row], n) / x.shape[1]
        snr_db, above_db = levels[0, job], levels[1, job]
        gain, achieved[job] = _gain(own, squares, max(n, 1), 1.0, snr_db, above_db)
        loud = _F32(gain)
        for channel in range(0 if in_place else 1, x.shape[1]):
            _mix(x[row, channel, :n], loud, noise, y[row, channel, :n], in_place)
        if not in_place:
            speech = x[row, 0]
            for t in range(n):
                noise[t] = speech[t] + loud * noise[t]
        y[row, :, n:] = 0


@jit
def _recorded(
    first: int,
    last: int,
    x: Any,
    rows: Any,
    in_place: bool,
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
    for job in range(first, last):
        row, n, which = rows[job], lengths[job], clip[job]
        loop = pcm[start[which] : start[which] + period[which]]
        begin = np.int64(offset[job] * period[which])
        squares, done, place = 0.0, 0, begin
        while done < n:
            size = min(n - done, loop.shape[0] - place)
            squares += energy(loop[place : place + size])
            done, place = done + size, 0
        own = _own_energy(x[row], n) / x.shape[1]
        snr_db, above_db = levels[0, job], levels[1, job]
        gain, achieved[job] = _gain(own, squares, max(n, 1), np.float64(scale[which]), snr_db, above_db)
        for channel in range(x.shape[1]):
            done, place = 0, begin
            while done < n:
                size = min(n - done, loop.shape[0] - place)
                speech, out = x[row, channel, done : done + size], y[row, channel, done : done + size]
                _mix(speech, _F32(gain), loop[place : place + size], out, in_place)
                done, place = done + size, 0
            y[row, channel, n:] = 0


@jit
def _given(
    first: int,
    last: int,
    x: Any,
    rows: Any,
    in_place: bool,
    lengths: Any,
    noise: Any,
    levels: Any,
    y: Any,
    achieved: Any,
) -> None:
    for row in range(first, last):
        n, lines = lengths[row], noise.shape[1]
        squares, own = _own_energy(noise[row], n) / lines, _own_energy(x[row], n) / x.shape[1]
        gain, achieved[row] = _gain(own, squares, max(n, 1), 1.0, levels[0, row], levels[1, row])
        for channel in range(x.shape[1]):
            _mix(x[row, channel, :n], _F32(gain), noise[row, min(channel, lines - 1), :n], y[row, channel], in_place)
            y[row, channel, n:] = 0


@jit
def _white(first: int, last: int, key: Any, lengths: Any, out: Any) -> None:
    fresh = np.empty(4 * LANES, np.float32)
    for row in range(first, last):
        fill_white(round_keys(key[row]), out[row : row + 1], fresh, out[row, : lengths[row]])
        out[row, lengths[row] :] = 0


@jit
def _babble(
    first: int,
    last: int,
    clip: Any,
    offset: Any,
    level: Any,
    pcm: Any,
    start: Any,
    period: Any,
    scale: Any,
    lengths: Any,
    out: Any,
) -> None:
    for row in range(first, last):
        total, n = out[row], lengths[row]
        total[:] = 0
        for talker in range(clip.shape[1]):
            which = clip[row, talker]
            loop = pcm[start[which] : start[which] + period[which]]
            done, place = 0, np.int64(offset[row, talker] * period[which])
            while level[row, talker] != 0.0 and done < n:
                size = min(n - done, loop.shape[0] - place)
                part = total[done : done + size]
                _mix(part, _F32(level[row, talker] * scale[which]), loop[place : place + size], part, True)
                done, place = done + size, 0


@jit
def _dying(keys: Any, chance: float, keep: float, words: Any, out: Any) -> Any:
    """Make bursts of noise, which begin at random samples and die away; how many, and the largest sample."""
    n, count, left, loudest = out.shape[0], 0, 0.0, _F32(0)
    below = np.int64(np.ceil(chance * 2.0**32))
    for begin in range(0, n, 4 * LANES):
        philox_words(keys, 0, begin // 4, BLOCKS, 1, words)
        if left < 1e-20:  # which would take long to reach zero, in numbers that processors are slow at
            left = 0.0
        for place in range(min(4 * LANES, n - begin)):
            begins = words[place % 4 * LANES + place // 4] < below
            count += begins
            left = left * keep + begins
            out[begin + place] *= _F32(left)
            loudest = max(loudest, abs(out[begin + place]))
    return count, loudest


@jit
def _bursts(
    first: int,
    last: int,
    key: Any,
    chance: Any,
    keep: Any,
    exponent: Any,
    lengths: Any,
    filters: Any,
    out: Any,
    counts: Any,
) -> None:
    fresh, words = np.empty(4 * LANES, np.float32), np.empty(4 * LANES, np.uint32)
    for row in range(first, last):
        line = out[row, : lengths[row]]
        fill(round_keys(key[row] ^ 1), exponent[row], filters, out[row : row + 1], fresh, line)
        counts[row], loudest = _dying(round_keys(key[row]), chance[row], keep[row], words, line)
        if loudest > 0:
            for t in range(line.shape[0]):
                line[t] *= _F32(1) / loudest
        out[row, lengths[row] :] = 0


def mix(x: Tensor, lengths: Tensor, noise: Tensor, snr_db: Tensor, above_db: Tensor) -> tuple[Tensor, Tensor]:
    """Measure both and mix; see the op."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    given = array(noise if noise.ndim == 3 else noise.unsqueeze(1))
    return y, _run(_given, x, torch.arange(x.shape[0]), lengths, (given, _levels(snr_db, above_db)), y)


def add_generated(x: Tensor, lengths: Tensor, *noise: Any) -> tuple[Tensor, Tensor]:
    """Make the noise of a row and mix it in; see the reference."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    return y, _add_generated(x, torch.arange(x.shape[0]), lengths, *noise, y)


def add_generated_(x: Tensor, rows: Tensor, lengths: Tensor, *noise: Any) -> Tensor:
    """Do so in place; see the op."""
    return _add_generated(x, rows, lengths, *noise, x)


def _add_generated(
    x: Tensor,
    rows: Tensor,
    lengths: Tensor,
    key: Tensor,
    exponent: Tensor,
    snr_db: Tensor,
    above_db: Tensor,
    sample_rate: int,
    y: Tensor,
) -> Tensor:
    colors = array(key), array(exponent.double()), _levels(snr_db, above_db), filters_at(sample_rate)
    return _run(_generated, x, rows, lengths, colors, y)


def add_recorded(x: Tensor, lengths: Tensor, *noise: Tensor) -> tuple[Tensor, Tensor]:
    """Mix a stretch of each row's clip in; see the reference."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    return y, _add_recorded(x, torch.arange(x.shape[0]), lengths, *noise, y)


def add_recorded_(x: Tensor, rows: Tensor, lengths: Tensor, *noise: Tensor) -> Tensor:
    """Do so in place; see the op."""
    return _add_recorded(x, rows, lengths, *noise, x)


def _add_recorded(
    x: Tensor,
    rows: Tensor,
    lengths: Tensor,
    pcm: Tensor,
    start: Tensor,
    period: Tensor,
    scale: Tensor,
    clip: Tensor,
    offset: Tensor,
    snr_db: Tensor,
    above_db: Tensor,
    y: Tensor,
) -> Tensor:
    bank = (array(part) for part in (pcm, start, period, scale, clip, offset.double()))
    return _run(_recorded, x, rows, lengths, (*bank, _levels(snr_db, above_db)), y)


def _run(kernel: Any, x: Tensor, rows: Tensor, lengths: Tensor, noise: tuple[Any, ...], y: Tensor) -> Tensor:
    """Fill ``rows`` of ``y``, which may be ``x`` itself; return the ratios reached."""
    speech, out = (part if part.ndim == 3 else part.unsqueeze(1) for part in (x, y))
    achieved = np.empty(rows.shape[0])
    run(kernel, len(achieved), array(speech), array(rows), x is y, array(lengths), *noise, out.numpy(), achieved)
    return torch.from_numpy(achieved)


def _levels(snr_db: Tensor, above_db: Tensor) -> Any:
    return array(torch.stack([snr_db.double(), above_db.double()]))


def white(key: Tensor, lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Make it in the cache; see the op."""
    if dtype != torch.float32:
        return reference.white(key, lengths, width, dtype)
    out = np.empty((len(key), width), np.float32)
    run(_white, len(out), array(key), array(lengths), out)
    return torch.from_numpy(out)


def babble(clip: Tensor, offset: Tensor, level: Tensor, *others: Any) -> Tensor:
    """Sum what speaks, as the bank keeps it; see the op."""
    *tables, width, dtype = others
    if dtype != torch.float32:
        return reference.babble(clip, offset, level, *others)
    out = np.empty((len(clip), width), np.float32)
    run(_babble, len(out), array(clip), array(offset.double()), array(level.double()), *map(array, tables), out)
    return torch.from_numpy(out)


def bursts(
    key: Tensor,
    chance: Tensor,
    keep: Tensor,
    exponent: Tensor,
    lengths: Tensor,
    width: int,
    sample_rate: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Make them in the cache; see the op."""
    if dtype != torch.float32:
        return reference.bursts(key, chance, keep, exponent, lengths, width, sample_rate, dtype)
    out, counts = np.empty((len(key), width), np.float32), np.empty(len(key))
    values = (array(part.double()) for part in (chance, keep, exponent))
    run(_bursts, len(out), array(key), *values, array(lengths), filters_at(sample_rate), out, counts)
    return torch.from_numpy(out), torch.from_numpy(counts)
