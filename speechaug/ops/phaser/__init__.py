"""``phaser``: each row mixed with a copy through all-pass filters whose corner swings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.phaser import reference


@torch.library.custom_op("speechaug::phaser", mutates_args=())
def phaser(
    x: Tensor,
    lengths: Tensor,
    coefficient: Tensor,
    rate: Tensor,
    phase: Tensor,
    decay: Tensor,
    stages: int,
    adjoint: bool,
) -> Tensor:
    """Mix each row with its copy, cross-faded between fixed filters: ``(x + decay * copy) / (1 + decay)``.

    At sample ``t`` the filter is the one in the place ``0.5 + 0.5 sin(2 pi (rate * t + phase))`` of the way from the
    first to the last.

    Args:
        x: ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the output is 0 beyond them.
        coefficient: of the all-pass filters of first order, ``(a + z) / (1 + a z)``, float64 ``(B, steps)``.
        rate: of the swing in turns a sample, float64 ``(B,)``.
        phase: of the swing in turns, float64 ``(B,)``.
        decay: what the copy is multiplied by, ``(B,)``.
        stages: equal all-pass filters in series, an even number.
        adjoint: fade first, then run back from the last valid sample.
    """
    return reference.phaser(x, lengths, coefficient, rate, phase, decay, stages, adjoint)


@phaser.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *swings, ctx.stages, ctx.adjoint = inputs
    ctx.save_for_backward(*swings)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    swings = ctx.saved_tensors
    return phaser(grad, *swings, ctx.stages, not ctx.adjoint), *[None] * len(swings), None, None


phaser.register_autograd(_backward, setup_context=_keep)
use_kernels(phaser, reference.phaser, __package__, devices=("cpu",))
