"""Filters: telephones, cheap microphones and walls remove frequencies."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.filter import ORDERS, highpass_sections, lowpass_sections, ringing
from speechaug.ops.transfer import transfer
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


def _low_span(default: Range, limit_hz: float) -> Range:
    """Declare a range of upper cut-offs; 24 kHz is the identity at rates up to 48 kHz."""
    declared: Range = span(default, neutral=24_000.0, limit=(limit_hz, limit_hz), scale="log")
    return declared


def _ends(cutoffs: Range, sample_rate: int) -> Tensor:
    """The cut-offs of a range whose filters ring longest: those next to 0 and to the Nyquist frequency."""
    return torch.tensor(cutoffs, dtype=torch.float64).clamp(max=0.499999 * sample_rate)


def _high_span(default: Range, limit_hz: float) -> Range:
    """Declare a range of lower cut-offs; there is no speech below 20 Hz."""
    declared: Range = span(default, neutral=20.0, limit=(limit_hz, limit_hz), scale="log")
    return declared


@dataclass(frozen=True, kw_only=True)
class _InSeries(Transform):
    """A filter made of second-order sections, one after the other."""

    fusion = "linear"

    @abstractmethod
    def sections(self, context: Context, *args: Any, **params: Any) -> Tensor:
        """Return each row's filter as second-order sections, float64 ``(B, S, 5)``."""

    def response(self, size: int, context: Context, **params: Tensor) -> Tensor:
        """Return the transfer functions, complex64 ``(B, size // 2 + 1)``."""
        spectrum: Tensor = transfer(self.sections(context, **params), size)
        return spectrum

    def apply(self, x: Tensor, lengths: Tensor, context: Context, **params: Tensor) -> tuple[Tensor, Tensor]:
        """Filter by all sections at once."""
        return F.in_series(x, lengths, self.sections(context, **params)), lengths


@dataclass(frozen=True, kw_only=True)
class LowPass(_InSeries):
    """Remove what lies above a random cut-off.

    Speech behind a wall, a covered microphone, a recording once made at a lower rate.

    Args:
        cutoff_hz: range of the frequency at which the power is halved, in Hz, drawn on a logarithmic scale. A cut-off
            at or above the batch's Nyquist frequency changes nothing.
        order: 2, 4, 6 or 8; the slope is 6 dB per octave times the order.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``cutoff_hz`` is not a finite, positive (low, high) or ``order`` is another.

    Source: Butterworth, "On the theory of filter amplifiers", 1930; digital by the bilinear transform, as ``butter``
        and ``sosfilt`` of SciPy.

    Example:
        >>> import torch, speechaug as sa
        >>> dull = sa.LowPass(cutoff_hz=(1_000.0, 1_000.0))
        >>> draws = dull.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> whistle = torch.cos(torch.pi * torch.arange(800.0))[None]
        >>> bool(dull(whistle, None, draws, sample_rate=16_000)[0][0, 400:].abs().max() < 0.001)
        True
    """

    cutoff_hz: Range = _low_span((2_000.0, 7_500.0), limit_hz=500.0)
    order: int = 2

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(isinstance(self.order, int) and self.order in ORDERS, "order", f"one of {ORDERS}")

    def draw(self, rng: Rng) -> Values:
        """Draw a cut-off for each row."""
        return {"cutoff_hz": rng.log_uniform(*self.cutoff_hz)}

    def sections(self, context: Context, *, cutoff_hz: Tensor) -> Tensor:
        """Return each row's filter as second-order sections, float64 ``(B, S, 5)``."""
        return lowpass_sections(cutoff_hz, context.sample_rate, self.order)

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How long the filter with the slowest decay of the range rings, to -120 dB, in samples."""
        slowest = lowpass_sections(_ends(self.cutoff_hz, sample_rate), sample_rate, self.order)
        return 0, ringing(slowest)



@dataclass(frozen=True, kw_only=True)
class HighPass(_InSeries):
    """Remove what lies below a random cut-off.

    Small loudspeakers, rumble filters of recorders and conferencing systems.

    Args:
        cutoff_hz: range of the frequency at which the power is halved, in Hz, drawn on a logarithmic scale. A cut-off
            at or above the batch's Nyquist frequency, where nothing would be left, changes nothing.
        order: 2, 4, 6 or 8; the slope is 6 dB per octave times the order.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``cutoff_hz`` is not a finite, positive (low, high) or ``order`` is another.

    Source: Butterworth, "On the theory of filter amplifiers", 1930; digital by the bilinear transform, as ``butter``
        and ``sosfilt`` of SciPy.

    Example:
        >>> import torch, speechaug as sa
        >>> thin = sa.HighPass(cutoff_hz=(200.0, 200.0))
        >>> draws = thin.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> offset = torch.ones(1, 4_000)
        >>> bool(thin(offset, None, draws, sample_rate=16_000)[0][0, 2_000:].abs().max() < 0.001)
        True
    """

    cutoff_hz: Range = _high_span((50.0, 600.0), limit_hz=3_000.0)
    order: int = 2

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(isinstance(self.order, int) and self.order in ORDERS, "order", f"one of {ORDERS}")

    def draw(self, rng: Rng) -> Values:
        """Draw a cut-off for each row."""
        return {"cutoff_hz": rng.log_uniform(*self.cutoff_hz)}

    def sections(self, context: Context, *, cutoff_hz: Tensor) -> Tensor:
        """Return each row's filter as second-order sections, float64 ``(B, S, 5)``."""
        return highpass_sections(cutoff_hz, context.sample_rate, self.order)

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How long the filter with the slowest decay of the range rings, to -120 dB, in samples."""
        slowest = highpass_sections(_ends(self.cutoff_hz, sample_rate), sample_rate, self.order)
        return 0, ringing(slowest)



@dataclass(frozen=True, kw_only=True)
class BandPass(_InSeries):
    """Keep what lies between two random cut-offs.

    The defaults are telephones: 300 to 3400 Hz, give or take.

    Args:
        low_hz: range of the lower cut-off, in Hz, drawn on a logarithmic scale.
        high_hz: range of the upper cut-off, in Hz, likewise; all of it above ``low_hz``.
        order: of each of the two filters: 2, 4, 6 or 8; both slopes are 6 dB per octave times the order.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence. A cut-off at or above the batch's
    Nyquist frequency does nothing.

    Raises:
        ValueError: if a range is not a finite, positive (low, high), the ranges overlap or ``order`` is another.

    Source: as :class:`HighPass` and then :class:`LowPass`; the band of ITU-T G.712.

    Example:
        >>> import torch, speechaug as sa
        >>> telephone = sa.BandPass()
        >>> draws = telephone.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> tone = torch.sin(torch.arange(1_600) * 2 * torch.pi * 1_000 / 16_000)[None]
        >>> y, _ = telephone(tone, None, draws, sample_rate=16_000)
        >>> bool(y[0, 800:].abs().max() > 0.9)
        True
    """

    low_hz: Range = _high_span((200.0, 400.0), limit_hz=1_000.0)
    high_hz: Range = _low_span((3_000.0, 3_600.0), limit_hz=1_500.0)
    order: int = 2

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.low_hz[1] < self.high_hz[0], "low_hz", f"below high_hz, {self.high_hz}")
        self._check(isinstance(self.order, int) and self.order in ORDERS, "order", f"one of {ORDERS}")

    def draw(self, rng: Rng) -> Values:
        """Draw both cut-offs for each row."""
        return {"low_hz": rng.log_uniform(*self.low_hz), "high_hz": rng.log_uniform(*self.high_hz)}

    def sections(self, context: Context, *, low_hz: Tensor, high_hz: Tensor) -> Tensor:
        """Return both of each row's filters as second-order sections, float64 ``(B, S, 5)``."""
        above = highpass_sections(low_hz, context.sample_rate, self.order)
        return torch.cat([above, lowpass_sections(high_hz, context.sample_rate, self.order)], dim=1)

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How long the filters with the slowest decay of the ranges ring, to -120 dB, in samples."""
        above = highpass_sections(_ends(self.low_hz, sample_rate), sample_rate, self.order)
        below = lowpass_sections(_ends(self.high_hz, sample_rate), sample_rate, self.order)
        return 0, ringing(above) + ringing(below)
