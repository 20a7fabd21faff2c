"""Masks: hide stripes of a spectrogram, so that no single cue is enough."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.mask import Fill, place_stripes, time_mask_widths
from speechaug.rng import Rng
from speechaug.transform import Context, Fusion, Range, Transform, span

ADAPTIVE_COUNT = 20
"""The most time masks a row gets where their number depends on its length (Park et al. 2020)."""


@dataclass(frozen=True, kw_only=True)
class FrequencyMask(Transform):
    """Hide random stripes of frequency bins.

    Args:
        width_bins: range of a stripe's width, in bins; every whole width of it is as likely, 0 included.
        count: stripes per example; they may overlap.
        fill: what the stripes become: ``"zero"``, which is the mean of normalised features, or ``"mean"``, the mean of
            the example's valid cells.
        p: probability per example.

    Shape:
        ``(B, F, T)``, the same out.

    Length: kept. Gradient: through x where it is not masked. Silence: stays silence. Stripes lie inside the bins, and
    padding stays zero; a stripe wider than the spectrogram covers it.

    Raises:
        ValueError: if ``width_bins`` is not a (low, high) of whole numbers of at least 0, ``count`` is below 1 or
            ``fill`` is neither.

    Source: Park et al., "SpecAugment", Interspeech 2019, section 2.

    Example:
        >>> import torch, speechaug as sa
        >>> mask = sa.FrequencyMask(width_bins=(3, 3), count=1)
        >>> draws = mask.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> int((mask(torch.ones(1, 80, 5), None, draws)[0] == 0).sum())
        15
    """

    domain = "spectrogram"

    width_bins: Range = span((0.0, 27.0), neutral=0.0, limit=(0.0, 40.0), lowest=0.0, integer=True)
    count: int = 2
    fill: Fill = "zero"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(all(end.is_integer() for end in self.width_bins), "width_bins", "whole numbers")
        self._check(isinstance(self.count, int) and self.count >= 1, "count", "a whole number of at least 1")
        self._check(self.fill in ("zero", "mean"), "fill", "'zero' or 'mean'")

    @property
    def fusion(self) -> Fusion | None:  # type: ignore[override]
        """Say that neighbouring masks can run as one pass, where what they fill in does not depend on the others."""
        return "mask" if self.fill == "zero" else None

    def draw(self, rng: Rng) -> Values:
        """Draw where each stripe lies and how wide it is."""
        low, high = (int(end) for end in self.width_bins)
        width = np.floor(rng.uniform(low, high + 1, size=self.count)).astype(np.int64)
        return {"start": rng.uniform(size=self.count), "width_bins": np.minimum(width, high)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, start: Tensor, width_bins: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mask."""
        return F.frequency_mask(x, lengths, start, width_bins, self.fill), lengths

    def stripes(self, lengths: Tensor, bins: int, *, start: Tensor, width_bins: Tensor) -> tuple[int, Tensor, Tensor]:
        """Return the axis of the stripes, where they begin and how wide they are, for a group of masks."""
        return 1, *place_stripes(bins, start, width_bins)


@dataclass(frozen=True, kw_only=True)
class TimeMask(Transform):
    """Hide random stripes of frames.

    Args:
        width_frames: range of a stripe's width, in frames; every whole width of it is as likely, 0 included.
        count: stripes per example; they may overlap.
        max_fraction: no stripe is wider than this share of its example.
        width_fraction: adaptive width: the widest stripe as a share of its example, in place of the upper end of
            ``width_frames``. None for the same width everywhere.
        count_fraction: adaptive number: stripes per frame of the example, at most 20, in place of ``count``. None for
            the same number everywhere.
        fill: what the stripes become: ``"zero"``, which is the mean of normalised features, or ``"mean"``, the mean of
            the example's valid cells.
        p: probability per example.

    Shape:
        ``(B, F, T)``, the same out.

    Length: kept. Gradient: through x where it is not masked. Silence: stays silence. Stripes lie inside each
    example's valid frames.

    Raises:
        ValueError: if ``width_frames`` is not a (low, high) of whole numbers of at least 0, ``count`` is below 1, a
            fraction is not in [0, 1] or ``fill`` is neither.

    Source: Park et al., "SpecAugment", Interspeech 2019, section 2; Park et al., "SpecAugment on large scale
        datasets", ICASSP 2020, section 2 (adaptive).

    Example:
        >>> import torch, speechaug as sa
        >>> mask = sa.TimeMask(width_frames=(10, 10), count=1, max_fraction=0.2)
        >>> draws = mask.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b"]))
        >>> y, _ = mask(torch.ones(2, 1, 100), torch.tensor([100, 20]), draws)
        >>> (y == 0).sum(dim=2).flatten().tolist()
        [10, 4]
    """

    domain = "spectrogram"

    width_frames: Range = span((0.0, 100.0), neutral=0.0, limit=(0.0, 150.0), lowest=0.0, integer=True)
    count: int = 2
    max_fraction: float = 1.0
    width_fraction: float | None = None
    count_fraction: float | None = None
    fill: Fill = "zero"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(all(end.is_integer() for end in self.width_frames), "width_frames", "whole numbers")
        self._check(isinstance(self.count, int) and self.count >= 1, "count", "a whole number of at least 1")
        self._check(0.0 <= self.max_fraction <= 1.0, "max_fraction", "in [0, 1]")
        for name in ("width_fraction", "count_fraction"):
            value = getattr(self, name)
            self._check(value is None or 0.0 <= value <= 1.0, name, "in [0, 1] or None")
        self._check(self.fill in ("zero", "mean"), "fill", "'zero' or 'mean'")

    def scaled(self, strength: float) -> TimeMask:
        """Scale the adaptive width like any other."""
        moved = super().scaled(strength)
        if self.width_fraction is None:
            return moved
        return dataclasses.replace(moved, width_fraction=min(1.0, self.width_fraction * strength))

    @property
    def fusion(self) -> Fusion | None:  # type: ignore[override]
        """Say that neighbouring masks can run as one pass, where what they fill in does not depend on the others."""
        return "mask" if self.fill == "zero" else None

    def draw(self, rng: Rng) -> Values:
        """Draw where each stripe lies and how wide it is, both relative to what its row allows."""
        count = self.count if self.count_fraction is None else ADAPTIVE_COUNT
        return {"start": rng.uniform(size=count), "width": rng.uniform(size=count)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, start: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Turn fractions into frames, and mask."""
        return F.time_mask(x, lengths, start, self._frames(lengths, width), self.fill), lengths

    def stripes(self, lengths: Tensor, bins: int, *, start: Tensor, width: Tensor) -> tuple[int, Tensor, Tensor]:
        """Return the axis of the stripes, where they begin and how wide they are, for a group of masks."""
        return 2, *place_stripes(lengths[:, None], start, self._frames(lengths, width))

    def _frames(self, lengths: Tensor, width: Tensor) -> Tensor:
        widest = self.width_frames[1] if self.width_fraction is None else float("inf")
        share = self.max_fraction if self.width_fraction is None else min(self.max_fraction, self.width_fraction)
        return time_mask_widths(width, lengths, (self.width_frames[0], widest), share, self.count_fraction)
