"""``biquad``: a cascade of second-order sections, each row with its own coefficients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.biquad import reference


@torch.library.custom_op("speechaug::biquad", mutates_args=())
def biquad(x: Tensor, sections: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    """Filter each row by the recursion of its sections, one after the other, from rest.

    Args:
        x: ``(B, C, T)``.
        sections: float64 ``(B, S, 5)``: ``b0, b1, b2, a1, a2`` of each section, with ``a0 = 1``.
        lengths: ``(B,)`` valid samples; the output is 0 beyond them.
        reverse: run back from the last valid sample, which is the adjoint; then what lies beyond is not read.

    Source: transposed direct form II, as ``sosfilt`` of SciPy.
    """
    return reference.biquad(x, sections, lengths, reverse)


@biquad.register_fake
def _(x: Tensor, sections: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, sections, lengths, ctx.reverse = inputs
    ctx.save_for_backward(sections, lengths)


def _adjoint(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    sections, lengths = ctx.saved_tensors
    return biquad(gradient, sections, lengths, not ctx.reverse), None, None, None


biquad.register_autograd(_adjoint, setup_context=_keep)
use_kernels(biquad, reference.biquad, __package__)
