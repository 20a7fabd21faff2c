"""Interference: babble, noise shaped like speech, mains hum, impulses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speechaug import functional as F
from speechaug.banks import Bank
from speechaug.draws import Values
from speechaug.functional.noise import Reference
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span
from speechaug.waveform.noise import _snr_span


@dataclass(frozen=True, kw_only=True)
class AddBabble(Transform):
    """Add several talkers at once, at a random signal-to-noise ratio.

    Nothing masks speech like speech. Each example gets a random number of talkers: as many clips of the bank, each
    from a random place on, at equal level (the RMS level of the whole clip), again from its beginning where it is too
    short. One talker alone is a competing talker.

    Args:
        bank: clips of single talkers.
        talkers: least and greatest number of talkers. They are drawn one by one, so a small bank may give a talker
            two sentences at once.
        snr_db: range of the ratio of the speech to all talkers together, in dB, on each example's valid samples.
        reference: how loud the speech is: ``"rms"``, or ``"active"`` for its active speech level (ITU-T P.56), under
            which pauses do not lower the babble.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; the same babble in all channels.

    Length: kept. Gradient: through x. Silence (RMS below -90 dB): babble as beside speech of -26 dB; a silent stretch
    of babble changes nothing.

    By-products: ``snr_db``, the ratio reached.

    Raises:
        ValueError: if ``talkers`` is not a pair of integers with 1 <= low <= high, ``snr_db`` is not a finite
            (low, high) or ``reference`` is neither; at the call, if the bank has another rate than the batch.

    Source: 3 to 7 talkers as in Kaldi's augmentation with MUSAN, Snyder et al., "X-vectors", ICASSP 2018.

    Example:
        >>> import numpy as np, torch, speechaug as sa
        >>> voices = [np.sin(np.arange(4_000) / slow) for slow in (15, 20, 25)]
        >>> crowd = sa.AddBabble(bank=sa.Bank.from_arrays(voices, sample_rate=16_000), snr_db=(10.0, 10.0))
        >>> draws = crowd.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = crowd.run(0.1 * torch.ones(1, 8_000), None, draws, sample_rate=16_000)
        >>> out.extras["snr_db"].round(decimals=3)
        tensor([10.], dtype=torch.float64)
    """

    by_products = ("snr_db",)

    bank: Bank
    talkers: tuple[int, int] = (3, 7)
    snr_db: Range = _snr_span((5.0, 25.0))
    reference: Reference = "rms"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        is_pair = isinstance(self.talkers, (tuple, list)) and len(self.talkers) == 2
        whole = is_pair and all(isinstance(count, int) for count in self.talkers)
        self._check(
            whole and 1 <= self.talkers[0] <= self.talkers[1], "talkers", "a (low, high) of integers, 1 <= low <= high"
        )
        object.__setattr__(self, "talkers", tuple(self.talkers))
        self._check(self.reference in ("rms", "active"), "reference", "'rms' or 'active'")

    def draw(self, rng: Rng) -> Values:
        """Draw how many talkers, a ratio, and for as many as there can be a clip and where to start."""
        least, most = self.talkers
        return {
            "snr_db": rng.uniform(*self.snr_db),
            "talkers": least + rng.integers(most - least + 1),
            "clip": np.stack([self.bank.draw(rng) for _ in range(most)], axis=1),
            "offset": rng.uniform(size=most),
        }

    def apply(
        self,
        x: Tensor,
        lengths: Tensor,
        context: Context,
        *,
        snr_db: Tensor,
        talkers: Tensor,
        clip: Tensor,
        offset: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Sum the talkers that speak, and mix."""
        loops = self.bank.loops(x.device, clip)
        level = self.bank.gains(clip.flatten(), None).reshape(clip.shape) * loops[2][clip].sqrt()
        speaks = torch.arange(clip.shape[1], device=x.device) < talkers[:, None]
        y, achieved = F.add_babble(
            x,
            lengths,
            loops,
            clip,
            offset,
            torch.where(speaks, level, 0.0),
            snr_db,
            reference=self.reference,
            sample_rate=context.sample_rate,
        )
        context.record("snr_db", achieved)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class AddSpeechShapedNoise(Transform):
    """Add stationary noise with the long-term spectrum of speech, at a random signal-to-noise ratio.

    It covers all of speech evenly: the masker of hearing tests.

    Args:
        snr_db: range of the ratio of speech to noise, in dB, on each example's valid samples.
        reference: how loud the speech is: ``"rms"``, or ``"active"`` for its active speech level (ITU-T P.56), under
            which pauses do not lower the noise.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; the same noise in all channels.

    Length: kept. Gradient: through x. Silence (RMS below -90 dB): noise as beside speech of -26 dB.

    By-products: ``snr_db``, the ratio reached.

    Raises:
        ValueError: if ``snr_db`` is not a finite (low, high) or ``reference`` is neither.

    Levels of bands of a third of an octave are within 1 dB of the published spectrum from 100 Hz on.

    Source: Byrne et al., "An international comparison of long-term average speech spectra", JASA 96 (1994), women and
        men of twelve languages.

    Example:
        >>> import torch, speechaug as sa
        >>> masked = sa.AddSpeechShapedNoise(snr_db=(5.0, 5.0))
        >>> draws = masked.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = masked.run(0.1 * torch.ones(1, 8_000), None, draws, sample_rate=16_000)
        >>> out.extras["snr_db"].round(decimals=3)
        tensor([5.], dtype=torch.float64)
    """

    by_products = ("snr_db",)

    snr_db: Range = _snr_span((0.0, 20.0))
    reference: Reference = "rms"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.reference in ("rms", "active"), "reference", "'rms' or 'active'")

    def draw(self, rng: Rng) -> Values:
        """Draw a key for the generator on the device and a ratio for each row."""
        return {"key": rng.key(), "snr_db": rng.uniform(*self.snr_db)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, key: Tensor, snr_db: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Make the noise and mix."""
        y, achieved = F.add_speech_shaped_noise(
            x, lengths, key, snr_db, reference=self.reference, sample_rate=context.sample_rate
        )
        context.record("snr_db", achieved)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class AddHum(Transform):
    """Add the hum of the mains with its harmonics, at a random signal-to-noise ratio.

    Bad grounding, cheap power supplies. The levels of the harmonics are random, falling by about 6 dB an octave, and
    so are their phases.

    Args:
        snr_db: range of the ratio of speech to hum, in dB, on each example's valid samples.
        mains_hz: frequencies of the mains to choose from, in Hz.
        harmonics: how many beside the fundamental. Those at or above the batch's Nyquist frequency are left out.
        reference: how loud the speech is: ``"rms"``, or ``"active"`` for its active speech level (ITU-T P.56), under
            which pauses do not lower the hum.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; the same hum in all channels.

    Length: kept. Gradient: through x. Silence (RMS below -90 dB): hum as beside speech of -26 dB.

    By-products: ``snr_db``, the ratio reached.

    Raises:
        ValueError: if ``snr_db`` is not a finite (low, high), ``mains_hz`` holds no or not only positive numbers,
            ``harmonics`` is not an integer of at least 0 or ``reference`` is neither.

    Source: the mains of the world run at 50 or 60 Hz (IEC 60038).

    Example:
        >>> import torch, speechaug as sa
        >>> humming = sa.AddHum(snr_db=(10.0, 10.0), mains_hz=(50.0,))
        >>> draws = humming.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = humming.run(0.1 * torch.ones(1, 8_000), None, draws, sample_rate=16_000)
        >>> out.extras["snr_db"].round(decimals=3)
        tensor([10.], dtype=torch.float64)
    """

    by_products = ("snr_db",)

    snr_db: Range = _snr_span((5.0, 30.0))
    mains_hz: tuple[float, ...] = (50.0, 60.0)
    harmonics: int = 10
    reference: Reference = "rms"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        some = isinstance(self.mains_hz, (tuple, list)) and len(self.mains_hz) > 0
        self._check(some and all(0.0 < f < float("inf") for f in self.mains_hz), "mains_hz", "finite, positive numbers")
        object.__setattr__(self, "mains_hz", tuple(float(f) for f in self.mains_hz))
        self._check(
            isinstance(self.harmonics, int) and self.harmonics >= 0, "harmonics", "an integer of at least 0"
        )
        self._check(self.reference in ("rms", "active"), "reference", "'rms' or 'active'")

    def draw(self, rng: Rng) -> Values:
        """Draw a ratio, a frequency, and level and phase of the fundamental and of each harmonic."""
        tones = self.harmonics + 1
        return {
            "snr_db": rng.uniform(*self.snr_db),
            "frequency_hz": np.asarray(self.mains_hz)[rng.integers(len(self.mains_hz))],
            "level_db": rng.uniform(-6.0, 6.0, size=tones) - 20.0 * np.log10(np.arange(1, tones + 1)),
            "phase": rng.uniform(size=tones),
        }

    def apply(
        self,
        x: Tensor,
        lengths: Tensor,
        context: Context,
        *,
        snr_db: Tensor,
        frequency_hz: Tensor,
        level_db: Tensor,
        phase: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Make the hum and mix."""
        rate = context.sample_rate
        y, achieved = F.add_hum(
            x, lengths, frequency_hz, level_db, phase, snr_db, reference=self.reference, sample_rate=rate
        )
        context.record("snr_db", achieved)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class AddImpulses(Transform):
    """Add short bursts at random moments: clicks, knocks, doors that slam.

    Each burst is noise that dies away exponentially; an example's bursts have one decay and one colour, between pink
    and white.

    Args:
        rate_per_s: range of the number of bursts a second, on average; they come independently (a Poisson process).
        decay_ms: range of the time in which a burst falls to 1/e, in ms, drawn on a logarithmic scale.
        level_db: range of the largest sample of the bursts, in dB relative to that of the example.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; the same bursts in all channels.

    Length: kept. Gradient: through x. Silence (peak below -90 dB): bursts as beside speech with a peak of -12 dB.

    By-products: ``impulses_per_s``, how many there were for each second; 0 for nothing.

    Raises:
        ValueError: if a range is not a finite (low, high), ``rate_per_s`` is negative or ``decay_ms`` is not positive.

    Source: impulsive noise as Poisson bursts, Vaseghi, "Advanced digital signal processing and noise reduction".

    Example:
        >>> import torch, speechaug as sa
        >>> doors = sa.AddImpulses(rate_per_s=(20.0, 20.0), level_db=(0.0, 0.0))
        >>> draws = doors.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = doors(0.1 * torch.ones(1, 16_000), None, draws, sample_rate=16_000)
        >>> bool((y - 0.1).abs().max().isclose(torch.tensor(0.1)))
        True
    """

    by_products = ("impulses_per_s",)

    rate_per_s: Range = span((0.5, 5.0), neutral=0.0, limit=(16.0, 16.0), lowest=0.0)
    decay_ms: Range = (5.0, 50.0)
    level_db: Range = span((-12.0, 0.0), neutral=-60.0, limit=(6.0, 6.0))

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        low, high = self.decay_ms
        self._check(0.0 < low <= high < float("inf"), "decay_ms", "a finite, positive (low, high)")
        object.__setattr__(self, "decay_ms", (float(low), float(high)))

    def draw(self, rng: Rng) -> Values:
        """Draw a key for the moments and the bursts, and their rate, decay, colour and level for each row."""
        return {
            "key": rng.key(),
            "rate_per_s": rng.uniform(*self.rate_per_s),
            "decay_ms": rng.log_uniform(*self.decay_ms),
            "exponent": rng.uniform(-1.0, 0.0),
            "level_db": rng.uniform(*self.level_db),
        }

    def apply(self, x: Tensor, lengths: Tensor, context: Context, **params: Tensor) -> tuple[Tensor, Tensor]:
        """Make the bursts and add them."""
        y, count = F.add_impulses(x, lengths, **params, sample_rate=context.sample_rate)
        context.record("impulses_per_s", count * context.sample_rate / lengths.clamp(min=1))
        return y, lengths
