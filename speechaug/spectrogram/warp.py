"""Time warp: the same words at an uneven pace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.rng import Floats, Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class TimeWarp(Transform):
    """Move a random moment of each spectrogram and stretch or squeeze what lies on both sides of it.

    Args:
        shift_frames: range of the move, in frames; negative is earlier. The moment lies at least the largest move away
            from both ends. In examples too short for that, the largest move is half their length and all moves shrink
            in proportion.
        p: probability per example.

    Shape:
        ``(B, F, T)``, the same out.

    Length: kept; the ends stay in place, and ``warp_times`` says where moments between them went. Gradient: through
    x. Silence: stays silence.

    Raises:
        ValueError: if ``shift_frames`` is not a finite (low, high).

    Source: Park et al., "SpecAugment", Interspeech 2019, section 2, with a piecewise linear map in place of the
        thin-plate spline.

    Example:
        >>> import torch, speechaug as sa
        >>> warp = sa.TimeWarp(shift_frames=(2.0, 2.0))
        >>> draws = warp.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = warp(torch.arange(101.0).reshape(1, 1, 101), None, draws)
        >>> y[0, 0, [0, 50, 100]].round().tolist()
        [0.0, 49.0, 100.0]
    """

    domain = "spectrogram"

    shift_frames: Range = span((-80.0, 80.0), neutral=0.0, limit=(-160.0, 160.0))

    @property
    def _window(self) -> float:
        return max(map(abs, self.shift_frames))

    def draw(self, rng: Rng) -> Values:
        """Draw which moment moves, relative to the length, and how far."""
        return {"center": rng.uniform(), "shift_frames": rng.uniform(*self.shift_frames)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, center: Tensor, shift_frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Warp."""
        return F.time_warp(x, lengths, center, shift_frames, self._window), lengths

    def warp(self, times_s: Floats, lengths_s: Floats, sample_rate: float, **params: NDArray[Any]) -> Floats:
        """Say where moments go."""
        frames = torch.from_numpy(np.rint(lengths_s[:, 0] * sample_rate))
        center, shift = (torch.from_numpy(params[name]) for name in ("center", "shift_frames"))
        moved = F.warp_moments(torch.from_numpy(times_s * sample_rate), frames, center, shift, self._window)
        warped: Floats = moved.numpy() / sample_rate
        return warped
