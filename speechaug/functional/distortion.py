"""Distortion: clipping, soft saturation, few bits; every row by its own amount."""

from __future__ import annotations

from torch import Tensor

from speechaug.functional.pointwise import apply_stages
from speechaug.functional.powers import amplitude, exp2
from speechaug.ops.pointwise.reference import Stage


def clipping(x: Tensor, threshold_db: Tensor) -> Tensor:
    """Cut off what exceeds a threshold below each row's peak, as an overdriven input does.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``; the peak is over all channels.
        threshold_db: ``(B,)``, in dB relative to the peak; 0 changes nothing.

    Returns:
        The shape of ``x``. Gradients reach ``x``, through the peak too.

    Example:
        >>> import torch
        >>> clipping(torch.tensor([[0.2, -1.0, 0.7]]), torch.tensor([-6.0])).round(decimals=3)
        tensor([[ 0.2000, -0.5010,  0.5010]])
    """
    return apply_stages(x, [(Stage.CLIP, amplitude(threshold_db).clamp(max=1.0), None)])


def tanh_distortion(x: Tensor, drive_db: Tensor) -> Tensor:
    """Saturate softly, as tape and valves do: ``peak * tanh(g x / peak) / tanh(g)``, so that the peak stays.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``; the peak is over all channels.
        drive_db: ``(B,)``, the gain ``g`` in dB; far below 0 the row is unchanged.

    Returns:
        The shape of ``x``. Gradients reach ``x``, through the peak too.

    Example:
        >>> import torch
        >>> tanh_distortion(torch.tensor([[0.1, -1.0]]), torch.tensor([20.0])).round(decimals=3)
        tensor([[ 0.7620, -1.0000]])
    """
    return apply_stages(x, [(Stage.TANH, amplitude(drive_db), None)])


def quantize(x: Tensor, bits: Tensor) -> Tensor:
    """Round to the steps of a converter of few bits, full scale being 1; no dither.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        bits: ``(B,)``, at least 2; need not be whole. A full-scale sine keeps 6.02 bits + 1.76 dB above the rounding.

    Returns:
        The shape of ``x``. The gradient passes as if nothing had been done.

    Example:
        >>> import torch
        >>> quantize(torch.tensor([[0.1, 0.2, -0.7]]), torch.tensor([3.0])).tolist()
        [[0.0, 0.25, -0.75]]
    """
    return apply_stages(x, [(Stage.QUANTIZE, exp2(bits.double() - 1.0), None)])
