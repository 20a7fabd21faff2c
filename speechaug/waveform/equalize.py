"""Equalizers: devices, cables and tastes that raise some bands and lower others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from speechaug.draws import Values
from speechaug.functional.filter import SHELF_Q, equalizer_sections, ringing, shelf_sections
from speechaug.rng import Floats, Rng
from speechaug.transform import Context, Range, Transform, span
from speechaug.waveform.filter import _InSeries


def _check_positive(transform: Transform, name: str) -> None:
    """Check a range that has no strength."""
    low, high = getattr(transform, name)
    transform._check(0.0 < low <= high < float("inf"), name, "a finite, positive (low, high)")
    object.__setattr__(transform, name, (float(low), float(high)))


@dataclass(frozen=True, kw_only=True)
class Equalizer(_InSeries):
    """Raise and lower random bands, as devices and sound engineers do.

    The range of frequencies is divided evenly, on a logarithmic scale, into as many parts as there are bands, and each
    band lies somewhere in its own part. The lowest is a low shelf, the highest a high shelf, those between are peaks.

    Args:
        gain_db: range of each band's gain, in dB.
        bands: how many, at least 2.
        frequency_hz: range of the bands, in Hz. A band at or above the batch's Nyquist frequency does nothing.
        q: range of the peaks' frequency over their bandwidth, drawn on a logarithmic scale. Shelves have 0.71.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if a range is not a finite (low, high), ``frequency_hz`` or ``q`` are not positive, or there are
            fewer than 2 ``bands``.

    Source: Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (W3C note, 2021).

    Example:
        >>> import torch, speechaug as sa
        >>> brighter = sa.Equalizer(gain_db=(6.0, 6.0))
        >>> draws = brighter.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = brighter(torch.ones(1, 4_000), None, draws, sample_rate=16_000)
        >>> round(20 * y[0, -1].log10().item(), 1)
        6.0
    """

    gain_db: Range = span((-6.0, 6.0), neutral=0.0, limit=(-18.0, 18.0))
    bands: int = 5
    frequency_hz: Range = (80.0, 7_000.0)
    q: Range = (0.5, 2.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(isinstance(self.bands, int) and self.bands >= 2, "bands", "an integer of at least 2")
        _check_positive(self, "frequency_hz")
        _check_positive(self, "q")

    def draw(self, rng: Rng) -> Values:
        """Draw each band's frequency, gain and width for each row."""
        edges, shelf = self._edges().tolist(), np.full((len(rng), 1), SHELF_Q)
        peaks = [rng.log_uniform(*self.q)[:, None] for _ in range(self.bands - 2)]
        return {
            "frequency_hz": np.stack([rng.log_uniform(*edges[k : k + 2]) for k in range(self.bands)], axis=1),
            "gain_db": np.stack([rng.uniform(*self.gain_db) for _ in range(self.bands)], axis=1),
            "q": np.concatenate([shelf, *peaks, shelf], axis=1),
        }

    def _edges(self) -> Floats:
        edges: Floats = np.geomspace(*self.frequency_hz, self.bands + 1)
        return edges

    def sections(self, context: Context, *, frequency_hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
        """Return each row's bands as second-order sections, float64 ``(B, bands, 5)``."""
        return equalizer_sections(frequency_hz, gain_db, q, context.sample_rate)

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How long the bands ring, to -120 dB, in samples, at the ends of their ranges, where they ring longest."""
        edges = self._edges().clip(max=0.499999 * sample_rate)
        corners = []
        for frequency_hz, gain_db, q in itertools.product((edges[:-1], edges[1:]), self.gain_db, self.q):
            shape = np.full(self.bands, q)
            shape[[0, -1]] = SHELF_Q
            gains = torch.full((1, self.bands), gain_db, dtype=torch.float64)
            frequency, quality = torch.from_numpy(frequency_hz)[None], torch.from_numpy(shape)[None]
            corners.append(equalizer_sections(frequency, gains, quality, sample_rate))
        return 0, sum(ringing(band[:, None]) for band in torch.cat(corners).unbind(1))



@dataclass(frozen=True, kw_only=True)
class _Shelf(_InSeries):
    """A gain above a cut-off or below it."""

    high: ClassVar[bool]

    gain_db: Range = span((-12.0, 12.0), neutral=0.0, limit=(-30.0, 30.0))
    cutoff_hz: Range

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        _check_positive(self, "cutoff_hz")

    def draw(self, rng: Rng) -> Values:
        """Draw a gain and a cut-off for each row."""
        return {"gain_db": rng.uniform(*self.gain_db), "cutoff_hz": rng.log_uniform(*self.cutoff_hz)}

    def sections(self, context: Context, *, gain_db: Tensor, cutoff_hz: Tensor) -> Tensor:
        """Return each row's shelf as a second-order section, float64 ``(B, 1, 5)``."""
        return shelf_sections(cutoff_hz, gain_db, context.sample_rate, self.high)

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How long the shelf rings, to -120 dB, in samples, at the ends of its ranges, where it rings longest."""
        corners = torch.tensor(list(itertools.product(self.cutoff_hz, self.gain_db)), dtype=torch.float64)
        cutoff_hz = corners[:, 0].clamp(max=0.499999 * sample_rate)
        return 0, ringing(shelf_sections(cutoff_hz, corners[:, 1], sample_rate, self.high))


@dataclass(frozen=True, kw_only=True)
class LowShelf(_Shelf):
    """Raise or lower what lies below a random cut-off, as a bass control does.

    Rumble and warmth: a microphone held close, a small loudspeaker, bass turned up or down.

    Args:
        gain_db: range of the gain far below the cut-off, in dB.
        cutoff_hz: range of the frequency at which half of the gain in dB is reached, in Hz, drawn on a logarithmic
            scale. A cut-off at or above the batch's Nyquist frequency changes nothing.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``gain_db`` is not a finite (low, high) or ``cutoff_hz`` not a finite, positive one.

    Source: Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (W3C note, 2021), with
        a shelf slope of 1.

    Example:
        >>> import torch, speechaug as sa
        >>> boomy = sa.LowShelf(gain_db=(12.0, 12.0))
        >>> draws = boomy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = boomy(torch.ones(1, 4_000), None, draws, sample_rate=16_000)
        >>> round(20 * y[0, -1].log10().item(), 1)
        12.0
    """

    high = False

    cutoff_hz: Range = (100.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class HighShelf(_Shelf):
    """Raise or lower what lies above a random cut-off, as a treble control does.

    Brilliance: a microphone turned away, a lined coat, treble turned up or down.

    Args:
        gain_db: range of the gain far above the cut-off, in dB.
        cutoff_hz: range of the frequency at which half of the gain in dB is reached, in Hz, drawn on a logarithmic
            scale. A cut-off at or above the batch's Nyquist frequency changes nothing.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``gain_db`` is not a finite (low, high) or ``cutoff_hz`` not a finite, positive one.

    Source: Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (W3C note, 2021), with
        a shelf slope of 1.

    Example:
        >>> import torch, speechaug as sa
        >>> dull = sa.HighShelf(gain_db=(-12.0, -12.0))
        >>> draws = dull.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> whistle = torch.cos(torch.pi * torch.arange(4_000.0))[None]
        >>> y, _ = dull(whistle, None, draws, sample_rate=16_000)
        >>> round(20 * y[0, -1].abs().log10().item(), 1)
        -12.0
    """

    high = True

    cutoff_hz: Range = (2_000.0, 5_000.0)
