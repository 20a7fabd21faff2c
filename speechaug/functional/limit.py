"""What to do with samples beyond full scale."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def into_range(x: Tensor, on: Tensor, policy: Literal["rescale", "clip"]) -> Tensor:
    """Bring the rows that are on into [-1, 1].

    Args:
        x: waveforms, ``(B, C, T)``.
        on: which rows to touch, bool ``(B,)``.
        policy: ``"rescale"`` divides a row by its peak where that exceeds 1, so that ratios such as the SNR stay;
            ``"clip"`` cuts each sample.

    Gradient: through ``x``; the peak counts as a constant.

    Example:
        >>> into_range(torch.tensor([[[0.5, -2.0]]]), torch.tensor([True]), "rescale").tolist()
        [[[0.25, -1.0]]]
    """
    gate = on.view(-1, *[1] * (x.ndim - 1))
    if policy == "clip":
        return torch.where(gate, x.clamp(-1.0, 1.0), x)
    if x.numel() == 0:
        return x
    peak = x.detach().abs().flatten(1).amax(dim=1).clamp_min(1.0).view_as(gate)
    return torch.where(gate, x / peak, x)
