"""Masks on spectrograms: stripes of bins and of frames in the pass that copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.mask import reference


@torch.library.custom_op("speechaug::mask", mutates_args=())
def mask(
    x: Tensor,
    lengths: Tensor,
    first_bin: Tensor,
    bins: Tensor,
    first_frame: Tensor,
    frames: Tensor,
    filling: Tensor | None,
) -> Tensor:
    """Copy spectrograms, but for what lies in a stripe and within the valid frames.

    Args:
        x: spectrogram ``(B, F, T)``.
        lengths: int64 ``(B,)`` valid frames; padding is copied as it is.
        first_bin: int64 ``(B, K)``, where each of K stripes of bins begins, at least 0; K may be 0.
        bins: int64 ``(B, K)``, how many bins it has.
        first_frame: int64 ``(B, N)``, where each of N stripes of frames begins, at least 0; N may be 0.
        frames: int64 ``(B, N)``, how many frames it has.
        filling: ``(B,)``, what the stripes of each row become; None for 0.

    Returns:
        ``(B, F, T)``, laid out in memory like ``x``.
    """
    return reference.mask(x, lengths, first_bin, bins, first_frame, frames, filling)


@mask.register_fake
def _(
    x: Tensor,
    lengths: Tensor,
    first_bin: Tensor,
    bins: Tensor,
    first_frame: Tensor,
    frames: Tensor,
    filling: Tensor | None,
) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:6])


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Mask the gradient alike; what it lost is the filling's."""
    to_x = to_filling = None
    if ctx.needs_input_grad[0]:
        to_x = mask(grad, *ctx.saved_tensors, None)
    if ctx.needs_input_grad[6]:
        hidden = mask(torch.ones_like(grad), *ctx.saved_tensors, None) == 0
        to_filling = torch.where(hidden, grad, 0.0).sum((1, 2))
    return to_x, None, None, None, None, None, to_filling


mask.register_autograd(_gradient, setup_context=_keep)
use_kernels(mask, reference.mask, __package__)
