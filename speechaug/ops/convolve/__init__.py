"""``convolve``: multiplication by a spectrum for each row, in frames of a fixed size (overlap-save)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.convolve import reference


@torch.library.custom_op("speechaug::convolve", mutates_args=())
def convolve(
    x: Tensor, lengths: Tensor, spectra: list[Tensor], rows: list[Tensor], before: int, after: list[int], adjoint: bool
) -> Tensor:
    """Convolve each row with the response whose rfft is given, linearly: nothing wraps around.

    A row is cut into frames that overlap by the response's extent, so the size of the transform depends on the
    response alone and its spectrum can be kept whatever the width of the batch.

    Args:
        x: ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the output is 0 beyond them.
        spectra: complex ``(N, bins)``, of the precision of ``x``: of the rows whose frames are of one size, of those
            with another and so on; delays before 0 wrapped to the end of the circle.
        rows: int64 ``(N,)``, which rows these are, each row once; empty where all have one size.
        before: samples the response extends before its sample.
        after: samples it extends after it, for each of ``spectra``.
        adjoint: of the convolution instead; it cuts first and convolves with the response turned around.
    """
    return reference.convolve(x, lengths, spectra, rows, before, after, adjoint)


@convolve.register_fake
def _(
    x: Tensor, lengths: Tensor, spectra: list[Tensor], rows: list[Tensor], before: int, after: list[int], adjoint: bool
) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, lengths, spectra, rows, ctx.before, ctx.after, ctx.adjoint = inputs
    ctx.sizes = len(spectra)
    ctx.save_for_backward(lengths, *spectra, *rows)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    lengths, *others = ctx.saved_tensors
    spectra, rows = others[: ctx.sizes], others[ctx.sizes :]
    y = convolve(gradient, lengths, spectra, rows, ctx.before, ctx.after, not ctx.adjoint)
    return y, None, [None] * len(spectra), [None] * len(rows), None, None, None


convolve.register_autograd(_backward, setup_context=_keep)
use_kernels(convolve, reference.convolve, __package__, devices=("cpu",))
