"""A phaser in plain torch: each of the fixed filters over whole rows, one after the other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechaug.ops.biquad import biquad


def phaser(
    x: Tensor,
    lengths: Tensor,
    coefficient: Tensor,
    rate: Tensor,
    phase: Tensor,
    decay: Tensor,
    stages: int,
    adjoint: bool,
) -> Tensor:
    """See :func:`speechaug.ops.phaser.phaser`."""
    time = torch.arange(x.shape[-1], device=x.device)
    x = torch.where(time < lengths[:, None, None], x, 0.0)
    last = coefficient.shape[1] - 1
    place = (0.5 + 0.5 * torch.sin(2.0 * math.pi * (time * rate[:, None] + phase[:, None]))) * last
    turned = torch.zeros_like(x)
    for step, a in enumerate(coefficient.unbind(1)):
        share = (1.0 - (place - step).abs()).clamp(min=0.0).to(x.dtype)[:, None]
        sections = _all_passes(a, stages)
        if adjoint:
            turned = turned + biquad(share * x, sections, lengths, True)
        else:
            turned = torch.addcmul(turned, biquad(x, sections, lengths, False), share)
    weight = decay.to(x.dtype)[:, None, None]
    return (x + weight * turned) / (1.0 + weight)


def _all_passes(a: Tensor, stages: int) -> Tensor:
    """All-pass filters of first order, two in each section, float64 ``(B, stages / 2, 5)``."""
    section = torch.stack([a * a, 2.0 * a, torch.ones_like(a), 2.0 * a, a * a], dim=-1)
    return section[:, None].expand(-1, stages // 2, -1)
