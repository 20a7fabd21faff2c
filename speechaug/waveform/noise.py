"""Noise: recorded clips and coloured noise at a signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from speechaug.banks import Bank
from speechaug.draws import Values
from speechaug.functional.noise import Reference, add_colored_noise, add_recorded_noise
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


def _snr_span(default: Range) -> Range:
    """Declare a range of signal-to-noise ratios: 60 dB is inaudible, at -10 dB hardly a word is left."""
    declared: Range = span(default, neutral=60.0, limit=(-10.0, -10.0))
    return declared


@dataclass(frozen=True, kw_only=True)
class AddNoise(Transform):
    """Add recorded noise at a random signal-to-noise ratio.

    The recordings make the difference: a recognizer gets used to what it has heard. Each example gets a random clip
    from a random place on, the same in all its channels; a clip shorter than the example starts again, cross-faded.

    Args:
        bank: noise clips.
        snr_db: range of the ratio of speech to noise, in dB, on each example's valid samples.
        reference: how loud the speech is: ``"rms"``, or ``"active"`` for its active speech level (ITU-T P.56), under
            which pauses do not lower the noise.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence (RMS below -90 dB): noise as beside speech of -26 dB; a silent stretch
    of noise changes nothing.

    By-products: ``snr_db``, the ratio reached.

    Raises:
        ValueError: if ``snr_db`` is not a finite (low, high) or ``reference`` is neither; at the call, if the bank has
            another rate than the batch.

    Source: Ko et al., "A study on data augmentation of reverberant speech", ICASSP 2017, section 3 (the practice);
        levels by ITU-T P.56.

    Example:
        >>> import numpy as np, torch, speechaug as sa
        >>> hum = sa.Bank.from_arrays([np.sin(np.arange(4_000) / 20)], sample_rate=16_000)
        >>> noisy = sa.AddNoise(bank=hum, snr_db=(10.0, 10.0))
        >>> draws = noisy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = noisy.run(0.1 * torch.ones(1, 8_000), None, draws, sample_rate=16_000)
        >>> out.extras["snr_db"].round(decimals=3)
        tensor([10.], dtype=torch.float64)
    """

    by_products = ("snr_db",)
    writes_rows = True

    bank: Bank
    snr_db: Range = _snr_span((0.0, 20.0))
    reference: Reference = "rms"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.reference in ("rms", "active"), "reference", "'rms' or 'active'")

    def draw(self, rng: Rng) -> Values:
        """Draw a clip, where in it to start and a ratio for each row."""
        return {"clip": self.bank.draw(rng), "offset": rng.uniform(), "snr_db": rng.uniform(*self.snr_db)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, clip: Tensor, offset: Tensor, snr_db: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mix the noise in as the bank keeps it."""
        loops, rate = self.bank.loops(x.device, clip), context.sample_rate
        y, achieved = add_recorded_noise(
            x, lengths, loops, clip, offset, snr_db, reference=self.reference, sample_rate=rate, rows=context.into
        )
        context.record("snr_db", achieved)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class AddColoredNoise(Transform):
    """Add artificial noise of a random colour at a random signal-to-noise ratio.

    Needs no recordings: rumble, hiss and all between, never the same twice.

    Args:
        snr_db: range of the ratio of speech to noise, in dB, on each example's valid samples.
        exponent: range of the colour, within [-2, 2]: the power density goes as frequency to this power. -2 is brown,
            -1 pink, 0 white, 1 blue, 2 violet.
        reference: how loud the speech is: ``"rms"``, or ``"active"`` for its active speech level (ITU-T P.56), under
            which pauses do not lower the noise.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; the same noise in all channels.

    Length: kept. Gradient: through x. Silence (RMS below -90 dB): noise as beside speech of -26 dB.

    By-products: ``snr_db``, the ratio reached.

    Raises:
        ValueError: if ``snr_db`` is not a finite (low, high), ``exponent`` is not one within [-2, 2] or ``reference``
            is neither.

    The spectrum is within 0.7 dB of the power law from 40 Hz to 0.45 of the sample rate, and flat below 16 Hz.

    Source: Timmer and Koenig, "On generating power law noise", A&A 300 (1995), for the spectra; Kellet's pink noise
        filters, for a ladder of first-order sections that makes them, so that a longer batch has the same noise.

    Example:
        >>> import torch, speechaug as sa
        >>> pink = sa.AddColoredNoise(snr_db=(20.0, 20.0), exponent=(-1.0, -1.0))
        >>> draws = pink.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = pink.run(0.1 * torch.ones(1, 8_000), None, draws, sample_rate=16_000)
        >>> out.extras["snr_db"].round(decimals=3)
        tensor([20.], dtype=torch.float64)
    """

    by_products = ("snr_db",)
    writes_rows = True

    snr_db: Range = _snr_span((5.0, 30.0))
    exponent: Range = (-2.0, 2.0)
    reference: Reference = "rms"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        is_pair = isinstance(self.exponent, (tuple, list)) and len(self.exponent) == 2
        in_order = is_pair and -2.0 <= self.exponent[0] <= self.exponent[1] <= 2.0
        self._check(in_order, "exponent", "a (low, high) pair with -2 <= low <= high <= 2")
        object.__setattr__(self, "exponent", (float(self.exponent[0]), float(self.exponent[1])))
        self._check(self.reference in ("rms", "active"), "reference", "'rms' or 'active'")

    def draw(self, rng: Rng) -> Values:
        """Draw a key for the generator on the device, a colour and a ratio for each row."""
        return {"key": rng.key(), "exponent": rng.uniform(*self.exponent), "snr_db": rng.uniform(*self.snr_db)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, key: Tensor, exponent: Tensor, snr_db: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Make the noise and mix."""
        loud, rate = self.reference, context.sample_rate
        y, achieved = add_colored_noise(
            x, lengths, key, exponent, snr_db, reference=loud, sample_rate=rate, rows=context.into
        )
        context.record("snr_db", achieved)
        return y, lengths
