"""Masks in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def mask(
    x: Tensor,
    lengths: Tensor,
    first_bin: Tensor,
    bins: Tensor,
    first_frame: Tensor,
    frames: Tensor,
    filling: Tensor | None,
) -> Tensor:
    """Copy spectrograms, but for what lies in a stripe and within the valid frames, see the op."""
    hidden = _inside(x.shape[1], first_bin, bins)[:, :, None] | _inside(x.shape[2], first_frame, frames)[:, None, :]
    hidden = hidden & (torch.arange(x.shape[2], device=x.device) < lengths[:, None, None])
    value = x.new_zeros(1) if filling is None else filling.to(x.dtype)
    return torch.empty_like(x).copy_(torch.where(hidden, value[:, None, None], x))


def _inside(size: int, first: Tensor, width: Tensor) -> Tensor:
    """Which of ``size`` places are in any stripe, ``(B, size)``."""
    places = torch.arange(size, device=first.device)
    return ((places >= first[..., None]) & (places < (first + width)[..., None])).any(dim=1)
