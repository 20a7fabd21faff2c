"""Noise before it is mixed in: white, the talk of several recordings, bursts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels
from speechaug.ops.noise import reference


@torch.library.custom_op("speechaug::white", mutates_args=())
def white(key: Tensor, lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Make Gaussian white noise of unit variance.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        lengths: int64 ``(B,)``, how many numbers of each row are wanted; the rest is zero.
        width: samples a row.
        dtype: of the result.

    Returns:
        ``(B, width)``.
    """
    return reference.white(key, lengths, width, dtype)


@torch.library.custom_op("speechaug::babble", mutates_args=())
def babble(
    clip: Tensor,
    offset: Tensor,
    level: Tensor,
    pcm: Tensor,
    start: Tensor,
    period: Tensor,
    scale: Tensor,
    lengths: Tensor,
    width: int,
    dtype: torch.dtype,
) -> Tensor:
    """Sum stretches of several recordings, each again from its beginning where it ends.

    Args:
        clip: int64 ``(B, K)``, the recordings of each row.
        offset: ``(B, K)`` in [0, 1), where in each to start, as a fraction of the period.
        level: ``(B, K)``, what each is multiplied by; one at 0 costs nothing.
        pcm: int16, the recordings one after the other.
        start: int64 ``(N,)``, where in ``pcm`` each recording starts.
        period: int64 ``(N,)``, after how many samples it starts again.
        scale: float32 ``(N,)``, what its numbers are multiplied by.
        lengths: int64 ``(B,)``, how many samples of each row are wanted; the rest is zero.
        width: samples a row.
        dtype: of the result.

    Returns:
        ``(B, width)``.
    """
    return reference.babble(clip, offset, level, pcm, start, period, scale, lengths, width, dtype)


@torch.library.custom_op("speechaug::bursts", mutates_args=())
def bursts(
    key: Tensor,
    chance: Tensor,
    keep: Tensor,
    exponent: Tensor,
    lengths: Tensor,
    width: int,
    sample_rate: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Make bursts of noise that begin at random samples and die away; the largest sample of a row is 1 or -1.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        chance: float64 ``(B,)``, that a burst begins in a sample.
        keep: float64 ``(B,)``, what is left of a burst from a sample to the next.
        exponent: ``(B,)``, colour of the noise, see :func:`speechaug.ops.noise.add_generated`.
        lengths: int64 ``(B,)``, how many samples of each row are wanted; the rest is zero.
        width: samples a row.
        sample_rate: in Hz.
        dtype: of the result.

    Returns:
        The bursts, ``(B, width)``, zero in a row without any; and how many there are, float64 ``(B,)``.
    """
    return reference.bursts(key, chance, keep, exponent, lengths, width, sample_rate, dtype)


@white.register_fake
def _(key: Tensor, lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    return key.new_empty(key.shape[0], width, dtype=dtype)


@babble.register_fake
def _(clip: Tensor, *others: Any) -> Tensor:
    *_, width, dtype = others
    return clip.new_empty(clip.shape[0], width, dtype=dtype)


@bursts.register_fake
def _(key: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    *_, width, _, dtype = others
    return key.new_empty(key.shape[0], width, dtype=dtype), key.new_empty(key.shape, dtype=torch.float64)


for _op in (white, babble, bursts):
    use_kernels(_op, _op._init_fn, __package__, torch.int64, devices=("cpu",))
