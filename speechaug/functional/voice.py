"""Voice: pitch, each row by its own amount."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.functional.frames import at_bins, bin_powers, bounded_gain, by_rows, frame_size, join, split
from speechaug.functional.level import over_channels, valid_mask
from speechaug.functional.powers import exp2
from speechaug.functional.resample import resample, scaled_lengths
from speechaug.functional.time import Stretching, time_stretch

# Formants: on vowels made of a source and a filter, they end up 2 % from where they belong; with one round 3 %, by
# linear prediction 2.6 % with partials three times as far off.
_QUEFRENCY_S = 0.0025
_ROUNDS = 3
_FLOOR = 1e-9


def pitch_shift(
    x: Tensor,
    lengths: Tensor,
    semitones: Tensor,
    sample_rate: int,
    quality: Stretching = "fast",
    keep_formants: bool = False,
) -> Tensor:
    """Make each voice higher or lower at the same tempo. 0 semitones are exact.

    A row going up is played faster and then stretched back; a row going down is shortened first and then played
    slower. So nothing in between is longer than the input, and no semitone is harder than another. What would end
    beyond the Nyquist frequency is removed.

    Formants move along, as with a smaller or larger head, unless ``keep_formants``: then each frame is filtered from
    the spectral envelope it got to the one it had, and the same head speaks higher or lower.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        semitones: ``(B,)`` in [-24, 24].
        sample_rate: in Hz.
        quality: ``"fast"`` or ``"high"``, of :func:`time_stretch` and :func:`resample`.
        keep_formants: whether the spectral envelope stays; takes some seven times as long as ``"fast"`` alone.

    Returns:
        The shape of ``x``, zero beyond ``lengths``. Gradients reach ``x``.

    Raises:
        ValueError: if ``quality`` is another.

    Source:
        Equal temperament, a factor of 2^(1/12) per semitone; :func:`time_stretch` and :func:`resample`. Envelopes:
        Röbel and Rodet, "Efficient spectral envelope estimation and its application to pitch shifting", DAFx 2005.

    Example:
        >>> x = torch.sin(torch.arange(8_000) * 0.2)[None]
        >>> y = pitch_shift(x, torch.tensor([8_000]), torch.tensor([12.0]), 16_000)
        >>> int(torch.fft.rfft(y).abs().argmax()), round(2 * 0.2 * 8_000 / (2 * 3.14159265))
        (509, 509)
    """
    ratio = exp2(semitones.double() / 12.0)
    faster, slower = ratio.clamp(min=1.0), ratio.clamp(max=1.0)
    short = scaled_lengths(lengths, faster)
    needed = torch.ceil(lengths * slower).long()
    rate = short.clamp(min=1) / needed.clamp(min=1).double()
    y = resample(x, lengths, faster, x.shape[-1], quality)
    y = time_stretch(y, short, rate, x.shape[-1], sample_rate, quality)
    y = resample(y, needed, slower, x.shape[-1], quality)
    y = torch.where(valid_mask(y, lengths), y, 0.0)
    return _with_formants_of(x, y, lengths, ratio, sample_rate) if keep_formants else y


def _with_formants_of(x: Tensor, y: Tensor, lengths: Tensor, ratio: Tensor, sample_rate: int) -> Tensor:
    """Filter ``y``, whose envelope is that of ``x`` moved by ``ratio``, so that it gets that of ``x`` itself."""
    if x.numel() == 0:
        return y
    size, lifter = frame_size(sample_rate), max(1, round(_QUEFRENCY_S * sample_rate))
    place = torch.arange(size // 2 + 1, device=x.device) / ratio[:, None]

    def refilter(x: Tensor, y: Tensor, place: Tensor) -> Tensor:
        envelope = _envelope(over_channels(bin_powers(torch.fft.rfft(split(x, size)))), lifter)
        spectra = torch.fft.rfft(split(y, size)) * bounded_gain(envelope - at_bins(envelope, place))
        return join(torch.fft.irfft(spectra, n=size), x.shape[-1])

    signal, shifted = (z.reshape(x.shape[0], -1, x.shape[-1]) for z in (x, y))
    z = by_rows(refilter, signal, shifted, place).view(x.shape)
    z = torch.where(ratio.view(-1, *[1] * (x.ndim - 1)) == 1.0, y, z)
    return torch.where(valid_mask(z, lengths), z, 0.0)


def _envelope(power: Tensor, lifter: int) -> Tensor:
    """Natural logarithm of the envelope of amplitude spectra, from power spectra ``(..., K)``.

    Low quefrencies alone run below the partials: what of the spectrum lies above them is taken, and so again.
    """
    wanted = spectrum = 0.5 * (power + (_FLOOR * power.mean(-1, keepdim=True) + 1e-30)).log()
    envelope, quefrency = wanted, torch.arange(2 * power.shape[-1] - 2, device=power.device)
    low = (quefrency < lifter) | (quefrency > len(quefrency) - lifter)
    for _ in range(_ROUNDS):
        cepstrum = torch.fft.irfft(wanted)
        envelope = torch.fft.rfft(torch.where(low, cepstrum, 0.0)).real
        wanted = torch.maximum(spectrum, envelope)
    return envelope
