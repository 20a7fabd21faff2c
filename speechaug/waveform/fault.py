"""Faults of transmission and recording: lost packets, drop-outs, jumping gain, clipping by share, low level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.fault import RAMP_MS, Concealment
from speechaug.functional.noise import Reference
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class PacketLoss(Transform):
    """Lose packets of each example in bursts, as calls over a bad network do.

    Exactly ``round(loss * frames)`` frames of an example are lost, so that what was asked for is what was done, in
    bursts whose lengths and places are those of a two-state Markov chain that loses so many.

    Args:
        loss: range of the share of frames lost, within [0, 1].
        burst_frames: range of the mean length of a burst, in frames, at least 1.
        frame_ms: length of a frame.
        concealment: what a lost frame becomes: ``"zero"``, or ``"repeat"`` for the last one received, again and
            again, with joints faded over 2.5 ms.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    By-products: ``loss_rate``, the share of frames lost.

    Raises:
        ValueError: if ``loss`` is not a (low, high) within [0, 1], ``burst_frames`` not one of at least 1,
            ``frame_ms`` not positive or ``concealment`` neither.

    Source: Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39 (1960).

    Example:
        >>> import torch, speechaug as sa
        >>> lossy = sa.PacketLoss(loss=(0.1, 0.1), burst_frames=(2.0, 2.0))
        >>> draws = lossy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = lossy.run(torch.ones(1, 16_000), None, draws, sample_rate=16_000)
        >>> round(out.x.mean().item(), 3), out.extras["loss_rate"]
        (0.9, tensor([0.1000], dtype=torch.float64))
    """

    by_products = ("loss_rate",)

    loss: Range = span((0.02, 0.1), neutral=0.0, limit=(0.3, 0.3), lowest=0.0)
    burst_frames: Range = span((1.0, 3.0), neutral=1.0, limit=(4.0, 4.0), lowest=1.0)
    frame_ms: float = 20.0
    concealment: Concealment = "zero"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.loss[1] <= 1.0, "loss", "at most 1")
        frame: Any = self.frame_ms
        self._check(isinstance(frame, Real) and 0.0 < float(frame) < math.inf, "frame_ms", "positive")
        object.__setattr__(self, "frame_ms", float(frame))
        self._check(self.concealment in ("zero", "repeat"), "concealment", "'zero' or 'repeat'")

    def draw(self, rng: Rng) -> Values:
        """Draw a key for the generator on the device, a share and a mean length of bursts for each row."""
        return {"key": rng.key(), "loss": rng.uniform(*self.loss), "burst_frames": rng.uniform(*self.burst_frames)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, key: Tensor, loss: Tensor, burst_frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Lose frames."""
        how, rate = self.concealment, context.sample_rate
        y, lost = F.packet_loss(
            x, lengths, key, loss, burst_frames, frame_ms=self.frame_ms, concealment=how, sample_rate=rate
        )
        context.record("loss_rate", lost)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class Dropouts(Transform):
    """Silence short stretches of each example, as loose contacts and failing radio links do.

    Args:
        rate_per_s: range of the number of stretches per second; where it gives no whole number for an example, chance
            rounds it.
        duration_ms: shortest and longest stretch; each is drawn. None is longer than the distance of two on average.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    By-products: ``dropped_fraction``, the share of samples silenced.

    Raises:
        ValueError: if a range is not a finite (low, high) of at least 0.

    Source: ``DropChunk`` of SpeechBrain, whose 1,000 to 2,000 samples at 16 kHz are the default, without overlaps.

    Example:
        >>> import torch, speechaug as sa
        >>> loose = sa.Dropouts(rate_per_s=(2.0, 2.0), duration_ms=(100.0, 100.0))
        >>> draws = loose.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = loose.run(torch.ones(1, 16_000), None, draws, sample_rate=16_000)
        >>> round(out.x.mean().item(), 3), out.extras["dropped_fraction"]
        (0.8, tensor([0.2000], dtype=torch.float64))
    """

    by_products = ("dropped_fraction",)

    rate_per_s: Range = span((1.0, 3.0), neutral=0.0, limit=(5.0, 5.0), lowest=0.0)
    duration_ms: Range = span((62.5, 125.0), neutral=0.0, limit=(125.0, 125.0), lowest=0.0)

    def draw(self, rng: Rng) -> Values:
        """Draw a key for the generator on the device, a rate and how to round for each row."""
        return {"key": rng.key(), "rate_per_s": rng.uniform(*self.rate_per_s), "chance": rng.uniform()}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, key: Tensor, rate_per_s: Tensor, chance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Silence."""
        rate = context.sample_rate
        most = math.ceil(self.rate_per_s[1] * x.shape[-1] / rate) + 1
        y, dropped = F.dropouts(x, lengths, key, chance, rate_per_s, self.duration_ms, most, rate)
        context.record("dropped_fraction", dropped)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class GainSteps(Transform):
    """Change the gain of each example from time to time, as automatic gain controls and hasty hands do.

    Args:
        gain_db: range of the gain, in dB; each interval draws its own.
        interval_ms: how long a gain lasts, at least 5. It takes 5 ms to get from one to the next.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``gain_db`` is not a finite (low, high) or ``interval_ms`` is below 5.

    Source: amplitude ratio 10^(dB/20), IEC 60027-3.

    Example:
        >>> import torch, speechaug as sa
        >>> pumping = sa.GainSteps(gain_db=(-12.0, 12.0), interval_ms=300.0)
        >>> draws = pumping.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = pumping(torch.ones(1, 16_000), None, draws, sample_rate=16_000)
        >>> bool((0.25 < y).all() and (y < 4.0).all()), 4 <= len(y.unique()) <= 500
        (True, True)
    """

    gain_db: Range = span((-6.0, 6.0), neutral=0.0, limit=(-18.0, 18.0))
    interval_ms: float = 300.0

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        lasts: Any = self.interval_ms
        long_enough = isinstance(lasts, Real) and RAMP_MS <= float(lasts) < math.inf
        self._check(long_enough, "interval_ms", f"at least {RAMP_MS:g} and finite")
        object.__setattr__(self, "interval_ms", float(lasts))

    def draw(self, rng: Rng) -> Values:
        """Draw a key for the generator on the device and how far the first interval is for each row."""
        return {"key": rng.key(), "phase": rng.uniform()}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, key: Tensor, phase: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Multiply."""
        return F.gain_steps(x, key, phase, self.gain_db, self.interval_ms, context.sample_rate), lengths


@dataclass(frozen=True, kw_only=True)
class PercentileClipping(Transform):
    """Cut off the loudest samples of each example, a given share of them.

    Where :class:`speechaug.Clipping` goes by the peak, one loud click decides on all; here nothing does.

    Args:
        fraction: range of the share of samples clipped, within [0, 1].
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; all channels count together.

    Length: kept. Gradient: through x. Silence: stays silence.

    By-products: ``clipped_fraction``, the share of samples clipped: what was asked for to within a sample, less where
    samples are equal.

    Raises:
        ValueError: if ``fraction`` is not a (low, high) within [0, 1].

    Source: hard limiting, as ``ClippingDistortion`` of audiomentations.

    Example:
        >>> import torch, speechaug as sa
        >>> clip = sa.PercentileClipping(fraction=(0.25, 0.25))
        >>> draws = clip.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> clip(torch.tensor([[0.1, -0.4, 0.2, 0.3]]), None, draws, sample_rate=16_000)[0]
        tensor([[ 0.1000, -0.3000,  0.2000,  0.3000]])
    """

    by_products = ("clipped_fraction",)

    fraction: Range = span((0.01, 0.1), neutral=0.0, limit=(0.3, 0.3), lowest=0.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.fraction[1] <= 1.0, "fraction", "at most 1")

    def draw(self, rng: Rng) -> Values:
        """Draw a share for each row."""
        return {"fraction": rng.uniform(*self.fraction)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, fraction: Tensor) -> tuple[Tensor, Tensor]:
        """Clip."""
        y, clipped = F.percentile_clipping(x, lengths, fraction)
        context.record("clipped_fraction", clipped)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class LowLevel(Transform):
    """Bring each example to a low level and round it to 16 bits: a microphone far away, a gain turned down.

    Args:
        level_dbfs: range of the level, in dB relative to full scale (a full-scale sine has -3 dB), at most 0.
        reference: what the level is of: ``"rms"``, or ``"active"`` for the active speech level (ITU-T P.56), which
            pauses do not lower.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; what is beyond full scale is clipped.

    Length: kept. Gradient: passes as if nothing had been rounded. Silence (RMS below -90 dB): only rounded.

    By-products: ``level_dbfs``, the level reached.

    Raises:
        ValueError: if ``level_dbfs`` is not a finite (low, high) of at most 0 or ``reference`` is neither.

    Source: 16-bit linear PCM; levels by ITU-T P.56.

    Example:
        >>> import torch, speechaug as sa
        >>> faint = sa.LowLevel(level_dbfs=(-60.0, -60.0))
        >>> draws = faint.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = faint(torch.tensor([[0.5, -0.5, 0.5, 0.5]]), None, draws, sample_rate=16_000)
        >>> y * 32_768
        tensor([[ 33., -33.,  33.,  33.]])
    """

    differentiable: ClassVar[bool] = False
    by_products = ("level_dbfs",)

    level_dbfs: Range = span((-50.0, -30.0), neutral=-26.0, limit=(-60.0, -60.0))
    reference: Reference = "rms"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.level_dbfs[1] <= 0.0, "level_dbfs", "at most 0")
        self._check(self.reference in ("rms", "active"), "reference", "'rms' or 'active'")

    def draw(self, rng: Rng) -> Values:
        """Draw a level for each row."""
        return {"level_dbfs": rng.uniform(*self.level_dbfs)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, level_dbfs: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and round."""
        rate = context.sample_rate
        y, reached = F.low_level(x, lengths, level_dbfs, reference=self.reference, sample_rate=rate)
        context.record("level_dbfs", reached)
        return y, lengths
