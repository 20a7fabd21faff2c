"""Noise of any colour from a key, on the CPU: words of Philox, Gaussian numbers of them, a ladder of filters."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from speechaug.ops._cpu import array, jit
from speechaug.ops.noise.lanes import Lanes, Memory, after, constant, spread
from speechaug.ops.noise.reference import BEND, BEND_STEP, GROUP, SECTIONS, ladder, shaping

LANES = GROUP  # what is computed side by side
_SUMMED = 2048  # samples whose squares are summed in float32
_F32 = np.float32
_LINE = 16  # samples of a cache line
_LOW = np.uint64(0xFFFFFFFF)
BLOCKS, _PAIRS, _COPIES = 16, 32, 8  # at once: enough to wait for nothing, few enough for the registers
_STRETCHES = LANES // 4  # whose samples lie together in coloured noise, as many as a part of the blocks
_SIGN = 0x80000000


@intrinsic
def _store_words(typingctx: Any, keys: Any, stream: Any, block: Any, apart: Any, words: Any, place: Any) -> Any:
    """Four words of each of the blocks ``block, block + apart, ...``, the next one ``LANES`` places on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, stream, block, apart, _, _ = args
        word, upper = ir.IntType(32), ir.Constant(block.type, 32)
        first, step, high, low = (
            spread(builder, builder.trunc(value, word), BLOCKS)
            for value in (block, apart, builder.lshr(block, upper), stream)
        )
        rounds, memory = (Memory(context, builder, signature.args[at], args[at]) for at in (0, 4))
        lanes = list(range(_COPIES))
        for begin in range(0, BLOCKS, _COPIES):
            numbers = constant(builder, list(range(begin, begin + BLOCKS)))  # which never pass a 2 ** 32
            counter = (first + step * numbers, high, low, numbers ^ numbers)
            # A word takes 64 bits, so that a product has room. What stands in its upper half does not matter.
            c0, c1, c2, c3 = (part.take(lanes).widened() for part in counter)
            for at in range(0, 20 * _COPIES, 2 * _COPIES):
                k0, k1 = (rounds.load(at + which, _COPIES).take(2 * lanes).pairs() for which in (0, _COPIES))
                p0, p1 = (c0 & 0xFFFFFFFF) * 0xD2511F53, (c2 & 0xFFFFFFFF) * 0xCD9E8D57
                c0, c1, c2, c3 = p1.uppers() ^ (c1 ^ k0), p1, p0.uppers() ^ (c3 ^ k1), p0
            for number, part in enumerate((c0, c1, c2, c3)):
                memory.store(part.narrowed(), after(builder, args[5], number * LANES + begin))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(keys, whole, whole, whole, words, whole), codegen


def _energy_of_pair(word: Lanes) -> Lanes:
    """``-2 log u`` of a 31-bit uniform number ``u``; the polynomial is within 4e-7 of ``-2 log(1 + f) / f``."""
    number = (word >> 1).to_float() + 0.5
    exponent = (number.bits() - (0x3F3504F3 + (31 << 23))) & 0xFF800000
    f = (number.bits() - exponent).float_of_bits() * 2.0**-31 - 1.0
    log = f * f.polynomial(
        0.207574353, -0.326763034, 0.344248563, -0.397684693, 0.499431193, -0.666712165, 1.00000691, -1.99999988
    )
    return exponent.to_float() * (-2.0 * math.log(2.0) / 2**23) + log


def _cosine_and_sine(word: Lanes) -> tuple[Lanes, Lanes]:
    """Of an angle whose upper two bits are its quarter; the polynomials are within 3e-8."""
    x = (word << 2).to_float() * (0.5 * math.pi / 2**32)
    s = x * x
    sine = x * s.polynomial(-1.95040222e-4, 8.33203644e-3, -0.166666508, 1.0)
    cosine = s.polynomial(-1.3585909e-3, 4.16550264e-2, -0.499998569, 1.0)
    odd = word << 1
    across, up = odd.where_negative(sine, cosine), odd.where_negative(cosine, sine)
    across = (across.bits() ^ ((word ^ odd) & _SIGN)).float_of_bits()
    return across, (up.bits() ^ (word & _SIGN)).float_of_bits()


@intrinsic
def _store_pairs(typingctx: Any, words: Any, place: Any, out: Any, begin: Any, sums: Any) -> Any:
    """Two numbers of each of the pairs of words at ``place`` and ``place + LANES``; where those are in ``words``.

    Their squares are added to ``sums``, eight places for the sum of all.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = Memory(context, builder, signature.args[0], args[0])
        energy = _energy_of_pair(words.load(args[1], _PAIRS))
        radius = energy.sqrt()
        cosine, sine = _cosine_and_sine(words.load(after(builder, args[1], LANES), _PAIRS))
        out, begin = Memory(context, builder, signature.args[2], args[2]), builder.add(args[3], args[1])
        out.store(radius * cosine, begin)
        out.store(radius * sine, after(builder, begin, LANES))
        sums = Memory(context, builder, signature.args[4], args[4])
        sums.store(sums.load(0, 8) + energy.folded(8), 0)
        return context.get_dummy_value()

    return types.void(words, types.int64, out, types.int64, sums), codegen


@jit
def round_keys(key: int) -> Any:
    """The two words of the key of each round, each as often as a register holds it."""
    keys = np.empty((10, 2, _COPIES), np.uint32)
    k0, k1 = np.uint64(key) & _LOW, np.uint64(key) >> np.uint64(32)
    for r in range(10):
        keys[r, 0], keys[r, 1] = k0, k1
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
    return keys.ravel()


@intrinsic
def _prefetch(typingctx: Any, array: Any, place: Any) -> Any:
    """Have the cache line of a number on its way."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        Memory(context, builder, signature.args[0], args[0]).prefetch(args[1])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


def _scratch(kind: Any, count: int) -> Any:
    """Memory on the stack, which then begins at a cache line.

    Otherwise what registers cannot hold crosses lines, at half the speed.
    """

    @intrinsic
    def scratch(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            memory = cgutils.alloca_once(builder, context.get_value_type(kind), count)
            memory.align = 64
            return memory

        return types.CPointer(kind)(), codegen

    return scratch


_words: Any = _scratch(types.uint32, 4 * LANES)
_sums: Any = _scratch(types.float32, 8)


@jit(inline="always")
def philox_words(keys: Any, stream: int, first: int, along: int, apart: int, words: Any) -> None:
    """Words, four times ``LANES``, of the blocks ``first + lane // 16 * along + lane % 16 * apart``."""
    for part in range(LANES // BLOCKS):
        _store_words(keys, stream, first + part * along, apart, words, part * BLOCKS)


@jit
def gaussians(keys: Any, stream: int, first: int, along: int, apart: int, out: Any, begin: int) -> float:
    """Gaussian numbers, four times ``LANES`` from ``out[begin]`` on, of the blocks that :func:`philox_words` names.

    Returns the sum of their squares.
    """
    words, sums, total = _words(), _sums(), _F32(0)
    philox_words(keys, stream, first, along, apart, words)
    for k in range(8):
        sums[k] = _F32(0)
    for pair in range(0, 4 * LANES, 2 * LANES):
        for place in range(pair, pair + LANES, _PAIRS):
            _store_pairs(words, place, out, begin, sums)
    for k in range(8):
        total += sums[k]
    return np.float64(total)


@jit
def energy(x: Any) -> float:
    """The sum of squares: in float32 over a block, in float64 over all."""
    total = 0.0
    for first in range(0, x.shape[0], _SUMMED):
        part, block = x[first : first + _SUMMED], _F32(0)
        for t in range(part.shape[0]):
            value = _F32(part[t])
            block += value * value
        total += np.float64(block)
    return total


@jit
def _fetch(x: Any, first: int, last: int) -> None:
    """Have samples of all channels on their way to the cache."""
    for channel in range(x.shape[0]):
        line = x[channel]
        for t in range(first, last, _LINE):
            _prefetch(line, t)


@jit
def fill_white(keys: Any, x: Any, fresh: Any, out: Any) -> float:
    """The sum of its squares; the samples of ``x`` at the same places come to the cache meanwhile."""
    n, total = out.shape[0], 0.0
    for begin in range(0, n, 4 * LANES):
        whole = begin + 4 * LANES <= n
        _fetch(x, begin, min(begin + 4 * LANES, n))
        squares = gaussians(keys, 0, begin // 4, BLOCKS, 1, out if whole else fresh, begin if whole else 0)
        if not whole:
            for t in range(begin, n):
                out[t] = fresh[t - begin]
            squares = energy(out[begin:])
        total += squares
    return total


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
def _colored(keys: Any, x: Any, poles: Any, weights: Any, start: Any, fresh: Any, out: Any) -> float:
    """The ladder in parallel form.

    Each lane filters a stretch of ``LANES`` samples, once for what it leaves behind, once more from the states it
    begins with. Stretch ``s`` is number ``s % 4`` of the blocks of group ``s // 4``. Four samples of 64 stretches lie
    together: number by number, and of each number sample by sample.
    """
    noise, states = np.empty(LANES * LANES, np.float32), np.empty(SECTIONS * LANES, np.float32)
    factors = np.empty(2 * SECTIONS, np.float32)
    for k in range(SECTIONS):
        factors[k], factors[SECTIONS + k] = poles[k], weights[k]
    power, carried, n = poles**LANES, np.zeros(SECTIONS), out.shape[0]
    gaussians(keys, 1, 0, BLOCKS, 1, fresh, 0)
    for k in range(SECTIONS):
        for j in range(SECTIONS):
            carried[k] += start[k, j] * fresh[j]
    for first in range(0, n, LANES * LANES):
        states[:] = 0
        for t in range(0, LANES, 4):
            _fetch(x, first + t * LANES, min(first + (t + 4) * LANES, n))
            gaussians(keys, 0, first // 4 + t, 1, LANES, noise, t * LANES)
            for number in range(4):
                _advance(noise, t * LANES + number * LANES, factors, states, number * _STRETCHES)
        for stretch in range(LANES):
            lane = stretch % 4 * _STRETCHES + stretch // 4
            for k in range(SECTIONS):
                left = states[k * LANES + lane]
                states[k * LANES + lane] = carried[k]
                carried[k] = carried[k] * power[k] + left
        for t in range(0, LANES * LANES, LANES):
            _filter(noise, t, factors, states, t // LANES % 4 * _STRETCHES)
        for stretch in range(LANES):
            begin, place = first + stretch * LANES, stretch % 4 * LANES + stretch // 4
            part = out[begin : min(begin + LANES, n)]
            for t in range(part.shape[0]):
                part[t] = noise[place + t // 4 * (4 * LANES) + t % 4 * _STRETCHES]
    return energy(out)


def _four_samples(filters: bool) -> Any:
    def typed(typingctx: Any, w: Any, begin: Any, factors: Any, states: Any, lane: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w, factors, states = (Memory(context, builder, signature.args[i], args[i]) for i in (0, 2, 3))
            poles, weights = (
                [spread(builder, factors.scalar(first + k), _STRETCHES) for k in range(SECTIONS)]
                for first in (0, SECTIONS)
            )
            places = [after(builder, args[4], k * LANES) for k in range(SECTIONS)]
            left = [states.load(place, _STRETCHES) for place in places]
            for t in range(4):
                now = after(builder, args[1], t * _STRETCHES)
                sample = w.load(now, _STRETCHES)
                if filters:
                    shaped = sample
                    for weight, state in zip(weights, left, strict=True):
                        shaped = shaped + weight * state
                    w.store(shaped, now)
                left = [pole * state + sample for pole, state in zip(poles, left, strict=True)]
            for place, state in zip(places, left, strict=True):
                states.store(state, place)
            return context.get_dummy_value()

        return types.void(w, types.int64, factors, states, types.int64), codegen

    return typed


_advance: Any = intrinsic(_four_samples(filters=False))
_filter: Any = intrinsic(_four_samples(filters=True))


@jit
def fill(keys: Any, exponent: float, filters: Any, x: Any, fresh: Any, out: Any) -> float:
    """Fill ``out`` with noise of a colour and return the sum of its squares.

    The samples of ``x`` at the same places come to the cache meanwhile.
    """
    corner, ratio, poles, start = filters
    if exponent == 0.0:
        return fill_white(keys, x, fresh, out)
    return _colored(keys, x, poles, _weights(exponent, corner, ratio, poles), start, fresh, out)


@functools.cache
def filters_at(sample_rate: int) -> tuple[Any, ...]:
    """What the ladder is made of: its lowest corner, the ratio between corners, poles, and how states begin."""
    poles, _, start = shaping(torch.zeros(1), sample_rate)
    return *ladder(sample_rate), array(poles), array(start)
