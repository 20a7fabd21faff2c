"""Noise: random numbers on the device, white and coloured noise, mixing at a signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from speechaug.functional.level import FLOOR_DB, active_level_db, cut, per_row, power_db, power_of_cut

SILENCE_DB = -90.0
"""Speech below this RMS level counts as silent: less than the least significant bit of 16-bit audio."""

NOMINAL_DB = -26.0
"""The level noise is set against when the speech is silent: where ITU-T P.56 and G.191 put speech."""

FLAT_BELOW_HZ = 40.0
"""Coloured noise is flat below this frequency, so that brown noise has a finite level."""

_MASK = 0xFFFFFFFF


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Ten rounds of Philox4x32 on tensors.

    Args:
        counter: four int64 tensors of 32-bit words.
        key: two int64 tensors of 32-bit words, broadcast against the counter.

    Returns:
        Four int64 tensors of random 32-bit words.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = (word.clone() for word in torch.broadcast_tensors(*counter, *key)[:4])  # type: ignore[no-untyped-call]
    k0, k1 = key
    for _ in range(10):
        # In place, since memory traffic is what it costs. A 64-bit product that wraps still has the right bits; the
        # upper halves of c1 and c3 hold rubbish until the end.
        product0, product1 = c0.mul_(0xD2511F53), c2.mul_(0xCD9E8D57)
        c1.bitwise_xor_(product1 >> 32).bitwise_xor_(k0).bitwise_and_(_MASK)
        c3.bitwise_xor_(product0 >> 32).bitwise_xor_(k1).bitwise_and_(_MASK)
        c0, c1, c2, c3 = c1, product1, c3, product0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1 & _MASK, c2, c3 & _MASK


def _lanes(key: Tensor, blocks: int) -> tuple[Tensor, ...]:
    """The four words of each of ``blocks`` counter values, each ``(B, blocks)``."""
    index = torch.arange(blocks, device=key.device)
    zero = torch.zeros_like(index)
    words = ((key & _MASK)[:, None], ((key >> 32) & _MASK)[:, None])
    return philox4x32((index & _MASK, index >> 32, zero, zero), words)


def philox(key: Tensor, n: int) -> Tensor:
    """Random 32-bit integers, a stream per row.

    Number ``i`` depends on the row's key and ``i`` alone. It is word ``i % 4`` of the block whose counter is
    ``i // 4``: what Triton's ``randint4x(key, i // 4)`` gives.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        n: numbers a row.

    Returns:
        int64 ``(B, n)`` in ``0 .. 2**32 - 1``.

    Example:
        >>> [f"{word:08x}" for word in philox(torch.tensor([0]), 5)[0].tolist()]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8', 'f8e4cca4']
    """
    return torch.stack(_lanes(key, -(-n // 4)), dim=-1).flatten(1)[:, :n]


def white_noise(key: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Gaussian white noise of unit variance, a stream per row.

    Sample ``t`` depends on the row's key and ``t`` alone: a wider batch has the same noise. Numbers come in pairs by
    the Box-Muller transform of :func:`philox`; none exceeds 6.8 in magnitude.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        width: samples a row.
        dtype: float32 or float64.

    Returns:
        ``(B, width)``.

    Example:
        >>> key = torch.tensor([1, 2])
        >>> bool((white_noise(key, 10) == white_noise(key, 99)[:, :10]).all())
        True
    """
    uniform = [lane.to(dtype).add_(0.5).mul_(2.0**-32) for lane in _lanes(key, -(-width // 4))]
    samples: list[Tensor] = []
    for size, turn in (uniform[:2], uniform[2:]):
        radius, angle = (-2.0 * size.log()).sqrt(), 2.0 * math.pi * turn
        samples += [radius * angle.cos(), radius * angle.sin()]
    return torch.stack(samples, dim=-1).flatten(1)[:, :width]


def colored_noise(
    key: Tensor, exponent: Tensor, width: int, sample_rate: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Gaussian noise of unit variance whose power falls or rises along frequency, a stream per row.

    White noise through a fixed linear-phase filter, in blocks of a fixed size: sample ``t`` depends on the row's key
    and exponent and on ``t`` alone, whatever the width.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        exponent: ``(B,)``, the power density goes as ``frequency ** exponent``: -2 brown, -1 pink, 0 white, 1 blue,
            2 violet; 3.01 dB an octave each. Flat below :data:`FLAT_BELOW_HZ`.
        width: samples a row.
        sample_rate: in Hz.
        dtype: float32 or float64.

    Returns:
        ``(B, width)``.

    Example:
        >>> colored_noise(torch.tensor([1, 2]), torch.tensor([-1.0, 2.0]), 500, 16_000).shape
        torch.Size([2, 500])
    """
    if width == 0 or key.shape[0] == 0:
        return torch.zeros(key.shape[0], width, dtype=dtype, device=key.device)
    taps = 2 ** math.ceil(math.log2(sample_rate / FLAT_BELOW_HZ * 5))
    hop = 3 * taps
    blocks = -(-width // hop)
    white = white_noise(key, blocks * hop + taps, dtype).unfold(-1, hop + taps, hop)
    response = torch.fft.rfft(_shaping_filter(exponent, taps, sample_rate).to(dtype), hop + taps)
    shaped: Tensor = torch.fft.irfft(torch.fft.rfft(white) * response[:, None], hop + taps)
    return shaped[..., taps:].flatten(1)[:, :width]


def _shaping_filter(exponent: Tensor, taps: int, sample_rate: int) -> Tensor:
    """Linear-phase filters of unit energy, float64 ``(B, taps)``: frequency-sampled, under a Hann window."""
    bins = torch.arange(taps // 2 + 1, device=exponent.device, dtype=torch.float64)
    relative = (bins * (sample_rate / taps / FLAT_BELOW_HZ)).clamp(min=1.0)
    amplitude = relative ** (exponent.double() / 2.0)[:, None]
    response: Tensor = torch.fft.irfft(amplitude, taps).roll(taps // 2, dims=-1)
    response = response * torch.hann_window(taps, dtype=torch.float64, device=exponent.device)
    return response / response.square().sum(dim=-1, keepdim=True).sqrt()


def mix_at_snr(
    x: Tensor,
    lengths: Tensor,
    noise: Tensor,
    snr_db: Tensor,
    *,
    reference: Literal["rms", "active"] = "rms",
    sample_rate: int,
) -> tuple[Tensor, Tensor]:
    """Add noise at a signal-to-noise ratio, each row at its own.

    Both levels are measured on the row's valid samples. Silent speech (RMS below -90 dB) has no ratio to keep: the
    noise is then as loud as beside speech of -26 dB. Silent noise leaves the row as it is.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``, zero beyond the lengths.
        lengths: ``(B,)`` valid samples; nothing is added beyond.
        noise: ``(B, T)``, the same in every channel, or of the shape of ``x``.
        snr_db: ``(B,)`` in dB.
        reference: how loud the speech is: its RMS level, or its active speech level (:func:`active_level_db`), under
            which pauses do not lower the noise. Noise is measured by its RMS level.
        sample_rate: in Hz; used by ``"active"``.

    Returns:
        The mixture, and the ratio reached, float64 ``(B,)`` in dB: finite, with silence counted as -200 dB.

    Raises:
        ValueError: if ``reference`` is neither.

    Example:
        >>> x, noise, lengths = torch.ones(1, 8), torch.ones(1, 8), torch.tensor([8])
        >>> y, achieved = mix_at_snr(x, lengths, noise, torch.tensor([20.0]), sample_rate=16_000)
        >>> y[0, 0].item(), achieved.item()
        (1.100000023841858, 20.0)
    """
    if reference not in ("rms", "active"):
        raise ValueError(f"mix_at_snr: reference must be 'rms' or 'active', got {reference!r}")
    noise = cut(noise.unsqueeze(1) if noise.ndim < x.ndim else noise, lengths).to(x.dtype)
    own_db = power_db(power_of_cut(x, lengths))
    speech_db = own_db if reference == "rms" else active_level_db(x, lengths, sample_rate)
    noise_db = power_db(power_of_cut(noise, lengths))
    silent_noise = noise_db <= FLOOR_DB
    gain_db = torch.where(own_db < SILENCE_DB, NOMINAL_DB, speech_db) - snr_db - noise_db
    scale = torch.where(silent_noise, 0.0, torch.pow(10.0, torch.where(silent_noise, 0.0, gain_db) / 20.0))
    added_db = torch.where(silent_noise, FLOOR_DB, noise_db + gain_db)
    return torch.addcmul(x, noise, per_row(scale, x)), speech_db - added_db
