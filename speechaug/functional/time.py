"""Time: stretching at constant pitch, shifting; every row by its own amount."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from speechaug.ops.shift import shift as move
from speechaug.ops.vocoder import vocoder
from speechaug.ops.wsola import wsola

Stretching = Literal["fast", "high"]
"""How to stretch: ``"fast"`` lays down pieces of the voice itself (WSOLA), ``"high"`` is a phase vocoder."""

_HOP_S = 0.01
_REACH_S = 0.008  # a whole period of a voice of 62 Hz on both sides together
_COARSE_HZ = 4_000
_HALF_FRAME_MS = 20.0
_LEAST_MS = 5.0


def time_stretch(
    x: Tensor, lengths: Tensor, rate: Tensor, width: int, sample_rate: int, quality: Stretching = "fast"
) -> Tensor:
    """Make each row faster or slower and keep its pitch. All channels of a row are treated alike. 1 is exact.

    ``"fast"`` (WSOLA) is for one voice at a time. The output is a copy of the row; when that has come 4 ms too early
    or too late it crosses over, within 10 ms, to the place within 8 ms of the right one that continues it best. So
    every sound is the recorded one, moved by up to 8 ms; clicks may come twice or be lost.

    ``"high"`` (phase vocoder) suits any sound and costs some ten times as much. Frames of 40 ms are laid down every
    10 ms, each turned, bin by bin, so that what came 10 ms before it in the input fits what was laid down last (least
    squares over a bin and its neighbours: the bins of one partial stay together). A bin that has just become louder
    keeps its own phases: clicks that stand out stay clicks, up to a rate of 2.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        rate: ``(B,)`` in [0.25, 4], above 1 is faster.
        width: samples of the output; what is longer is cut.
        sample_rate: in Hz.
        quality: ``"fast"`` or ``"high"``.

    Returns:
        ``(B, ..., width)``, zero beyond :func:`scaled_lengths`. Gradients reach ``x``; through what WSOLA decides,
        none do.

    Raises:
        ValueError: if ``quality`` is another.

    Source:
        Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
        time-scale modification of speech", ICASSP 1993. Laroche and Dolson, "Improved phase vocoder time-scale
        modification of audio", IEEE Trans. Speech Audio Process. 1999; phases from two frames one synthesis step
        apart: Puckette, "Phase-locked vocoder", 1995.

    Example:
        >>> x = torch.sin(torch.arange(8_000) * 0.2)[None]
        >>> y = time_stretch(x, torch.tensor([8_000]), torch.tensor([0.8]), 10_000, 16_000)
        >>> int(torch.fft.rfft(y).abs().argmax()), round(0.2 * 10_000 / (2 * 3.14159265))
        (318, 318)
    """
    if quality not in ("fast", "high"):
        raise ValueError(f"time_stretch: quality must be 'fast' or 'high', got {quality!r}")
    if x.numel() == 0 or width == 0:
        return x.new_zeros(*x.shape[:-1], width)
    signal, hop = x.reshape(x.shape[0], -1, x.shape[-1]), max(1, round(_HOP_S * sample_rate))
    if quality == "high":
        y: Tensor = vocoder(signal, lengths, rate, width, hop)
    else:
        reach, coarse = max(1, round(_REACH_S * sample_rate)), max(1, round(sample_rate / _COARSE_HZ))
        y = wsola(signal, lengths, rate, width, hop, reach, min(coarse, hop))[0]
    return y.reshape(*x.shape[:-1], width)


def stretch_accuracy_ms(rate: float, quality: Stretching = "fast") -> float:
    """How far from where it belongs a moment may land in the output of :func:`time_stretch`.

    A frame keeps the tempo of the input from the moment on that it is laid down by, which for ``"fast"`` is up to 8 ms
    off; half a frame further, 20 ms, it is off by what the tempi differ. Sounds that end up twice, or nowhere, are not
    counted.

    Args:
        rate: of the stretch.
        quality: ``"fast"`` or ``"high"``.

    Example:
        >>> [round(stretch_accuracy_ms(rate, quality)) for rate in (0.5, 0.8, 2.0) for quality in ("fast", "high")]
        [36, 20, 15, 5, 14, 10]
    """
    apart_ms = _HALF_FRAME_MS * abs(1.0 - rate)
    return max(_LEAST_MS, apart_ms / rate) if quality == "high" else (1_000.0 * _REACH_S + apart_ms) / rate


def time_shift(x: Tensor, lengths: Tensor, shift: Tensor) -> Tensor:
    """Move each row later (or earlier, where negative) and keep its length; what leaves the valid part is lost.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        shift: ``(B,)`` in samples, rounded, halves to even.

    Returns:
        The shape of ``x``, zero where nothing came from. Gradients reach ``x``.

    Example:
        >>> time_shift(torch.tensor([[1.0, 2.0, 3.0, 0.0]]), torch.tensor([3]), torch.tensor([1.0]))
        tensor([[0., 1., 2., 0.]])
    """
    y: Tensor = move(x, lengths, torch.round(shift.double()).long())
    return y
