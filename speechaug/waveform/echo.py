"""Copies of the sound itself: echo, chorus, phaser."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class Echo(Transform):
    """Add one delayed copy of each example: a wall far away, a line that talks back.

    Args:
        delay_ms: range of the delay, in ms, drawn on a logarithmic scale and rounded to whole samples.
        decay: range of what the copy is multiplied by.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``delay_ms`` is not a finite, positive (low, high) or ``decay`` not a finite one of at least 0.

    Source: ``echo`` of SoX, with gains of 1.

    Example:
        >>> import torch, speechaug as sa
        >>> valley = sa.Echo(delay_ms=(3.0, 3.0), decay=(0.5, 0.5))
        >>> draws = valley.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> valley(torch.eye(1, 5), None, draws, sample_rate=1_000)[0]
        tensor([[1.0000, 0.0000, 0.0000, 0.5000, 0.0000]])
    """

    delay_ms: Range = (60.0, 500.0)
    decay: Range = span((0.1, 0.5), neutral=0.0, limit=(0.9, 0.9), lowest=0.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        _check_positive(self, "delay_ms")

    def draw(self, rng: Rng) -> Values:
        """Draw a delay and a decay for each row."""
        return {"delay_ms": rng.log_uniform(*self.delay_ms), "decay": rng.uniform(*self.decay)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, delay_ms: Tensor, decay: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add the copy."""
        return F.echo(x, lengths, delay_ms * (context.sample_rate / 1_000.0), decay), lengths


@dataclass(frozen=True, kw_only=True)
class Chorus(Transform):
    """Add copies of each example whose delays drift, as of others who speak along: a comb that moves.

    Args:
        delay_ms: range of each copy's delay, in ms.
        voices: how many copies.
        depth_ms: range of how far delays drift to either side, in ms, less than the least delay.
        rate_hz: range of how often they do, in Hz, drawn on a logarithmic scale.
        decay: range of what the copies are multiplied by, together: each by its share.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if a range is not a finite (low, high), ``delay_ms`` or ``rate_hz`` are not positive, ``depth_ms``
            or ``decay`` are negative, ``depth_ms`` reaches the least delay, or ``voices`` is not a positive integer.

    Source: ``chorus`` of SoX; delays between samples after Laakso et al., "Splitting the unit delay", 1996.

    Example:
        >>> import torch, speechaug as sa
        >>> comb = sa.Chorus(delay_ms=(3.0, 3.0), voices=1, depth_ms=(0.0, 0.0), decay=(0.5, 0.5))
        >>> draws = comb.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> comb(torch.eye(1, 5), None, draws, sample_rate=1_000)[0]
        tensor([[1.0000, 0.0000, 0.0000, 0.5000, 0.0000]])
    """

    delay_ms: Range = (20.0, 60.0)
    voices: int = 3
    depth_ms: Range = (0.5, 2.0)
    rate_hz: Range = (0.2, 2.0)
    decay: Range = span((0.2, 0.8), neutral=0.0, limit=(1.0, 1.0), lowest=0.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        _check_positive(self, "delay_ms")
        _check_positive(self, "rate_hz")
        self._check(isinstance(self.voices, int) and self.voices >= 1, "voices", "an integer of at least 1")
        low, high = self.depth_ms
        self._check(0.0 <= low <= high < self.delay_ms[0], "depth_ms", "a (low, high) from 0 to below the least delay")
        object.__setattr__(self, "depth_ms", (float(low), float(high)))

    def draw(self, rng: Rng) -> Values:
        """Draw each copy's delay and where its drift begins, and the drift and the decay of all."""
        return {
            "delay_ms": rng.uniform(*self.delay_ms, size=self.voices),
            "phase": rng.uniform(size=self.voices),
            "depth_ms": rng.uniform(*self.depth_ms),
            "rate_hz": rng.log_uniform(*self.rate_hz),
            "decay": rng.uniform(*self.decay),
        }

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, decay: Tensor, **params: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add the copies."""
        return F.chorus(x, lengths, **params, decay=decay / self.voices, sample_rate=context.sample_rate), lengths


@dataclass(frozen=True, kw_only=True)
class Phaser(Transform):
    """Mix each example with a copy whose phases are turned: notches that wander up and down the spectrum.

    Args:
        decay: range of what the copy is multiplied by: 1 for notches without a bottom.
        corner_hz: range of the all-pass filters' corner at the middle of its swing, in Hz, drawn on a logarithmic
            scale.
        sweep_octaves: range of how far it swings to either side, in octaves.
        rate_hz: range of the swings a second, in Hz, drawn on a logarithmic scale.
        stages: all-pass filters, an even number: one notch for every two.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if a range is not a finite (low, high), ``corner_hz`` or ``rate_hz`` are not positive, ``decay`` or
            ``sweep_octaves`` are negative, or ``stages`` is not a positive, even integer.

    Source: Smith, "Physical audio signal processing" (2010), section "Phasing with first-order allpass filters".

    Example:
        >>> import math, torch, speechaug as sa
        >>> still = sa.Phaser(corner_hz=(1_000.0, 1_000.0), sweep_octaves=(0.0, 0.0), stages=2, decay=(1.0, 1.0))
        >>> draws = still.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> tone = torch.sin(2 * math.pi * 1_000 / 16_000 * torch.arange(8_000))[None]
        >>> bool(still(tone, None, draws, sample_rate=16_000)[0][0, 4_000:].abs().max() < 1e-3)
        True
    """

    decay: Range = span((0.3, 0.9), neutral=0.0, limit=(1.0, 1.0), lowest=0.0)
    corner_hz: Range = (400.0, 1_600.0)
    sweep_octaves: Range = (0.5, 1.5)
    rate_hz: Range = (0.2, 2.0)
    stages: int = 4

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        _check_positive(self, "corner_hz")
        _check_positive(self, "rate_hz")
        low, high = self.sweep_octaves
        self._check(0.0 <= low <= high < float("inf"), "sweep_octaves", "a finite (low, high) of at least 0")
        object.__setattr__(self, "sweep_octaves", (float(low), float(high)))
        even = isinstance(self.stages, int) and self.stages >= 2 and self.stages % 2 == 0
        self._check(even, "stages", "an even integer of at least 2")

    def draw(self, rng: Rng) -> Values:
        """Draw a corner and how it swings for each row."""
        return {
            "decay": rng.uniform(*self.decay),
            "corner_hz": rng.log_uniform(*self.corner_hz),
            "sweep_octaves": rng.uniform(*self.sweep_octaves),
            "rate_hz": rng.log_uniform(*self.rate_hz),
            "phase": rng.uniform(),
        }

    def apply(
        self,
        x: Tensor,
        lengths: Tensor,
        context: Context,
        *,
        decay: Tensor,
        corner_hz: Tensor,
        sweep_octaves: Tensor,
        rate_hz: Tensor,
        phase: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Turn phases and mix."""
        rate = context.sample_rate
        y = F.phaser(x, lengths, corner_hz, sweep_octaves, rate_hz, phase, decay, rate, stages=self.stages)
        return y, lengths


def _check_positive(transform: Transform, name: str) -> None:
    """Check a range drawn on a logarithmic scale, and keep it as a pair of floats."""
    low, high = getattr(transform, name)
    transform._check(0.0 < low <= high < float("inf"), name, "a finite, positive (low, high)")
    object.__setattr__(transform, name, (float(low), float(high)))
