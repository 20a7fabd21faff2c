"""Vocal tract and source of a voice: another head, another excitation; each row by its own amount."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug.functional.frames import at_bins, bin_powers, bounded_gain, by_rows, frame_size, join, split
from speechaug.functional.level import cut, over_channels, per_row, power
from speechaug.functional.noise import white_noise

_EDGE_HZ = 4_800.0
_EDGE = 0.85  # of the Nyquist frequency, where that is lower: telephone speech
_LAG_HZ = 60.0
_WHITE = 1e-9


def vocal_tract_length(x: Tensor, lengths: Tensor, alpha: Tensor, sample_rate: int) -> Tensor:
    """Move each row's formants by a factor, as in a shorter or longer vocal tract; pitch and tempo stay. 1 is exact.

    The spectral envelope of every frame of 32 ms, found by linear prediction, is stretched along frequency: by
    ``alpha`` up to 4.8 kHz (or 0.85 of the Nyquist frequency, if that is less), from there on linearly so that the
    Nyquist frequency stays where it is. Partials are only raised and lowered, by at most 30 dB. On vowels made of a
    source and a filter the second and third formant end up 0.5 % from where they belong, the first, which few partials
    show, 1 to 3 %.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        alpha: ``(B,)`` in [0.5, 2]; above 1 formants go up.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, zero beyond ``lengths``. Gradients reach ``x``.

    Source:
        Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition", ICML workshop 2013,
        for the warp, there of mel filters.

    Example:
        >>> x = torch.sin(torch.arange(8_000) * 0.2)[None]
        >>> y = vocal_tract_length(x, torch.tensor([8_000]), torch.tensor([1.2]), 16_000)
        >>> int(torch.fft.rfft(y).abs().argmax()) == int(torch.fft.rfft(x).abs().argmax())
        True
    """
    if x.numel() == 0:
        return x
    size = frame_size(sample_rate)
    place = _unwarped(size // 2, alpha.double(), sample_rate)

    def warp(x: Tensor, place: Tensor) -> Tensor:
        spectra = torch.fft.rfft(split(x, size))
        envelope = 0.5 * _prediction(over_channels(bin_powers(spectra)), sample_rate)[0].to(x.dtype).log()
        spectra = spectra * bounded_gain(at_bins(envelope, place) - envelope)
        return join(torch.fft.irfft(spectra, n=size), x.shape[-1])

    y = by_rows(warp, x.reshape(x.shape[0], -1, x.shape[-1]), place).view(x.shape)
    return cut(torch.where(alpha.view(-1, *[1] * (x.ndim - 1)) == 1.0, x, y), lengths)


def _unwarped(nyquist: int, alpha: Tensor, sample_rate: int) -> Tensor:
    """Which place of the old spectrum, in bins, each of the ``nyquist + 1`` bins comes from; float64 ``(B, K)``."""
    edge = min(2.0 * _EDGE_HZ / sample_rate, _EDGE) * nyquist
    alpha = alpha[:, None]
    bins = torch.arange(nyquist + 1, device=alpha.device, dtype=torch.float64)
    knee = edge * alpha.clamp(max=1.0)
    above = nyquist - (nyquist - bins) * (nyquist - knee / alpha) / (nyquist - knee)
    return torch.where(bins <= knee, bins / alpha, above)


def whisper(x: Tensor, lengths: Tensor, key: Tensor, amount: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Replace the excitation of each row's voice by noise; the vocal tract and each frame's level stay. 0 is exact.

    Each frame of 32 ms is predicted linearly from some 1 ms before. What the prediction cannot tell, the residual, is
    the excitation: the share ``amount`` of its energy becomes white noise of that energy, and the predictor's inverse
    makes speech of both again. All of that being linear, the voice that is left is the row itself, softer.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        key: int64 ``(B,)``, 64 random bits a row, for :func:`white_noise`; all channels get the same.
        amount: ``(B,)`` in [0, 1]; at 1 nothing of the voice is left.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, zero beyond ``lengths``, and the share of noise in its energy, float64 ``(B,)``, 0 for
        silence. Gradients reach ``x``.

    Source:
        Atal and Hanauer, "Speech analysis and synthesis by linear prediction of the speech wave", JASA 50 (1971);
        predictors by the autocorrelation method (Levinson-Durbin) with a lag window of 60 Hz, Tohkura et al. 1978.

    Example:
        >>> x, lengths = torch.sin(torch.arange(8_000) * 0.2)[None], torch.tensor([8_000])
        >>> y, share = whisper(x, lengths, torch.tensor([7]), torch.tensor([1.0]), 16_000)
        >>> bool((x * y).sum().abs() < 0.2 * (x * x).sum()), share.item()
        (True, 1.0)
    """
    if x.numel() == 0:
        return x, amount.new_zeros(amount.shape, dtype=torch.float64)
    size = frame_size(sample_rate)
    signal = cut(x, lengths).reshape(x.shape[0], -1, x.shape[-1])
    valid = cut(signal.new_ones(x.shape[0], 1, x.shape[-1]), lengths)
    noise = valid * white_noise(key, x.shape[-1], x.dtype)[:, None]

    def breathe(x: Tensor, noise: Tensor, valid: Tensor) -> Tensor:
        tract, energy = _prediction(bin_powers(torch.fft.rfft(split(x, size))), sample_rate)
        room = split(valid, size).double().square().sum(-1, keepdim=True)
        level = (torch.where(energy > 0.0, energy, 1.0) / room.clamp(min=1e-20)).sqrt() * (energy > 0.0)
        spectra = torch.fft.rfft(split(noise, size)) * (level * tract.sqrt()).to(x.dtype)
        return join(torch.fft.irfft(spectra, n=size), x.shape[-1])

    breath = cut(by_rows(breathe, signal, noise, valid).view(x.shape), lengths)
    breath = per_row(amount.double().sqrt(), x) * breath
    voice = per_row((1.0 - amount.double()).sqrt(), x) * cut(x, lengths)
    breath_power, voice_power = power(breath.detach(), lengths), power(voice.detach(), lengths)
    return voice + breath, breath_power / (breath_power + voice_power).clamp(min=1e-40)


def _prediction(power: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Linear prediction from power spectra ``(..., K)`` of frames.

    Returns:
        The power response of the filter that makes the frame of its residual, ``(..., K)``, and the residual's
        energy, ``(..., 1)``; both float64, 1 and 0 for silence.
    """
    lag = torch.arange(7 + round(sample_rate / 2_000), device=power.device, dtype=torch.float64)
    taper = torch.exp(-0.5 * (2.0 * math.pi * _LAG_HZ / sample_rate * lag).square()) + _WHITE * (lag == 0)
    correlation = torch.fft.irfft(power.double())[..., : len(lag)] * taper
    sounds = correlation[..., :1] > 0.0
    predictor, error = _levinson(torch.where(sounds, correlation, (lag == 0).double()))
    inverse = bin_powers(torch.fft.rfft(predictor, n=2 * power.shape[-1] - 2))
    return 1.0 / inverse, torch.where(sounds, error, 0.0)


def _levinson(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """The predictor's polynomial ``(..., P + 1)``, which begins with 1, and the energy it leaves, ``(..., 1)``."""
    predictor, error = torch.ones_like(correlation[..., :1]), correlation[..., :1]
    for place in range(1, correlation.shape[-1]):
        reflection = -(predictor * correlation[..., 1 : place + 1].flip(-1)).sum(-1, keepdim=True) / error
        longer = pad(predictor, (0, 1))
        predictor = longer + reflection * longer.flip(-1)
        error = error * (1.0 - reflection.square())
    return predictor, error
