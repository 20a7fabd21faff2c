"""Time warp of spectrograms in one gather, and its adjoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.warp import reference


@torch.library.custom_op("speechaug::warp", mutates_args=())
def warp(x: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    """Move one moment of each row and stretch or squeeze what lies between it and the ends.

    Args:
        x: spectrogram ``(B, F, T)``.
        lengths: int64 ``(B,)`` valid frames; those beyond stay where they are.
        center: float64 ``(B,)``, the moment, 0 the first and 1 the last that is ``window`` frames away from the ends.
        shift: float64 ``(B,)``, frames to move it by, from ``-window`` to ``window``.
        window: largest shift in frames.

    Returns:
        ``(B, F, T)``, interpolated linearly between frames, laid out in memory like ``x``.
    """
    return reference.warp(x, lengths, center, shift, window)


@torch.library.custom_op("speechaug::unwarp", mutates_args=())
def unwarp(grad: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    """Apply the adjoint of :func:`warp`, its gradient: the same bits each time, also on a GPU."""
    return reference.unwarp(grad, lengths, center, shift, window)


def _fake(x: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:4])
    ctx.window = inputs[4]


def _adjoint(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return unwarp(grad, *ctx.saved_tensors, ctx.window), None, None, None, None


def _forward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return warp(grad, *ctx.saved_tensors, ctx.window), None, None, None, None


warp.register_fake(_fake)
unwarp.register_fake(_fake)
warp.register_autograd(_adjoint, setup_context=_keep)
unwarp.register_autograd(_forward, setup_context=_keep)
use_kernels(warp, reference.warp, __package__)
use_kernels(unwarp, reference.unwarp, __package__)
