"""Powers whose last bits depend on their numbers alone.

On a CPU, what :func:`torch.pow` and :func:`torch.exp2` give depends on where a number stands in its tensor: whole
vectors are computed in another way than the rest. :func:`torch.exp` and :func:`torch.log` have one way for all.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def power_of(base: float | Tensor, exponent: float | Tensor) -> Tensor:
    """``base ** exponent`` of positive numbers, to rounding; at least one of the two is a tensor, of float64.

    Example:
        >>> power_of(10.0, torch.tensor([0.0, 2.0]).double()).round(decimals=9).tolist()
        [1.0, 100.0]
    """
    log = base.log() if isinstance(base, Tensor) else math.log(base)
    return torch.exp(log * exponent)  # type: ignore[arg-type]


def exp2(exponent: Tensor) -> Tensor:
    """``2 ** exponent``, float64; exact for whole numbers.

    Example:
        >>> exp2(torch.tensor([15.0, -1.0])).tolist()
        [32768.0, 0.5]
    """
    whole = torch.round(exponent.double())
    return torch.exp(math.log(2.0) * (exponent.double() - whole)) * torch.exp2(whole)


def amplitude(db: Tensor) -> Tensor:
    """Turn dB into a ratio of amplitudes, float64.

    Example:
        >>> amplitude(torch.tensor([20.0, 0.0])).round(decimals=9).tolist()
        [10.0, 1.0]
    """
    return power_of(10.0, db.double() / 20.0)
