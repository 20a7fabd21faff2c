"""Modulation: loudness that goes up and down, each row at its own rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BLOCK = 256  # samples


def tremolo(x: Tensor, depth: Tensor, rate_hz: Tensor, phase: Tensor, sample_rate: int) -> Tensor:
    """Let the amplitude swing, as a sine, between 1 and ``1 - depth``. 0 is exact.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        depth: ``(B,)`` in [0, 1]; at 1 every swing goes through silence.
        rate_hz: ``(B,)`` swings a second, in Hz.
        phase: ``(B,)`` where to start, in swings: 0 at full loudness, 0.5 at the lowest.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``. Gradients reach ``x``.

    Example:
        >>> half = torch.tensor([0.5])
        >>> tremolo(torch.ones(1, 5), half, torch.tensor([4_000.0]), torch.tensor([0.0]), 16_000).round(decimals=6)
        tensor([[1.0000, 0.7500, 0.5000, 0.7500, 1.0000]])
    """
    step, half = 2.0 * math.pi / sample_rate * rate_hz.double()[:, None], 0.5 * depth.double()[:, None]
    blocks = torch.arange(-(-x.shape[-1] // _BLOCK), device=x.device)
    start = blocks * _BLOCK * step + 2.0 * math.pi * phase.double()[:, None]
    within = torch.arange(_BLOCK, device=x.device) * step
    # The cosine of a sum of two angles: products and sums are all that is done sample by sample.
    cosine, sine = (
        (half * wave(start)).to(x.dtype)[:, :, None] * wave(within).to(x.dtype)[:, None]
        for wave in (torch.cos, torch.sin)
    )
    swing = cosine.sub_(sine).flatten(1).add_((1.0 - half).to(x.dtype))[:, : x.shape[-1]]
    return x * (swing if x.ndim == 2 else swing[:, None])
