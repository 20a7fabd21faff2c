"""Masks on spectrograms: stripes of frequency bins, stripes of frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from speechaug.functional.level import cut
from speechaug.ops.mask import mask

Fill = Literal["zero", "mean"]
Stripes = tuple[Tensor, Tensor]
"""Where some stripes of each row begin and how wide they are, both int64 ``(B, K)``."""


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
    if low <= 0.0:
        return (unit.double() * (top + 1.0)).long()
    bottom = top.clamp(max=float(low)).floor()
    return (bottom + unit.double() * (top + 1.0 - bottom)).long()


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
    return masks(x, lengths, bins=place_stripes(x.shape[1], start, width), fill=fill)


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
    return masks(x, lengths, frames=place_stripes(lengths[:, None], start, width), fill=fill)


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


def place_stripes(inside: Tensor | int, start: Tensor, width: Tensor) -> Stripes:
    """Lay stripes within the first ``inside`` places.

    Args:
        inside: how many places there are, or ``(B, 1)``.
        start: ``(B, K)`` fractions in [0, 1): where each stripe lies, 0 as low and 1 as high as it fits.
        width: int64 ``(B, K)``; wider than ``inside`` is ``inside``.

    Returns:
        Where each stripe begins and its width.

    Example:
        >>> first, width = place_stripes(10, torch.tensor([[0.0, 0.99, 0.5]]), torch.tensor([[4, 4, 40]]))
        >>> first.tolist(), width.tolist()
        ([[0, 6, 0]], [[4, 4, 10]])
    """
    width = width.clamp(max=inside) if isinstance(inside, int) else torch.minimum(width, inside)
    return (start.double() * (inside + 1 - width)).long(), width


def masks(
    x: Tensor, lengths: Tensor, bins: Stripes | None = None, frames: Stripes | None = None, fill: Fill = "zero"
) -> Tensor:
    """Mask stripes of bins and of frames in one pass, padding left as it is; a stripe of width 0 masks nothing.

    Args:
        x: spectrogram ``(B, F, T)``.
        lengths: int64 ``(B,)`` valid frames.
        bins: stripes of bins, from 0 on; None for none.
        frames: stripes of frames, from 0 on; None for none.
        fill: ``"zero"``, or ``"mean"`` for the mean of the row's valid cells.

    Returns:
        ``(B, F, T)``, in the layout of ``x``: a transposed ``(B, T, F)`` batch stays one.

    Raises:
        ValueError: if ``fill`` is neither.

    Example:
        >>> first, width = torch.tensor([[1]]), torch.tensor([[2]])
        >>> masks(torch.ones(1, 4, 2), torch.tensor([2]), bins=(first, width), frames=(first, width))[0]
        tensor([[1., 0.],
                [0., 0.],
                [0., 0.],
                [1., 0.]])
    """
    if fill not in ("zero", "mean"):
        raise ValueError(f"mask: fill must be 'zero' or 'mean', got {fill!r}")
    none = lengths.new_empty(len(lengths), 0)
    filling = _mean(x, lengths) if fill == "mean" else None
    masked: Tensor = mask(x, lengths.long(), *(bins or (none, none)), *(frames or (none, none)), filling)
    return masked


def _mean(x: Tensor, lengths: Tensor) -> Tensor:
    """Mean of each row's valid cells, ``(B,)``."""
    total = cut(x, lengths).sum(dim=(1, 2), dtype=torch.float64)
    return (total / (lengths * x.shape[1]).clamp(min=1)).to(x.dtype)
