"""Modulation: loudness that goes up and down, each row at its own rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechaug.functional.level import per_row


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
    swings = torch.arange(x.shape[-1], device=x.device) * (rate_hz.double() / sample_rate)[:, None] + phase[:, None]
    turn = (swings - swings.floor()).to(x.dtype)
    loss = 0.5 * per_row(depth, turn) * (1.0 - torch.cos(2.0 * math.pi * turn))
    return x * (1.0 - loss if x.ndim == 2 else (1.0 - loss)[:, None])
