"""Air: far talkers sound dull."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.linear import respond
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span

_REACH = 1024
"""Samples after which the response is far below -120 dB, at any rate from 8 to 48 kHz and to 100 m."""


@dataclass(frozen=True, kw_only=True)
class AirAbsorption(Transform):
    """Absorb high frequencies as the air between a distant talker and the microphone does.

    By some dB per 100 m at 4 kHz and tens at 8 kHz, more in dry air. Symmetric in time, so words stay where they were.
    The loss of level with distance is not part of it.

    Args:
        distance_m: range of the length of the way, in metres.
        temperature_c: range of the air's temperature, in degrees Celsius.
        humidity_percent: range of its relative humidity.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``distance_m`` is not a finite (low, high) of at least 0, ``temperature_c`` does not lie in
            [-20, 50] or ``humidity_percent`` in [10, 100], where the standard holds.

    Source: ISO 9613-1:1993.

    Example:
        >>> import torch, speechaug as sa
        >>> far = sa.AirAbsorption(distance_m=(100.0, 100.0))
        >>> draws = far.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> whistle = torch.cos(0.9 * torch.pi * torch.arange(8_000.0))[None]
        >>> bool(far(whistle, None, draws, sample_rate=16_000)[0][0, 2_000:6_000].abs().max() < 0.6)
        True
    """

    fusion = "linear"

    distance_m: Range = span((5.0, 50.0), neutral=0.0, limit=(100.0, 100.0), lowest=0.0)
    temperature_c: Range = (10.0, 30.0)
    humidity_percent: Range = (30.0, 90.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        for name, least, most in (("temperature_c", -20.0, 50.0), ("humidity_percent", 10.0, 100.0)):
            low, high = getattr(self, name)
            self._check(least <= low <= high <= most, name, f"a (low, high) within [{least:g}, {most:g}]")
            object.__setattr__(self, name, (float(low), float(high)))

    def draw(self, rng: Rng) -> Values:
        """Draw a distance and weather for each row."""
        return {
            "distance_m": rng.uniform(*self.distance_m),
            "temperature_c": rng.uniform(*self.temperature_c),
            "humidity_percent": rng.uniform(*self.humidity_percent),
        }

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How far the response extends to either side, to -120 dB, in samples."""
        return _REACH, _REACH

    def response(self, size: int, context: Context, **params: Tensor) -> Tensor:
        """Return the transfer functions, complex64 ``(B, size // 2 + 1)``; they are real: no delay."""
        device = params["distance_m"].device
        frequency_hz = torch.arange(size // 2 + 1, device=device, dtype=torch.float32) * (context.sample_rate / size)
        loss_db = F.absorption_db(frequency_hz, **params)
        return loss_db.mul_(-math.log(10.0) / 20.0).exp_().to(torch.complex64)

    def apply(self, x: Tensor, lengths: Tensor, context: Context, **params: Tensor) -> tuple[Tensor, Tensor]:
        """Filter."""
        return respond(self, x, lengths, context, **params), lengths
