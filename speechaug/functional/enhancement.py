"""Enhancement: what noise suppressors leave of speech, each row by its own amount."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from speechaug.functional.frames import bin_powers, by_rows, frame_size, join, split
from speechaug.functional.level import cut, over_channels
from speechaug.functional.powers import power_of

SMOOTHED = 9
"""Frames whose mean power is taken before the least is looked for; a row needs as many to be changed."""

_REACH_S = 0.75
_MOST_SMOOTHED = 2.6, 0.25


def spectral_subtraction(
    x: Tensor, lengths: Tensor, over_subtraction: Tensor, floor_db: Tensor, sample_rate: int
) -> Tensor:
    """Subtract from the power of each row's spectra its own noise, and leave what simple suppressors leave.

    Speech loses what is weak in it, and of the noise remain lone peaks that come and go: musical noise. Noise is what
    is always there: in each bin of frames of 32 ms every 16 ms, the least mean power of 9 frames in a row (160 ms)
    within 0.75 s before and after, times what the least of so many means of Gaussian noise lies below their mean. All
    channels of a row get the same gains, from their powers together.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples. Rows of less than 160 ms, in which noise cannot be told from speech, are
            unchanged.
        over_subtraction: ``(B,)``, how many times the noise is subtracted; 0 changes nothing, to rounding.
        floor_db: ``(B,)``, what is left at least, in dB relative to the noise; what is below it stays.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, zero beyond ``lengths``. Gradients reach ``x``.

    Source:
        Berouti, Schwartz and Makhoul, "Enhancement of speech corrupted by acoustic noise", ICASSP 1979, with one
        factor for all frames; noise after Martin, "Noise power spectral density estimation based on optimal smoothing
        and minimum statistics", IEEE Trans. Speech Audio Process. 2001, with a fixed smoothing and looking ahead.

    Example:
        >>> from speechaug.functional import white_noise
        >>> noise = white_noise(torch.tensor([1]), 16_000)
        >>> y = spectral_subtraction(noise, torch.tensor([16_000]), torch.tensor([2.0]), torch.tensor([-30.0]), 16_000)
        >>> bool(y.square().mean() < 0.2)
        True
    """
    if x.numel() == 0:
        return x
    size = frame_size(sample_rate)
    reach = round(_REACH_S * sample_rate / (size // 2))
    floor = power_of(10.0, floor_db.double() / 10.0)

    def subtract(x: Tensor, lengths: Tensor, factor: Tensor, floor: Tensor) -> Tensor:
        spectra = torch.fft.rfft(split(x, size))
        power = over_channels(bin_powers(spectra)) / x.shape[1]
        noise = _noise_power(power, lengths // (size // 2) - 1, reach)
        share = noise / torch.maximum(power, floor * noise + 1e-30)
        gain = torch.maximum(1.0 - factor * share, floor * share).sqrt()
        return join(torch.fft.irfft(spectra * gain[:, None], n=size), x.shape[-1])

    per_bin = [values.to(x.dtype)[:, None, None] for values in (over_subtraction, floor)]
    y = by_rows(subtract, x.reshape(x.shape[0], -1, x.shape[-1]), lengths, *per_bin).view(x.shape)
    short = (lengths // (size // 2) - 1 < SMOOTHED).view(-1, *[1] * (x.ndim - 1))
    return cut(torch.where(short, x, y), lengths)


def _noise_power(power: Tensor, whole: Tensor, reach: int) -> Tensor:
    """The noise in power spectra ``(B, N, K)``, of which frames 1 to ``whole`` lie within the row; 0 if too few do."""
    side = SMOOTHED // 2
    means = avg_pool1d(pad(power.mT, (side, side)), SMOOTHED, 1).mT
    place = torch.arange(power.shape[1], device=power.device)
    last = (whole - side)[:, None]
    usable = (place > side) & (place <= last)
    least = _least_around(torch.where(usable[..., None], means, torch.inf), reach)
    seen = torch.minimum(place + reach, last) - (place - reach).clamp(min=side + 1) + 1
    scale, exponent = _MOST_SMOOTHED
    below = power_of(1.0 + (seen - 1).clamp(min=0).double() / scale, exponent)
    return torch.where(torch.isfinite(least), least, 0.0) * below[..., None].to(power.dtype)


def _least_around(x: Tensor, reach: int) -> Tensor:
    """The least value up to ``reach`` frames before and after each of ``x`` ``(B, N, K)``, by doubling."""
    x, covered, size = pad(x, (0, 0, reach, reach), value=torch.inf), 1, 2 * reach + 1
    while covered < size:
        step = min(covered, size - covered)
        x = torch.minimum(x[:, step:], x[:, :-step])
        covered += step
    return x
