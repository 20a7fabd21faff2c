"""Equalizers: devices, cables and tastes that raise some bands and lower others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.filter import equalizer_sections, ringing
from speechaug.ops.transfer import transfer
from speechaug.rng import Floats, Rng
from speechaug.transform import Context, Range, Transform, span

_SHELF = 0.5**0.5
"""Q of the shelves: the steepest without a bump."""


@dataclass(frozen=True, kw_only=True)
class Equalizer(Transform):
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

    fusion = "linear"

    gain_db: Range = span((-6.0, 6.0), neutral=0.0, limit=(-18.0, 18.0))
    bands: int = 5
    frequency_hz: Range = (80.0, 7_000.0)
    q: Range = (0.5, 2.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(isinstance(self.bands, int) and self.bands >= 2, "bands", "an integer of at least 2")
        for name in ("frequency_hz", "q"):
            low, high = getattr(self, name)
            self._check(0.0 < low <= high < float("inf"), name, "a finite, positive (low, high)")
            object.__setattr__(self, name, (float(low), float(high)))

    def draw(self, rng: Rng) -> Values:
        """Draw each band's frequency, gain and width for each row."""
        edges, shelf = self._edges().tolist(), np.full((len(rng), 1), _SHELF)
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
            shape[[0, -1]] = _SHELF
            gains = torch.full((1, self.bands), gain_db, dtype=torch.float64)
            frequency, quality = torch.from_numpy(frequency_hz)[None], torch.from_numpy(shape)[None]
            corners.append(equalizer_sections(frequency, gains, quality, sample_rate))
        return 0, sum(ringing(band[:, None]) for band in torch.cat(corners).unbind(1))

    def response(self, size: int, context: Context, **params: Tensor) -> Tensor:
        """Return the transfer functions, complex64 ``(B, size // 2 + 1)``."""
        spectrum: Tensor = transfer(self.sections(context, **params), size)
        return spectrum

    def apply(self, x: Tensor, lengths: Tensor, context: Context, **params: Tensor) -> tuple[Tensor, Tensor]:
        """Filter by all bands at once."""
        return F.in_series(x, lengths, self.sections(context, **params)), lengths
