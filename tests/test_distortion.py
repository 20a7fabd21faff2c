"""Clipping, saturation and few bits do what their names say, measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug import functional as F

RATE = 16_000


def _sine(amplitude: float, seconds: float = 1.0) -> torch.Tensor:
    time = torch.arange(int(RATE * seconds), dtype=torch.float64) / RATE
    return (amplitude * torch.sin(2 * torch.pi * 997.0 * time)).float()[None]


@pytest.mark.parametrize("level", [1.0, 1e-3])
@pytest.mark.parametrize("threshold_db", [-3.0, -12.0, -30.0])
def test_clipping_cuts_the_share_of_a_sine_that_lies_above(level, threshold_db):
    y = F.clipping(_sine(level), torch.tensor([threshold_db]))
    top = level * 10 ** (threshold_db / 20)
    assert y.abs().max() == pytest.approx(top, rel=1e-4)
    share = (y.abs() >= top * 0.9999).float().mean()
    assert share == pytest.approx(1 - 2 / np.pi * np.arcsin(10 ** (threshold_db / 20)), abs=2e-3)


@pytest.mark.parametrize("drive_db", [-20.0, 0.0, 20.0, 40.0])
def test_tanh_keeps_the_peak_and_adds_odd_harmonics_only(drive_db):
    y = F.tanh_distortion(_sine(0.3), torch.tensor([drive_db]))[0].double().numpy()
    assert np.abs(y).max() == pytest.approx(0.3, rel=1e-3)
    spectrum = np.abs(np.fft.rfft(y))
    third, second = spectrum[3 * 997] / spectrum[997], spectrum[2 * 997] / spectrum[997]
    gain = 10 ** (drive_db / 20)
    phase = np.linspace(0, 2 * np.pi, 4_096, endpoint=False)
    series = np.abs(np.fft.rfft(np.tanh(gain * np.sin(phase))))
    assert third == pytest.approx(series[3] / series[1], rel=2e-2, abs=1e-5)
    assert second < 1e-5


@pytest.mark.parametrize("bits", [6, 8, 12])
def test_quantization_noise_follows_the_formula(bits):
    """6.02 bits + 1.76 dB for a full-scale sine (Bennett 1948)."""
    x = _sine(0.999, 4.0)
    error = (F.quantize(x, torch.tensor([float(bits)])) - x).double()
    snr_db = 10 * torch.log10(x.double().square().mean() / error.square().mean())
    assert float(snr_db) == pytest.approx(6.02 * bits + 1.76, abs=0.3)


def test_neutral_strength_is_inaudible():
    x = _sine(0.5)
    for transform in (sa.Clipping(), sa.TanhDistortion(), sa.Quantization()):
        name = next(iter(transform._spans()))
        end = transform._spans()[name].neutral
        neutral = dataclasses.replace(transform, **{name: (end, end)})
        y, _ = neutral(x, None, neutral.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"])), sample_rate=RATE)
        error_db = 10 * torch.log10(((y - x).square().mean() + 1e-20) / x.square().mean())
        assert float(error_db) < -50, type(transform).__name__


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sa.Clipping(threshold_db=(-3.0, 1.0)), "Clipping: threshold_db must be at most 0"),
        (lambda: sa.Quantization(bits=(1.0, 8.0)), "Quantization: bits must be at least 2"),
        (lambda: sa.TanhDistortion(drive_db=(20.0, 0.0)), "TanhDistortion: drive_db must be finite with low <= high"),
    ],
)
def test_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
