"""Interference: other talkers, noise with the spectrum of speech, mains hum, clicks and slams."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechaug.functional.level import per_row
from speechaug.functional.noise import Reference, mix_at_snr
from speechaug.functional.overlap_save import convolve_rows
from speechaug.functional.powers import amplitude
from speechaug.ops.noise import sources
from speechaug.ops.noise.reference import SILENCE_DB

LTASS_DB = {
    63: 38.6, 80: 43.5, 100: 54.4, 125: 57.7, 160: 56.8, 200: 60.2, 250: 60.3, 315: 59.0, 400: 62.1, 500: 62.1,
    630: 60.5, 800: 56.8, 1_000: 53.7, 1_250: 53.0, 1_600: 52.0, 2_000: 48.7, 2_500: 48.1, 3_150: 46.8, 4_000: 45.6,
    5_000: 44.5, 6_300: 44.3, 8_000: 43.7, 10_000: 43.4, 12_500: 41.3, 16_000: 40.7,
}  # fmt: skip
"""Average speech: levels of bands of a third of an octave around frequencies in Hz, in dB for 70 dB in all; women and
men, twelve languages. Byrne et al., "An international comparison of long-term average speech spectra", JASA 96 (1994),
table II."""

NOMINAL_PEAK_DB = -12.0
"""The peak impulses are set against when the speech is silent."""

_SHAPING_S = 0.125  # half of the filter that shapes noise like speech: it resolves bands from 100 Hz on
_BLOCK, _BLOCKS = 256, 16


def add_babble(
    x: Tensor,
    lengths: Tensor,
    loops: tuple[Tensor, Tensor, Tensor, Tensor],
    clip: Tensor,
    offset: Tensor,
    level: Tensor,
    snr_db: Tensor,
    *,
    reference: Reference = "rms",
    sample_rate: int,
) -> tuple[Tensor, Tensor]:
    """Add several recordings at once as :func:`speechaug.functional.mix_at_snr` adds one noise: their sum.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``, zero beyond the lengths.
        lengths: ``(B,)`` valid samples; nothing is added beyond.
        loops: what :meth:`speechaug.Bank.loops` returns.
        clip: indices, int64 ``(B, K)``.
        offset: where to start in each, as a fraction in [0, 1), ``(B, K)``.
        level: what each is multiplied by before they are summed, ``(B, K)``; 0 leaves one out.
        snr_db: ratio of the speech to the sum, ``(B,)`` in dB.
        reference: how loud the speech is, see :func:`speechaug.functional.mix_at_snr`.
        sample_rate: in Hz.

    Returns:
        The mixture, and the ratio reached, float64 ``(B,)`` in dB.
    """
    babble = sources.babble(clip, offset, level, *loops, lengths, x.shape[-1], x.dtype)
    return mix_at_snr(x, lengths, babble, snr_db, reference=reference, sample_rate=sample_rate)


def speech_shaped_noise(
    key: Tensor, width: int, sample_rate: int, dtype: torch.dtype = torch.float32, lengths: Tensor | None = None
) -> Tensor:
    """Stationary Gaussian noise with the long-term spectrum of speech (:data:`LTASS_DB`), a stream per row.

    White noise through a fixed filter: sample ``t`` depends on the row's key and on ``t`` alone, whatever the width.
    Levels of bands of a third of an octave are within 1 dB of the table from 100 Hz on.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        width: samples a row.
        sample_rate: in Hz.
        dtype: float32 or float64.
        lengths: ``(B,)``, where given: how many of them are wanted, with the bits they have in a row of that width.

    Returns:
        ``(B, width)`` of about unit variance.

    Source: Byrne et al., "An international comparison of long-term average speech spectra", JASA 96 (1994).

    Example:
        >>> speech_shaped_noise(torch.tensor([1, 2]), 500, 16_000).shape
        torch.Size([2, 500])
    """
    half = int(_SHAPING_S * sample_rate)
    longer = width + 2 * half
    ends = torch.full_like(key, longer) if lengths is None else lengths + 2 * half
    white = sources.white(key, ends, longer, dtype)
    response = _speech_filter(half, sample_rate, key.device).to(dtype)

    def spectrum(size: int, rows: Tensor | None) -> Tensor:
        count = key.shape[0] if rows is None else rows.shape[0]
        one: Tensor = torch.fft.rfft(response, size)
        return one.expand(count, -1).contiguous()

    shaped: Tensor = convolve_rows(white, ends, 0, 2 * half, spectrum)
    return shaped[:, 2 * half :]


def _speech_filter(half: int, sample_rate: int, device: torch.device) -> Tensor:
    """A symmetric filter of ``2 * half + 1`` taps and unit energy, float64."""
    size = 4 * half
    frequency_hz = torch.arange(size // 2 + 1, device=device, dtype=torch.float64) * (sample_rate / size)
    octaves = torch.log2(frequency_hz.clamp(min=1.0))
    # Density in dB: straight between the bands' centres, as a sum of bends; level beyond the last and 24 dB an octave
    # down below the first.
    bands = [(math.log2(f), level_db - 10.0 * math.log10(f)) for f, level_db in LTASS_DB.items()]
    density, slope = 24.0 * (octaves - bands[0][0]) + bands[0][1], 24.0
    for (here, value), (there, next_value) in zip(bands, [*bands[1:], (bands[-1][0] + 1.0, bands[-1][1])], strict=True):
        bend = (next_value - value) / (there - here)
        density = density + (bend - slope) * (octaves - here).clamp(min=0.0)
        slope = bend
    response = torch.fft.irfft(torch.pow(10.0, density / 20.0), size).roll(half)[: 2 * half + 1]
    window = 0.5 + 0.5 * torch.cos(math.pi * (torch.arange(2 * half + 1, device=device) - half) / (half + 1))
    response = response * window
    normalised: Tensor = response / response.square().sum().sqrt()
    return normalised


def add_speech_shaped_noise(
    x: Tensor, lengths: Tensor, key: Tensor, snr_db: Tensor, *, reference: Reference = "rms", sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Add :func:`speech_shaped_noise` as :func:`speechaug.functional.mix_at_snr` does.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``, zero beyond the lengths.
        lengths: ``(B,)`` valid samples; nothing is added beyond.
        key: int64 ``(B,)``, 64 random bits a row.
        snr_db: ``(B,)`` in dB.
        reference: how loud the speech is, see :func:`speechaug.functional.mix_at_snr`.
        sample_rate: in Hz.

    Returns:
        The mixture, and the ratio reached, float64 ``(B,)`` in dB.

    Example:
        >>> x, lengths, snr_db = torch.ones(1, 800), torch.tensor([800]), torch.tensor([20.0])
        >>> y, reached = add_speech_shaped_noise(x, lengths, torch.tensor([7]), snr_db, sample_rate=16_000)
        >>> round((y - x).square().mean().item(), 5), reached.item()
        (0.01, 20.0)
    """
    noise = speech_shaped_noise(key, x.shape[-1], sample_rate, x.dtype, lengths)
    return mix_at_snr(x, lengths, noise, snr_db, reference=reference, sample_rate=sample_rate)


def hum(frequency_hz: Tensor, level_db: Tensor, phase: Tensor, width: int, sample_rate: int) -> Tensor:
    """A steady tone with harmonics; those at or above the Nyquist frequency are left out.

    Args:
        frequency_hz: of the fundamental, ``(B,)``.
        level_db: amplitude of the fundamental and of each harmonic, ``(B, K)`` in dB.
        phase: of each at the beginning, ``(B, K)`` in turns.
        width: samples.
        sample_rate: in Hz.

    Returns:
        float64 ``(B, width)``.

    Example:
        >>> hum(torch.tensor([4.0]), torch.tensor([[0.0]]), torch.tensor([[0.25]]), 4, 16).abs().round(decimals=3)
        tensor([[1., 0., 1., 0.]], dtype=torch.float64)
    """
    order = torch.arange(1, level_db.shape[1] + 1, device=level_db.device)
    cycles = frequency_hz.double()[:, None] * order / sample_rate
    height = torch.where(cycles < 0.5, amplitude(level_db), 0.0)
    step = 2.0 * math.pi * cycles
    # sin(a + b) = sin a cos b + cos a sin b: angles at the blocks' beginnings times angles within a block.
    # Of as many blocks at once, whatever the width: the last bits of a product of matrices depend on their size.
    parts = -(-width // (_BLOCK * _BLOCKS))
    blocks = torch.arange(parts * _BLOCKS, device=level_db.device) * float(_BLOCK)
    start = blocks[:, None] * step[:, None] + 2.0 * math.pi * phase.double()[:, None]
    within = torch.arange(_BLOCK, device=level_db.device) * step[:, :, None]
    starts = torch.cat([start.sin() * height[:, None], start.cos() * height[:, None]], dim=2)
    waves = torch.cat([within.cos(), within.sin()], dim=1)
    # A product for each part: broadcasting would copy ``waves`` for all of them.
    return torch.cat([part @ waves for part in torch.split(starts, _BLOCKS, dim=1)], dim=1).flatten(1)[:, :width]


def add_hum(
    x: Tensor,
    lengths: Tensor,
    frequency_hz: Tensor,
    level_db: Tensor,
    phase: Tensor,
    snr_db: Tensor,
    *,
    reference: Reference = "rms",
    sample_rate: int,
) -> tuple[Tensor, Tensor]:
    """Add :func:`hum` as :func:`speechaug.functional.mix_at_snr` adds noise.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``, zero beyond the lengths.
        lengths: ``(B,)`` valid samples; nothing is added beyond.
        frequency_hz: of the fundamental, ``(B,)``.
        level_db: of the fundamental and of each harmonic against each other, ``(B, K)`` in dB.
        phase: of each at the beginning, ``(B, K)`` in turns.
        snr_db: ``(B,)`` in dB.
        reference: how loud the speech is, see :func:`speechaug.functional.mix_at_snr`.
        sample_rate: in Hz.

    Returns:
        The mixture, and the ratio reached, float64 ``(B,)`` in dB.
    """
    tone = hum(frequency_hz, level_db, phase, x.shape[-1], sample_rate).to(x.dtype)
    return mix_at_snr(x, lengths, tone, snr_db, reference=reference, sample_rate=sample_rate)


def add_impulses(
    x: Tensor,
    lengths: Tensor,
    key: Tensor,
    rate_per_s: Tensor,
    decay_ms: Tensor,
    exponent: Tensor,
    level_db: Tensor,
    sample_rate: int,
) -> tuple[Tensor, Tensor]:
    """Add short bursts of noise at random moments: clicks, knocks, slams.

    Moments are a Poisson process: in each sample a burst begins with the same chance. A burst is noise of a colour
    that dies away exponentially. The largest sample of all bursts of a row stands at a level relative to the row's
    largest sample; beside silence (peak below -90 dB), relative to :data:`NOMINAL_PEAK_DB`.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond the lengths.
        lengths: ``(B,)`` valid samples; nothing is added beyond.
        key: int64 ``(B,)``, 64 random bits a row.
        rate_per_s: bursts a second, ``(B,)``.
        decay_ms: time in which a burst falls to 1/e, ``(B,)``.
        exponent: colour of the bursts, ``(B,)`` in [-2, 2], see :func:`speechaug.functional.colored_noise`.
        level_db: largest sample of the bursts against that of the row, ``(B,)`` in dB.
        sample_rate: in Hz.

    Returns:
        The mixture, and the number of bursts, float64 ``(B,)``.

    Example:
        >>> x, one, key = torch.zeros(1, 16_000), torch.ones(1), torch.tensor([3])
        >>> y, count = add_impulses(x, torch.tensor([16_000]), key, 20 * one, 5 * one, 0 * one, 0 * one, 16_000)
        >>> count.item(), round(20 * y.abs().max().log10().item(), 3)
        (22.0, -12.0)
    """
    if x.numel() == 0:
        return x.clone(), torch.zeros_like(lengths, dtype=torch.float64)
    keep = torch.exp(-1e3 / (decay_ms.double() * sample_rate))
    chance = rate_per_s.double() / sample_rate
    bursts, count = sources.bursts(key, chance, keep, exponent, lengths, x.shape[-1], sample_rate, x.dtype)
    peak = x.abs().flatten(1).amax(dim=1)
    silent = peak < 10.0 ** (SILENCE_DB / 20.0)
    height = torch.where(silent, 10.0 ** (NOMINAL_PEAK_DB / 20.0), peak) * amplitude(level_db)
    return torch.addcmul(x, bursts if x.ndim == 2 else bursts[:, None], per_row(height, x)), count
