"""Levels against formulas, and the active speech level against the recommendation followed sample by sample."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from speechaug.functional import level

RATE = 16_000


def ragged(rows: list[NDArray[np.float64]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows of different lengths with rubbish: what lies beyond the lengths must not be read."""
    lengths = torch.tensor([len(row) for row in rows])
    x = torch.full((len(rows), int(lengths.max()) + 50), 7.0, dtype=torch.float64)
    for index, row in enumerate(rows):
        x[index, : len(row)] = torch.from_numpy(row)
    return x, lengths


def p56(x: NDArray[np.float64], rate: int) -> float:
    """ITU-T P.56, method B, one sample after the other; the level between two thresholds on a straight line."""
    keep = math.exp(-1.0 / (rate * 0.03))
    hangover = math.floor(0.2 * rate + 0.5)
    thresholds = 2.0 ** np.arange(-20, 3)
    active, silent_for = np.zeros(len(thresholds)), np.full(len(thresholds), hangover)
    once = envelope = 0.0
    for sample in np.abs(x):
        once = keep * once + (1.0 - keep) * sample
        envelope = keep * envelope + (1.0 - keep) * once
        above = envelope >= thresholds
        silent_for = np.where(above, 0, silent_for + 1)
        active += silent_for <= hangover
    with np.errstate(divide="ignore"):
        levels = 10.0 * np.log10(np.sum(x**2) / active)
    margins = levels - 20.0 * np.log10(thresholds)
    for j in range(1, len(thresholds)):
        if active[j] > 0 and margins[j] <= 15.9:
            way = (margins[j - 1] - 15.9) / (margins[j - 1] - margins[j])
            return float(levels[j - 1] + way * (levels[j] - levels[j - 1]))
    raise AssertionError("no threshold meets the margin")


def speech_like(rng: np.random.Generator, seconds: float, rate: int, activity: float) -> NDArray[np.float64]:
    """Noise that swells four times a second, with pauses."""
    time = np.arange(int(seconds * rate)) / rate
    syllables = np.abs(np.sin(2.0 * np.pi * 2.0 * time)) ** 2
    talking = np.sin(2.0 * np.pi * 0.37 * time + rng.uniform(0.0, 6.0)) < 2.0 * activity - 1.0
    return rng.standard_normal(len(time)) * syllables * talking + 1e-4 * rng.standard_normal(len(time))


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_active_level_follows_p56(rate: int) -> None:
    rng = np.random.default_rng(5)
    rows = [
        scale * speech_like(rng, seconds, rate, activity)
        for seconds, activity, scale in [(2.0, 0.5, 0.1), (1.3, 0.9, 0.003), (2.5, 0.25, 0.5), (0.4, 1.0, 0.02)]
    ]
    x, lengths = ragged(rows)
    measured = level.active_level_db(x, lengths, rate)
    expected = torch.tensor([p56(row, rate) for row in rows], dtype=torch.float64)
    assert (measured - expected).abs().max() < 0.1
    pauses = measured - level.rms_db(x, lengths)
    assert pauses[2] > 3.0
    assert (pauses > 0.0).all()


def test_active_level_of_recorded_speech(shared_data: Path) -> None:
    from scipy.io import wavfile

    rate, samples = wavfile.read(shared_data / "fsdd" / "7_jackson_3.wav")
    row = np.concatenate([np.zeros(rate // 2), samples / 32768.0, np.zeros(rate)])
    x, lengths = ragged([row])
    assert abs(float(level.active_level_db(x, lengths, rate)) - p56(row, rate)) < 0.1


def test_active_level_follows_gain_and_channels() -> None:
    x = torch.from_numpy(0.1 * speech_like(np.random.default_rng(2), 2.0, RATE, 0.5))[None]
    lengths = torch.tensor([x.shape[1]])
    level_db = level.active_level_db(x, lengths, RATE)
    for factor in (2.0**-9, 2.0**8):
        moved = level.active_level_db(factor * x, lengths, RATE) - 20.0 * math.log10(factor)
        assert torch.allclose(moved, level_db, atol=1e-6)
    two = torch.stack([x, x], dim=1)
    assert torch.allclose(level.active_level_db(two, lengths, RATE), level_db, atol=1e-6)
    assert torch.allclose(level.active_level_db(x.float(), lengths, RATE), level_db, atol=1e-3)


def test_rms_level_reads_valid_samples_only() -> None:
    x, lengths = ragged([np.full(400, 0.1), 0.5 * np.sin(np.arange(1000) * 2.0 * np.pi / 100.0)])
    expected = torch.tensor([-20.0, 20.0 * math.log10(0.5 / math.sqrt(2.0))], dtype=torch.float64)
    assert torch.allclose(level.rms_db(x, lengths), expected, atol=1e-9)
    two = torch.stack([x, 0.0 * x], dim=1)
    assert torch.allclose(level.power(two, lengths), level.power(x, lengths) / 2.0)


def test_gain_is_exact_per_row() -> None:
    x = torch.ones(3, 2, 4)
    y = level.gain(x, torch.tensor([0.0, 6.0, -20.0], dtype=torch.float64))
    assert torch.equal(y[0], x[0])
    assert torch.allclose(y[:, 0, 0], torch.tensor([1.0, 10.0**0.3, 0.1]))
    assert torch.equal(level.polarity(x), -x)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 1), (3, 2, 7), (2, 300)])
def test_degenerate_input_has_finite_levels(shape: tuple[int, ...]) -> None:
    lengths = torch.arange(shape[0]).clamp(max=shape[-1])
    for value in (0.0, 1.0, 1e-8, -1.0):
        x = torch.full(shape, value)
        for measured in (level.rms_db(x, lengths), level.active_level_db(x, lengths, RATE)):
            assert measured.shape == shape[:1]
            assert measured.dtype == torch.float64
            assert torch.isfinite(measured).all()
        assert (level.active_level_db(x, lengths, RATE) >= level.rms_db(x, lengths) - 1e-6).all()


def test_row_alone_is_row_in_batch() -> None:
    x, lengths = ragged([speech_like(np.random.default_rng(seed), 1.0 + 0.3 * seed, RATE, 0.7) for seed in range(3)])
    for row in range(3):
        alone = x[row : row + 1, : lengths[row]]
        for measure in (level.rms_db, lambda *args: level.active_level_db(*args, RATE)):
            whole, one = measure(x, lengths)[row], measure(alone, lengths[row : row + 1])[0]
            assert abs(whole - one) < 1e-6
