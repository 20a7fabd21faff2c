"""Rows moved by whole samples, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def shift(x: Tensor, lengths: Tensor, samples: Tensor) -> Tensor:
    """See :func:`speechaug.ops.shift.shift`."""
    if x.numel() == 0:
        return x.clone(memory_format=torch.contiguous_format)
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    place = torch.arange(x.shape[-1], device=x.device)
    source = place - samples[:, None]
    kept = (source >= 0) & (source < lengths[:, None]) & (place < lengths[:, None])
    index = source.clamp(0, x.shape[-1] - 1)[:, None].expand(flat.shape)
    return torch.where(kept[:, None], flat.gather(-1, index), 0.0).view(x.shape)
