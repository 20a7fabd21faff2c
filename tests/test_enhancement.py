"""Spectral subtraction against a plain NumPy program, the theory of Gaussian noise and the kurtosis of what is left."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import kurtosis

import speechaug as sa
from speechaug import functional as F

RATE = 16_000
SIZE, HOP = 512, 256


def subtracted(x, factor, floor_db, lengths=None, rate=RATE):
    lengths = torch.full((len(x),), x.shape[-1]) if lengths is None else lengths
    values = (torch.tensor([given] * len(x), dtype=torch.float64) for given in (factor, floor_db))
    return F.spectral_subtraction(x, lengths, *values, rate)


def noise(*shape, seed=0):
    return torch.from_numpy(0.1 * np.random.default_rng(seed).standard_normal(shape))


def plain(x, factor, floor_db):
    """One row, frame by frame, bin by bin, as the docstring says it."""
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE))
    padded = np.concatenate([np.zeros(HOP), x, np.zeros(2 * SIZE)])
    count = -(-len(x) // HOP) + 1
    spectra = np.stack([np.fft.rfft(window * padded[n * HOP : n * HOP + SIZE]) for n in range(count)])
    power = np.abs(spectra) ** 2
    whole = [n for n in range(count) if n >= 1 and (n + 1) * HOP <= len(x)]
    means = {n: power[n - 4 : n + 5].mean(0) for n in whole if n - 4 in whole and n + 4 in whole}
    y = np.zeros(len(padded))
    for n in range(count):
        near = [means[m] for m in means if abs(m - n) <= 47]
        estimate = np.min(near, axis=0) * (1 + (len(near) - 1) / 2.6) ** 0.25
        left = np.maximum(power[n] - factor * estimate, 10 ** (floor_db / 10) * estimate)
        gain = np.sqrt(np.minimum(left / power[n], 1.0))
        y[n * HOP : n * HOP + SIZE] += window * np.fft.irfft(gain * spectra[n])
    return y[HOP : HOP + len(x)]


@pytest.mark.parametrize("length", [HOP * 10, 4_321, 40_000])
@pytest.mark.parametrize(("factor", "floor_db"), [(1.0, -20.0), (4.0, -40.0)])
def test_equals_a_plain_program(length, factor, floor_db):
    x = noise(length) * torch.linspace(0.1, 2.0, length)
    padded = torch.nn.functional.pad(x, (0, 777))[None]
    y = subtracted(padded, factor, floor_db, torch.tensor([length]))[0]
    assert np.abs(y[:length].numpy() - plain(x.numpy(), factor, floor_db)).max() < 1e-10
    assert not y[length:].any()
    single = subtracted(padded.float(), factor, floor_db, torch.tensor([length]))[0]
    assert (single - y).abs().max() < 1e-5


@pytest.mark.parametrize("seconds", [0.5, 1.0, 4.0])
def test_noise_estimate_is_unbiased(seconds):
    """The estimate of white noise, by the length of the row, against its power: within 0.5 dB."""
    from speechaug.functional.enhancement import _noise_power
    from speechaug.functional.frames import split

    length = int(seconds * RATE)
    power = torch.fft.rfft(split(noise(16, 1, length), SIZE)).abs().square()[:, 0]
    whole = torch.full((16,), length // HOP - 1)
    found = _noise_power(power, whole, 47)[:, 2:-2, 2:-2].mean()
    assert abs(10 * torch.log10(found / power[:, 2:-2, 2:-2].mean())) < 0.5


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_stationary_noise_falls_as_theory_says(factor):
    """Powers of Gaussian noise are exponential: exp(-a - b) + b of them stay; overlapping frames change little."""
    y = subtracted(noise(8, 6 * RATE), factor, -20.0)
    expected_db = 10 * np.log10(np.exp(-factor - 0.01) + 0.01)
    got_db = 10 * torch.log10(y[:, RATE:-RATE].square().mean() / 0.01)
    assert abs(got_db - expected_db) < 0.7


def test_what_is_left_is_musical():
    """Powers of the bins: the kurtosis of Gaussian noise, 9, becomes many times larger, the more is subtracted."""
    x = noise(1, 6 * RATE)

    def peaky(z):
        frames = z[0, RATE:-RATE].unfold(0, SIZE, SIZE).numpy() * np.hanning(SIZE)
        return kurtosis((np.abs(np.fft.rfft(frames)) ** 2)[:, 2:-2].ravel(), fisher=False)

    before, some, most = peaky(x), peaky(subtracted(x, 2.0, -30.0)), peaky(subtracted(x, 4.0, -40.0))
    assert before < 12
    assert some > 2.5 * before
    assert most > 2.0 * some


def test_speech_in_noise_gets_a_better_ratio(shared_data):
    folder = shared_data / "speech"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} is absent")
    import soxr

    samples, rate = soundfile.read(folder / "LJ050-0131.wav")
    speech = torch.from_numpy(soxr.resample(samples, rate, RATE)[: 4 * RATE])
    hiss = noise(4 * RATE) * speech.std() * 10 * 10 ** (-10 / 20)
    y = subtracted((speech + hiss)[None], 2.0, -20.0)[0]
    error_db = 10 * torch.log10((y - speech).square().mean() / hiss.square().mean())
    assert error_db < -3.0


def test_short_rows_and_silence_stay():
    x = noise(5, 2, 10 * HOP)
    lengths = torch.tensor([10 * HOP, 10 * HOP - 1, 300, 1, 0])
    x = x * (torch.arange(x.shape[-1]) < lengths[:, None, None])
    y = subtracted(x, 2.0, -30.0, lengths)
    assert not torch.equal(y[0], x[0])
    assert torch.equal(y[1:], x[1:])
    silence = torch.zeros(1, RATE)
    assert torch.equal(subtracted(silence, 4.0, -30.0), silence)


def test_nothing_subtracted_changes_nothing():
    x = noise(2, RATE)
    assert (subtracted(x, 0.0, -20.0) - x).abs().max() < 1e-12


def test_silence_within_noise_is_not_filled():
    x = noise(1, 2 * RATE)
    x[:, RATE : RATE + 4_000] = 0.0
    y = subtracted(x, 3.0, -10.0)
    assert y[:, RATE + SIZE : RATE + 4_000 - SIZE].abs().max() == 0.0


def test_gradient_reaches_the_input():
    x = noise(2, 4_000)
    x[1] = 0.0
    leaf, towards = x.clone().requires_grad_(), noise(2, 4_000, seed=1)
    step = noise(2, 4_000, seed=2) * (x != 0)
    (slope,) = torch.autograd.grad((subtracted(leaf, 2.0, -30.0) * towards).sum(), leaf)
    ends = [(subtracted(x + sign * 1e-7 * step, 2.0, -30.0) * towards).sum() for sign in (1, -1)]
    assert torch.isfinite(slope).all()
    assert abs((slope * step).sum() - (ends[0] - ends[1]) / 2e-7) < 1e-4 * abs((slope * step).sum())


def test_reduction_is_what_was_reached():
    suppress = sa.SpectralSubtraction(over_subtraction=(2.0, 2.0))
    x = noise(2, RATE) * torch.tensor([[1.0], [0.0]])
    out = suppress.run(x, None, suppress.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b"])), sample_rate=RATE)
    fell_db = 10 * torch.log10(x[0].square().mean() / out.x[0].square().mean())
    np.testing.assert_allclose(out.extras["reduction_db"], [fell_db, 0.0], atol=1e-6)


def test_ranges_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=r"^SpectralSubtraction: over_subtraction must be at least 0, got"):
        sa.SpectralSubtraction(over_subtraction=(-1.0, 2.0))
    for bad in [(-30.0, 1.0), (-20.0, -30.0), (float("-inf"), -20.0)]:
        with pytest.raises(ValueError, match=r"^SpectralSubtraction: floor_db must be a finite \(low, high\)"):
            sa.SpectralSubtraction(floor_db=bad)
