"""Formants by linear prediction and harmonics by FFT, on vowels made of a source and a filter; whispers by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import solve_toeplitz
from scipy.signal import find_peaks, lfilter, welch

import speechaug as sa
from speechaug import functional as F
from speechaug.functional.tract import _unwarped

RATE = 16_000
ALPHAS = [0.8, 0.9, 1.1, 1.25]
FORMANTS_HZ = {"a": (730, 1_090, 2_440), "i": (270, 2_290, 3_010), "e": (530, 1_840, 2_480)}


def tract(excitation, formants_hz):
    """Two formants above those named keep the spectrum from falling off a cliff; bandwidths grow with frequency."""
    for f in (*formants_hz, 3_500, 4_500):
        radius = np.exp(-np.pi * (60.0 + 0.03 * f) / RATE)
        excitation = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * f / RATE), radius**2], excitation)
    return torch.from_numpy(0.1 * excitation / excitation.std()).float()


def vowel(f0, formants_hz, seconds=1.0, glide=1.0, tilt=0.9):
    """Pulses that end ``glide`` times as high as they begin, through a falling source and the resonances of a mouth."""
    t = np.arange(round(seconds * RATE)) / RATE
    turns = f0 * (t + (glide - 1.0) * t * t / (2 * seconds))
    pulses = sum(np.cos(2 * np.pi * k * turns + k * k) for k in range(1, int(7_800 // (f0 * glide)) + 1))
    return tract(lfilter([1.0], [1.0, -tilt], pulses), formants_hz)


def resonances_hz(y, order=14):
    """Peaks of the spectrum that linear prediction finds."""
    inner = lfilter([1.0, -0.9], [1.0], y[2_000:-2_000].double().numpy())
    power = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), 2 * len(inner))) ** 2
    r = np.fft.irfft(power)[: order + 1] * np.exp(-0.5 * (2 * np.pi * 40 * np.arange(order + 1) / RATE) ** 2)
    predictor = np.concatenate([[1.0], -solve_toeplitz(r[:-1], r[1:])])
    return find_peaks(-np.abs(np.fft.rfft(predictor, 8_192)))[0] * RATE / 8_192


def periodicity(y, f0):
    """The highest peak of the normalised autocorrelation within 10 % of a period."""
    inner = y[2_000:-2_000].double().numpy()
    lags = range(int(0.9 * RATE / f0), int(1.1 * RATE / f0))
    return max(np.dot(inner[lag:], inner[:-lag]) / np.dot(inner, inner) for lag in lags)


def warped(x, alphas, lengths=None):
    lengths = torch.full((len(x),), x.shape[-1]) if lengths is None else lengths
    return F.vocal_tract_length(x, lengths, torch.tensor(alphas, dtype=torch.float64), RATE)


def whispered(x, amounts, lengths=None, seed=0):
    lengths = torch.full((len(x),), x.shape[-1]) if lengths is None else lengths
    key = torch.arange(seed, seed + len(x))
    return F.whisper(x, lengths, key, torch.tensor(amounts, dtype=torch.float64), RATE)


@pytest.mark.parametrize("f0", [100.0, 140.0])
def test_formants_move_by_alpha(f0):
    """Against the same voice through a mouth whose formants are there already, found by the same means."""
    off = []
    for formants_hz in FORMANTS_HZ.values():
        moved = warped(vowel(f0, formants_hz, glide=1.2).expand(len(ALPHAS), -1), ALPHAS)
        for alpha, y in zip(ALPHAS, moved, strict=True):
            ideal = resonances_hz(vowel(f0, [alpha * f for f in formants_hz], glide=1.2))
            found = resonances_hz(y)
            off.append([abs(found / ideal[abs(ideal - alpha * f).argmin()] - 1).min() for f in formants_hz])
    assert (np.median(off, axis=0) < [0.03, 0.01, 0.01]).all()
    assert np.max(off, axis=0)[1:].max() < 0.035


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_warp_is_that_of_the_paper(rate):
    """Each warped frequency, by the formula of Jaitly and Hinton, comes from the one it was."""
    half = rate / 2
    high = min(4_800.0, 0.85 * half)
    for alpha in (0.7, 0.9, 1.0, 1.1, 1.4):
        place = _unwarped(1_000, torch.tensor([alpha]).double(), rate)[0].numpy() * half / 1_000
        knee = high * min(alpha, 1) / alpha
        above = half - (half - high * min(alpha, 1)) / (half - knee) * (half - place)
        there = np.where(place <= knee, place * alpha, above)
        assert np.abs(there - np.arange(1_001) * half / 1_000).max() < 1e-6 * half


def test_pitch_stays():
    """A pitch tracker finds the same within 5 cents."""
    import librosa

    for f0 in (100.0, 200.0, 300.0):
        x = vowel(f0, FORMANTS_HZ["a"])
        for y in warped(x.expand(len(ALPHAS), -1), ALPHAS):
            tracked = librosa.yin(y.numpy(), fmin=70, fmax=450, sr=RATE, frame_length=1_024)[4:-4]
            assert np.abs(1_200 * np.log2(tracked / f0)).max() < 5


def test_partials_change_in_level_only():
    x = vowel(125.0, FORMANTS_HZ["e"])
    y = warped(x[None], [1.2])[0]
    inner = np.stack([z[4_000:12_000].double().numpy() for z in (x, y)])  # 62.5 periods are a whole number of bins
    power = np.abs(np.fft.rfft(inner * np.hanning(8_000))) ** 2
    near = np.abs((np.arange(power.shape[1]) * 2.0 + 62.5) % 125.0 - 62.5) <= 6.0
    assert power[1, ~near].sum() < 1e-3 * power[1].sum()


def test_neutral_is_exact():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 2, 3_000))).float()
    assert torch.equal(warped(x, [1.0, 1.0]), x)
    y, share = whispered(x, [0.0, 0.0])
    assert torch.equal(y, x)
    assert share.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", FORMANTS_HZ)
def test_whisper_has_no_pitch_and_the_same_vowel(name):
    """Against the same mouth driven by noise, in bands of 400 Hz; half of the voice correlates half as much."""
    x = vowel(100.0, FORMANTS_HZ[name], seconds=4.0, tilt=0.0)
    whole, half = whispered(x.expand(2, -1), [1.0, 0.5])[0]
    assert periodicity(x, 100.0) > 0.95
    assert periodicity(whole, 100.0) < 0.15
    assert abs(periodicity(half, 100.0) - 0.5) < 0.08
    ideal = tract(np.random.default_rng(1).standard_normal(len(x)), FORMANTS_HZ[name])
    hz, power = welch(torch.stack([whole, ideal]).double().numpy(), RATE, nperseg=1_024)
    bands = [power[:, (hz >= low) & (hz < low + 400)].mean(1) for low in range(200, 5_800, 400)]
    off = np.abs(10 * np.log10([a / b for a, b in bands]))
    assert off.mean() < 1.0
    assert off.max() < 2.0


def test_whisper_is_as_loud_and_says_how_much_is_noise():
    amounts = [0.2, 0.4, 0.6, 0.8, 1.0]
    x = vowel(110.0, FORMANTS_HZ["a"]).expand(5, -1) * torch.tensor([1.0, 0.1, 1e-3, 1.0, 3.0])[:, None]
    y, share = whispered(x, amounts)
    level = 10 * torch.log10(y.square().mean(1) / x.square().mean(1))
    assert level.abs().max() < 0.7
    assert np.abs(share.numpy() - amounts).max() < 0.05
    voice = (x * y).sum(1) / (x * x).sum(1)
    assert (voice - (1 - torch.tensor(amounts)).sqrt()).abs().max() < 0.05


def test_levels_follow_the_voice():
    """Half a second of a loud vowel, as much of silence and a soft one: each frame keeps its own level."""
    x = vowel(110.0, FORMANTS_HZ["a"], seconds=1.5)
    x = x * torch.tensor([1.0, 0.0, 0.01]).repeat_interleave(8_000)
    y = whispered(x[None], [1.0])[0][0]
    loud, silent, soft = (slice(start + 600, start + 7_400) for start in (0, 8_000, 16_000))
    for part in (loud, soft):
        assert abs(10 * torch.log10(y[part].square().mean() / x[part].square().mean())) < 1.0
    assert not y[silent].any()


def test_noise_is_the_row_s_own():
    x = vowel(110.0, FORMANTS_HZ["a"]).expand(2, -1)
    same, other = whispered(x, [1.0, 1.0])[0], whispered(x, [1.0, 1.0], seed=1)[0]
    assert torch.equal(same[1], other[0])
    assert (same[0] * same[1]).sum().abs() < 0.1 * same[0].square().sum()


def test_pure_tones_and_offsets_stay_finite():
    """What prediction knows completely, and one sample."""
    t = torch.arange(4_000)
    x = torch.stack([torch.sin(0.2 * t), torch.ones(4_000), (t == 0).float(), (-1.0) ** t, 1e-20 * torch.sin(t)])
    for y in (whispered(x, [1.0] * 5)[0], warped(x, [1.3] * 5)):
        assert torch.isfinite(y).all()
        assert (y.square().sum(1) <= 4 * x.square().sum(1)).all()


@pytest.mark.parametrize("effect", [warped, lambda *given: whispered(*given)[0]])
def test_gradient_reaches_the_input(effect):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 1_200)))
    x[1, 600:] = 0.0
    x[2] = 0.0
    lengths, towards = torch.tensor([1_200, 600, 1_200]), torch.linspace(-1.0, 1.0, 1_200).double()
    step = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 1_200))) * (x != 0)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad((effect(leaf, [0.9, 0.7, 0.8], lengths) * towards).sum(), leaf)
    ends = [(effect(x + sign * 1e-6 * step, [0.9, 0.7, 0.8], lengths) * towards).sum() for sign in (1, -1)]
    assert torch.isfinite(slope).all()
    assert abs((slope * step).sum() - (ends[0] - ends[1]) / 2e-6) < 1e-5 * abs((slope * step).sum())


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_other_rates(rate):
    """A tone keeps its pitch and the level of a whisper is that of the voice, whatever the rate."""
    x = 0.1 * torch.sin(torch.arange(rate) * (2 * torch.pi * 440 / rate))[None]
    lengths = torch.tensor([rate])
    y = F.vocal_tract_length(x, lengths, torch.tensor([1.2]), rate)
    assert int(torch.fft.rfft(y).abs().argmax()) == 440
    y, share = F.whisper(x, lengths, torch.tensor([3]), torch.tensor([1.0]), rate)
    assert abs(10 * torch.log10(y.square().mean() / x.square().mean())) < 1.5
    assert share.item() == 1.0


def test_ranges_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=r"^VocalTractLength: alpha must be at most 2, got \(1.0, 2.1\)"):
        sa.VocalTractLength(alpha=(1.0, 2.1))
    with pytest.raises(ValueError, match=r"^VocalTractLength: alpha must be at least 0.5"):
        sa.VocalTractLength(alpha=(0.4, 1.0))
    with pytest.raises(ValueError, match=r"^Whisper: amount must be at most 1, got"):
        sa.Whisper(amount=(0.0, 1.1))
    with pytest.raises(ValueError, match=r"^Whisper: amount must be at least 0, got"):
        sa.Whisper(amount=(-0.1, 1.0))
