"""Voice: pitch, each row by its own amount."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.functional.level import valid_mask
from speechaug.functional.resample import resample, scaled_lengths
from speechaug.functional.time import time_stretch


def pitch_shift(x: Tensor, lengths: Tensor, semitones: Tensor, sample_rate: int) -> Tensor:
    """Make each voice higher or lower at the same tempo; formants move along, as with a smaller or larger head.

    A row going up is played faster and then stretched back; a row going down is shortened first and then played
    slower. So nothing in between is longer than the input, and no semitone is harder than another. What would end
    beyond the Nyquist frequency is removed. 0 semitones are exact.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        semitones: ``(B,)`` in [-24, 24].
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, zero beyond ``lengths``. Gradients reach ``x``.

    Source:
        Equal temperament, a factor of 2^(1/12) per semitone; :func:`time_stretch` and :func:`resample`.

    Example:
        >>> x = torch.sin(torch.arange(8_000) * 0.2)[None]
        >>> y = pitch_shift(x, torch.tensor([8_000]), torch.tensor([12.0]), 16_000)
        >>> int(torch.fft.rfft(y).abs().argmax()), round(2 * 0.2 * 8_000 / (2 * 3.14159265))
        (509, 509)
    """
    ratio = torch.exp2(semitones.double() / 12.0)
    faster, slower = ratio.clamp(min=1.0), ratio.clamp(max=1.0)
    short = scaled_lengths(lengths, faster)
    needed = torch.ceil(lengths * slower).long()
    y = resample(x, lengths, faster, x.shape[-1])
    y = time_stretch(y, short, short.clamp(min=1) / needed.clamp(min=1).double(), x.shape[-1], sample_rate)
    y = resample(y, needed, slower, x.shape[-1])
    return torch.where(valid_mask(y, lengths), y, 0.0)
