"""Chunks of each row at the same time: a first pass gives what each leaves behind, a last one the output.

Inside a chunk the states after each sample come from a parallel scan over maps ``z -> A z + b x``. In double
precision: near 0 Hz a section's two states are large numbers that nearly cancel.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device

_CHUNK = 2048
_FEWEST_STATES = 16
"""Of a cascade, for the kernel that hands states on: cascades of up to eight sections share one compilation."""


@triton.jit
def _then(a11, a12, a21, a22, a1, a2, b11, b12, b21, b22, b1, b2):
    """The map ``a`` and after it the map ``b``: matrix and offset."""
    return (
        b11 * a11 + b12 * a21,
        b11 * a12 + b12 * a22,
        b21 * a11 + b22 * a21,
        b21 * a12 + b22 * a22,
        b11 * a1 + b12 * a2 + b1,
        b21 * a1 + b22 * a2 + b2,
    )


@triton.jit(do_not_specialize=["channels", "width", "chunks", "count"])
def _chunks(
    x, sections, lengths, states, y, channels, width, chunks, count,
    reverse: tl.constexpr, final: tl.constexpr, chunk: tl.constexpr,
):  # fmt: skip
    """Run chunks: the last pass from their states, writing ``y``; the first from rest, writing what they leave.

    A compilation takes seconds and the number of sections changes with the policy's draws, so that it is no constant.
    In the first pass programs beyond the chunks run one of silence from each state alone: what a chunk makes of it.
    """
    line, job = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row = line // channels
    length = tl.load(lengths + row)
    n = tl.arange(0, chunk)
    place = job * chunk + n
    valid = (place < length) & (job < chunks)
    source = tl.where(reverse, length - 1 - place, place)
    value = tl.load(x + line * width + source, mask=valid, other=0.0).to(tl.float64)
    jobs = chunks + 2 * count
    zero = value * 0.0
    for k in range(count):
        at = sections + (row * count + k) * 5
        b0, b1, b2 = tl.load(at), tl.load(at + 1), tl.load(at + 2)
        a1, a2 = tl.load(at + 3), tl.load(at + 4)
        kept = states + (line * jobs + job) * 2 * count + 2 * k
        if final:
            z1, z2 = tl.load(kept), tl.load(kept + 1)
        else:
            z1 = tl.where(job == chunks + 2 * k, 1.0, 0.0).to(tl.float64)
            z2 = tl.where(job == chunks + 2 * k + 1, 1.0, 0.0).to(tl.float64)
        p11, p12, p21, p22, v1, v2 = tl.associative_scan(
            (zero - a1, zero + 1.0, zero - a2, zero, (b1 - a1 * b0) * value, (b2 - a2 * b0) * value), 0, _then
        )
        after1, after2 = p11 * z1 + p12 * z2 + v1, p21 * z1 + p22 * z2 + v2
        if not final:
            tl.store(kept, tl.sum(tl.where(n == chunk - 1, after1, 0.0)))
            tl.store(kept + 1, tl.sum(tl.where(n == chunk - 1, after2, 0.0)))
        before = tl.gather(after1, tl.where(n > 0, n - 1, 0), 0)
        value = tl.where(n > 0, before, z1) + b0 * value
    if final:
        target = tl.where(reverse & valid, source, place)
        tl.store(y + line * width + target, tl.where(valid, value, 0.0).to(tl.float32), mask=place < width)


@triton.jit(do_not_specialize=["chunks", "count"])
def _hand_on(states, chunks, count, padded: tl.constexpr):
    """Replace what each chunk leaves behind from rest by the states it starts from."""
    line = tl.program_id(0).to(tl.int64)
    base = states + line * (chunks + 2 * count) * 2 * count
    i = tl.arange(0, padded)
    inside = i < 2 * count
    both = inside[:, None] & inside[None, :]
    step = tl.load(base + (chunks + i[:, None]) * 2 * count + i[None, :], mask=both, other=0.0)
    state = tl.sum(step * 0.0, axis=0)
    for c in range(chunks):
        left = tl.load(base + c * 2 * count + i, mask=inside, other=0.0)
        tl.store(base + c * 2 * count + i, state, mask=inside)
        state = tl.sum(tl.expand_dims(state, 1) * step, axis=0) + left


def biquad(x: Tensor, sections: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    """Filter; see the op."""
    x, sections, lengths = x.contiguous(), sections.double().contiguous(), lengths.long().contiguous()
    rows, channels, width = x.shape
    count, y = sections.shape[1], torch.empty_like(x)
    if x.numel() == 0:
        return y
    chunk = min(_CHUNK, triton.next_power_of_2(width))
    chunks = triton.cdiv(width, chunk)
    states = torch.empty(rows * channels, chunks + 2 * count, 2 * count, dtype=torch.float64, device=x.device)
    args = (x, sections, lengths, states, y, channels, width, chunks, count)
    padded = max(triton.next_power_of_2(2 * count), _FEWEST_STATES)
    fixed = {"reverse": reverse, "chunk": chunk, "num_warps": 8}
    with on_device(x):
        _chunks[rows * channels, chunks + 2 * count](*args, final=False, **fixed)
        _hand_on[rows * channels,](states, chunks, count, padded=padded)
        _chunks[rows * channels, chunks](*args, final=True, **fixed)
    return y
