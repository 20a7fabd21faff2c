"""WSOLA: time stretching by laying down pieces of the row itself, each where it continues the last one best."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.wsola import reference


@torch.library.custom_op("speechaug::wsola", mutates_args=())
def wsola(
    x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int, reach: int, coarse: int
) -> tuple[Tensor, Tensor]:
    """Stretch each row; also return where its frames were read from.

    A frame begins every ``hop`` samples of the output and crosses over from the frame before within as many. It is
    read near ``hop * rate`` samples after that one. Where simply going on is within ``reach`` of that, nothing else is
    tried: the output is a copy. Else the start within ``reach`` whose samples correlate best with those that would
    have followed is taken: first among sums of ``coarse`` samples, then around the best by single samples. Products
    of all channels are added up, so that channels of opposite sign count as much as equal ones. Samples are quantised
    to whole numbers, and of equals the nearest to the middle wins, so that every device decides alike. Rows shorter
    than four hops have shorter ones.

    Args:
        x: ``(B, C, T)``, at least one sample.
        lengths: ``(B,)`` valid samples.
        rate: ``(B,)``, above 1 is faster; 1 copies.
        width: samples of the output, at least one; each row's valid ones are ``round(length / rate)``.
        hop: in samples.
        reach: in samples.
        coarse: in samples.

    Returns:
        ``(B, C, width)`` and, int64, ``(B, frames)``. Gradients reach ``x``, decisions taken as they are.
    """
    return reference.wsola(x, lengths, rate, width, hop, reach, coarse)


@torch.library.custom_op("speechaug::wsola_adjoint", mutates_args=())
def wsola_adjoint(g: Tensor, starts: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    """Turn :func:`wsola` around: from ``(B, C, N)`` back to ``(B, C, width)``, frames as ``starts`` says."""
    return reference.wsola_adjoint(g, starts, lengths, rate, width, hop)


@wsola.register_fake
def _(x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int, reach: int, coarse: int) -> tuple[Tensor, Tensor]:
    frames = reference.sizes(x.shape[1], width, hop, reach, coarse).frames
    return x.new_empty(*x.shape[:2], width), lengths.new_empty(x.shape[0], frames)


@wsola_adjoint.register_fake
def _(g: Tensor, starts: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    return g.new_empty(*g.shape[:2], width)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, lengths, rate, _, hop, _, _ = inputs
    ctx.save_for_backward(output[1], lengths, rate)
    ctx.width, ctx.hop = x.shape[-1], hop


def _backward(ctx: Any, g: Tensor, _: Any) -> tuple[Any, ...]:
    starts, lengths, rate = ctx.saved_tensors
    return wsola_adjoint(g, starts, lengths, rate, ctx.width, ctx.hop), None, None, None, None, None, None


wsola.register_autograd(_backward, setup_context=_keep)
use_kernels(wsola, reference.wsola, __package__)
use_kernels(wsola_adjoint, reference.wsola_adjoint, __package__)
