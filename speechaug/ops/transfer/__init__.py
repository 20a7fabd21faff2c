"""``transfer``: what a cascade of second-order sections does to each frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.transfer import reference


@torch.library.custom_op("speechaug::transfer", mutates_args=())
def transfer(sections: Tensor, size: int) -> Tensor:
    """Evaluate each row's cascade on the grid of an rfft, all sections in one pass.

    Args:
        sections: float64 ``(B, S, 5)``: ``b0, b1, b2, a1, a2`` of each section, with ``a0 = 1``.
        size: of the transform, even.

    Returns:
        complex64 ``(B, size // 2 + 1)``; computed in double precision, since at low cut-offs numbers nearly cancel.
    """
    return reference.transfer(sections, size)


@transfer.register_fake
def _(sections: Tensor, size: int) -> Tensor:
    return sections.new_empty(sections.shape[0], size // 2 + 1, dtype=torch.complex64)


use_kernels(transfer, reference.transfer, __package__, torch.float64)
