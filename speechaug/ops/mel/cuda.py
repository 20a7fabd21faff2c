"""Log-mel features on a GPU: frames, torch's Fourier transform, power and bands at once, a band's frames at once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from speechaug.ops._cuda import on_device
from speechaug.ops.mel.reference import SMALLEST_POWER


@triton.jit
def _frames(x, lengths, window, out, width, frames, hop, size, before, N_FFT: tl.constexpr):
    """Cut one frame out, windowed, silence around the row's samples."""
    row, frame = tl.program_id(0) // frames, tl.program_id(0) % frames
    i = tl.arange(0, N_FFT)
    place = frame * hop + i - N_FFT // 2
    length = tl.minimum(tl.load(lengths + row), width)
    inside = (place >= 0) & (place < length) & (i >= before) & (i < before + size)
    samples = tl.load(x + row.to(tl.int64) * width + place, mask=inside, other=0.0)
    weights = tl.load(window + i - before, mask=inside, other=0.0)
    tl.store(out + tl.program_id(0).to(tl.int64) * N_FFT + i, samples * weights)


@triton.jit
def _energies(
    spectrum, filters, lengths, out, loudest, frames, hop, bins, bands,
    FRAMES: tl.constexpr, BINS: tl.constexpr, BANDS: tl.constexpr,
):  # fmt: skip
    """Power of some frames of a row, summed in mel bands; the row's loudest by its bits, the same in any order."""
    row = tl.program_id(0).to(tl.int64)
    frame, band = tl.program_id(1) * FRAMES + tl.arange(0, FRAMES), tl.arange(0, BANDS)
    length = tl.load(lengths + row)
    count = tl.where(length > 0, tl.minimum(1 + length // hop, frames), 0)
    valid = frame < count
    total = tl.zeros((FRAMES, BANDS), tl.float32)
    for start in range(0, bins, BINS):
        k = start + tl.arange(0, BINS)
        inside = valid[:, None] & (k < bins)[None, :]
        at = spectrum + ((row * frames + frame)[:, None] * bins + k[None, :]) * 2
        real, imaginary = tl.load(at, mask=inside, other=0.0), tl.load(at + 1, mask=inside, other=0.0)
        weights = tl.load(
            filters + k[:, None] * bands + band[None, :], mask=(k < bins)[:, None] & (band < bands)[None, :], other=0.0
        )
        total = tl.dot(real * real + imaginary * imaginary, weights, total, input_precision="ieee")
    inside = (frame < frames)[:, None] & (band < bands)[None, :]
    tl.store(out + (row * bands + band[None, :]) * frames + frame[:, None], total, mask=inside)
    bits = tl.where(inside & valid[:, None], total, 0.0).to(tl.int32, bitcast=True) & 0x7FFFFFFF
    tl.atomic_max(loudest + row, tl.max(tl.max(bits, 1), 0))


@triton.jit
def _finish(out, lengths, loudest, floor, lowest, frames, hop, bands, NORMALISE: tl.constexpr, BLOCK: tl.constexpr):
    """Logarithm and normalisation of one band of a row, in place."""
    row = tl.program_id(0) // bands
    line = out + tl.program_id(0).to(tl.int64) * frames
    length = tl.load(lengths + row)
    count = tl.where(length > 0, tl.minimum(1 + length // hop, frames), 0).to(tl.int32)
    share = tl.load(loudest + row).to(tl.float32, bitcast=True) * floor
    least = tl.where(share < lowest, lowest, share)  # NaN stays
    i = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, frames, BLOCK):
        value = tl.load(line + start + i, mask=start + i < count, other=1.0)
        value = tl.log(tl.where(value < least, least, tl.where(least == least, value, least)))
        value = tl.where(start + i < count, value, 0.0)
        tl.store(line + start + i, value, mask=start + i < frames)
        total += value
    if NORMALISE:
        tl.debug_barrier()  # what is read below was written above
        mean = tl.sum(total) / tl.maximum(count, 1)
        squares = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, count, BLOCK):
            value = tl.load(line + start + i, mask=start + i < count, other=0.0) - mean
            squares += tl.where(start + i < count, value * value, 0.0)
        scale = tl.rsqrt(tl.sum(squares) / tl.maximum(count, 1) + 1e-3)
        for start in range(0, count, BLOCK):
            value = (tl.load(line + start + i, mask=start + i < count, other=0.0) - mean) * scale
            tl.store(line + start + i, value, mask=start + i < count)


def mel(
    x: Tensor, lengths: Tensor, window: Tensor, filters: Tensor, n_fft: int, hop: int, floor: float, normalise: bool
) -> Tensor:
    """Log-mel features, see the op."""
    rows, bands, frames = x.shape[0], filters.shape[1], 1 + x.shape[1] // hop
    out = x.new_empty(rows, bands, frames)
    if out.numel() == 0:
        return out
    cut = x.new_empty(rows, frames, n_fft)
    loudest = torch.zeros(rows, dtype=torch.int32, device=x.device)
    bins, lengths = n_fft // 2 + 1, lengths.contiguous()
    with on_device(x):
        before = (n_fft - len(window)) // 2
        _frames[(rows * frames,)](
            x.contiguous(), lengths, window.contiguous(), cut, x.shape[1], frames, hop, len(window), before, n_fft
        )
        spectrum = torch.view_as_real(torch.fft.rfft(cut))
        width = max(16, triton.next_power_of_2(bands))
        _energies[rows, triton.cdiv(frames, 32)](
            spectrum, filters.contiguous(), lengths, out, loudest, frames, hop, bins, bands, 32, 32, width
        )
        _finish[(rows * bands,)](
            out, lengths, loudest, floor, SMALLEST_POWER, frames, hop, bands, normalise,
            min(1024, triton.next_power_of_2(frames)),
        )  # fmt: skip
    return out
