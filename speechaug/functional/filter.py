"""Butterworth filters, each row with its own cut-off, exactly as the recursion would compute them.

A filter of even order is a sum of decaying complex exponentials, one for each pair of poles. So a block of samples is
filtered by one matrix product, and what earlier blocks left behind is one complex number for each pair of poles,
carried from block to block by recursive doubling. Nothing wraps around, nothing is truncated, and there is no loop
over samples: the result is that of the recursion, to rounding, at any cut-off.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from speechaug.functional.level import cut

ORDERS = (2, 4, 6, 8)

_BLOCK = 64


class _Modes(NamedTuple):
    """Impulse response of a filter per row: ``first`` at 0, then twice the real part of ``sum(residue * pole**n)``."""

    first: Tensor
    pole: Tensor
    residue: Tensor


def lowpass(x: Tensor, lengths: Tensor, cutoff_hz: Tensor, sample_rate: int, order: int = 2) -> Tensor:
    """Remove what lies above a cut-off, each row at its own.

    Causal, from rest: the digital Butterworth filter of SciPy's ``butter(order, cutoff_hz, fs=sample_rate)``.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        cutoff_hz: ``(B,)``, where the power is halved; at or above the Nyquist frequency the row is unchanged.
        sample_rate: in Hz.
        order: 2, 4, 6 or 8: the slope is 6 dB an octave times the order.

    Raises:
        ValueError: if ``order`` is another.

    Example:
        >>> x = torch.tensor([[1.0, 1.0, 1.0, 1.0]] * 2)
        >>> lowpass(x, torch.tensor([4, 4]), torch.tensor([4_000.0, 9_000.0]), 16_000)
        tensor([[0.2929, 0.8787, 1.1213, 1.0208],
                [1.0000, 1.0000, 1.0000, 1.0000]])
    """
    return _filter(x, lengths, cutoff_hz, sample_rate, order, "low")


def highpass(x: Tensor, lengths: Tensor, cutoff_hz: Tensor, sample_rate: int, order: int = 2) -> Tensor:
    """Remove what lies below a cut-off, each row at its own.

    Causal, from rest: the digital Butterworth filter of SciPy's ``butter(order, cutoff_hz, "high", fs=sample_rate)``.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        cutoff_hz: ``(B,)``, where the power is halved. At or above the Nyquist frequency, where nothing would be
            left, the row is unchanged.
        sample_rate: in Hz.
        order: 2, 4, 6 or 8: the slope is 6 dB an octave times the order.

    Raises:
        ValueError: if ``order`` is another.

    Example:
        >>> x = torch.ones(1, 16_000)
        >>> bool(highpass(x, torch.tensor([16_000]), torch.tensor([100.0]), 16_000)[0, -1].abs() < 1e-6)
        True
    """
    return _filter(x, lengths, cutoff_hz, sample_rate, order, "high")


def bandpass(x: Tensor, lengths: Tensor, low_hz: Tensor, high_hz: Tensor, sample_rate: int, order: int = 2) -> Tensor:
    """Keep what lies between two cut-offs: :func:`highpass` at ``low_hz``, then :func:`lowpass` at ``high_hz``.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        low_hz: ``(B,)`` lower cut-off; at or above the Nyquist frequency it does nothing.
        high_hz: ``(B,)`` upper cut-off; at or above the Nyquist frequency it does nothing.
        sample_rate: in Hz.
        order: of each of the two filters: 2, 4, 6 or 8.

    Raises:
        ValueError: if ``order`` is another.

    Example:
        >>> x = torch.ones(1, 4_000)
        >>> bandpass(x, torch.tensor([4_000]), torch.tensor([300.0]), torch.tensor([3_400.0]), 16_000).shape
        torch.Size([1, 4000])
    """
    return lowpass(highpass(x, lengths, low_hz, sample_rate, order), lengths, high_hz, sample_rate, order)


def _filter(
    x: Tensor, lengths: Tensor, cutoff_hz: Tensor, sample_rate: int, order: int, kind: Literal["low", "high"]
) -> Tensor:
    if order not in ORDERS:
        raise ValueError(f"{kind}pass: order must be one of {ORDERS}, got {order!r}")
    if x.numel() == 0:
        return x.clone()
    passes = (cutoff_hz >= sample_rate / 2).reshape(-1, *[1] * (x.ndim - 1))
    y = _apply(x, _butterworth(cutoff_hz.double(), sample_rate, order, kind))
    return torch.where(passes, x, cut(y, lengths))


def _prototype(order: int, kind: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Poles (upper half plane) and residues of the analog filter of cut-off 1; made on the device, copied nowhere."""
    angle = torch.arange(order + 1, 3 * order, 2, device=device, dtype=torch.float64) * (math.pi / (2 * order))
    poles = torch.polar(torch.ones_like(angle), angle)
    upper = poles[: order // 2]
    # With P(s) P(-s) = 1 + s ** (2 order), which is 0 at a pole, the residue 1 / P'(s) has no differences in it.
    residue = upper * (-upper[:, None] - poles).prod(dim=-1) / (-2.0 * order)
    return upper, (residue * upper**order if kind == "high" else residue)


def _butterworth(cutoff_hz: Tensor, sample_rate: int, order: int, kind: str) -> _Modes:
    """Digital filters by the bilinear transform, pre-warped so that the cut-off is met; tensors ``(B, order / 2)``."""
    pole, residue = _prototype(order, kind, cutoff_hz.device)
    # A row at or above the Nyquist frequency is passed through; it only needs finite numbers here.
    warped = torch.tan(math.pi / sample_rate * cutoff_hz.clamp(0.0, 0.499999 * sample_rate))[:, None]
    below = 1.0 - warped * pole
    first = 2.0 * (residue * warped / below).real.sum(dim=-1) + (1.0 if kind == "high" else 0.0)
    return _Modes(first, (1.0 + warped * pole) / below, 2.0 * warped * residue / below**2)


def _apply(x: Tensor, modes: _Modes) -> Tensor:
    """Convolve ``(B, ..., T)`` with the impulse responses, from rest."""
    rows, width = x.shape[0], x.shape[-1]
    blocks = torch.nn.functional.pad(x, (0, -width % _BLOCK)).reshape(rows, -1, _BLOCK)
    steps = torch.arange(_BLOCK + 1, device=x.device)
    powers = torch.polar(modes.pole.abs()[..., None] ** steps, modes.pole.angle()[..., None] * steps)
    left = powers[..., :_BLOCK].flip(-1)
    kernel = torch.cat([_toeplitz(modes, powers), left.real.mT, left.imag.mT], dim=-1).to(x.dtype)
    inside, real, imag = torch.split(blocks @ kernel, [_BLOCK, left.shape[1], left.shape[1]], dim=-1)
    per_channel = (rows, -1, -(-width // _BLOCK), left.shape[1])
    state = torch.complex(real.double(), imag.double()).reshape(per_channel)
    state = _carry(state, powers[..., _BLOCK][:, None, None]).reshape(rows, -1, left.shape[1])
    ringing = 2.0 * modes.residue[..., None] * powers[..., :_BLOCK]
    readout = torch.cat([ringing.real, -ringing.imag], dim=1).to(x.dtype)
    y = torch.baddbmm(inside, torch.cat([state.real, state.imag], dim=-1).to(x.dtype), readout)
    return y.reshape(*x.shape[:-1], -1)[..., :width]


def _toeplitz(modes: _Modes, powers: Tensor) -> Tensor:
    """What each sample of a block adds to each sample of the same block, ``(B, _BLOCK, _BLOCK)``."""
    later = 2.0 * (modes.residue[..., None] * powers[..., : _BLOCK - 1]).real.sum(dim=1)
    response = torch.cat([later.new_zeros(later.shape[0], _BLOCK - 1), modes.first[:, None], later], dim=-1)
    place = torch.arange(_BLOCK, device=later.device)
    return response[:, place - place[:, None] + _BLOCK - 1]


def _carry(injected: Tensor, decay: Tensor) -> Tensor:
    """What earlier blocks left behind at the start of each: ``(B, channels, blocks, modes)``, by doubling."""
    left, step, blocks = injected, 1, injected.shape[2]
    while step < blocks:
        left = left + decay**step * _delay(left, step)
        step *= 2
    return _delay(left, 1)


def _delay(left: Tensor, step: int) -> Tensor:
    return torch.cat([torch.zeros_like(left[:, :, :step]), left[:, :, : left.shape[2] - step]], dim=2)
