"""The sample of each row that has a given rank by its magnitude."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.loudest import reference


@torch.library.custom_op("speechaug::loudest", mutates_args=())
def loudest(x: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    """Find a sample of each row by its rank.

    Args:
        x: ``(B, N)``, N above 0; without a gradient.
        rank: int64 ``(B,)`` in ``0 .. N - 1``; 0 for the loudest sample.

    Returns:
        Where it is, and how many samples are louder: ``rank`` of them, less where some are as loud. int64 ``(B,)``.
    """
    return reference.loudest(x, rank)


@loudest.register_fake
def _(x: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(rank), torch.empty_like(rank)


use_kernels(loudest, reference.loudest, __package__, devices=("cpu",))
