"""Distortion: clipping, soft saturation, few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.powers import amplitude, exp2
from speechaug.ops.pointwise.reference import Stage
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class Clipping(Transform):
    """Cut off the loudest parts of each example, as an overdriven microphone input does.

    Relative to the example's own peak, so that quiet recordings are clipped as hard as loud ones.

    Args:
        threshold_db: range of the threshold, in dB relative to the peak, at most 0.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``threshold_db`` is not a finite (low, high) of at most 0.

    Source: hard limiting, as ``ClippingDistortion`` of audiomentations, by level in place of a share of samples.

    Example:
        >>> import torch, speechaug as sa
        >>> clip = sa.Clipping(threshold_db=(-6.0, -6.0))
        >>> draws = clip.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> clip(torch.tensor([[0.1, -0.2]]), None, draws, sample_rate=16_000)[0]
        tensor([[ 0.1000, -0.1002]])
    """

    fusion = "pointwise"

    threshold_db: Range = span((-20.0, -3.0), neutral=0.0, limit=(-40.0, -40.0))

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.threshold_db[1] <= 0.0, "threshold_db", "at most 0")

    def draw(self, rng: Rng) -> Values:
        """Draw a threshold for each row."""
        return {"threshold_db": rng.uniform(*self.threshold_db)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, threshold_db: Tensor) -> tuple[Tensor, Tensor]:
        """Clip."""
        return F.clipping(x, threshold_db), lengths

    def stage(self, *, threshold_db: Tensor) -> tuple[Stage, Tensor]:
        """Say the same for one pass with others."""
        return Stage.CLIP, amplitude(threshold_db)


@dataclass(frozen=True, kw_only=True)
class TanhDistortion(Transform):
    """Saturate each example softly, as tape, valves and small loudspeakers do; the peak stays.

    Args:
        drive_db: range of the gain in front of the saturation, in dB relative to the peak.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``drive_db`` is not a finite (low, high).

    Source: hyperbolic tangent, as ``TanhDistortion`` of audiomentations.

    Example:
        >>> import torch, speechaug as sa
        >>> warm = sa.TanhDistortion(drive_db=(20.0, 20.0))
        >>> draws = warm.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> warm(torch.tensor([[0.05, -0.5]]), None, draws, sample_rate=16_000)[0]
        tensor([[ 0.3808, -0.5000]])
    """

    fusion = "pointwise"

    drive_db: Range = span((0.0, 20.0), neutral=-20.0, limit=(40.0, 40.0))

    def draw(self, rng: Rng) -> Values:
        """Draw a drive for each row."""
        return {"drive_db": rng.uniform(*self.drive_db)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, drive_db: Tensor) -> tuple[Tensor, Tensor]:
        """Saturate."""
        return F.tanh_distortion(x, drive_db), lengths

    def stage(self, *, drive_db: Tensor) -> tuple[Stage, Tensor]:
        """Say the same for one pass with others."""
        return Stage.TANH, amplitude(drive_db)


@dataclass(frozen=True, kw_only=True)
class Quantization(Transform):
    """Round each example to few bits, full scale being 1: old converters, cheap devices, quiet recordings.

    Args:
        bits: range of the resolution, in bits, at least 2; drawn values need not be whole.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: passes as if nothing had been done. Silence: stays silence, and what is softer than half a
    step becomes silence.

    Raises:
        ValueError: if ``bits`` is not a finite (low, high) of at least 2.

    Source: uniform mid-tread quantiser, Bennett, "Spectra of quantized signals", 1948; ``BitCrush`` of audiomentations.

    Example:
        >>> import torch, speechaug as sa
        >>> coarse = sa.Quantization(bits=(3.0, 3.0))
        >>> draws = coarse.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> coarse(torch.tensor([[0.1, 0.2, -0.7]]), None, draws, sample_rate=16_000)[0]
        tensor([[ 0.0000,  0.2500, -0.7500]])
    """

    differentiable: ClassVar[bool] = False
    fusion = "pointwise"

    bits: Range = span((6.0, 12.0), neutral=16.0, limit=(4.0, 4.0), lowest=2.0)

    def draw(self, rng: Rng) -> Values:
        """Draw a resolution for each row."""
        return {"bits": rng.uniform(*self.bits)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Round."""
        return F.quantize(x, bits), lengths

    def stage(self, *, bits: Tensor) -> tuple[Stage, Tensor]:
        """Say the same for one pass with others."""
        return Stage.QUANTIZE, exp2(bits - 1.0)
