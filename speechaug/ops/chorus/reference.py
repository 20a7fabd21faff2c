"""Drifting copies in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

_BEFORE, _AFTER = 4, 1  # silence that is read around a row


def chorus(
    x: Tensor,
    lengths: Tensor,
    delay: Tensor,
    phase: Tensor,
    depth: Tensor,
    rate: Tensor,
    decay: Tensor,
    adjoint: bool,
) -> Tensor:
    """See :func:`speechaug.ops.chorus.chorus`."""
    place = torch.arange(x.shape[-1], device=x.device)
    valid = place < lengths[:, None, None]
    x = torch.where(valid, x, 0.0)
    y, factor, turns = x, decay.to(x.dtype)[:, None, None], place * rate[:, None]
    for copy in range(delay.shape[1]):
        drift = depth[:, None] * torch.sin(2.0 * math.pi * (turns + phase[:, copy, None]))
        late = (delay[:, copy, None] + drift).clamp(min=1.0)
        y = torch.addcmul(y, advanced(x, late) if adjoint else delayed(x, late), factor)
    return torch.where(valid, y, 0.0)


def delayed(x: Tensor, delay: Tensor) -> Tensor:
    """Read ``(B, C, T)`` as it was ``delay`` samples ago, float64 ``(B, T)``, at least 1.

    Between samples a polynomial through the four nearest is read (Lagrange, third order).

    Example:
        >>> ramp = torch.arange(8.0)[None, None]
        >>> delayed(ramp, torch.full((1, 8), 2.5)).tolist()[0][0][4:]
        [1.5, 2.5, 3.5, 4.5]
    """
    padded, (first, weights) = pad(x, (_BEFORE, _AFTER)), _taps(delay, x.dtype)
    y = torch.zeros_like(x)
    for step, weight in enumerate(weights):
        y = torch.addcmul(y, padded.gather(-1, (first + step).expand_as(x)), weight)
    return y


def advanced(x: Tensor, delay: Tensor) -> Tensor:
    """Add what is there to where :func:`delayed` reads: its adjoint."""
    first, weights = _taps(delay, x.dtype)
    y = torch.zeros_like(pad(x, (_BEFORE, _AFTER)))
    for step, weight in enumerate(weights):
        y = y.scatter_add(-1, (first + step).expand_as(x), weight * x)
    return y[..., _BEFORE : _BEFORE + x.shape[-1]]


def _taps(delay: Tensor, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Where in padded rows the first of four samples is, and what each is multiplied by; ``(B, 1, T)``."""
    place = (torch.arange(delay.shape[-1], device=delay.device) - delay)[:, None]
    whole = place.floor()
    part = (place - whole).to(dtype)
    weights = (
        -part * (part - 1.0) * (part - 2.0) / 6.0,
        (part + 1.0) * (part - 1.0) * (part - 2.0) / 2.0,
        -(part + 1.0) * part * (part - 2.0) / 2.0,
        (part + 1.0) * part * (part - 1.0) / 6.0,
    )
    return (whole.long() + _BEFORE - 1).clamp(min=0), weights
