"""Speed, stretch and shift against soxr, closed forms, FFT peaks and clicks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile
import soxr
import torch

import speechaug as sa
from speechaug import functional as F

SAMPLE_RATE = 16_000
ODD_RATIOS = [0.25, 0.5, 0.9, 0.937, 1.0417, 2 ** (1 / 12), 1.1, 2.0, 4.0]


def db(ratio):
    return 20 * np.log10(ratio)


def snr_db(y, expected):
    return -db(np.linalg.norm(np.asarray(y, np.float64) - expected) / np.linalg.norm(expected))


def f0_hz(y, near_hz):
    """The peak of a finely sampled spectrum near a frequency, refined by a parabola through its logarithm."""
    spectrum = np.abs(np.fft.rfft(np.asarray(y, np.float64) * np.hanning(len(y)), 8 * len(y)))
    bin_hz = SAMPLE_RATE / (8 * len(y))
    low, high = int(0.96 * near_hz / bin_hz), int(1.04 * near_hz / bin_hz)
    peak = low + int(np.argmax(spectrum[low:high]))
    a, b, c = np.log(spectrum[peak - 1 : peak + 2])
    return (peak + 0.5 * (a - c) / (a - 2 * b + c)) * bin_hz


def cents(f_hz, expected_hz):
    return 1_200 * np.log2(f_hz / expected_hz)


def harmonics(f0, seconds, top_hz=7_000.0, rate=SAMPLE_RATE):
    """A buzz with falling partials and no special phases; a sine where ``top_hz`` allows only one."""
    t = np.arange(round(seconds * rate)) / rate
    return 0.3 * sum(np.sin(2 * np.pi * f0 * k * t + k * k) / k for k in range(1, max(2, int(top_hz // f0) + 1)))


def tensor(rows, dtype=torch.float32):
    return torch.from_numpy(np.asarray(rows)).to(dtype)


def full(x):
    return torch.full((len(x),), x.shape[-1])


def rows(values):
    return torch.tensor(values, dtype=torch.float64)


def speech(shared_data, name, seconds=2.5):
    folder = shared_data / "speech"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} is absent")
    samples, rate = soundfile.read(folder / name)
    return soxr.resample(samples, rate, SAMPLE_RATE)[: round(seconds * SAMPLE_RATE)]


# Lengths


def test_lengths_are_rounded_as_python_does():
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.integers(0, 2_000_000, 5_000), np.arange(500), np.arange(500)])
    factors = np.concatenate([rng.uniform(0.5, 2.0, 5_000), np.full(500, 2.0), np.full(500, 0.4)])
    scaled = F.scaled_lengths(torch.from_numpy(lengths), torch.from_numpy(factors))
    assert scaled.tolist() == [round(n / f) for n, f in zip(lengths.tolist(), factors.tolist(), strict=True)]


@pytest.mark.parametrize("name", ["Speed", "TimeStretch"])
def test_host_and_device_agree_on_lengths(name):
    policy = sa.TRANSFORMS[name]()
    draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=map(str, range(2_000))))
    lengths = np.random.default_rng(0).integers(0, 500_000, 2_000)
    (values,) = draws.values.values()
    on_device = F.scaled_lengths(torch.from_numpy(lengths), torch.from_numpy(values))
    assert np.array_equal(policy.out_lengths(lengths, **draws.values), on_device.numpy())


# Resampling


QUALITIES = [("high", 78, 75), ("fast", 60, 51)]
"""In dB: how far errors lie below the signal, and what is left of a tone beyond the new Nyquist frequency."""


@pytest.mark.parametrize(("quality", "errors_db", "_"), QUALITIES)
def test_any_ratio_is_read_as_well_as_promised(quality, errors_db, _):
    """Forty tones up to 0.85 of the lower Nyquist frequency, each ratio a row of one batch, against the formula."""
    rng, samples = np.random.default_rng(0), 24_000
    factors = np.array(ODD_RATIOS)
    omega = np.pi * 0.85 * np.minimum(1.0, 1.0 / factors)[:, None] * rng.uniform(0.01, 1.0, (len(factors), 40))
    phase = rng.uniform(0, 2 * np.pi, omega.shape)

    def tones(row, positions):
        return np.cos(omega[row][:, None] * positions + phase[row][:, None]).mean(0)

    x = tensor([tones(row, np.arange(samples)) for row in range(len(factors))])
    y = F.resample(x, full(x), rows(ODD_RATIOS), 4 * samples, quality)
    for row, factor in enumerate(ODD_RATIOS):
        middle = np.arange(round(samples / factor))[round(400 / factor) : -round(400 / factor)]
        assert snr_db(y[row, middle], tones(row, middle * factor)) > errors_db, factor


@pytest.mark.parametrize(("quality", "errors_db"), [("high", 70), ("fast", 52)])
def test_no_tone_is_read_worse_than_promised(quality, errors_db):
    for factor in ODD_RATIOS:
        omega = np.pi * np.linspace(0.01, 0.85, 100)[:, None] * min(1.0, 1.0 / factor)
        x = tensor(np.cos(omega * np.arange(5_000)))
        y = F.resample(x, full(x), rows([factor] * 100), round(5_000 / factor), quality).numpy()
        middle = np.arange(round(5_000 / factor))[round(400 / factor) : -round(400 / factor)]
        expected = np.cos(omega * middle * factor)
        assert min(map(snr_db, y[:, middle], expected)) > errors_db, factor


@pytest.mark.parametrize(("quality", "errors_db", "_"), QUALITIES)
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_resampling_agrees_with_soxr(factor, quality, errors_db, _):
    noise = np.random.default_rng(1).standard_normal(20_000)
    spectrum = np.fft.rfft(noise * np.hanning(20_000))
    spectrum[int(0.8 / max(1.0, factor) * len(spectrum)) :] = 0.0
    x = np.fft.irfft(spectrum)
    expected = soxr.resample(x, round(100_000 * factor), 100_000, quality="VHQ")
    y = F.resample(tensor(x)[None], torch.tensor([20_000]), rows([factor]), round(20_000 / factor), quality)[0].numpy()
    inner = slice(500, min(len(y), len(expected)) - 500)
    assert snr_db(y[inner], expected[inner]) > errors_db


@pytest.mark.parametrize(("quality", "_", "left_db"), QUALITIES)
@pytest.mark.parametrize(("tone", "factor"), [(0.96, 1.1), (0.97, 1.1), (0.53, 2.0), (0.265, 4.0)])
def test_what_lies_beyond_the_new_nyquist_frequency_vanishes(tone, factor, quality, _, left_db):
    x = tensor(np.cos(np.pi * tone * np.arange(16_000)))[None]
    y = F.resample(x, full(x), rows([factor]), round(16_000 / factor), quality)[0, 400:-400]
    assert db(y.numpy().std() / x.numpy().std()) < -left_db


@pytest.mark.parametrize(("tone", "factor"), [(0.95, 0.9), (0.99, 0.8), (0.92, 1.1), (0.501, 2.0), (0.2505, 4.0)])
def test_high_quality_has_neither_images_nor_aliases(tone, factor):
    """What the output holds is the tone alone, or, where that lies beyond the Nyquist frequency, nothing."""
    x = tensor(np.cos(np.pi * tone * np.arange(32_000)))[None]
    y = F.resample(x, full(x), rows([factor]), round(32_000 / factor))[0].double().numpy()[400:-400]
    spectrum = np.abs(np.fft.rfft(y * np.blackman(len(y)))) / (0.21 * len(y))
    bins = np.linspace(0.0, 1.0, len(spectrum))
    assert db(spectrum[np.abs(bins - tone * factor) > 0.002].max()) < -75


def test_resampling_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"^resample: quality must be one of high, fast, got 'best'"):
        F.resample(torch.zeros(1, 4), torch.tensor([4]), rows([0.9]), 4, "best")
    for factor in (0.2, 5.0, 16.0, float("nan")):
        with pytest.raises(ValueError, match=r"^resample: factor must be within \[0.25, 4\], got "):
            F.resample(torch.zeros(1, 64_000), torch.tensor([64_000]), rows([factor]), 8_000)
    with pytest.raises(ValueError, match=r"^Speed: quality must be 'high' or 'fast', got 'best'"):
        sa.Speed(quality="best")


def test_speed_takes_the_quality_it_was_given():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2_000))).float()
    policies = [sa.Speed(factor=(0.9, 0.9), quality=quality) for quality in ("high", "fast")]
    for policy in policies:
        y, _ = policy(x, None, policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"])), sample_rate=SAMPLE_RATE)
        assert torch.equal(y, F.resample(x, full(x), rows([0.9]), 2_222, policy.quality))


def test_factor_one_is_exact_and_other_rows_do_not_care():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3_000))).float()
    y = F.resample(x, full(x), rows([1.0, 0.9]), 3_500)
    assert torch.equal(y[0, :3_000], x[0])
    assert not y[0, 3_000:].any()
    assert y[1, 3_332].abs() > 0
    assert not y[1, 3_333:].any()


def test_positions_stay_exact_over_a_minute():
    """A float32 position has lost 38 dB after 15 seconds; the last second must be as good as the first."""
    factor = 0.937
    x = tensor(np.sin(2.0 * np.arange(960_000)))[None]
    y = F.resample(x, full(x), rows([factor]), round(960_000 / factor))[0]
    first, last = (
        snr_db(y[span], np.sin(2.0 * span * factor)) for span in (np.arange(1_000, 21_000), np.arange(10**6, 1_020_000))
    )
    assert min(first, last) > 77
    assert abs(first - last) < 0.5


# Stretching


def test_stretch_keeps_pitch_and_level_of_tones():
    frequencies = [80.0, 110.0, 200.0, 440.0, 1_000.0, 2_500.0, 4_000.0]
    for rate in (0.5, 0.8, 0.937, 1.25, 2.0):
        x = tensor([harmonics(f, 1.5, top_hz=0) for f in frequencies])
        y = F.time_stretch(x, full(x), rows([rate] * 7), round(24_000 / rate), SAMPLE_RATE, "high")
        for row, f in enumerate(frequencies):
            inner = y[row, 1_000:-1_000].numpy()
            assert abs(cents(f0_hz(inner, f), f)) < 5, (rate, f)
            assert abs(db(inner.std() / x[row].numpy().std())) < 0.2, (rate, f)


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.937, 1.07, 1.25, 2.0])
def test_stretch_keeps_pitch_and_level_of_voices(rate):
    frequencies = [80.0, 95.0, 120.0, 190.0, 270.0, 400.0]
    x = tensor([harmonics(f, 1.5) for f in frequencies])
    y = F.time_stretch(x, full(x), rows([rate] * 6), round(24_000 / rate), SAMPLE_RATE, "high")
    for row, f in enumerate(frequencies):
        inner = y[row, 1_000:-1_000].numpy()
        assert abs(cents(f0_hz(inner, f), f)) < 5, f
        assert abs(cents(f0_hz(inner, 5 * f), 5 * f)) < 5, f
        assert abs(db(inner.std() / x[row].numpy().std())) < 0.5, f


def test_stretch_has_no_dip_at_either_end():
    x = tensor([harmonics(440.0, 0.8, top_hz=0)] * 4)
    ratios = [0.5, 0.8, 1.25, 2.0]
    lengths = F.scaled_lengths(full(x), rows(ratios))
    y = F.time_stretch(x, full(x), rows(ratios), int(lengths.max()), SAMPLE_RATE, "high")
    for row, length in enumerate(lengths.tolist()):
        for part in (y[row, :320], y[row, length - 320 : length]):
            assert abs(db(part.numpy().std() / x[row].numpy().std())) < 1.5


def test_stretch_by_nearly_one_gives_the_input_back():
    """Framing, windows and the normalised overlap-add cancel: what is left is the rate."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 8_000))).float()
    y = F.time_stretch(x, full(x), rows([1.0 + 1e-9]), 8_000, SAMPLE_RATE, "high")
    assert snr_db(y, x.numpy()) > 45  # 0.02 dB softer: the price of being stable where bins disagree
    assert torch.equal(F.time_stretch(x, full(x), rows([1.0]), 8_000, SAMPLE_RATE, "high"), x)


def test_stretch_stays_exact_over_a_minute():
    x = tensor((np.sin(0.3 * np.arange(960_000)) + 0.5 * np.sin(0.7 * np.arange(960_000)))[None], torch.float64)
    width = round(960_000 / 0.937)
    y, y32 = (F.time_stretch(z, full(z), rows([0.937]), width, SAMPLE_RATE, "high") for z in (x, x.float()))
    last = slice(width - 32_000, width)
    assert snr_db(y32[:, last], y[:, last].numpy()) > 90


def test_stretch_keeps_clicks():
    """A click lands where it belongs, within the accuracy promised, and stays a click: within 2 ms, 80 % of it."""
    rng, places = np.random.default_rng(2), []
    clicks = 0.001 * rng.standard_normal((4, 80_000))
    ratios = [0.8, 0.9, 1.1, 1.25]
    for row in clicks:
        places.append(np.arange(1, 19) * 4_000 + rng.integers(0, 2_000, 18))
        row[places[-1]] = 0.5
    y = F.time_stretch(tensor(clicks), torch.full((4,), 80_000), rows(ratios), 100_000, SAMPLE_RATE, "high").numpy()
    errors_ms, kept = [], []
    for row, rate in enumerate(ratios):
        for place in places[row]:
            expected = place / rate
            start = int(expected) - 1_200
            near = y[row, start : start + 2_400]
            peak = int(np.argmax(np.abs(near)))
            errors_ms.append(abs(start + peak - expected) / 16)
            kept.append((near[peak - 16 : peak + 17] ** 2).sum() / (near**2).sum())
    assert np.median(errors_ms) < 1.5
    assert max(errors_ms) < 3.0 < sa.TimeStretch(quality="high").time_accuracy_ms
    assert np.mean(kept) > 0.8


def test_stretch_keeps_the_stereo_image():
    """Channels are turned alike: a copy, 6 dB softer and 5 samples later, stays that."""
    noise = np.random.default_rng(0).standard_normal(16_005)
    x = tensor(np.stack([noise[5:], 0.5 * noise[:-5]]))[None]
    y = F.time_stretch(x, full(x), rows([1.2]), 13_333, SAMPLE_RATE, "high")[0].numpy()
    lag = int(np.argmax(np.abs(np.correlate(y[1], y[0, 50:-50], "valid")))) - 50
    assert lag == 5
    assert abs(db(y[1].std() / y[0].std()) + 6.02) < 0.1
    softer = F.time_stretch(
        x[:, :1] * torch.tensor([[[1.0], [0.25]]]), full(x), rows([1.2]), 13_333, SAMPLE_RATE, "high"
    )
    assert torch.allclose(softer[0, 1], 0.25 * softer[0, 0], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 32_768.0])
def test_stretch_does_not_depend_on_level(scale):
    x = tensor(harmonics(150.0, 0.4))[None]
    y, scaled = (F.time_stretch(z, full(z), rows([0.85]), 7_529, SAMPLE_RATE, "high") for z in (x, x * scale))
    assert torch.allclose(scaled / scale, y, atol=1e-4)


def test_pieces_of_a_voice_keep_pitch_level_and_smoothness():
    """The fast way: every partial within 5 cents, no step that the voice itself does not take."""
    frequencies = [80.0, 95.0, 120.0, 190.0, 270.0, 400.0]
    x = tensor([harmonics(f, 1.5, top_hz=3_500.0) for f in frequencies])
    for rate in (0.5, 0.8, 0.937, 1.07, 1.25, 2.0):
        y = F.time_stretch(x, full(x), rows([rate] * 6), round(24_000 / rate), SAMPLE_RATE)
        for row, f in enumerate(frequencies):
            inner = y[row, 1_000:-1_000].numpy()
            assert abs(cents(f0_hz(inner, f), f)) < 5, (rate, f)
            assert abs(cents(f0_hz(inner, 5 * f), 5 * f)) < 5, (rate, f)
            assert abs(db(inner.std() / x[row].numpy().std())) < 0.5, (rate, f)
            assert np.abs(np.diff(inner, 2)).max() < 1.3 * np.abs(np.diff(x[row].numpy(), 2)).max(), (rate, f)


def clicks(samples):
    """Where the third difference sticks out of its own level within 20 ms to each side, nine times over."""
    third = np.diff(np.asarray(samples, np.float64), 3)
    level = np.sqrt(np.convolve(third**2, np.ones(641) / 641, "same")) + 1e-5
    out = np.abs(third) > 9 * level
    return int((out[1:] & ~out[:-1]).sum())


SENTENCES = ["LJ050-0131.wav", "p286_011.wav"]


def mel_db(samples):
    import librosa

    samples = np.asarray(samples, np.float64)
    mel = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=512, hop_length=160, n_mels=40)
    return 10.0 * np.log10(mel + 1e-5)


def apart_db(samples, x, rate):
    """RMS difference of mel spectra to those of the speech itself at the stretched times."""
    after, before = mel_db(samples), mel_db(x)
    at = np.minimum(np.arange(after.shape[1]) * rate, before.shape[1] - 1)
    expected = np.stack([np.interp(at, np.arange(before.shape[1]), band) for band in before])
    return np.sqrt(np.mean((after - expected) ** 2))


@pytest.mark.global_rng  # audiomentations draws from it
@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("quality", ["fast", "high"])
@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_stretched_speech_has_its_spectrum_and_no_clicks(shared_data, rate, quality, sentence):
    """Half as far from the speech as librosa's, and about as near as Signalsmith's."""
    import audiomentations
    import librosa

    x = speech(shared_data, sentence)
    width = round(len(x) / rate)
    y = F.time_stretch(tensor(x)[None], torch.tensor([len(x)]), rows([rate]), width, SAMPLE_RATE, quality)[0].numpy()
    apart = apart_db(y, x, rate)
    assert apart < 0.5 * apart_db(librosa.effects.time_stretch(x, rate=rate), x, rate)
    assert clicks(y) <= clicks(x) + 2
    signalsmith = audiomentations.TimeStretch(rate, rate, leave_length_unchanged=False, p=1.0)
    peer = apart_db(signalsmith(x.astype(np.float32), SAMPLE_RATE), x, rate)
    assert apart < (1.0 if quality == "high" else 1.3) * peer


@pytest.mark.global_rng  # audiomentations draws from it
@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("quality", ["fast", "high"])
@pytest.mark.parametrize("semitones", [-4.0, 4.0])
def test_shifted_speech_has_its_spectrum_and_no_clicks(shared_data, semitones, quality, sentence):
    """Nearer to what Signalsmith makes of it than librosa's."""
    import audiomentations
    import librosa

    x = speech(shared_data, sentence)
    y = F.pitch_shift(tensor(x)[None], torch.tensor([len(x)]), rows([semitones]), SAMPLE_RATE, quality)[0].numpy()
    assert clicks(y) <= clicks(x) + 2
    signalsmith = audiomentations.PitchShift(semitones, semitones, p=1.0)(x.astype(np.float32), SAMPLE_RATE)
    peer = apart_db(librosa.effects.pitch_shift(x, sr=SAMPLE_RATE, n_steps=semitones), signalsmith, 1.0)
    assert apart_db(y, signalsmith, 1.0) < (0.5 if quality == "high" else 0.7) * peer


def test_another_quality_is_refused():
    with pytest.raises(ValueError, match=r"^TimeStretch: quality must be 'fast' or 'high', got 'best'"):
        sa.TimeStretch(quality="best")
    with pytest.raises(ValueError, match=r"^time_stretch: quality must be 'fast' or 'high', got 'best'"):
        F.time_stretch(torch.ones(1, 9), torch.tensor([9]), rows([0.9]), 10, SAMPLE_RATE, "best")


# Shifting


@pytest.mark.parametrize("shift", [0.0, 1.0, -1.0, 3.4, -3.6, 0.5, 1.5, 2.5, -0.5, 49.0, 50.0, 1e6, -1e6])
def test_shift_against_interpolation(shift):
    rng = np.random.default_rng(0)
    lengths = np.array([50, 31, 1, 0])
    x = rng.standard_normal((4, 50)) * (np.arange(50) < lengths[:, None])
    y = F.time_shift(torch.from_numpy(x), torch.from_numpy(lengths), rows([shift] * 4)).numpy()
    for row, length in enumerate(lengths):
        n = np.arange(length)
        expected = np.interp(n - round(shift), n, x[row, :length], left=0.0, right=0.0) if length else np.zeros(0)
        assert np.array_equal(y[row, :length], expected)
        assert not y[row, length:].any()


def test_each_row_and_every_channel_has_its_own_shift():
    x = torch.arange(1.0, 13.0).reshape(2, 2, 3)
    y = F.time_shift(x, full(x), rows([1.0, -1.0]))
    assert y.tolist() == [[[0, 1, 2], [0, 4, 5]], [[8, 9, 0], [11, 12, 0]]]


# What all of them share

EFFECTS = {
    "resample": lambda x, lengths, amount: F.resample(x, lengths, amount, round(x.shape[-1] / 0.7)),
    "time_stretch": lambda x, lengths, amount: F.time_stretch(x, lengths, amount, round(x.shape[-1] / 0.7), 8_000),
    "vocoder": lambda x, lengths, amount: F.time_stretch(x, lengths, amount, round(x.shape[-1] / 0.7), 8_000, "high"),
    "time_shift": lambda x, lengths, amount: F.time_shift(x, lengths, 500.0 * (amount - 1.0)),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_row_alone_is_the_row_in_the_batch(name):
    rng = np.random.default_rng(0)
    lengths = torch.tensor([6_000, 4_321, 777, 1, 0])
    x = tensor(rng.standard_normal((5, 2, 6_000))) * (torch.arange(6_000) < lengths[:, None, None])
    amount = rows([0.7, 0.937, 1.1, 0.8, 1.3])
    whole = EFFECTS[name](x, lengths, amount)
    for row, length in enumerate(lengths.tolist()):
        alone = EFFECTS[name](x[row : row + 1, :, :length], lengths[row : row + 1], amount[row : row + 1])
        width = alone.shape[-1]
        assert torch.allclose(alone[0], whole[row, :, :width], atol=5e-6)
        assert not whole[row, :, width:].any()


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("shape", [(0, 100), (2, 0), (2, 1), (3, 2, 1), (2, 3, 0), (2, 2_000)])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-8])
def test_degenerate_input_is_finite(name, shape, value):
    x = torch.full(shape, value)
    y = EFFECTS[name](x, full(x), torch.full(shape[:1], 0.9, dtype=torch.float64))
    assert y.shape[:-1] == x.shape[:-1]
    assert torch.isfinite(y).all()
    assert value != 0.0 or not y.any()


@pytest.mark.parametrize("name", EFFECTS)
def test_gradients_are_those_of_finite_differences(name):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 1, 24))).requires_grad_()
    lengths, amount = torch.tensor([24, 17]), rows([0.8, 1.2])
    effect = EFFECTS[name]
    if name in ("time_stretch", "vocoder"):  # short frames, so that there are several
        quality = "high" if name == "vocoder" else "fast"
        effect = lambda x, lengths, amount: F.time_stretch(x, lengths, amount, 30, 300, quality)  # noqa: E731
    assert torch.autograd.gradcheck(lambda x: effect(x, lengths, amount), x, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["Speed", "TimeStretch"])
def test_ranges_out_of_reach_are_refused(name):
    cls = sa.TRANSFORMS[name]
    field = "factor" if name == "Speed" else "rate"
    for bad in [(0.2, 1.0), (1.0, 4.5), (1.1, 0.9), (0.0, 1.0), (-1.0, 1.0)]:
        with pytest.raises(ValueError, match=rf"^{name}: {field} must be "):
            cls(**{field: bad})


@pytest.mark.parametrize(
    ("policy", "tolerance_ms"),
    [
        (sa.Speed(factor=(0.8, 1.25)), 0.1),
        (sa.TimeShift(shift_ms=(-90.0, 90.0)), 0.1),
        (sa.TimeStretch(rate=(0.8, 1.25)), 12.0),
        (sa.TimeStretch(rate=(0.8, 1.25), quality="high"), 3.0),
    ],
    ids=str,
)
def test_moments_are_where_warp_times_says(policy, tolerance_ms):
    """A short tone burst per row, found again at the middle of its energy."""
    ids = [f"utt-{row}" for row in range(12)]
    middles = np.linspace(0.3, 0.7, 12)
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    x = tensor([np.sin(6_000.0 * t) * np.exp(-(((t - middle) / 0.004) ** 2)) for middle in middles])
    draws = policy.sample(sa.Rng.from_ids(seed=3, epoch=0, ids=ids))
    y, _ = policy(x, None, draws, sample_rate=SAMPLE_RATE)
    expected = policy.warp_times(middles[:, None], full(x), draws, sample_rate=SAMPLE_RATE)[:, 0]
    energy = y.double().square()
    found = (energy * torch.arange(y.shape[-1])).sum(-1) / energy.sum(-1) / SAMPLE_RATE
    assert (1_000 * (found - expected)).abs().max() < tolerance_ms
    assert policy.time_accuracy_ms >= tolerance_ms


@pytest.mark.parametrize("quality", ["fast", "high"])
@pytest.mark.parametrize(
    "policy",
    [sa.TimeStretch(rate=(rate, rate)) for rate in (0.25, 0.5, 0.8, 1.25, 2.0)]
    + [sa.PitchShift(semitones=(shift, shift)) for shift in (-12.0, -3.0, 3.0, 12.0)],
    ids=str,
)
def test_no_moment_is_later_than_promised(policy, quality):
    """Bursts a quarter of a second apart, in noise 40 dB below."""
    policy = dataclasses.replace(policy, quality=quality)
    rng = np.random.default_rng(6)
    middles = np.arange(1, 19) * 4_000 + rng.integers(0, 2_000, (2, 18))
    away = np.arange(80_000) - middles[..., None]
    bursts = 0.5 * np.sin(0.375 * away) * np.exp(-((away / 64.0) ** 2))
    x = tensor(bursts.sum(1) + 0.001 * rng.standard_normal((2, 80_000)))
    draws = policy.sample(sa.Rng.from_ids(seed=3, epoch=0, ids=["a", "b"]))
    y, _ = policy(x, None, draws, sample_rate=SAMPLE_RATE)
    expected = policy.warp_times(middles / SAMPLE_RATE, full(x), draws, sample_rate=SAMPLE_RATE)
    reach = round(0.1 * SAMPLE_RATE * min(1.0, y.shape[-1] / 80_000))
    for row, moments in zip(y.numpy(), expected, strict=True):
        for moment in np.rint(moments.numpy() * SAMPLE_RATE).astype(int):
            near = row[moment - reach : moment + reach] ** 2
            found = np.argmax(np.convolve(near, np.hanning(200), "same")) - reach
            assert abs(found) / 16 < policy.time_accuracy_ms
