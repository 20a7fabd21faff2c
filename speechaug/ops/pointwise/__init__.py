"""Effects on single samples, any number of them in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.pointwise import reference


@torch.library.custom_op("speechaug::pointwise", mutates_args=())
def pointwise(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    """Apply stages to each row, one after the other.

    Args:
        x: ``(B, ..., T)``.
        codes: what each of S stages does, see :class:`~speechaug.ops.pointwise.reference.Stage`.
        values: how much, float64 ``(B, S)``.
        on: whether a stage acts on a row, bool ``(B, S)``.
    """
    return reference.pointwise(x, codes, values, on)


@torch.library.custom_op("speechaug::pointwise_", mutates_args={"x"})
def pointwise_(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> None:
    """Do the same in place, without a gradient; rows on which no stage acts are not touched."""
    reference.pointwise_(x, codes, values, on)


@torch.library.custom_op("speechaug::pointwise_backward", mutates_args=())
def pointwise_backward(grad: Tensor, x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    """Return the gradient with respect to ``x``, that of ``y`` being ``grad``."""
    return reference.pointwise_backward(grad, x, codes, values, on)


@pointwise.register_fake
def _(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@pointwise_backward.register_fake
def _(grad: Tensor, x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _keep(ctx, inputs, output):  # type: ignore[no-untyped-def]
    x, ctx.codes, values, on = inputs
    ctx.save_for_backward(x, values, on)


def _backward(ctx, grad):  # type: ignore[no-untyped-def]
    x, values, on = ctx.saved_tensors
    return pointwise_backward(grad, x, ctx.codes, values, on), None, None, None


pointwise.register_autograd(_backward, setup_context=_keep)
use_kernels(pointwise, reference.pointwise, __package__)
use_kernels(pointwise_, reference.pointwise_, __package__)
