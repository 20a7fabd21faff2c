"""Echo, chorus and phaser against delayed copies and the frequency responses of theory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

import speechaug as sa
from speechaug import functional as F
from speechaug.ops.chorus.reference import delayed

RATE = 16_000


def rng(rows: int, seed: int = 1) -> sa.Rng:
    return sa.Rng.from_ids(seed=seed, epoch=0, ids=[f"utt-{row}" for row in range(rows)])


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).standard_normal(shape) * 0.1).float()


def response_of(transform: sa.Transform, size: int = 1 << 16) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and transfer function of a transform at rest."""
    click = torch.zeros(1, size, dtype=torch.float64)
    click[0, 0] = 1.0
    y, _ = transform(click, None, transform.sample(rng(1)), sample_rate=RATE)
    return np.fft.rfftfreq(size, 1 / RATE), np.fft.rfft(y[0].numpy())


def test_echo_is_the_delayed_copy_exactly() -> None:
    x, lengths = noise(4, 2, 12_000), torch.tensor([12_000, 7_001, 900, 0])
    x *= torch.arange(12_000) < lengths[:, None, None]
    transform = sa.Echo(delay_ms=(60.0, 250.0), decay=(0.5, 0.5))
    draws = transform.sample(rng(4))
    y, y_lengths = transform(x, lengths, draws, sample_rate=RATE)
    assert torch.equal(y_lengths, lengths)
    for row, delay_ms in enumerate(draws.values["delay_ms"]):
        delay, length = int(np.rint(delay_ms * 16)), int(lengths[row])
        expected = x[row].clone()
        if delay < length:
            expected[:, delay:length] += 0.5 * x[row, :, : length - delay]
        assert torch.equal(y[row], expected)


def test_delay_between_samples_is_that_of_the_tone() -> None:
    t = np.arange(8_000)
    tone = torch.from_numpy(np.sin(2 * np.pi * 0.05 * t))[None, None]
    for delay in (123.0, 123.4, 57.5):
        y = delayed(tone, torch.full((1, 8_000), delay, dtype=torch.float64))[0, 0].numpy()
        assert np.abs(y[200:] - np.sin(2 * np.pi * 0.05 * (t - delay))[200:]).max() < 1e-3


def test_chorus_at_rest_is_a_comb() -> None:
    transform = sa.Chorus(delay_ms=(30.0, 30.0), voices=1, depth_ms=(0.0, 0.0), decay=(0.6, 0.6))
    frequency_hz, found = response_of(transform)
    theory = 1 + 0.6 * np.exp(-2j * np.pi * frequency_hz * 0.030)
    assert np.abs(found - theory).max() < 1e-9
    notches = frequency_hz[signal.argrelmin(np.abs(found))[0]]
    assert np.abs(notches[:200] - (np.arange(200) + 0.5) / 0.030).max() < RATE / (1 << 16)


def test_chorus_drifts_as_it_says() -> None:
    transform = sa.Chorus(delay_ms=(25.0, 40.0), voices=2, depth_ms=(2.0, 2.0), rate_hz=(1.5, 1.5), decay=(1.0, 1.0))
    t = np.arange(2 * RATE) / RATE
    x = torch.from_numpy(np.sin(2 * np.pi * 440 * t))[None]
    draws = transform.sample(rng(1))
    y, _ = transform(x, None, draws, sample_rate=RATE)
    expected = np.zeros(len(t))
    for delay_ms, phase in zip(draws.values["delay_ms"][0], draws.values["phase"][0], strict=True):
        delay_s = (delay_ms + 2.0 * np.sin(2 * np.pi * (1.5 * t + phase))) / 1_000
        expected += 0.5 * np.sin(2 * np.pi * 440 * (t - delay_s))
    late = slice(1_000, None)
    assert np.abs((y - x)[0].numpy()[late] - expected[late]).max() < 2e-3
    assert 25.0 <= draws.values["delay_ms"].min() <= draws.values["delay_ms"].max() < 40.0


@pytest.mark.parametrize("stages", [2, 4, 6])
def test_phaser_at_rest_has_notches_where_theory_says(stages: int) -> None:
    corner, decay = 900.0, 0.9
    transform = sa.Phaser(
        decay=(decay, decay), corner_hz=(corner, corner), sweep_octaves=(0.0, 0.0), stages=stages
    )
    frequency_hz, found = response_of(transform)
    # A first-order all-pass turns by 2 atan(tan(w / 2) / tan(wc / 2)); an odd number of half turns cancels.
    odd = np.arange(1, stages, 2)
    warped = np.tan(np.pi * corner / RATE)
    expected = RATE / np.pi * np.arctan(warped * np.tan(odd * np.pi / (2 * stages)))
    notches = signal.argrelmin(np.abs(found))[0]
    assert frequency_hz[notches] == pytest.approx(expected, abs=1.0)
    assert np.abs(found[notches]) == pytest.approx((1 - decay) / (1 + decay), abs=1e-3)
    assert np.abs(found).max() == pytest.approx(1.0, abs=1e-6)
    a = (warped - 1) / (warped + 1)
    _, all_pass = signal.freqz([a, 1], [1, a], worN=2 * np.pi * frequency_hz / RATE)
    assert np.abs(found - (1 + decay * all_pass**stages) / (1 + decay)).max() < 1e-9


@pytest.mark.parametrize(("phase", "octaves"), [(0.25, 1.0), (0.75, -1.0), (0.0, 0.0)])
def test_phaser_swings_from_end_to_end(phase: float, octaves: float) -> None:
    click = torch.zeros(1, 1 << 15, dtype=torch.float64)
    click[0, 0] = 1.0
    one = torch.ones(1, dtype=torch.float64)
    slow = 1e-9 * one
    y = F.phaser(click, torch.tensor([1 << 15]), 800 * one, one, slow, phase * one, one, RATE, stages=2)
    spectrum = np.abs(np.fft.rfft(y[0].numpy()))
    notch_hz = spectrum.argmin() * RATE / (1 << 15)
    assert notch_hz == pytest.approx(800 * 2**octaves, abs=1.0)


def test_phaser_moves_its_notch_in_time() -> None:
    """A tone is cancelled when the swing passes it, twice a swing, and heard in between."""
    t = np.arange(4 * RATE) / RATE
    x = torch.from_numpy(np.sin(2 * np.pi * 800 * t))[None]
    one = torch.ones(1, dtype=torch.float64)
    y = F.phaser(x, torch.tensor([len(t)]), 800 * one, one, 0.5 * one, 0 * one, one, RATE, stages=2)
    level = np.sqrt(np.mean(y[0].numpy()[: 4 * RATE].reshape(-1, 800) ** 2, axis=1))
    quiet = np.flatnonzero(level < 0.12)
    moments_s = quiet * 800 / RATE
    assert all(min(abs(moment - passing) for passing in (0, 1, 2, 3, 4)) < 0.11 for moment in moments_s)
    assert all(np.abs(moments_s - passing).min() < 0.11 for passing in (1, 2, 3))
    # An octave away, two stages turn by 4 atan(1 / 2) or 4 atan(2).
    loudest = np.sqrt(0.5) * abs(1 + np.exp(4j * np.arctan(0.5))) / 2
    assert level.max() == pytest.approx(loudest, abs=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sa.Echo(delay_ms=(0.0, 10.0)), r"Echo: delay_ms must be a finite, positive .* got \(0.0, 10.0\)"),
        (lambda: sa.Echo(decay=(-0.1, 0.1)), "Echo: decay must be at least 0"),
        (lambda: sa.Chorus(voices=0), "Chorus: voices must be"),
        (lambda: sa.Chorus(depth_ms=(0.0, 30.0)), "Chorus: depth_ms must be"),
        (lambda: sa.Phaser(stages=3), "Phaser: stages must be"),
        (lambda: sa.Phaser(sweep_octaves=(-1.0, 0.0)), "Phaser: sweep_octaves must be"),
    ],
)
def test_bad_configurations_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
