"""Gains that change from time to time, in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PER_DB = math.log(10.0) / 20.0
"""Logarithm of an amplitude ratio of 1 dB."""


def gain_steps(x: Tensor, gains_db: Tensor, begun: Tensor, interval: float, ramp: float) -> Tensor:
    """See :func:`speechaug.ops.gain_steps.gain_steps`."""
    over = torch.arange(x.shape[-1], device=x.device) + begun[:, None]
    index = torch.floor(over / interval).long().clamp(max=gains_db.shape[1] - 1)
    way = ((over - index * interval) / ramp).clamp(max=1.0)
    db = torch.lerp(gains_db.gather(1, (index - 1).clamp(min=0)), gains_db.gather(1, index), way)
    factor = torch.exp(PER_DB * db).to(x.dtype)
    return x * factor.view(x.shape[0], *[1] * (x.ndim - 2), x.shape[-1])
