"""Filters against SciPy, each row with its own cut-off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

import speechaug as sa
from speechaug.functional import filter as filters
from speechaug.functional.level import valid_mask

RATE = 16_000
CUTOFFS = torch.tensor([20.0, 500.0, 2_000.0, 4_000.0, 7_500.0, 7_999.9], dtype=torch.float64)


def batch(dtype: torch.dtype, width: int = 7_013) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([width, width - 1, 300, 64, 1, width])
    x = torch.from_numpy(np.random.default_rng(8).standard_normal((6, 2, width))).to(dtype)
    return x * valid_mask(x, lengths), lengths


def expected(x: torch.Tensor, lengths: torch.Tensor, cutoffs: torch.Tensor, order: int, kind: str) -> np.ndarray:
    """The recursion, in double precision, cut at the lengths."""
    y = np.zeros(x.shape)
    for row, (length, cutoff) in enumerate(zip(lengths.tolist(), cutoffs.tolist(), strict=True)):
        sections = signal.butter(order, cutoff, kind, fs=RATE, output="sos")
        y[row, :, :length] = signal.sosfilt(sections, x[row, :, :length].double().numpy())
    return y


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("kind", ["low", "high"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-6)])
def test_equals_scipy(order: int, kind: str, dtype: torch.dtype, tolerance: float) -> None:
    x, lengths = batch(dtype)
    run = filters.lowpass if kind == "low" else filters.highpass
    y = run(x, lengths, CUTOFFS, RATE, order)
    target = expected(x, lengths, CUTOFFS, order, kind)
    assert y.dtype == dtype
    assert np.abs(y.double().numpy() - target).max() < tolerance * max(np.abs(target).max(), 1.0)


def test_bandpass_equals_scipy() -> None:
    x, lengths = batch(torch.float64)
    low, high = torch.linspace(50.0, 400.0, 6).double(), torch.linspace(3_000.0, 7_000.0, 6).double()
    y = filters.bandpass(x, lengths, low, high, RATE, order=4)
    between = torch.from_numpy(expected(x, lengths, low, 4, "high"))
    assert np.abs(y.numpy() - expected(between, lengths, high, 4, "low")).max() < 1e-9


def test_tones_are_kept_or_killed() -> None:
    time = torch.arange(RATE) / RATE
    for frequency, kept in [(200.0, True), (7_000.0, False)]:
        tone = torch.sin(2.0 * torch.pi * frequency * time)[None]
        y = filters.lowpass(tone, torch.tensor([RATE]), torch.tensor([1_500.0]), RATE, order=4)
        peak = float(y[0, RATE // 2 :].abs().max())
        assert (abs(peak - 1.0) < 0.01) if kept else (peak < 0.002)
    tone = torch.sin(2.0 * torch.pi * 1_500.0 * time)[None]
    half = filters.lowpass(tone, torch.tensor([RATE]), torch.tensor([1_500.0]), RATE)
    assert abs(float(half[0, RATE // 2 :].square().mean()) - 0.25) < 1e-3


def test_at_nyquist_the_row_is_unchanged() -> None:
    x, lengths = batch(torch.float32)
    cutoffs = torch.tensor([8_000.0, 9_000.0, 1e9, 8_000.0, 8_000.0, 8_000.0])
    for run in (filters.lowpass, filters.highpass):
        assert torch.equal(run(x, lengths, cutoffs, RATE), x)
    assert torch.equal(filters.bandpass(x, lengths, cutoffs, cutoffs + 1.0, RATE), x)


def test_long_rows_stay_exact() -> None:
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 200_000))).float()
    lengths, cutoff = torch.tensor([200_000]), torch.tensor([30.0], dtype=torch.float64)
    y = filters.highpass(x + 0.5, lengths, cutoff, RATE)
    target = signal.sosfilt(signal.butter(2, 30.0, "high", fs=RATE, output="sos"), (x + 0.5).double().numpy())
    assert np.abs(y.double().numpy() - target).max() < 1e-5


def test_row_alone_is_row_in_batch() -> None:
    x, lengths = batch(torch.float32)
    y = filters.bandpass(x, lengths, CUTOFFS / 100.0, CUTOFFS, RATE)
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        alone = filters.bandpass(x[one, :, :length], lengths[one], CUTOFFS[one] / 100.0, CUTOFFS[one], RATE)
        assert torch.allclose(alone, y[one, :, :length], atol=1e-5)
        assert not y[row, :, length:].any()


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 1), (2, 3, 64), (2, 65)])
def test_degenerate_input(shape: tuple[int, ...]) -> None:
    lengths = torch.arange(shape[0]).clamp(max=shape[-1])
    for value in (0.0, 1.0):
        for cutoff in (0.0, 100.0, 7_999.999, 8_000.0):
            x = torch.full(shape, value) * valid_mask(torch.zeros(shape), lengths)
            for run in (filters.lowpass, filters.highpass):
                y = run(x, lengths, torch.full(shape[:1], cutoff), RATE, 8)
                assert y.shape == shape
                assert torch.isfinite(y).all()
                assert value != 0.0 or not y.any()


def test_transforms_use_each_rows_cutoff() -> None:
    x, lengths = batch(torch.float64)
    rng = sa.Rng.from_ids(seed=5, epoch=0, ids=[str(row) for row in range(6)])
    for transform, kind in [(sa.LowPass(order=4), "low"), (sa.HighPass(order=4), "high")]:
        draws = transform.sample(rng)
        cutoffs = torch.from_numpy(draws.values["cutoff_hz"])
        assert cutoffs.unique().numel() == 6
        y, y_lengths = transform(x, lengths, draws, sample_rate=RATE)
        assert np.abs(y.numpy() - expected(x, lengths, cutoffs, 4, kind)).max() < 1e-9
        assert torch.equal(y_lengths, lengths)


def test_cutoffs_are_log_uniform() -> None:
    drawn = sa.HighPass(cutoff_hz=(50.0, 800.0)).draw(sa.Rng.from_ids(seed=1, epoch=0, ids=list("ab") * 2_000))
    octaves = np.log2(drawn["cutoff_hz"] / 50.0)
    assert 0.0 <= octaves.min() < octaves.max() <= 4.0
    counts, _ = np.histogram(octaves, bins=4, range=(0.0, 4.0))
    assert np.abs(counts - 1_000).max() < 5.0 * np.sqrt(1_000)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"LowPass: order must be one of \(2, 4, 6, 8\), got 3"):
        sa.LowPass(order=3)
    with pytest.raises(ValueError, match="BandPass: low_hz must be below high_hz"):
        sa.BandPass(low_hz=(200.0, 3_500.0))
    with pytest.raises(ValueError, match="HighPass: cutoff_hz must be positive"):
        sa.HighPass(cutoff_hz=(0.0, 100.0))
    with pytest.raises(ValueError, match="order must be"):
        filters.lowpass(torch.ones(1, 4), torch.tensor([4]), torch.tensor([100.0]), RATE, order=5)


def cookbook(kind: str, frequency: float, gain_db: float, q: float) -> tuple[list[float], list[float]]:
    """The formulas as the Audio EQ Cookbook prints them."""
    a, w = 10.0 ** (gain_db / 40.0), 2.0 * np.pi * frequency / RATE
    alpha, c, root = np.sin(w) / (2.0 * q), np.cos(w), 2.0 * np.sqrt(a) * np.sin(w) / (2.0 * q)
    if kind == "peak":
        return [1 + alpha * a, -2 * c, 1 - alpha * a], [1 + alpha / a, -2 * c, 1 - alpha / a]
    if kind == "low":
        return (
            [a * ((a + 1) - (a - 1) * c + root), 2 * a * ((a - 1) - (a + 1) * c), a * ((a + 1) - (a - 1) * c - root)],
            [(a + 1) + (a - 1) * c + root, -2 * ((a - 1) + (a + 1) * c), (a + 1) + (a - 1) * c - root],
        )
    return (
        [a * ((a + 1) + (a - 1) * c + root), -2 * a * ((a - 1) + (a + 1) * c), a * ((a + 1) + (a - 1) * c - root)],
        [(a + 1) - (a - 1) * c + root, 2 * ((a - 1) - (a + 1) * c), (a + 1) - (a - 1) * c - root],
    )


def test_equalizer_is_the_cookbooks() -> None:
    rng = np.random.default_rng(2)
    bands, gains, q = rng.uniform(50, 7_900, (6, 4)), rng.uniform(-18, 18, (6, 4)), rng.uniform(0.3, 5.0, (6, 4))
    x, lengths = batch(torch.float64, 2_000)
    lengths = lengths.clamp(max=2_000)
    given = [torch.from_numpy(values) for values in (bands, gains, q)]
    y = filters.equalize(x, lengths, *given, RATE)
    grid = np.linspace(0.0, np.pi, 513)
    for row, length in enumerate(lengths.tolist()):
        sections = []
        for k, kind in enumerate(("low", "peak", "peak", "high")):
            b, a = cookbook(kind, bands[row, k], gains[row, k], q[row, k])
            sections.append(np.array([*b, *a]) / a[0])
        target = signal.sosfilt(np.array(sections), x[row, :, :length].numpy())
        assert np.abs(y[row, :, :length].numpy() - target).max() < 1e-9 * max(np.abs(target).max(), 1.0)
        got = filters.equalizer_sections(*(value[row : row + 1] for value in given), RATE)[0]
        got = np.insert(got.numpy(), 3, 1.0, axis=1)
        responses = [signal.sosfreqz(some, worN=grid)[1] for some in (got, np.array(sections))]
        assert np.abs(responses[0] - responses[1]).max() < 1e-9 * np.abs(responses[1]).max()


def test_equalizer_draws_each_band_in_its_part() -> None:
    transform = sa.Equalizer(bands=4, frequency_hz=(100.0, 1_600.0))
    drawn = transform.draw(sa.Rng.from_ids(seed=1, epoch=0, ids=[str(row) for row in range(500)]))
    for k in range(4):
        band = drawn["frequency_hz"][:, k]
        assert 100.0 * 2.0**k <= band.min() < band.max() <= 100.0 * 2.0 ** (k + 1)
    assert np.allclose(drawn["q"][:, [0, 3]], 0.5**0.5)
    assert np.abs(drawn["gain_db"]).max() <= 6.0


def test_a_band_at_nyquist_does_nothing() -> None:
    x, lengths = batch(torch.float32)
    above = torch.full((6, 3), 8_000.0)
    assert torch.equal(filters.equalize(x, lengths, above, torch.full((6, 3), 12.0), torch.ones(6, 3), RATE), x)


# ISO 9613-2:1996, table 2, from ISO 9613-1: dB per km at the exact midband frequencies from 63 Hz to 8 kHz.
AIR = {
    (10.0, 70.0): (0.1, 0.4, 1.0, 1.9, 3.7, 9.7, 32.8, 117.0),
    (20.0, 70.0): (0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6),
    (30.0, 70.0): (0.1, 0.3, 1.0, 3.1, 7.4, 12.7, 23.1, 59.3),
    (15.0, 20.0): (0.3, 0.6, 1.2, 2.7, 8.2, 28.2, 88.8, 202.0),
    (15.0, 50.0): (0.1, 0.5, 1.2, 2.2, 4.2, 10.8, 36.2, 129.0),
    (15.0, 80.0): (0.1, 0.3, 1.1, 2.4, 4.1, 8.3, 23.7, 82.8),
}


@pytest.mark.parametrize("weather", AIR)
def test_air_absorbs_what_the_standard_says(weather: tuple[float, float]) -> None:
    midband = 1_000.0 * 10.0 ** (0.3 * torch.arange(-4, 4, dtype=torch.float64))
    temperature, humidity = (torch.tensor([value]) for value in weather)
    got = sa.functional.absorption_db(midband, torch.tensor([1_000.0]), temperature, humidity)[0]
    expected = torch.tensor(AIR[weather], dtype=torch.float64)
    printed = torch.where(expected < 100.0, 0.055, 0.55)  # half of the last digit, and the rounding of constants
    assert bool(((got - expected).abs() <= printed).all()), (got - expected).tolist()


def test_air_is_the_formula_of_the_standard() -> None:
    """ISO 9613-1:1993, equations 3 to 5, written down as printed, with the pressures, over all it is used for."""
    rng = np.random.default_rng(1)
    celsius, humid, f = rng.uniform(-20.0, 50.0, 50), rng.uniform(10.0, 100.0, 50), np.linspace(20.0, 24_000.0, 97)
    got = sa.functional.absorption_db(
        torch.from_numpy(f), torch.ones(50), torch.from_numpy(celsius), torch.from_numpy(humid)
    ).numpy()
    p_a = p_r = 101.325
    for row in range(50):
        t, t_0, t_01 = celsius[row] + 273.15, 293.15, 273.16
        h = humid[row] * 10 ** (-6.8346 * (t_01 / t) ** 1.261 + 4.6151) * p_r / p_a
        f_o = p_a / p_r * (24 + 4.04e4 * h * (0.02 + h) / (0.391 + h))
        f_n = p_a / p_r * (t / t_0) ** (-1 / 2) * (9 + 280 * h * np.exp(-4.170 * ((t / t_0) ** (-1 / 3) - 1)))
        molecules = 0.01275 * np.exp(-2239.1 / t) / (f_o + f**2 / f_o)
        molecules += 0.1068 * np.exp(-3352.0 / t) / (f_n + f**2 / f_n)
        expected = 8.686 * f**2 * (1.84e-11 * p_r / p_a * (t / t_0) ** (1 / 2) + (t / t_0) ** (-5 / 2) * molecules)
        np.testing.assert_allclose(got[row], expected, rtol=1e-9)


def test_air_dulls_a_far_tone() -> None:
    far = sa.AirAbsorption(distance_m=(100.0, 100.0), temperature_c=(20.0, 20.0), humidity_percent=(70.0, 70.0))
    draws = far.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
    for frequency, loss in ((1_000.0, 0.50), (3_981.07, 2.29), (7_943.28, 7.66)):
        tone = torch.sin(2.0 * torch.pi * frequency * torch.arange(RATE, dtype=torch.float64) / RATE)[None]
        y, _ = far(tone, None, draws, sample_rate=RATE)
        middle = slice(4_000, 12_000)
        assert abs(float(10.0 * (tone[0, middle].square().mean() / y[0, middle].square().mean()).log10()) - loss) < 0.01


def test_bad_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="Equalizer: bands must be an integer of at least 2, got 1"):
        sa.Equalizer(bands=1)
    with pytest.raises(ValueError, match="Equalizer: q must be a finite, positive"):
        sa.Equalizer(q=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"AirAbsorption: humidity_percent must be a \(low, high\) within \[10, 100\]"):
        sa.AirAbsorption(humidity_percent=(0.0, 50.0))
    with pytest.raises(ValueError, match="AirAbsorption: distance_m must be at least 0"):
        sa.AirAbsorption(distance_m=(-1.0, 1.0))
