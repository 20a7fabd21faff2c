"""Pitch against FFT peaks, clicks and a pitch tracker on real speech."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import soxr
import torch
from scipy.linalg import solve_toeplitz
from scipy.signal import find_peaks, lfilter

import speechaug as sa
from speechaug import functional as F
from speechaug import testing

SAMPLE_RATE = 16_000
SHIFTS = [-12.0, -3.0, -0.37, 0.5, 3.0, 12.0]


def f0_hz(y, near_hz):
    """The peak of a finely sampled spectrum near a frequency, refined by a parabola through its logarithm."""
    spectrum = np.abs(np.fft.rfft(np.asarray(y, np.float64) * np.hanning(len(y)), 8 * len(y)))
    bin_hz = SAMPLE_RATE / (8 * len(y))
    low, high = int(0.96 * near_hz / bin_hz), int(1.04 * near_hz / bin_hz)
    peak = low + int(np.argmax(spectrum[low:high]))
    a, b, c = np.log(spectrum[peak - 1 : peak + 2])
    return (peak + 0.5 * (a - c) / (a - 2 * b + c)) * bin_hz


def voices(frequencies, partials, seconds=1.5):
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    waves = [sum(np.sin(2 * np.pi * f * k * t + k * k) / k for k in range(1, partials + 1)) for f in frequencies]
    return torch.from_numpy(0.3 * np.stack(waves)).float()


def shift(x, semitones, lengths=None, quality="high", keep_formants=False):
    lengths = torch.full((len(x),), x.shape[-1]) if lengths is None else lengths
    semitones = torch.tensor(semitones, dtype=torch.float64)
    return F.pitch_shift(x, lengths, semitones, SAMPLE_RATE, quality, keep_formants)


@pytest.mark.parametrize("f0", [110.0, 200.0, 440.0, 1_000.0, 3_000.0])
def test_tones_move_by_the_semitones_asked_for(f0):
    x = voices([f0], 1).expand(len(SHIFTS), -1)
    y = shift(x, SHIFTS)
    assert y.shape == x.shape
    for row, semitones in enumerate(SHIFTS):
        inner, expected = y[row, 1_000:-1_000].numpy(), f0 * 2 ** (semitones / 12)
        assert abs(1_200 * np.log2(f0_hz(inner, expected) / expected)) < 5
        assert abs(20 * np.log10(inner.std() / x[row].numpy().std())) < 0.2


@pytest.mark.parametrize("quality", ["fast", "high"])
@pytest.mark.parametrize("semitones", SHIFTS)
def test_every_partial_of_a_voice_moves_alike(semitones, quality):
    frequencies = [80.0, 120.0, 190.0, 300.0]
    x = voices(frequencies, 10)
    y = shift(x, [semitones] * 4, quality=quality)
    for row, f0 in enumerate(frequencies):
        inner = y[row, 1_000:-1_000].numpy()
        for partial in (1, 2, 5, 10):
            expected = partial * f0 * 2 ** (semitones / 12)
            assert abs(1_200 * np.log2(f0_hz(inner, expected) / expected)) < 5
        assert abs(20 * np.log10(inner.std() / x[row].numpy().std())) < 0.5


def test_what_would_leave_the_band_vanishes():
    y = shift(voices([5_000.0], 1), [12.0])[0, 1_000:-1_000].numpy()
    assert y.std() < 1e-4


@pytest.mark.parametrize("quality", ["fast", "high"])
def test_median_pitch_of_speech_moves(shared_data, quality):
    """Each voiced frame of YIN before and after, in semitones."""
    import librosa

    folder = shared_data / "speech"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} is absent")
    samples, rate = soundfile.read(folder / "LJ050-0131.wav")
    x = torch.from_numpy(soxr.resample(samples, rate, SAMPLE_RATE)[: 3 * SAMPLE_RATE]).float()
    asked = [0.0, -4.0, -1.5, 2.0, 4.0]
    y = shift(x.expand(len(asked), -1), asked, quality=quality).numpy()

    def pitch(z):
        return librosa.yin(z, fmin=80, fmax=500, sr=SAMPLE_RATE, frame_length=1_024)

    level = librosa.feature.rms(y=y[0], frame_length=1_024, hop_length=256)[0]
    loud = level > 0.5 * level.max()
    assert loud.sum() > 30
    for row, semitones in enumerate(asked):
        moved = 12 * np.log2(pitch(y[row]) / pitch(y[0]))
        assert abs(np.median(moved[loud]) - semitones) < 0.15


@pytest.mark.parametrize("keep_formants", [False, True])
@pytest.mark.parametrize("quality", ["fast", "high"])
def test_nothing_is_exact(quality, keep_formants):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 2, 3_000))).float()
    assert torch.equal(shift(x, [0.0, 0.0], None, quality, keep_formants), x)


@pytest.mark.parametrize("quality", ["fast", "high"])
@pytest.mark.parametrize("semitones", [-24.0, -7.3, -0.01, 0.01, 5.5, 24.0])
def test_length_is_kept_and_filled_to_its_end(semitones, quality):
    lengths = torch.tensor([4_000, 3_331, 3_332, 1, 0])
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 4_000))).float()
    x = x * (torch.arange(4_000) < lengths[:, None])
    y = shift(x, [semitones] * 5, lengths, quality)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    for row, length in enumerate(lengths.tolist()):
        assert not y[row, length:].any()
        if length > 1:
            assert y[row, length - 80 : length].abs().max() > 0.05


def test_clicks_stay_in_time():
    rng = np.random.default_rng(2)
    places = np.arange(1, 19) * 4_000 + rng.integers(0, 2_000, 18)
    clicks = 0.001 * rng.standard_normal(80_000)
    clicks[places] = 0.5
    asked = [-3.0, -1.0, 1.0, 3.0]
    y = shift(torch.from_numpy(clicks).float().expand(4, -1), asked).numpy()
    late = [np.argmax(np.abs(row[place - 1_200 : place + 1_200])) - 1_200 for row in y for place in places]
    errors_ms = np.abs(late) / 16
    assert np.median(errors_ms) < 1.5
    assert max(errors_ms) < 3.5 < sa.PitchShift(quality="high").time_accuracy_ms


def test_a_row_alone_is_the_row_in_the_batch():
    """Rounding of the first resampling is amplified where the bins of noise disagree: some 20 times."""
    lengths = torch.tensor([6_000, 4_321, 777, 1])
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 2, 6_000))).float()
    x = x * (torch.arange(6_000) < lengths[:, None, None])
    asked = [-2.5, 3.0, 0.7, -5.0]
    whole = shift(x, asked, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = shift(x[row : row + 1, :, :length], asked[row : row + 1], lengths[row : row + 1])
        assert torch.allclose(alone[0], whole[row, :, :length], atol=1e-4)


@pytest.mark.parametrize("keep_formants", [False, True])
@pytest.mark.parametrize("quality", ["fast", "high"])
def test_gradient_reaches_the_input(quality, keep_formants):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 24))).requires_grad_()
    lengths, asked = torch.tensor([24, 17]), torch.tensor([-3.0, 2.0], dtype=torch.float64)

    def effect(x):
        return F.pitch_shift(x, lengths, asked, 400, quality, keep_formants)

    assert torch.autograd.gradcheck(effect, x, atol=1e-6, rtol=1e-3)


# Formants

FORMANTS_HZ = {"a": (730, 1_090, 2_440), "i": (270, 2_290, 3_010), "u": (300, 870, 2_240)}


def vowel(f0, formants_hz, seconds=0.8):
    """Partials of equal height through a falling source and the resonances of a mouth: the ideal at any pitch."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    x = sum(np.cos(2 * np.pi * f0 * k * t + k * k) for k in range(1, int(7_800 // f0) + 1))
    x = lfilter([1.0], [1.0, -0.9], x)
    for f in formants_hz:
        radius = np.exp(-np.pi * 90.0 / SAMPLE_RATE)
        x = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * f / SAMPLE_RATE), radius**2], x)
    return torch.from_numpy(0.5 * x / np.abs(x).max()).float()


def partials_db(y, f0, top_hz=4_000.0):
    inner = y[2_000:-2_000].double().numpy()
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner))))
    hz = np.arange(len(spectrum)) * SAMPLE_RATE / len(inner)
    return np.array([20 * np.log10(spectrum[np.abs(hz - f0 * k) < 12].max()) for k in range(1, int(top_hz // f0) + 1)])


def resonances_hz(y, order=12):
    """Peaks of the spectrum that linear prediction finds."""
    inner = lfilter([1.0, -0.9], [1.0], y[2_000:-2_000].double().numpy())
    power = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), 2 * len(inner))) ** 2
    r = np.fft.irfft(power)[: order + 1] * np.exp(-0.5 * (2 * np.pi * 40 * np.arange(order + 1) / SAMPLE_RATE) ** 2)
    predictor = np.concatenate([[1.0], -solve_toeplitz(r[:-1], r[1:])])
    return find_peaks(-np.abs(np.fft.rfft(predictor, 8_192)))[0] * SAMPLE_RATE / 8_192


@pytest.mark.parametrize("name", FORMANTS_HZ)
def test_formants_stay_where_the_pitch_moves(name):
    """Against the same mouth at the new pitch: partials some 3 dB off, 8 and more where formants move along."""
    errors, kept, moved = [], [], []
    for f0 in (100.0, 200.0):
        x = vowel(f0, FORMANTS_HZ[name])
        for semitones in (-4.0, 3.0):
            new_f0 = f0 * 2 ** (semitones / 12)
            ideal = vowel(new_f0, FORMANTS_HZ[name])
            y = shift(x[None], [semitones], None, "fast", True)[0]
            assert abs(1_200 * np.log2(f0_hz(y[2_000:-2_000], new_f0) / new_f0)) < 5
            found = resonances_hz(y)
            errors += [abs(found - f).min() / f for f in resonances_hz(ideal)[:3]]
            for z, apart in ((y, kept), (shift(x[None], [semitones], None, "fast")[0], moved)):
                off = partials_db(z, new_f0) - partials_db(ideal, new_f0)
                apart.append((off - np.median(off)).std())
    assert np.median(errors) < 0.05
    assert np.mean(kept) < 0.6 * np.mean(moved)


@pytest.mark.parametrize("policy", [sa.PitchShift(quality="high"), sa.PitchShift(keep_formants=True)], ids=str)
@pytest.mark.parametrize(
    "check",
    [
        testing.check_channels_share,
        testing.check_padding,
        testing.check_degenerate,
        testing.check_row_alone,
        testing.check_no_host_read,
        testing.check_fixed_shapes,
        testing.check_compiles,
        testing.check_round_trips,
    ],
)
def test_every_way_keeps_the_contract(policy, check):
    check(policy)


def test_configurations_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=r"^PitchShift: quality must be 'fast' or 'high', got 'low'"):
        sa.PitchShift(quality="low")
    with pytest.raises(ValueError, match=r"^PitchShift: keep_formants must be True or False, got 1"):
        sa.PitchShift(keep_formants=1)


def test_ranges_out_of_reach_are_refused():
    for bad in [(-25.0, 0.0), (0.0, 24.5), (2.0, 1.0), (0.0, float("nan"))]:
        with pytest.raises(ValueError, match=r"^PitchShift: semitones must be "):
            sa.PitchShift(semitones=bad)
