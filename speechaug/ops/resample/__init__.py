"""Resampling of each row by a factor of its own, and its transpose, which is its gradient.

Rows that share a factor have no path of their own on a CPU. A strided convolution with a kept kernel of the same
quality, torchaudio's way, takes 1.15 to 1.19 times as long on an AMD with AVX2 and 0.94 to 1.00 times on an Intel with
AVX-512 (factor 0.9, 32 rows of 4 s, one thread), and the factor must be a ratio of small numbers for it: too little to
gain for a second path. On a GPU the two have not been compared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.resample import reference


@torch.library.custom_op("speechaug::resample", mutates_args=())
def resample(x: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str) -> Tensor:
    """Low-pass each row, then read it at the positions ``n * factor``; a factor of 1 copies.

    Args:
        x: ``(B, T)``; what lies beyond ``lengths`` is not read.
        lengths: int64 ``(B,)`` valid samples.
        new_lengths: int64 ``(B,)`` valid samples of the output; zeros follow.
        factor: float64 ``(B,)`` in [0.25, 4].
        width: samples of the output.
        quality: ``"high"`` or ``"fast"``, see :mod:`speechaug.ops.resample.tables`.

    Returns:
        ``(B, width)``.
    """
    return reference.resample(x, lengths, new_lengths, factor, width, quality)


@torch.library.custom_op("speechaug::resample_adjoint", mutates_args=())
def resample_adjoint(
    y: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str
) -> Tensor:
    """Apply the transpose of :func:`resample`: ``y`` ``(B, width of its output)`` to ``(B, width)`` like its input.

    Args:
        y: ``(B, T)``; what lies beyond ``new_lengths`` is not read.
        lengths: int64 ``(B,)`` valid samples of the output, as of the input there.
        new_lengths: int64 ``(B,)`` valid samples of ``y``.
        factor: float64 ``(B,)`` in [0.25, 4].
        width: samples of the output.
        quality: ``"high"`` or ``"fast"``.

    Returns:
        ``(B, width)``.
    """
    return reference.resample_adjoint(y, lengths, new_lengths, factor, width, quality)


def _shape(x: Tensor, lengths: Tensor, new_lengths: Tensor, factor: Tensor, width: int, quality: str) -> Tensor:
    return x.new_empty(x.shape[0], width)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, lengths, new_lengths, factor, _, quality = inputs
    ctx.save_for_backward(lengths, new_lengths, factor)
    ctx.width, ctx.quality = x.shape[1], quality


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x = resample_adjoint(grad, *ctx.saved_tensors, ctx.width, ctx.quality)
    return x, None, None, None, None, None


def _backward_of_adjoint(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    y = resample(grad, *ctx.saved_tensors, ctx.width, ctx.quality)
    return y, None, None, None, None, None


resample.register_fake(_shape)
resample_adjoint.register_fake(_shape)
resample.register_autograd(_backward, setup_context=_setup)
resample_adjoint.register_autograd(_backward_of_adjoint, setup_context=_setup)
use_kernels(resample, reference.resample, __package__)
use_kernels(resample_adjoint, reference.resample_adjoint, __package__)
