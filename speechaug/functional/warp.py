"""Time warp of spectrograms: one moment moves, the ends stay, what lies between is stretched or squeezed."""

from __future__ import annotations

from torch import Tensor

from speechaug.ops.warp import warp
from speechaug.ops.warp.reference import bend, follow


def time_warp(x: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    """Move one moment of each row and stretch or squeeze what lies between it and the ends; lengths are kept.

    Args:
        x: spectrogram ``(B, F, T)``.
        lengths: ``(B,)`` valid frames.
        center: ``(B,)`` fractions in [0, 1): the moment, 0 the first and 1 the last that is ``window`` frames away
            from the ends.
        shift: ``(B,)`` frames to move it by, from ``-window`` to ``window``.
        window: largest shift in frames. In rows too short for it, window and shift shrink together.

    Returns:
        ``(B, F, T)``, interpolated linearly between frames.

    Source: Park et al., "SpecAugment", Interspeech 2019, section 2.

    Example:
        >>> import torch
        >>> x = torch.arange(9.0).reshape(1, 1, 9)
        >>> time_warp(x, torch.tensor([9]), torch.tensor([0.5]), torch.tensor([-2.0]), 3.0)[0, 0].tolist()
        [0.0, 2.0, 4.0, 4.666666507720947, 5.333333492279053, 6.0, 6.666666507720947, 7.333333492279053, 8.0]
    """
    warped: Tensor = warp(x, lengths.long(), center.double(), shift.double(), float(window))
    return warped


def warp_moments(moments: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    """Say where moments went in :func:`time_warp`.

    Args:
        moments: ``(B, N)`` in frames.
        lengths: ``(B,)`` valid frames.
        center: as given to :func:`time_warp`.
        shift: as given to :func:`time_warp`.
        window: as given to :func:`time_warp`.

    Returns:
        float64 ``(B, N)`` in frames; moments beyond the last frame stay.

    Example:
        >>> import torch
        >>> moments = torch.tensor([[0.0, 4.0, 8.0]])
        >>> warp_moments(moments, torch.tensor([9]), torch.tensor([0.5]), torch.tensor([-2.0]), 3.0).tolist()
        [[0.0, 2.0, 8.0]]
    """
    source, target, last = bend(lengths, center, shift, window)
    return follow(moments.double(), source, target, last)
