"""Rows moved within their lengths by whole samples."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.shift import reference


@torch.library.custom_op("speechaug::shift", mutates_args=())
def shift(x: Tensor, lengths: Tensor, samples: Tensor) -> Tensor:
    """Move each row later, where ``samples`` is negative earlier; what leaves the valid part is lost.

    Args:
        x: ``(B, ..., T)``.
        lengths: int64 ``(B,)`` valid samples.
        samples: int64 ``(B,)``.
    """
    return reference.shift(x, lengths, samples)


@shift.register_fake
def _(x: Tensor, lengths: Tensor, samples: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _keep(ctx, inputs, output):  # type: ignore[no-untyped-def]
    _, lengths, samples = inputs
    ctx.save_for_backward(lengths, samples)


def _backward(ctx, grad):  # type: ignore[no-untyped-def]
    lengths, samples = ctx.saved_tensors
    return shift(grad, lengths, -samples), None, None


shift.register_autograd(_backward, setup_context=_keep)
use_kernels(shift, reference.shift, __package__)
