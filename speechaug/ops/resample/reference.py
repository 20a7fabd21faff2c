"""Resampling in plain torch: the low-pass by FFT, the reading by gather; and both transposed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug.ops.resample.tables import (
    BEFORE,
    FASTEST,
    FINENESS,
    FRACTION,
    HALF_POINT,
    POINT,
    QUALITIES,
    READ_TAPS,
    SPAN,
    tensors,
)


def resample(x: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str) -> Tensor:
    """See the op."""
    if x.numel() == 0 or width == 0:
        return x.new_zeros(x.shape[0], width)
    x = _valid(x, lengths)
    index, point = _places(factor, width)
    read = tensors(quality, x.device, x.dtype)[2]
    fine = torch.zeros(x.shape[0], _fine_size(x.shape[1], quality), dtype=x.dtype, device=x.device)
    fine[:, : 2 * x.shape[1] : 2] = x
    fine = _filtered(fine, factor, quality)
    y = torch.zeros(x.shape[0], width, dtype=x.dtype, device=x.device)
    for tap in range(READ_TAPS):
        y += fine.gather(1, (index + (tap - BEFORE)) % fine.shape[1]) * read[:, tap][point]
    y = torch.where(factor[:, None] == 1.0, pad(x, (0, width - x.shape[1])), y)
    return _valid(y, new_lengths)


def resample_adjoint(
    y: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str
) -> Tensor:
    """See the op."""
    if y.numel() == 0 or width == 0:
        return y.new_zeros(y.shape[0], width)
    y = _valid(y, new_lengths)
    index, point = _places(factor, y.shape[1])
    read = tensors(quality, y.device, y.dtype)[2]
    fine = torch.zeros(y.shape[0], _fine_size(width, quality), dtype=y.dtype, device=y.device)
    for tap in range(READ_TAPS):
        fine.scatter_add_(1, (index + (tap - BEFORE)) % fine.shape[1], y * read[:, tap][point])
    x = _filtered(fine, factor, quality)[:, : 2 * width : 2]
    x = torch.where(factor[:, None] == 1.0, pad(y, (0, width - y.shape[1])), x)
    return _valid(x, lengths)


def _valid(x: Tensor, lengths: Tensor) -> Tensor:
    return torch.where(torch.arange(x.shape[1], device=x.device) < lengths[:, None], x, 0.0)


def _places(factor: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Where outputs are read: the sample of the fine grid at or before, and which point between it and the next."""
    n = torch.arange(width, device=factor.device)
    step = (factor * 2.0 ** (FRACTION + 1))[:, None]
    place = ((n // SPAN * SPAN) * step).long() + n % SPAN * (step + 0.5).long() + HALF_POINT
    return place >> FRACTION, (place >> (FRACTION - POINT)) & ((1 << POINT) - 1)


def _fine_size(samples: int, quality: str) -> int:
    """Twice the samples and the silence that catches the longest filter's ringing, which is circular.

    Seven times a power of two at most: a size that FFTs like.
    """
    size = 2 * (samples + int(FASTEST * QUALITIES[quality].low_pass) + READ_TAPS)
    unit = 1 << (size.bit_length() - 3)
    return -(-size // unit) * unit


def _filtered(fine: Tensor, factor: Tensor, quality: str) -> Tensor:
    """Low-pass the fine grid. The filter is symmetric, so this is its own transpose."""
    low_pass, half_band, _ = tensors(quality, fine.device, fine.dtype)
    stretch = factor.clamp(min=1.0)[:, None]
    reach = int(FASTEST * QUALITIES[quality].low_pass)
    place = (torch.arange(reach, device=fine.device) * (FINENESS / stretch)).clamp(max=low_pass.shape[0] - 1.001)
    before = place.long()
    taps = torch.lerp(low_pass[before], low_pass[before + 1], (place - before).to(fine.dtype)) / stretch.to(fine.dtype)
    if QUALITIES[quality].half_band:
        taps = torch.where(factor[:, None] <= 1.0, pad(half_band, (0, reach - half_band.shape[0])), taps)
    response = torch.zeros_like(fine)
    response[:, :reach] = taps
    response[:, 1 - reach :] = taps[:, 1:].flip(1)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(fine) * torch.fft.rfft(response).real, n=fine.shape[1])
    return filtered
