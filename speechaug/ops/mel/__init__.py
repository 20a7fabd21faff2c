"""Log-mel features: frames, Fourier transform, mel bands, logarithm and normalisation in one op."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.mel import reference


@torch.library.custom_op("speechaug::mel", mutates_args=())
def mel(
    x: Tensor, lengths: Tensor, window: Tensor, filters: Tensor, n_fft: int, hop: int, floor: float, normalise: bool
) -> Tensor:
    """Log-mel features of waveforms.

    Args:
        x: waveforms ``(B, T)``; what lies beyond ``lengths`` is not read.
        lengths: int64 ``(B,)`` valid samples.
        window: of a frame, at most ``n_fft`` long.
        filters: weights ``(n_fft // 2 + 1, M)`` of the mel bands.
        n_fft: length of the Fourier transform, a power of two.
        hop: samples from frame to frame.
        floor: energies below this share of the row's loudest are raised to it.
        normalise: whether each band of a row gets mean zero and deviation one.

    Returns:
        ``(B, M, 1 + T // hop)``, zero beyond each row's frames.
    """
    return reference.mel(x, lengths, window, filters, n_fft, hop, floor, normalise)


@mel.register_fake
def _(
    x: Tensor, lengths: Tensor, window: Tensor, filters: Tensor, n_fft: int, hop: int, floor: float, normalise: bool
) -> Tensor:
    return x.new_empty(x.shape[0], filters.shape[1], 1 + x.shape[1] // hop)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.options = inputs[4:]


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Compute the reference again, and differentiate it."""
    x, *others = ctx.saved_tensors
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        spec = reference.mel(x, *others, *ctx.options)
        (gradient,) = torch.autograd.grad(spec, x, grad, create_graph=again)
    return gradient, *[None] * 7


mel.register_autograd(_gradient, setup_context=_keep)
use_kernels(mel, reference.mel, __package__)
