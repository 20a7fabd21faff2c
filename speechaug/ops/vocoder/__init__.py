"""The phase vocoder: time stretching by turning the phases of overlapping frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.vocoder import reference


@torch.library.custom_op("speechaug::vocoder", mutates_args=())
def vocoder(x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    """Stretch each row with frames of four hops, laid down a hop apart.

    Each frame is turned, bin by bin, so that what came a hop before it in the input fits what was laid down last
    (least squares over a bin and its neighbours). The turns of a row go from frame to frame, so that a frame needs
    the one before; on CUDA plain torch does it, a few small operations per frame.

    Args:
        x: ``(B, C, T)``, at least one sample, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        rate: ``(B,)``, above 1 is faster; 1 copies.
        width: samples of the output, at least one; each row's valid ones are ``round(length / rate)``.
        hop: in samples.

    Returns:
        ``(B, C, width)``. Gradients reach ``x``, through the turns as well.
    """
    return reference.vocoder(x, lengths, rate, width, hop)


@vocoder.register_fake
def _(x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    return x.new_empty(*x.shape[:2], width)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.sizes = inputs[3:]


def _backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    """Differentiate the reference: it is computed again, since its spectra would take more memory than the batch."""
    x, lengths, rate = ctx.saved_tensors
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(reference.vocoder(leaf, lengths, rate, *ctx.sizes), leaf, g)
    return grad, None, None, None, None


vocoder.register_autograd(_backward, setup_context=_keep)
use_kernels(vocoder, reference.vocoder, __package__)
