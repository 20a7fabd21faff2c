"""Pitch against FFT peaks, clicks and a pitch tracker on real speech."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import soxr
import torch

import speechaug as sa
from speechaug import functional as F

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


def shift(x, semitones, lengths=None):
    lengths = torch.full((len(x),), x.shape[-1]) if lengths is None else lengths
    return F.pitch_shift(x, lengths, torch.tensor(semitones, dtype=torch.float64), SAMPLE_RATE)


@pytest.mark.parametrize("f0", [110.0, 200.0, 440.0, 1_000.0, 3_000.0])
def test_tones_move_by_the_semitones_asked_for(f0):
    x = voices([f0], 1).expand(len(SHIFTS), -1)
    y = shift(x, SHIFTS)
    assert y.shape == x.shape
    for row, semitones in enumerate(SHIFTS):
        inner, expected = y[row, 1_000:-1_000].numpy(), f0 * 2 ** (semitones / 12)
        assert abs(1_200 * np.log2(f0_hz(inner, expected) / expected)) < 5
        assert abs(20 * np.log10(inner.std() / x[row].numpy().std())) < 0.2


@pytest.mark.parametrize("semitones", SHIFTS)
def test_every_partial_of_a_voice_moves_alike(semitones):
    frequencies = [80.0, 120.0, 190.0, 300.0]
    x = voices(frequencies, 10)
    y = shift(x, [semitones] * 4)
    for row, f0 in enumerate(frequencies):
        inner = y[row, 1_000:-1_000].numpy()
        for partial in (1, 2, 5, 10):
            expected = partial * f0 * 2 ** (semitones / 12)
            assert abs(1_200 * np.log2(f0_hz(inner, expected) / expected)) < 5
        assert abs(20 * np.log10(inner.std() / x[row].numpy().std())) < 0.5


def test_what_would_leave_the_band_vanishes():
    y = shift(voices([5_000.0], 1), [12.0])[0, 1_000:-1_000].numpy()
    assert y.std() < 1e-4


def test_median_pitch_of_speech_moves(shared_data):
    """Each voiced frame of YIN before and after, in semitones."""
    import librosa

    folder = shared_data / "speech"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} is absent")
    samples, rate = soundfile.read(folder / "LJ050-0131.wav")
    x = torch.from_numpy(soxr.resample(samples, rate, SAMPLE_RATE)[: 3 * SAMPLE_RATE]).float()
    asked = [0.0, -4.0, -1.5, 2.0, 4.0]
    y = shift(x.expand(len(asked), -1), asked).numpy()

    def pitch(z):
        return librosa.yin(z, fmin=80, fmax=500, sr=SAMPLE_RATE, frame_length=1_024)

    level = librosa.feature.rms(y=y[0], frame_length=1_024, hop_length=256)[0]
    loud = level > 0.5 * level.max()
    assert loud.sum() > 30
    for row, semitones in enumerate(asked):
        moved = 12 * np.log2(pitch(y[row]) / pitch(y[0]))
        assert abs(np.median(moved[loud]) - semitones) < 0.15


def test_nothing_is_exact():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 2, 3_000))).float()
    assert torch.equal(shift(x, [0.0, 0.0]), x)


@pytest.mark.parametrize("semitones", [-24.0, -7.3, -0.01, 0.01, 5.5, 24.0])
def test_length_is_kept_and_filled_to_its_end(semitones):
    lengths = torch.tensor([4_000, 3_331, 3_332, 1, 0])
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 4_000))).float()
    x = x * (torch.arange(4_000) < lengths[:, None])
    y = shift(x, [semitones] * 5, lengths)
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
    assert max(errors_ms) < 3.5 < sa.PitchShift.time_accuracy_ms


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


def test_gradient_reaches_the_input():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 40))).requires_grad_()
    lengths, asked = torch.tensor([40, 33]), torch.tensor([-3.0, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: F.pitch_shift(x, lengths, asked, 400), x, atol=1e-6, rtol=1e-4)


def test_ranges_out_of_reach_are_refused():
    for bad in [(-25.0, 0.0), (0.0, 24.5), (2.0, 1.0), (0.0, float("nan"))]:
        with pytest.raises(ValueError, match=r"^PitchShift: semitones must be "):
            sa.PitchShift(semitones=bad)
