"""Gains that change from time to time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.gain_steps import reference


@torch.library.custom_op("speechaug::gain_steps", mutates_args=())
def gain_steps(x: Tensor, gains_db: Tensor, begun: Tensor, interval: float, ramp: float) -> Tensor:
    """Multiply each interval of a row by a gain of its own.

    Args:
        x: ``(B, ..., T)``.
        gains_db: float64 ``(B, N)``, of as many intervals as ``T`` samples reach into.
        begun: float64 ``(B,)``, samples of the first interval that are over when the row begins, below ``interval``.
        interval: its length in samples.
        ramp: samples, straight in dB, from one gain to the next, at the beginning of an interval; none longer.
    """
    return reference.gain_steps(x, gains_db, begun, interval, ramp)


@gain_steps.register_fake
def _(x: Tensor, gains_db: Tensor, begun: Tensor, interval: float, ramp: float) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, gains_db, begun, ctx.interval, ctx.ramp = inputs
    ctx.save_for_backward(gains_db, begun)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return gain_steps(grad, *ctx.saved_tensors, ctx.interval, ctx.ramp), None, None, None, None


gain_steps.register_autograd(_backward, setup_context=_keep)
use_kernels(gain_steps, reference.gain_steps, __package__, devices=("cpu",))
