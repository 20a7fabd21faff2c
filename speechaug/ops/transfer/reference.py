"""Transfer functions of cascades in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def transfer(sections: Tensor, size: int) -> Tensor:
    """Evaluate ``(B, S, 5)`` on the grid of an rfft, one section after the other; complex128 inside."""
    angle = torch.arange(size // 2 + 1, device=sections.device, dtype=torch.float64) * (-2.0 * math.pi / size)
    delay = torch.polar(torch.ones_like(angle), angle)
    product = torch.ones(sections.shape[0], size // 2 + 1, device=sections.device, dtype=torch.complex128)
    for section in sections.double().unbind(1):
        b0, b1, b2, a1, a2 = section[..., None].unbind(1)
        product = product * (b0 + (b1 + b2 * delay) * delay) / (1.0 + (a1 + a2 * delay) * delay)
    return product.to(torch.complex64)
