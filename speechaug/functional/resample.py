"""Resampling: every row by its own ratio, any ratio as good as another.

Positions and lengths are float64: float32 positions would lose all but 38 dB after 15 s.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug.functional.level import valid_mask
from speechaug.functional.room import good_size

# Resampling is a non-uniform FFT: a spectrum on a grid twice as fine, read between the grid points with a short kernel
# exp(beta * (sqrt(1 - t^2) - 1)) of Barnett, Magland and af Klinteberg (2019), undone in the spectrum beforehand.
_TAPS = 6
_BETA = 0.97 * math.pi * 0.75 * _TAPS
_NODES = tuple(zip(*(side.tolist() for side in np.polynomial.legendre.leggauss(20)), strict=True))
_EDGE = 0.96  # of the lower of the two Nyquist frequencies; there the low-pass halves the amplitude
_SLOPE = 0.0108  # standard deviation of its Gaussian transition: 80 dB down at 1.0, 1e-4 off at 0.92
_LEAD = 4
_TAIL = 1_024  # silence that catches the ringing: 140 dB down after 170 samples, times the factor above 1


def scaled_lengths(lengths: Tensor, factor: Tensor) -> Tensor:
    """Lengths after a change of speed: ``len / factor`` in float64, halves to even, as Python's ``round``.

    Args:
        lengths: ``(B,)`` valid samples.
        factor: ``(B,)``, above 1 is faster.

    Example:
        >>> scaled_lengths(torch.tensor([5, 16_000]), torch.tensor([2.0, 0.9], dtype=torch.float64)).tolist()
        [2, 17778]
    """
    return torch.round(lengths.double() / factor.double()).long()


def resample(x: Tensor, lengths: Tensor, factor: Tensor, width: int) -> Tensor:
    """Play each row at its own speed: pitch and tempo change together, as on a tape.

    Each row is low-passed below both Nyquist frequencies (flat to 0.92 of the lower one, nothing left at 1.0), then
    read at the positions ``n * factor``. Errors lie 100 dB below the signal, at any ratio; a factor of 1 is exact.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        factor: ``(B,)`` in [0.25, 4], above 1 is faster.
        width: samples of the output; what is longer is cut.

    Returns:
        ``(B, ..., width)``, zero beyond :func:`scaled_lengths`. Gradients reach ``x``.

    Source:
        Barnett, Magland and af Klinteberg, "A parallel nonuniform fast Fourier transform library based on an
        exponential of semicircle kernel", SIAM J. Sci. Comput. 2019.

    Example:
        >>> x = torch.tensor([[0.0, 1.0, 0.0, -1.0]]).repeat(1, 1_000)
        >>> y = resample(x, torch.tensor([4_000]), torch.tensor([0.5]), 8_000)
        >>> bool(torch.isclose(y[0, 4_001], torch.tensor(0.5).sqrt(), atol=1e-4))
        True
    """
    if x.numel() == 0 or width == 0:
        return x.new_zeros(*x.shape[:-1], width)
    signal, factor = x.reshape(x.shape[0], -1, x.shape[-1]), factor.double()
    rows = max(1, budget(x, 1 << 22) // (2 * signal.shape[1] * signal.shape[2]))
    parts = [
        _resample_rows(signal[start : start + rows], factor[start : start + rows], width)
        for start in range(0, x.shape[0], rows)
    ]
    y = torch.cat(parts).reshape(*x.shape[:-1], width)
    y = torch.where(each_row(factor == 1.0, x), pad(x, (0, width - x.shape[-1])), y)
    return torch.where(valid_mask(y, scaled_lengths(lengths, factor)), y, 0.0)


def each_row(condition: Tensor, x: Tensor) -> Tensor:
    return condition.view(-1, *[1] * (x.ndim - 1))


def budget(x: Tensor, samples: int) -> int:
    """How many samples to handle at once: what the caches of a CPU hold, more where launching is what costs."""
    return samples if x.device.type == "cpu" else 8 * samples


def take(x: Tensor, index: Tensor) -> Tensor:
    """Samples ``index`` ``(B, N)`` of ``x`` ``(B, C, T)``, every channel alike; much faster than ``gather``."""
    place = index[:, None] + row_starts(x)[..., None]
    return x.reshape(-1).index_select(0, place.view(-1)).view(place.shape)


def row_starts(x: Tensor) -> Tensor:
    return torch.arange(x.shape[0] * x.shape[1], device=x.device).view(x.shape[:2]) * x.shape[2]


def _resample_rows(x: Tensor, factor: Tensor, width: int) -> Tensor:
    """Resample some rows ``(B, C, T)``, a block of columns at a time."""
    fine = _oversample(x, factor)
    columns = max(1_024, budget(x, 1 << 17) // (x.shape[0] * x.shape[1]))
    parts = []
    for start in range(0, width, columns):
        n = torch.arange(start, min(start + columns, width), dtype=torch.float64, device=x.device)
        # beyond the end nothing is kept, only the index must exist
        position = (n * (2.0 * factor)[:, None]).clamp(max=2.0 * x.shape[-1]) + 2.0 * _LEAD
        parts.append(_interpolate(fine, position))
    return torch.cat(parts, dim=-1)


def _oversample(x: Tensor, factor: Tensor) -> Tensor:
    """Low-pass for the factors, double the rate and boost what :func:`_interpolate` weakens; starts ``_LEAD`` early."""
    size = good_size(x.shape[-1] + _LEAD + _TAIL)
    spectrum = torch.fft.rfft(pad(x, (_LEAD, size - _LEAD - x.shape[-1])))
    nyquists = torch.arange(size // 2 + 1, dtype=x.dtype, device=x.device) * (2.0 / size)
    damping = torch.zeros_like(nyquists)
    for node, weight in _NODES[: len(_NODES) // 2]:  # the kernel's Fourier transform, by quadrature of one half
        height = _TAPS * weight * math.exp(_BETA * (math.sqrt(1.0 - node * node) - 1.0))
        damping += height * torch.cos((0.25 * math.pi * _TAPS * node) * nyquists)
    distance = nyquists * factor.clamp(min=1.0).to(x.dtype)[:, None] - _EDGE
    response = torch.special.erfc(distance / (_SLOPE * math.sqrt(2.0))) / damping
    fine: Tensor = torch.fft.irfft(spectrum * response[:, None], n=2 * size)
    return fine


def _interpolate(fine: Tensor, position: Tensor) -> Tensor:
    """Values of ``fine`` ``(B, C, T)`` at ``position`` ``(B, N)``, each from the ``_TAPS`` samples around it."""
    base = position.long()
    fraction = (position - base).to(fine.dtype)
    y = fine.new_zeros(*fine.shape[:2], position.shape[1])
    for tap in range(1 - _TAPS // 2, 1 + _TAPS // 2):
        distance = fraction - tap
        weight = distance.square_().mul_(-((2.0 / _TAPS) ** 2)).add_(1.0).clamp_(min=0.0).sqrt_()
        weight = weight.mul_(_BETA).sub_(_BETA).exp_()
        y = torch.addcmul(y, take(fine, base + tap), weight[:, None])
    return y
