"""Time warp in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Bend(NamedTuple):
    """Two straight lines for each row: from frame 0 over ``(source, target)`` to the last frame; all ``(B, 1)``."""

    source: Tensor
    target: Tensor
    last: Tensor


def bend(lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Bend:
    """Say which moment of each row moves where; window and shift shrink in rows too short for them."""
    last = (lengths.double() - 1.0).clamp(min=0.0)
    reach = (last / 2.0).clamp(max=window)
    source = reach + center.double() * (last - 2.0 * reach)
    target = source + shift.double() * (reach / max(window, 1e-9))
    return Bend(source[:, None], target[:, None], last[:, None])


def follow(times: Tensor, start: Tensor, end: Tensor, last: Tensor) -> Tensor:
    """Map times by the lines from (0, 0) over (start, end) to (last, last); beyond the last frame nothing moves."""
    early = times * (end / start.clamp(min=1e-9))
    late = end + (times - start) * ((last - end) / (last - start).clamp(min=1e-9))
    return torch.where(times <= start, early, torch.where(times <= last, late, times))


def warp(x: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    """Take each frame from between two others, see the op."""
    if x.numel() == 0:
        return torch.empty_like(x)
    left, right, weight = _places(x, lengths, center, shift, window)
    return torch.empty_like(x).copy_(torch.lerp(x.gather(2, left), x.gather(2, right), weight))


def unwarp(grad: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> Tensor:
    """Give each frame what those taken from it hold, see the op."""
    out = torch.zeros_like(grad)
    if grad.numel() == 0:
        return out
    left, right, weight = _places(grad, lengths, center, shift, window)
    return out.scatter_add_(2, left, grad * (1.0 - weight)).scatter_add_(2, right, grad * weight)


def _places(x: Tensor, lengths: Tensor, center: Tensor, shift: Tensor, window: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return, shaped like ``x``, the two frames that each is taken from, and ``(B, 1, T)`` the second one's share."""
    end = x.shape[-1] - 1
    source, target, last = bend(lengths, center, shift, window)
    frames = torch.arange(end + 1, device=x.device, dtype=torch.float64).expand(x.shape[0], -1)
    position = follow(frames, target, source, last).clamp(0.0, float(end))
    whole = position.floor()
    left = whole.long()[:, None, :].expand_as(x)
    return left, (left + 1).clamp(max=end), (position - whole).to(x.dtype)[:, None, :]
