"""Copies of the sound itself: echoes, choruses, phasers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechaug.functional.level import per_row
from speechaug.functional.powers import exp2
from speechaug.functional.time import time_shift
from speechaug.ops.chorus import chorus as copies
from speechaug.ops.phaser import phaser as mixed_phases


def echo(x: Tensor, lengths: Tensor, delay: Tensor, decay: Tensor) -> Tensor:
    """Add one later copy of each row: a wall, a bridge, a telephone line.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        delay: of the copy, ``(B,)`` in samples, rounded to whole ones.
        decay: what the copy is multiplied by, ``(B,)``.

    Example:
        >>> echo(torch.eye(1, 5), torch.tensor([5]), torch.tensor([3.0]), torch.tensor([0.5]))
        tensor([[1.0000, 0.0000, 0.0000, 0.5000, 0.0000]])
    """
    return torch.addcmul(x, time_shift(x, lengths, delay), per_row(decay, x))


def chorus(
    x: Tensor,
    lengths: Tensor,
    delay_ms: Tensor,
    depth_ms: Tensor,
    rate_hz: Tensor,
    phase: Tensor,
    decay: Tensor,
    sample_rate: int,
) -> Tensor:
    """Add copies whose delays drift to and fro, as of others who speak along.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        delay_ms: of each copy, ``(B, K)``, at its middle.
        depth_ms: how far delays drift to either side, ``(B,)``, less than the least delay.
        rate_hz: how often they do, ``(B,)``.
        phase: where each copy begins in that, ``(B, K)`` in turns.
        decay: what each copy is multiplied by, ``(B,)``.
        sample_rate: in Hz.

    Example:
        >>> still, half = torch.zeros(1), torch.tensor([0.5])
        >>> chorus(torch.eye(1, 5), torch.tensor([5]), torch.tensor([[3.0]]), still, still, still[None], half, 1_000)
        tensor([[1.0000, 0.0000, 0.0000, 0.5000, 0.0000]])
    """
    if x.numel() == 0:
        return x.clone()
    a_ms, flat = sample_rate / 1_000.0, x.reshape(x.shape[0], -1, x.shape[-1])
    drifts = delay_ms.double() * a_ms, phase.double(), depth_ms.double() * a_ms, rate_hz.double() / sample_rate
    y: Tensor = copies(flat, lengths, *drifts, decay, False)
    return y.view(x.shape)


def phaser(
    x: Tensor,
    lengths: Tensor,
    corner_hz: Tensor,
    sweep_octaves: Tensor,
    rate_hz: Tensor,
    phase: Tensor,
    decay: Tensor,
    sample_rate: int,
    *,
    stages: int = 4,
    steps: int = 13,
) -> Tensor:
    """Mix each row with a copy whose phases are turned, so that notches wander up and down the spectrum.

    The copy goes through equal all-pass filters of first order. Each turns a frequency ``f`` by
    ``2 atan(tan(pi f / rate) / tan(pi corner / rate))``; where that sums up to an odd number of half turns the two
    cancel. The sum is divided by ``1 + decay``: no frequency is raised. The corner swings on a logarithmic scale;
    filters at fixed corners, evenly spread over the swing, are cross-faded.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        corner_hz: middle of the swing, ``(B,)``; corners are kept below 0.49 of the sample rate.
        sweep_octaves: how far it goes to either side, ``(B,)``.
        rate_hz: swings a second, ``(B,)``.
        phase: where the swing begins, ``(B,)`` in turns.
        decay: what the copy is multiplied by, ``(B,)``: 1 for notches without a bottom, 0 changes nothing.
        sample_rate: in Hz.
        stages: all-pass filters, an even number: one notch for every two.
        steps: fixed corners.

    Source: Smith, "Physical audio signal processing" (2010), section "Phasing with first-order allpass filters".

    Example:
        >>> x, one = torch.ones(1, 4_000), torch.ones(1)
        >>> y = phaser(x, torch.tensor([4_000]), 500 * one, 0 * one, one, 0 * one, one, 16_000)
        >>> round(y[0, -1].item(), 3)
        1.0
    """
    if x.numel() == 0:
        return x.clone()
    swing = 2.0 * torch.arange(steps, device=x.device, dtype=torch.float64) / (steps - 1) - 1.0
    fixed_hz = corner_hz.double()[:, None] * exp2(sweep_octaves.double()[:, None] * swing)
    warped = torch.tan(math.pi * (fixed_hz / sample_rate).clamp(max=0.49))
    fixed, rate = (warped - 1.0) / (warped + 1.0), rate_hz.double() / sample_rate
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    y: Tensor = mixed_phases(flat, lengths, fixed, rate, phase.double(), decay, stages, False)
    return y.view(x.shape)
