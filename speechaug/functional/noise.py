"""Noise: random numbers on the device, white and coloured noise, mixing at a signal-to-noise ratio."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from speechaug.functional.level import active_level_db, rms_db
from speechaug.ops import noise as ops
from speechaug.ops.noise.reference import colored, gaussian, philox_words

Reference = Literal["rms", "active"]


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
    return torch.stack(philox_words(key, -(-n // 4)), dim=-1).flatten(1)[:, :n]


def white_noise(key: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Gaussian white noise of unit variance, a stream per row.

    Sample ``t`` depends on the row's key and ``t`` alone: a wider batch has the same noise. Numbers come in pairs by
    the Box-Muller transform of the words of :func:`philox`, 64 blocks side by side; none exceeds 6.7 in magnitude.

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
    return gaussian(key, width).to(dtype)


def colored_noise(
    key: Tensor, exponent: Tensor, width: int, sample_rate: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Gaussian noise of unit variance whose power falls or rises along frequency, a stream per row.

    White noise through a ladder of first-order sections in its steady state: sample ``t`` depends on the row's key and
    exponent and on ``t`` alone, whatever the width. From 40 Hz to 0.45 of the sample rate the density is within 0.7 dB
    of the power law; below 16 Hz it is flat, so that brown noise has a finite level.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        exponent: ``(B,)``, the power density goes as ``frequency ** exponent``: -2 brown, -1 pink, 0 white, 1 blue,
            2 violet; 3.01 dB an octave each. Between -2 and 2.
        width: samples a row.
        sample_rate: in Hz.
        dtype: float32 or float64.

    Returns:
        ``(B, width)``.

    Example:
        >>> colored_noise(torch.tensor([1, 2]), torch.tensor([-1.0, 2.0]), 500, 16_000).shape
        torch.Size([2, 500])
    """
    return colored(key, exponent, width, sample_rate).to(dtype)


def add_colored_noise(
    x: Tensor,
    lengths: Tensor,
    key: Tensor,
    exponent: Tensor,
    snr_db: Tensor,
    *,
    reference: Reference = "rms",
    sample_rate: int,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Add :func:`colored_noise` as :func:`mix_at_snr` does, without the noise ever being in memory.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``, zero beyond the lengths.
        lengths: ``(B,)`` valid samples; nothing is added beyond.
        key: int64 ``(B,)``, 64 random bits a row.
        exponent: ``(B,)`` in [-2, 2]; 0 for white noise, which costs least.
        snr_db: ``(B,)`` in dB.
        reference: how loud the speech is, see :func:`mix_at_snr`.
        sample_rate: in Hz.
        rows: int64 ``(N,)``, where given: ``x`` is contiguous, these rows of it are written into, and the other
            arguments are theirs alone.

    Returns:
        The mixture, and the ratio reached, float64 ``(B,)`` in dB.

    Raises:
        ValueError: if ``reference`` is neither.

    Example:
        >>> x, lengths = torch.ones(1, 800), torch.tensor([800])
        >>> y, achieved = add_colored_noise(
        ...     x, lengths, torch.tensor([7]), torch.tensor([-1.0]), torch.tensor([20.0]), sample_rate=16_000
        ... )
        >>> round((y - x).square().mean().item(), 5), achieved.item()
        (0.01, 20.0)
    """
    above_db = _above_rms(x, lengths, snr_db, reference, sample_rate, "add_colored_noise", rows)
    noise = lengths, key, exponent, snr_db, above_db, sample_rate
    mixed: tuple[Tensor, Tensor] = (
        ops.add_generated(x, *noise) if rows is None else (x, ops.add_generated_(x, rows, *noise))
    )
    return mixed


def add_recorded_noise(
    x: Tensor,
    lengths: Tensor,
    loops: tuple[Tensor, Tensor, Tensor, Tensor],
    clip: Tensor,
    offset: Tensor,
    snr_db: Tensor,
    *,
    reference: Reference = "rms",
    sample_rate: int,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Add a stretch of a recording as :func:`mix_at_snr` does, read as the bank keeps it.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``, zero beyond the lengths.
        lengths: ``(B,)`` valid samples; nothing is added beyond.
        loops: what :meth:`speechaug.Bank.loops` returns.
        clip: index per row, int64 ``(B,)``.
        offset: where to start, as a fraction of the clip in [0, 1), ``(B,)``.
        snr_db: ``(B,)`` in dB.
        reference: how loud the speech is, see :func:`mix_at_snr`.
        sample_rate: in Hz.
        rows: int64 ``(N,)``, where given: ``x`` is contiguous, these rows of it are written into, and the other
            arguments are theirs alone.

    Returns:
        The mixture, and the ratio reached, float64 ``(B,)`` in dB.

    Raises:
        ValueError: if ``reference`` is neither.
    """
    above_db = _above_rms(x, lengths, snr_db, reference, sample_rate, "add_recorded_noise", rows)
    noise = lengths, *loops, clip, offset, snr_db, above_db
    mixed: tuple[Tensor, Tensor] = (
        ops.add_recorded(x, *noise) if rows is None else (x, ops.add_recorded_(x, rows, *noise))
    )
    return mixed


def mix_at_snr(
    x: Tensor,
    lengths: Tensor,
    noise: Tensor,
    snr_db: Tensor,
    *,
    reference: Reference = "rms",
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
    above_db = _above_rms(x, lengths, snr_db, reference, sample_rate, "mix_at_snr")
    mixed: tuple[Tensor, Tensor] = ops.mix(x, lengths, noise.to(x.dtype), snr_db, above_db)
    return mixed


def _above_rms(
    x: Tensor,
    lengths: Tensor,
    snr_db: Tensor,
    reference: Reference,
    sample_rate: int,
    owner: str,
    rows: Tensor | None = None,
) -> Tensor:
    """How far the level of the speech, of ``rows`` of it alone where given, lies above its RMS level."""
    if reference not in ("rms", "active"):
        raise ValueError(f"{owner}: reference must be 'rms' or 'active', got {reference!r}")
    if reference == "rms":
        return torch.zeros_like(snr_db, dtype=torch.float64)
    speech = x if rows is None else x.index_select(0, rows)
    return active_level_db(speech, lengths, sample_rate) - rms_db(speech, lengths)
