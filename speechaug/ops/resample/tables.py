"""The two filters of resampling as tables, which every kernel and the reference read alike.

A row is first brought to twice its sample rate, low-passed on the way, and then read between the samples of that finer
grid. There the signal fills half of the band at most, so that eight samples are enough to read any point.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FASTEST = 4.0
"""The largest factor: its low-pass has the most taps."""

READ_TAPS = 8
"""Samples of the fine grid that make one sample of the output."""

BEFORE = 3
"""How many of them lie before the one at, or right before, the point to read."""

FINENESS = 256
"""Entries of ``low_pass`` from one sample of the fine grid to the next; in between it is read linearly."""

SPAN = 1_024
"""Positions are exact at every SPAN-th output, a product in float64; from there on they go in steps of fixed point."""

FRACTION = 32
"""Bits of a position, in int64, behind the point: the sample of the fine grid is before it."""

POINT = 12
"""Bits of them that are read: as many points between two samples have weights of their own, and the nearest counts."""

HALF_POINT = 1 << (FRACTION - POINT - 1)
"""Added to a position, it makes the point at or before it the nearest."""

_BAND = 0.45  # of the fine grid's Nyquist frequency, inside of which the eight samples are the best possible


@dataclass(frozen=True)
class Quality:
    """How long the filters are; lengths and times in samples of the fine grid.

    Args:
        low_pass: samples on each side of the low-pass, times the factor where that is above 1.
        beta: its Kaiser window's parameter.
        cutoff: of the low-pass, relative to the lower of the two Nyquist frequencies.
        half_band: samples on each side of a cheaper low-pass for factors up to 1, which keeps the input's samples and
            cuts at its Nyquist frequency; 0 for none.
        half_band_beta: its Kaiser window's parameter.
    """

    low_pass: int
    beta: float
    cutoff: float
    half_band: int = 0
    half_band_beta: float = 0.0


QUALITIES = {
    "high": Quality(low_pass=63, beta=7.4, cutoff=0.925),
    "fast": Quality(low_pass=35, beta=5.0, cutoff=0.953, half_band=25, half_band_beta=5.5),
}


@dataclass(frozen=True, eq=False)
class Tables:
    """Impulse responses from their middle on, being symmetric, and the weights of the reading.

    Args:
        low_pass: ``(FINENESS * L + 2,)``, finely; stretched by a factor above 1, and divided by it.
        half_band: ``(H + 1,)``, at each sample of the fine grid; zero where there is none.
        read: ``(2^POINT, READ_TAPS)``, weights for each point between two samples.
    """

    low_pass: NDArray[np.float32]
    half_band: NDArray[np.float32]
    read: NDArray[np.float32]


@functools.cache
def tables(quality: str) -> Tables:
    """Make the tables of ``"high"`` or ``"fast"``.

    Example:
        >>> made = tables("high")
        >>> made.low_pass.shape, made.half_band.shape, made.read.shape
        ((16130,), (1,), (4096, 8))
    """
    chosen = QUALITIES[quality]
    times = np.arange(FINENESS * chosen.low_pass + 2) / FINENESS
    low_pass = chosen.cutoff * np.sinc(chosen.cutoff * times / 2) * _kaiser(times, chosen.low_pass, chosen.beta)
    grid = np.arange(chosen.half_band + 1)
    half_band = np.sinc(grid / 2) * _kaiser(grid, chosen.half_band, chosen.half_band_beta)
    half_band[2::2] = 0.0
    made = low_pass, half_band, _reading(1 << POINT)
    return Tables(*(np.ascontiguousarray(table, dtype=np.float32) for table in made))


@functools.cache
def tensors(quality: str, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The same on a device, once."""
    made = tables(quality)
    low_pass, half_band, read = (
        torch.from_numpy(t).to(device, dtype) for t in (made.low_pass, made.half_band, made.read)
    )
    return low_pass, half_band, read


def _kaiser(times: NDArray[Any], reach: int, beta: float) -> NDArray[np.float64]:
    """The window at these times; zero from ``reach`` on."""
    inside = np.clip(1.0 - (times / max(reach, 1)) ** 2, 0.0, None)
    window: NDArray[np.float64] = np.i0(beta * np.sqrt(inside)) / np.i0(beta) * (times < reach)
    return window


def _reading(points: int) -> NDArray[np.float64]:
    """Weights whose squared error over all tones inside of the band is the least, for each point.

    Frequency 0 counts as much as all of the band, so that a constant stays one.
    """
    taps, wanted = np.arange(READ_TAPS) - BEFORE, np.arange(points) / points
    between = 1.0 + _BAND * np.sinc(_BAND * (taps[:, None] - taps))
    weights: NDArray[np.float64] = np.linalg.solve(between, 1.0 + _BAND * np.sinc(_BAND * (taps[:, None] - wanted))).T
    return weights
