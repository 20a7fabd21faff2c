"""Modulation: loudness that goes up and down."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class Tremolo(Transform):
    """Let the loudness swing, as behind a fan, on a bad radio link or with a pumping compressor.

    The amplitude follows a sine between 1 and ``1 - depth``; each example begins anywhere in it.

    Args:
        depth: range of how much of the amplitude is lost at the lowest point, within [0, 1].
        rate_hz: range of the swings, in Hz, drawn on a logarithmic scale.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``depth`` is not a (low, high) within [0, 1] or ``rate_hz`` not a finite, positive one.

    Source: amplitude modulation, as ``tremolo`` of SoX.

    Example:
        >>> import torch, speechaug as sa
        >>> swing = sa.Tremolo(depth=(0.6, 0.6))
        >>> draws = swing.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = swing(torch.ones(1, 16_000), None, draws, sample_rate=16_000)
        >>> round(y.min().item(), 3), round(y.max().item(), 3)
        (0.4, 1.0)
    """

    depth: Range = span((0.2, 0.8), neutral=0.0, limit=(1.0, 1.0), lowest=0.0)
    rate_hz: Range = (2.0, 8.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.depth[1] <= 1.0, "depth", "at most 1")
        low, high = self.rate_hz
        self._check(0.0 < low <= high < float("inf"), "rate_hz", "a finite, positive (low, high)")
        object.__setattr__(self, "rate_hz", (float(low), float(high)))

    def draw(self, rng: Rng) -> Values:
        """Draw a depth, a rate and where to begin for each row."""
        rate_hz = rng.log_uniform(*self.rate_hz)
        return {"depth": rng.uniform(*self.depth), "rate_hz": rate_hz, "phase": rng.uniform()}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, depth: Tensor, rate_hz: Tensor, phase: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Modulate."""
        return F.tremolo(x, depth, rate_hz, phase, context.sample_rate), lengths
