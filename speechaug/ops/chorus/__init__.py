"""``chorus``: copies of each row whose delays drift to and fro, read between samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.chorus import reference


@torch.library.custom_op("speechaug::chorus", mutates_args=())
def chorus(
    x: Tensor,
    lengths: Tensor,
    delay: Tensor,
    phase: Tensor,
    depth: Tensor,
    rate: Tensor,
    decay: Tensor,
    adjoint: bool,
) -> Tensor:
    """Add copies, each of them late by ``delay + depth * sin(2 pi (rate * t + phase))``, at least by one sample.

    Args:
        x: ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the output is 0 beyond them.
        delay: of each copy in samples, float64 ``(B, K)``.
        phase: of each copy's drift in turns, float64 ``(B, K)``.
        depth: of the drift in samples, float64 ``(B,)``.
        rate: of the drift in turns a sample, float64 ``(B,)``.
        decay: what each copy is multiplied by, ``(B,)``.
        adjoint: give what is late back to where it came from.
    """
    return reference.chorus(x, lengths, delay, phase, depth, rate, decay, adjoint)


@chorus.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *drifts, ctx.adjoint = inputs
    ctx.save_for_backward(*drifts)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    drifts = ctx.saved_tensors
    return chorus(grad, *drifts, not ctx.adjoint), *[None] * len(drifts), None


chorus.register_autograd(_backward, setup_context=_keep)
use_kernels(chorus, reference.chorus, __package__, devices=("cpu",))
