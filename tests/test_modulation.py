"""Tremolo against its formula in NumPy and the envelope of a tone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import hilbert

import speechaug as sa
from speechaug import functional as F

RATE = 16_000


def swinging(x, depth, rate_hz, phase):
    values = (torch.tensor(given, dtype=torch.float64) for given in (depth, rate_hz, phase))
    return F.tremolo(x, *values, RATE)


@pytest.mark.parametrize("depth", [0.4, 0.7, 1.0])
@pytest.mark.parametrize("rate_hz", [1.5, 6.0])
def test_depth_and_rate_of_the_envelope(depth, rate_hz):
    seconds = 4
    t = np.arange(seconds * RATE) / RATE
    tone = torch.from_numpy(np.sin(2 * np.pi * 1_000 * t)).float()[None]
    envelope = np.abs(hilbert(swinging(tone, [depth], [rate_hz], [0.3])[0].numpy()))[800:-800]
    assert abs(envelope.max() - 1.0) < 2e-3
    assert abs(envelope.min() - (1.0 - depth)) < 2e-3
    spectrum = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope)), 16 * len(envelope)))
    assert abs(spectrum.argmax() * RATE / (16 * len(envelope)) - rate_hz) < 0.01


def test_equals_the_formula_in_long_rows():
    """Phases after ten minutes, which single precision would have lost."""
    n = 600 * RATE
    y = swinging(torch.ones(1, n), [0.8], [7.77], [0.123])[0, -RATE:].numpy()
    turns = np.arange(n - RATE, n) * 7.77 / RATE + 0.123
    assert np.abs(y - (1 - 0.4 * (1 - np.cos(2 * np.pi * turns)))).max() < 1e-6


def test_each_row_and_all_channels():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 2, 500)))
    depth, rate_hz, phase = [0.0, 0.5, 1.0], [3.0, 300.0, 20.0], [0.2, 0.5, 0.9]
    y = swinging(x, depth, rate_hz, phase)
    turns = np.arange(500) * np.array(rate_hz)[:, None] / RATE + np.array(phase)[:, None]
    gain = 1 - 0.5 * np.array(depth)[:, None] * (1 - np.cos(2 * np.pi * turns))
    assert torch.equal(y[0], x[0])
    assert np.abs(y.numpy() - x.numpy() * gain[:, None]).max() < 1e-12
    assert torch.equal(swinging(x[:, 1], depth, rate_hz, phase), y[:, 1])


def test_examples_begin_anywhere():
    draws = sa.Tremolo().sample(sa.Rng.from_ids(seed=1, epoch=0, ids=[str(k) for k in range(500)]))
    assert np.histogram(draws.values["phase"], 5, (0.0, 1.0))[0].min() > 70
    assert 2.0 <= draws.values["rate_hz"].min() < 2.2 < 7.5 < draws.values["rate_hz"].max() <= 8.0


def test_ranges_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=r"^Tremolo: depth must be at most 1, got \(0.0, 1.1\)"):
        sa.Tremolo(depth=(0.0, 1.1))
    with pytest.raises(ValueError, match=r"^Tremolo: depth must be at least 0, got"):
        sa.Tremolo(depth=(-0.1, 1.0))
    for bad in [(0.0, 4.0), (4.0, 2.0), (1.0, float("inf"))]:
        with pytest.raises(ValueError, match=r"^Tremolo: rate_hz must be a finite, positive \(low, high\), got"):
            sa.Tremolo(rate_hz=bad)
