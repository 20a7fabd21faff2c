"""Random integers against published vectors, noise against its statistics, mixtures against the ratio asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg, signal, stats

import speechaug as sa
from speechaug.functional import level, noise
from speechaug.ops.noise import reference as generator
from speechaug.rng import philox4x32

RATE = 16_000
KEYS = torch.tensor([0, 1, -1, 2**62 + 12345, -(2**63)])

# Random123, tests/kat_vectors: counter, key, output of philox4x32 with 10 rounds.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[torch.Tensor]:
    return [torch.tensor([int(word, 16)]) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_philox_known_answers(counter: str, key: str, output: str) -> None:
    k0, k1 = words(key)
    assert generator.philox4x32(tuple(words(counter)), (k0, k1)) == tuple(words(output))


def test_philox_is_the_host_generator() -> None:
    n = 4 * 257 + 3
    counter = np.zeros((1, -(-n // 4), 4), np.uint32)
    counter[0, :, 0] = np.arange(counter.shape[1])
    halves = KEYS.numpy().view(np.uint32).reshape(-1, 1, 2)
    expected = philox4x32(counter, halves).reshape(len(KEYS), -1)[:, :n]
    assert np.array_equal(noise.philox(KEYS, n).numpy(), expected)
    assert noise.philox(KEYS, 0).shape == (len(KEYS), 0)
    assert noise.philox(KEYS[:0], 9).shape == (0, 9)


def test_white_noise_is_gaussian() -> None:
    x = noise.white_noise(torch.arange(8), 100_000).double().numpy()
    assert abs(x.mean()) < 5e-3
    assert abs(x.var() - 1.0) < 5e-3
    assert abs(stats.kurtosis(x, axis=None)) < 0.02
    assert stats.kstest(x[0], "norm").pvalue > 1e-3
    neighbours = [np.mean(x[:, lag:] * x[:, :-lag]) for lag in (1, 2, 3, 4, 8)]
    assert np.abs(neighbours).max() < 6.0 / np.sqrt(x.size)
    rows = np.corrcoef(x) - np.eye(8)
    assert np.abs(rows).max() < 6.0 / np.sqrt(x.shape[1])


def test_white_noise_depends_on_key_and_place_alone() -> None:
    wide = noise.white_noise(KEYS, 1003)
    for width in (0, 1, 2, 3, 5, 1000):
        assert torch.equal(noise.white_noise(KEYS, width), wide[:, :width])
    assert torch.equal(noise.white_noise(KEYS[2:3], 1003), wide[2:3])
    assert torch.equal(noise.white_noise(KEYS, 1003, torch.float64).float(), wide)
    assert wide.abs().max() < 6.7


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_colored_noise_has_the_slope(rate: int) -> None:
    exponent = torch.tensor([-2.0, -1.0, -0.3, 0.0, 1.0, 2.0], dtype=torch.float64)
    x = noise.colored_noise(torch.arange(6), exponent, 30 * rate, rate).double().numpy()
    assert np.abs(x[2:].var(axis=1) - 1.0).max() < 0.05
    # In thirds of an octave, against the power law.
    frequency, density = signal.welch(x, rate, nperseg=rate // 4)
    band = (frequency >= 40.0) & (frequency <= 0.45 * rate)
    octaves = np.log2(frequency[band])
    thirds = np.floor(3.0 * (octaves - octaves[0]))
    for row, target in zip(density[:, band], exponent.tolist(), strict=True):
        ideal = 10.0 * np.log10(row) - 3.0103 * target * octaves
        excess = [np.mean(ideal[thirds == third]) for third in np.unique(thirds) if (thirds == third).sum() > 2]
        assert np.abs(excess - np.median(excess)).max() < 1.0


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_colored_noise_filter_is_within_its_tolerance(rate: int) -> None:
    exponent = torch.linspace(-2.0, 2.0, 17, dtype=torch.float64)
    poles, weights, start = generator.shaping(exponent, rate)
    frequency = np.geomspace(40.0, 0.45 * rate, 400)
    z = np.exp(2j * np.pi * frequency / rate)
    response = 1.0 + (weights.numpy()[:, :, None] / (z - poles.numpy()[:, None])).sum(axis=1)
    excess = 20.0 * np.log10(np.abs(response)) - 10.0 * exponent.numpy()[:, None] * np.log10(frequency)
    middle = excess[:, 130:300].mean(axis=1, keepdims=True)
    assert np.abs(excess - middle).max() < 0.7
    assert np.abs(excess - middle)[:, frequency > 80.0].max() < 0.5
    # The states the filter starts from are as correlated as SciPy says they become.
    settled = linalg.solve_discrete_lyapunov(np.diag(poles.numpy()), np.ones((5, 5)))
    assert np.allclose((start @ start.T).numpy(), settled, rtol=1e-9)


def test_colored_noise_is_the_recursion() -> None:
    exponent = torch.tensor([-1.5, 0.7], dtype=torch.float64)
    poles, weights, _ = generator.shaping(exponent, RATE)
    x = noise.colored_noise(torch.tensor([3, 4]), exponent, 20_000, RATE, torch.float64).numpy()
    white = noise.white_noise(torch.tensor([3, 4]), 20_000, torch.float64).numpy()
    for row in range(2):
        expected = white[row].copy()
        for weight, pole in zip(weights[row].tolist(), poles.tolist(), strict=True):
            expected += weight * signal.lfilter([0.0, 1.0], [1.0, -pole], white[row])
        scale = x[row, 10_000:] @ expected[10_000:] / (expected[10_000:] @ expected[10_000:])
        assert np.abs(x[row, 10_000:] - scale * expected[10_000:]).max() < 1e-9


def test_colored_noise_does_not_depend_on_the_width() -> None:
    exponent = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    wide = noise.colored_noise(KEYS, exponent, 50_000, RATE)
    for width in (0, 1, 64, 777, 12_288, 49_999):
        assert torch.allclose(noise.colored_noise(KEYS, exponent, width, RATE), wide[:, :width], atol=1e-5)
    alone = noise.colored_noise(KEYS[1:2], exponent[1:2], 50_000, RATE)
    assert torch.allclose(alone, wide[1:2], atol=1e-5)
    assert abs(np.corrcoef(wide.numpy())[~np.eye(5, dtype=bool)]).max() < 0.25
    white = np.corrcoef(noise.colored_noise(KEYS, torch.zeros(5), 50_000, RATE).numpy())
    assert np.abs(white - np.eye(5)).max() < 6.0 / np.sqrt(50_000)


def speech_batch(channels: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Bursts of different loudness and length, zero beyond."""
    rng = np.random.default_rng(4)
    lengths = torch.tensor([48_000, 31_001, 9_000, 20_000])
    loudness = np.array([0.1, 0.01, 0.6, 0.002])[:, None, None]
    bursts = np.sin(2.0 * np.pi * 1.3 * np.arange(48_000) / RATE) > 0.3
    x = torch.from_numpy(rng.standard_normal((4, channels, 48_000)) * loudness * bursts).float()
    return x * level.valid_mask(x, lengths), lengths


def measured_snr(x: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> np.ndarray:
    """Both powers over each row's own samples, by the definition."""
    ratios = []
    for clean, noisy, length in zip(x.double().numpy(), y.double().numpy(), lengths.tolist(), strict=True):
        added = noisy[..., :length] - clean[..., :length]
        ratios.append(10.0 * np.log10(np.mean(clean[..., :length] ** 2) / np.mean(added**2)))
        assert not noisy[..., length:].any()
    return np.array(ratios)


@pytest.mark.parametrize("channels", [1, 2])
def test_mixture_has_the_ratio(channels: int) -> None:
    x, lengths = speech_batch(channels)
    snr_db = torch.tensor([0.0, 10.0, -5.0, 30.0], dtype=torch.float64)
    added = torch.from_numpy(np.random.default_rng(1).standard_normal((4, 48_000))).float()
    y, achieved = noise.mix_at_snr(x, lengths, added, snr_db, sample_rate=RATE)
    assert np.abs(measured_snr(x, y, lengths) - snr_db.numpy()).max() < 0.01
    assert torch.allclose(achieved, snr_db, atol=1e-6)


def test_mixture_by_active_level() -> None:
    x, lengths = speech_batch()
    snr_db = torch.full((4,), 5.0, dtype=torch.float64)
    added = noise.white_noise(torch.arange(4), 48_000)
    y, achieved = noise.mix_at_snr(x, lengths, added, snr_db, reference="active", sample_rate=RATE)
    pauses = level.active_level_db(x, lengths, RATE) - level.rms_db(x, lengths)
    assert np.abs(measured_snr(x, y, lengths) - (snr_db - pauses).numpy()).max() < 0.01
    assert torch.allclose(achieved, snr_db, atol=1e-6)
    assert pauses.max() > 1.0


def test_silence_on_either_side() -> None:
    speech = torch.stack([torch.zeros(8_000), torch.full((8_000,), 0.1), torch.full((8_000,), 1e-6)])
    added = torch.stack([torch.ones(8_000), torch.zeros(8_000), torch.ones(8_000)])
    lengths = torch.tensor([8_000, 8_000, 4_000])
    y, achieved = noise.mix_at_snr(speech, lengths, added, torch.full((3,), 10.0), sample_rate=RATE)
    assert torch.allclose(level.rms_db(y, lengths)[[0, 2]], torch.tensor([-36.0, -36.0]).double(), atol=0.01)
    assert torch.equal(y[1], speech[1])
    assert torch.isfinite(achieved).all()
    assert achieved[1] > 100.0
    with pytest.raises(ValueError, match="reference must be 'rms' or 'active', got 'peak'"):
        noise.mix_at_snr(speech, lengths, added, torch.zeros(3), reference="peak", sample_rate=RATE)  # type: ignore[arg-type]


def draw(transform: sa.Transform, rows: int = 4) -> sa.Draws:
    return transform.sample(sa.Rng.from_ids(seed=3, epoch=0, ids=[f"utt-{row}" for row in range(rows)]))


@pytest.mark.parametrize("reference", ["rms", "active"])
@pytest.mark.parametrize("colored", [False, True])
def test_transforms_reach_the_ratio_on_ragged_batches(reference: str, colored: bool) -> None:
    rng = np.random.default_rng(9)
    bank = sa.Bank.from_arrays([rng.standard_normal(n) * 0.3 for n in (5_000, 70_000)], sample_rate=RATE)
    chosen = {"snr_db": (-5.0, 25.0), "reference": reference}
    transform = sa.AddColoredNoise(**chosen) if colored else sa.AddNoise(bank=bank, **chosen)
    x, lengths = speech_batch()
    draws = draw(transform)
    out = transform.run(x, lengths, draws, sample_rate=RATE)
    speech = level.rms_db(x, lengths) if reference == "rms" else level.active_level_db(x, lengths, RATE)
    heard = speech.numpy() - level.rms_db(x, lengths).numpy() + measured_snr(x, out.x, lengths)
    assert np.abs(heard - draws.values["snr_db"]).max() < 0.1
    assert np.abs(out.extras["snr_db"].numpy() - draws.values["snr_db"]).max() < 0.01
    added = (out.x - x).double().numpy()
    assert np.allclose(added[:, 0], added[:, 1], atol=1e-5)


def test_noise_transforms_refuse_bad_settings() -> None:
    bank = sa.Bank.from_arrays([np.ones(100)], sample_rate=8_000)
    with pytest.raises(ValueError, match=r"AddColoredNoise: exponent must be .*, got \(-3.0, 0.0\)"):
        sa.AddColoredNoise(exponent=(-3.0, 0.0))
    with pytest.raises(ValueError, match="AddNoise: reference must be 'rms' or 'active', got 'loud'"):
        sa.AddNoise(bank=bank, reference="loud")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="8000 Hz"):
        sa.AddNoise(bank=bank)(torch.ones(1, 9), None, draw(sa.AddNoise(bank=bank), 1), sample_rate=RATE)
