"""Shelves against SciPy, with the cookbook's coefficients written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

import speechaug as sa
from speechaug import functional as F

RATE = 16_000
GAINS_DB = [-30.0, -6.0, 0.0, 3.0, 12.0, 30.0]
CUTOFFS_HZ = [100.0, 250.0, 1_000.0, 3_000.0, 5_000.0, 7_900.0]
SHELVES = {"low": F.low_shelf, "high": F.high_shelf}


def cookbook(kind, cutoff_hz, gain_db):
    """Shelf slope S = 1, as the note has it."""
    a, w = 10 ** (gain_db / 40), 2 * np.pi * cutoff_hz / RATE
    c, s = np.cos(w), 2 * np.sqrt(a) * np.sin(w) / 2 * np.sqrt(2)
    if kind == "low":
        b = [a * (a + 1 - (a - 1) * c + s), 2 * a * (a - 1 - (a + 1) * c), a * (a + 1 - (a - 1) * c - s)]
        return b, [a + 1 + (a - 1) * c + s, -2 * (a - 1 + (a + 1) * c), a + 1 + (a - 1) * c - s]
    b = [a * (a + 1 + (a - 1) * c + s), -2 * a * (a - 1 + (a + 1) * c), a * (a + 1 + (a - 1) * c - s)]
    return b, [a + 1 - (a - 1) * c + s, 2 * (a - 1 - (a + 1) * c), a + 1 - (a - 1) * c - s]


def click(rows, dtype, width=RATE):
    return torch.nn.functional.pad(torch.ones(rows, 1, dtype=dtype), (0, width - 1))


@pytest.mark.parametrize("kind", SHELVES)
@pytest.mark.parametrize(("dtype", "tolerance_db"), [(torch.float64, 1e-8), (torch.float32, 1e-3)])
def test_response_is_the_cookbook_s(kind, dtype, tolerance_db):
    lengths = torch.full((6,), RATE)
    for shift in range(6):
        gains = np.roll(GAINS_DB, shift)
        y = SHELVES[kind](click(6, dtype), lengths, torch.tensor(CUTOFFS_HZ), torch.tensor(gains), RATE)
        for row, (cutoff_hz, gain_db) in enumerate(zip(CUTOFFS_HZ, gains, strict=True)):
            hz = np.geomspace(50, 7_990, 60).round()
            _, expected = signal.freqz(*cookbook(kind, cutoff_hz, gain_db), worN=hz, fs=RATE)
            got = np.fft.rfft(y[row].double().numpy())[hz.astype(int)]
            assert np.abs(20 * np.log10(np.abs(got / expected))).max() < tolerance_db
            assert np.abs(np.angle(got / expected)).max() < tolerance_db


@pytest.mark.parametrize("name", ["LowShelf", "HighShelf"])
def test_ends_and_middle_of_the_shelf(name):
    """The whole gain on one side, none on the other, half of it in dB at the cut-off."""
    shelf = getattr(sa, name)(gain_db=(-12.0, -12.0), cutoff_hz=(1_000.0, 1_000.0))
    draws = shelf.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
    y, _ = shelf(click(1, torch.float64), None, draws, sample_rate=RATE)
    response_db = 20 * np.log10(np.abs(np.fft.rfft(y[0].numpy())))
    expected = (-12.0, -6.0, 0.0) if name == "LowShelf" else (0.0, -6.0, -12.0)
    np.testing.assert_allclose(response_db[[20, 1_000, 8_000]], expected, atol=0.01)


@pytest.mark.parametrize("cls", [sa.LowShelf, sa.HighShelf])
def test_together_with_others_as_alone(cls):
    """One pass with a neighbour gives what one after the other does; what is cut off of the ringing is 120 dB down."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 6_000)))
    lengths = torch.tensor([6_000, 4_000, 900, 1])
    x = x * (torch.arange(6_000) < lengths[:, None])
    for gains in [(-30.0, -30.0), (30.0, 30.0), (-12.0, 12.0)]:
        members = (cls(gain_db=gains), sa.LowPass())
        rng = sa.Rng.from_ids(seed=1, epoch=0, ids=list("abcd"))
        fused, apart = (sa.Compose(members, fuse=fuse) for fuse in (True, False))
        y, z = (p(x, lengths, p.sample(rng), sample_rate=RATE)[0] for p in (fused, apart))
        assert (y - z).abs().max() < 1e-5 * z.abs().max()


def test_at_nyquist_and_without_gain_the_row_is_unchanged():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 2, 900))).float()
    lengths = torch.tensor([900, 900])
    for shelf in SHELVES.values():
        assert torch.equal(shelf(x, lengths, torch.tensor([8_000.0, 1e6]), torch.tensor([12.0, -12.0]), RATE), x)
        flat = shelf(x, lengths, torch.tensor([300.0, 3_000.0]), torch.zeros(2), RATE)
        assert (flat - x).abs().max() < 1e-6


def test_ranges_out_of_reach_are_refused():
    for cls in (sa.LowShelf, sa.HighShelf):
        for bad in [(0.0, 100.0), (200.0, 100.0), (100.0, float("inf"))]:
            with pytest.raises(ValueError, match=rf"^{cls.__name__}: cutoff_hz must be a finite, positive"):
                cls(cutoff_hz=bad)
