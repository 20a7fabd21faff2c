"""Sixteen samples of a cascade at once, as a small matrix.

What a block gives out is a product of what comes in with a triangular matrix (its impulse response), plus what the
states at its start still ring on. Matrices are made for each row in double precision, the states are double too, and
each section's pair of states is measured in an orthonormal basis of what it rings on: low cut-offs, where the usual
states are large numbers that nearly cancel, are then as exact as others. Vectors are written in LLVM's own types,
which it fits to the processor.
"""

from __future__ import annotations

import numpy as np
import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from speechaug.ops._cpu import array, jit, run

_BLOCK = 16
_TOGETHER = 4  # sections in one pass, two states each
_TILE = 2048  # samples that pass through all sections while they are in the nearest cache


def _blocks(states):
    """Make the function that filters pairs of blocks in place, for cascades of up to ``states / 2`` sections."""

    @intrinsic
    def advance(typingctx, signal, pairs, products, readout, carry, state):
        def codegen(context, builder, signature, args):
            def data(index, kind):
                kept = context.make_array(signature.args[index])(context, builder, args[index])
                return builder.bitcast(kept.data, kind.as_pointer())

            single, double = ir.FloatType(), ir.DoubleType()
            eight, wide = ir.VectorType(single, 8), ir.VectorType(double, states)
            index = ir.IntType(32)
            pointers = [data(0, single), data(2, single), data(3, single), data(4, double), data(5, double)]
            source, table, ringing, steps, kept = pointers

            def load(pointer, offset, kind):
                place = builder.gep(pointer, [ir.Constant(index, offset)], source_etype=pointer.type.pointee)
                value = builder.load(builder.bitcast(place, kind.as_pointer()), align=4, typ=kind)
                return value

            def splat(scalar, kind):
                first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(index, 0))
                zeros = ir.Constant(ir.VectorType(index, kind.count), [0] * kind.count)
                return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

            def add(total, a, b):
                flags = ("contract",)
                return builder.fadd(total, builder.fmul(a, b, flags=flags), flags=flags)

            held = cgutils.alloca_once(builder, wide)
            builder.store(load(kept, 0, wide), held)
            with cgutils.for_range(builder, args[1]) as loop:
                offset = builder.mul(loop.index, ir.Constant(loop.index.type, 2 * _BLOCK))
                here = builder.gep(source, [offset], source_etype=single)
                zero = ir.Constant(eight, [0.0] * 8)
                low, high, into = [zero, zero], [zero, zero], [zero, zero]
                for t in range(_BLOCK):
                    parts = [load(table, 24 * t + 8 * part, eight) for part in range(3)]
                    for b in range(2):
                        sample = splat(load(here, _BLOCK * b + t, single), eight)
                        low[b] = add(low[b], parts[0], sample) if t < 8 else low[b]
                        high[b] = add(high[b], parts[1], sample)
                        into[b] = add(into[b], parts[2], sample)
                now = builder.load(held)
                for b in range(2):
                    mask = ir.Constant(ir.VectorType(index, states), list(range(states)))
                    entering = builder.shuffle_vector(into[b], zero, mask)
                    following = builder.fpext(entering, wide)
                    for j in range(states):
                        value = builder.extract_element(now, ir.Constant(index, j))
                        rings = splat(builder.fptrunc(value, single), eight)
                        low[b] = add(low[b], load(ringing, 16 * j, eight), rings)
                        high[b] = add(high[b], load(ringing, 16 * j + 8, eight), rings)
                        following = add(following, load(steps, 8 * j, wide), splat(value, wide))
                    now = following
                for b in range(2):
                    for half, values in enumerate((low[b], high[b])):
                        place = builder.gep(here, [ir.Constant(index, _BLOCK * b + 8 * half)], source_etype=single)
                        builder.store(values, builder.bitcast(place, eight.as_pointer()), align=4)
                builder.store(now, held)
            builder.store(builder.load(held), builder.bitcast(kept, wide.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.none(signal, pairs, products, readout, carry, state), codegen

    return advance


_two, _four, _eight = _blocks(2), _blocks(4), _blocks(8)


@jit
def _basis(a1, a2, basis):
    """Write ``r11, r12, r22``: states times this triangle measure what they ring on in an orthonormal basis."""
    u, w = np.zeros(_BLOCK), np.zeros(_BLOCK)
    for column, out in enumerate((u, w)):
        z1, z2 = (1.0, 0.0) if column == 0 else (0.0, 1.0)
        for t in range(_BLOCK):
            out[t] = z1
            z1, z2 = z2 - a1 * z1, -a2 * z1
    basis[0] = np.sqrt((u * u).sum())
    basis[1] = (u * w).sum() / basis[0]
    rest = w - u * (basis[1] / basis[0])
    basis[2] = np.sqrt((rest * rest).sum())


@jit
def _simulate(sections, count, basis, z, impulse, out, states):
    """Run a block through the cascade sample by sample from the states ``z``; keep each output and each state."""
    for t in range(_BLOCK):
        v = impulse if t == 0 else 0.0
        for k in range(count):
            b0, b1, b2, a1, a2 = sections[k]
            y = b0 * v + z[2 * k]
            z[2 * k] = b1 * v - a1 * y + z[2 * k + 1]
            z[2 * k + 1] = b2 * v - a2 * y
            states[t, 2 * k] = basis[k, 0] * z[2 * k] + basis[k, 1] * z[2 * k + 1]
            states[t, 2 * k + 1] = basis[k, 2] * z[2 * k + 1]
            v = y
        out[t] = v


@jit
def _prepare(sections, count, products, readout, carry):
    """Fill the matrices of a cascade of ``count`` sections, at most four."""
    products[:], readout[:], carry[:] = 0.0, 0.0, 0.0
    basis, z = np.zeros((_TOGETHER, 3)), np.zeros(2 * _TOGETHER)
    out, states = np.zeros(_BLOCK), np.zeros((_BLOCK, 2 * _TOGETHER))
    for k in range(count):
        _basis(sections[k, 3], sections[k, 4], basis[k])
    _simulate(sections, count, basis, z, 1.0, out, states)
    for t in range(_BLOCK):
        for i in range(t, _BLOCK):
            products[24 * t + i] = out[i - t]
        for j in range(2 * count):
            products[24 * t + 16 + j] = states[_BLOCK - 1 - t, j]
    for j in range(2 * count):
        k = j // 2
        z[:] = 0.0
        if j % 2 == 0:
            z[j] = 1.0 / basis[k, 0]
        else:
            z[j] = 1.0 / basis[k, 2]
            z[j - 1] = -basis[k, 1] / (basis[k, 0] * basis[k, 2])
        _simulate(sections, count, basis, z, 0.0, out, states)
        for i in range(_BLOCK):
            readout[16 * j + i] = out[i]
        for i in range(2 * count):
            carry[8 * j + i] = states[_BLOCK - 1, i]


@jit
def _acting(sections, acting):
    """Copy the sections that are not the identity; return how many there are."""
    count = 0
    for k in range(len(sections)):
        b0, b1, b2, a1, a2 = sections[k]
        if not (b0 == 1.0 and b1 == a1 and b2 == a2):
            acting[count] = sections[k]
            count += 1
    return count


@jit
def _rows(first, last, x, sections, lengths, channels, reverse, y):
    passes = (sections.shape[1] + _TOGETHER - 1) // _TOGETHER
    products, readout = np.zeros((passes, 24 * _BLOCK), np.float32), np.zeros((passes, 128), np.float32)
    carry, states = np.zeros((passes, 64)), np.zeros((passes, 8))
    acting, tile = np.zeros((sections.shape[1], 5)), np.zeros(_TILE, np.float32)
    for r in range(first, last):
        length = min(max(lengths[r // channels], 0), x.shape[1])
        y[r, length:] = 0.0
        count = _acting(sections[r // channels], acting)
        if count == 0:
            y[r, :length] = x[r, :length]
            continue
        states[:] = 0.0
        for k in range(0, count, _TOGETHER):
            n = k // _TOGETHER
            _prepare(acting[k : k + _TOGETHER], min(count - k, _TOGETHER), products[n], readout[n], carry[n])
        for start in range(0, length, _TILE):
            size = min(_TILE, length - start)
            pairs = (size + 2 * _BLOCK - 1) // (2 * _BLOCK)
            if reverse:
                tile[:size] = x[r, length - start - size : length - start][::-1]
            else:
                tile[:size] = x[r, start : start + size]
            tile[size : pairs * 2 * _BLOCK] = 0.0
            for k in range(0, count, _TOGETHER):
                n = k // _TOGETHER
                if count - k == 1:
                    _two(tile, pairs, products[n], readout[n], carry[n], states[n])
                elif count - k == 2:
                    _four(tile, pairs, products[n], readout[n], carry[n], states[n])
                else:
                    _eight(tile, pairs, products[n], readout[n], carry[n], states[n])
            if reverse:
                y[r, length - start - size : length - start] = tile[:size][::-1]
            else:
                y[r, start : start + size] = tile[:size]


def biquad(x: Tensor, sections: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    """Filter; see the op."""
    y = torch.empty(x.shape, dtype=x.dtype)
    rows, channels, width = x.shape
    if x.numel():
        flat, out = array(x).reshape(-1, width), y.numpy().reshape(-1, width)
        run(_rows, rows * channels, flat, array(sections.double()), array(lengths.long()), channels, reverse, out)
    return y
