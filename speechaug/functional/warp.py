"""Time warp of spectrograms: one moment moves, the ends stay, what lies between is stretched or squeezed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class _Bend(NamedTuple):
    """Two straight lines for each row: from frame 0 over ``(source, target)`` to the last frame; all ``(B, 1)``."""

    source: Tensor
    target: Tensor
    last: Tensor


def _bend(lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> _Bend:
    last = (lengths.double() - 1.0).clamp(min=0.0)
    reach = (last / 2.0).clamp(max=window)
    source = reach + center.double() * (last - 2.0 * reach)
    target = source + shift.double() * (reach / max(window, 1e-9))
    return _Bend(source[:, None], target[:, None], last[:, None])


def _follow(times: Tensor, start: Tensor, end: Tensor, last: Tensor) -> Tensor:
    """Map times by the lines from (0, 0) over (start, end) to (last, last); beyond the last frame nothing moves."""
    early = times * (end / start.clamp(min=1e-9))
    late = end + (times - start) * ((last - end) / (last - start).clamp(min=1e-9))
    return torch.where(times <= start, early, torch.where(times <= last, late, times))


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
        >>> x = torch.arange(9.0).reshape(1, 1, 9)
        >>> time_warp(x, torch.tensor([9]), torch.tensor([0.5]), torch.tensor([-2.0]), 3.0)[0, 0].tolist()
        [0.0, 2.0, 4.0, 4.666666507720947, 5.333333492279053, 6.0, 6.666666507720947, 7.333333492279053, 8.0]
    """
    if x.numel() == 0:
        return x.clone()
    bend = _bend(lengths, center, shift, window)
    frames = torch.arange(x.shape[-1], device=x.device, dtype=torch.float64).expand(x.shape[0], -1)
    position = _follow(frames, bend.target, bend.source, bend.last).clamp(0.0, x.shape[-1] - 1.0)
    whole = position.floor()
    left = whole.long()
    right = (left + 1).clamp(max=x.shape[-1] - 1)
    weight = (position - whole).to(x.dtype)[:, None, :]
    before, after = (x.gather(2, place[:, None, :].expand_as(x)) for place in (left, right))
    return torch.lerp(before, after, weight)


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
        >>> moments = torch.tensor([[0.0, 4.0, 8.0]])
        >>> warp_moments(moments, torch.tensor([9]), torch.tensor([0.5]), torch.tensor([-2.0]), 3.0).tolist()
        [[0.0, 2.0, 8.0]]
    """
    bend = _bend(lengths, center, shift, window)
    return _follow(moments.double(), bend.source, bend.target, bend.last)
