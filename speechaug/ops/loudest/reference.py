"""The sample of a rank in plain torch: the whole row is sorted."""

from __future__ import annotations

import torch
from torch import Tensor


def loudest(x: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`speechaug.ops.loudest.loudest`."""
    magnitude = x.abs()
    sorted_ = torch.sort(magnitude, dim=1, descending=True)
    level, place = (part.gather(1, rank[:, None]) for part in sorted_)
    return place[:, 0], (magnitude > level).sum(dim=1)
