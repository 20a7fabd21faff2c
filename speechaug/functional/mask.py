"""Masks on spectrograms: stripes of frequency bins, stripes of frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from speechaug.functional.level import cut, valid_mask

Fill = Literal["zero", "mean"]


def whole_width(unit: Tensor, low: float, high: Tensor) -> Tensor:
    """Turn fractions in [0, 1) into whole widths, each of ``low .. high`` as likely.

    Args:
        unit: ``(B, K)`` fractions.
        low: narrowest width.
        high: widest width of each row, ``(B, 1)``; rows whose widest is below ``low`` get their widest.

    Example:
        >>> whole_width(torch.tensor([[0.0, 0.49, 0.51, 0.99]]), 0.0, torch.ones(1, 1)).tolist()
        [[0, 0, 1, 1]]
    """
    top = torch.floor(high.double())
    bottom = torch.clamp(top, max=float(low)).floor()
    return torch.floor(bottom + unit.double() * (top + 1.0 - bottom)).long()


def frequency_mask(x: Tensor, lengths: Tensor, start: Tensor, width: Tensor, fill: Fill = "zero") -> Tensor:
    """Mask stripes of frequency bins, each row its own.

    Args:
        x: spectrogram ``(B, F, T)``.
        lengths: ``(B,)`` valid frames; padding stays as it is.
        start: ``(B, K)`` fractions in [0, 1): where each of K stripes lies, 0 at the lowest bins, 1 at the highest.
        width: int64 ``(B, K)`` bins; wider than F is F.
        fill: ``"zero"``, or ``"mean"`` for the mean of the row's valid cells.

    Returns:
        ``(B, F, T)``.

    Raises:
        ValueError: if ``fill`` is neither.

    Source: Park et al., "SpecAugment", Interspeech 2019, section 2.

    Example:
        >>> x = torch.ones(1, 4, 2)
        >>> frequency_mask(x, torch.tensor([2]), torch.tensor([[0.5]]), torch.tensor([[2]]))[0, :, 0]
        tensor([1., 0., 0., 1.])
    """
    bins = torch.full_like(lengths, x.shape[1])
    masked = _stripes(x.shape[1], bins, start, width)[:, :, None]
    return torch.where(masked & valid_mask(x, lengths), _filling(x, lengths, fill), x)


def time_mask(x: Tensor, lengths: Tensor, start: Tensor, width: Tensor, fill: Fill = "zero") -> Tensor:
    """Mask stripes of frames, each row its own, all inside its valid frames.

    Args:
        x: spectrogram ``(B, F, T)``.
        lengths: ``(B,)`` valid frames.
        start: ``(B, K)`` fractions in [0, 1): where each of K stripes lies, 0 at the row's first frames, 1 at its last.
        width: int64 ``(B, K)`` frames; wider than the row is the row.
        fill: ``"zero"``, or ``"mean"`` for the mean of the row's valid cells.

    Returns:
        ``(B, F, T)``.

    Raises:
        ValueError: if ``fill`` is neither.

    Source: Park et al., "SpecAugment", Interspeech 2019, section 2.

    Example:
        >>> x = torch.ones(1, 1, 6)
        >>> time_mask(x, torch.tensor([4]), torch.tensor([[0.99]]), torch.tensor([[2]]))[0, 0]
        tensor([1., 1., 0., 0., 1., 1.])
    """
    masked = _stripes(x.shape[2], lengths, start, width)[:, None, :]
    return torch.where(masked, _filling(x, lengths, fill), x)


def time_mask_widths(
    unit: Tensor,
    lengths: Tensor,
    width_frames: tuple[float, float],
    max_fraction: float = 1.0,
    count_fraction: float | None = None,
) -> Tensor:
    """Turn fractions into the widths of time masks, which may depend on each row's length.

    Args:
        unit: ``(B, K)`` fractions in [0, 1).
        lengths: ``(B,)`` valid frames.
        width_frames: narrowest and widest mask.
        max_fraction: no mask is wider than this share of its row.
        count_fraction: masks for each frame of the row, at most K; None for K masks in every row. Masks too many have
            width 0.

    Returns:
        int64 ``(B, K)``, every whole width from the narrowest to the row's widest as likely.

    Source: Park et al., "SpecAugment on large scale datasets", ICASSP 2020, section 2 (adaptive size and
        multiplicity).

    Example:
        >>> time_mask_widths(torch.full((1, 3), 0.99), torch.tensor([50]), (0, 20), 0.2, 0.04).tolist()
        [[10, 10, 0]]
    """
    widest = (lengths.double() * max_fraction).clamp(max=float(width_frames[1]))[:, None]
    width = whole_width(unit, width_frames[0], widest)
    if count_fraction is None:
        return width
    count = torch.floor(lengths.double() * count_fraction)[:, None]
    return torch.where(torch.arange(unit.shape[1], device=unit.device) < count, width, 0)


def _stripes(size: int, inside: Tensor, start: Tensor, width: Tensor) -> Tensor:
    """Which of ``size`` places are in any stripe, ``(B, size)``; stripes lie within the first ``inside`` places."""
    width = torch.minimum(width, inside[:, None])
    first = torch.floor(start.double() * (inside[:, None] - width + 1)).long()
    places = torch.arange(size, device=start.device)
    return ((places >= first[..., None]) & (places < (first + width)[..., None])).any(dim=1)


def _filling(x: Tensor, lengths: Tensor, fill: Fill) -> Tensor:
    """What masked cells become, ``(B, 1, 1)``."""
    if fill not in ("zero", "mean"):
        raise ValueError(f"mask: fill must be 'zero' or 'mean', got {fill!r}")
    if fill == "zero":
        return x.new_zeros(1, 1, 1)
    total = cut(x, lengths).sum(dim=(1, 2), dtype=torch.float64)
    return (total / (lengths * x.shape[1]).clamp(min=1)).to(x.dtype)[:, None, None]
