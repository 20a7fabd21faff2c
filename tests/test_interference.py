"""Babble, speech-shaped noise, hum and impulses against NumPy, a published table and what Poisson processes do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug import functional as F
from speechaug.banks import LOOP_FADE_S

RATE = 16_000

# Byrne et al. 1994, table II, women and men, all languages: third-octave levels for 70 dB in all.
LTASS = {
    100: 54.4, 125: 57.7, 160: 56.8, 200: 60.2, 250: 60.3, 315: 59.0, 400: 62.1, 500: 62.1, 630: 60.5, 800: 56.8,
    1_000: 53.7, 1_250: 53.0, 1_600: 52.0, 2_000: 48.7, 2_500: 48.1, 3_150: 46.8, 4_000: 45.6, 5_000: 44.5, 6_300: 44.3,
}  # fmt: skip


def rng(rows: int, seed: int = 1) -> sa.Rng:
    return sa.Rng.from_ids(seed=seed, epoch=0, ids=[f"utt-{row}" for row in range(rows)])


def speech(channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Bursts of different loudness and length, zero beyond."""
    lengths = torch.tensor([32_000, 25_001, 9_000, 20_000])
    loudness = np.array([0.1, 0.01, 0.6, 0.002])[:, None, None]
    bursts = np.sin(2.0 * np.pi * 1.3 * np.arange(32_000) / RATE) > 0.3
    x = np.random.default_rng(4).standard_normal((4, channels, 32_000)) * loudness * bursts
    x[np.arange(32_000)[None, None].repeat(4, 0).repeat(channels, 1) >= lengths.numpy()[:, None, None]] = 0.0
    return torch.from_numpy(x).float(), lengths


def talkers(count: int = 9, seconds: float = 3.0) -> list[np.ndarray]:
    """Clips of different loudness."""
    generator = np.random.default_rng(8)
    return [generator.standard_normal(int(seconds * RATE)) * 0.3 / (1 + number) for number in range(count)]


def measured_snr_db(x: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> np.ndarray:
    """Ratio of powers by its definition, from what was added; nothing may be beyond the lengths."""
    ratios = []
    for clean, noisy, length in zip(x.double().numpy(), y.double().numpy(), lengths.tolist(), strict=True):
        assert not noisy[..., length:].any()
        added = (noisy - clean)[..., :length]
        ratios.append(10.0 * np.log10(np.mean(clean[..., :length] ** 2) / np.mean(added**2)))
    return np.array(ratios)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", ["AddBabble", "AddSpeechShapedNoise", "AddHum"])
def test_mixture_has_the_ratio_asked_for(kind: str, channels: int) -> None:
    bank = {"bank": sa.Bank.from_arrays(talkers(), sample_rate=RATE)} if kind == "AddBabble" else {}
    transform = getattr(sa, kind)(snr_db=(-5.0, 20.0), **bank)
    x, lengths = speech(channels)
    draws = transform.sample(rng(4))
    out = transform.run(x, lengths, draws, sample_rate=RATE)
    assert measured_snr_db(x, out.x, lengths) == pytest.approx(draws.values["snr_db"], abs=0.1)
    assert out.extras["snr_db"].numpy() == pytest.approx(draws.values["snr_db"], abs=1e-6)


def test_babble_is_the_sum_of_its_talkers_at_equal_level() -> None:
    clips = talkers(seconds=6.0)
    transform = sa.AddBabble(bank=sa.Bank.from_arrays(clips, sample_rate=RATE), talkers=(2, 5), snr_db=(0.0, 0.0))
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((12, 8_000)) * 0.1).float()
    draws = transform.sample(rng(12))
    y, _ = transform(x, None, draws, sample_rate=RATE)
    period = len(clips[0]) - int(LOOP_FADE_S * RATE)
    checked = 0
    for row, count in enumerate(draws.values["talkers"]):
        starts = [int(offset * period) for offset in draws.values["offset"][row, :count]]
        if min(starts) < 200 or max(starts) > period - 8_000:
            continue  # not here: a clip that starts again
        chosen = [clips[clip] for clip in draws.values["clip"][row, :count]]
        expected = sum(
            clip[start : start + 8_000] / np.sqrt(np.mean(clip**2)) for clip, start in zip(chosen, starts, strict=True)
        )
        added = (y - x)[row].double().numpy()
        scale = added @ expected / (expected @ expected)
        assert np.abs(added - scale * expected).max() < 2e-3 * np.abs(added).max()
        checked += 1
    assert checked >= 3
    assert set(draws.values["talkers"]) == {2, 3, 4, 5}


def test_one_talker_competes() -> None:
    tones = [0.2 * np.sin(2 * np.pi * f * np.arange(RATE) / RATE) for f in (300.0, 700.0, 1_100.0)]
    transform = sa.AddBabble(bank=sa.Bank.from_arrays(tones, sample_rate=RATE), talkers=(1, 1), snr_db=(0.0, 0.0))
    x = torch.zeros(8, RATE)
    draws = transform.sample(rng(8))
    y, _ = transform(x, None, draws, sample_rate=RATE)
    loudest = np.abs(np.fft.rfft(y.numpy())).argmax(axis=1)
    assert loudest == pytest.approx(np.array([300, 700, 1_100])[draws.values["clip"][:, 0]], abs=1)
    assert np.sqrt(np.mean(y.numpy() ** 2, axis=1)) == pytest.approx(np.full(8, 10 ** (-26 / 20)), rel=1e-3)


def test_babble_replays_from_plain_data() -> None:
    transform = sa.AddBabble(bank=sa.Bank.from_arrays(talkers(), sample_rate=RATE))
    draws = transform.sample(rng(3))
    assert transform.replay(draws.to_dict()) == draws
    spoiled = draws.to_dict()
    spoiled["clip"][0][0] = "unknown"
    with pytest.raises(ValueError, match=r"clip must be one of the bank's hashes, got \['unknown'\]"):
        transform.replay(spoiled)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_speech_shaped_noise_has_the_published_spectrum(rate: int) -> None:
    noise = F.speech_shaped_noise(torch.arange(4), 30 * rate, rate).double().numpy()
    power = np.mean(np.abs(np.fft.rfft(noise)) ** 2, axis=0)
    frequency_hz = np.fft.rfftfreq(noise.shape[1], 1 / rate)
    excess = []
    for centre, level_db in LTASS.items():
        low, high = centre * 2 ** (-1 / 6), centre * 2 ** (1 / 6)
        if high < rate / 2:
            inside = (frequency_hz >= low) & (frequency_hz < high)
            excess.append(10 * np.log10(power[inside].sum()) - level_db)
    assert len(excess) > 15
    assert np.abs(np.array(excess) - np.median(excess)).max() < 1.0
    assert noise.var() == pytest.approx(1.0, abs=0.05)


def test_speech_shaped_noise_depends_on_key_and_place_alone() -> None:
    keys = torch.tensor([5, -7])
    wide = F.speech_shaped_noise(keys, 40_000, RATE)
    assert torch.allclose(F.speech_shaped_noise(keys, 9_000, RATE), wide[:, :9_000], atol=1e-5)
    assert torch.allclose(F.speech_shaped_noise(keys[1:], 40_000, RATE), wide[1:], atol=1e-5)
    assert abs(np.corrcoef(wide.numpy())[0, 1]) < 0.1
    level = wide.reshape(2, 20, 2_000).square().mean(-1).sqrt()
    assert bool((level > 0.6).all()), "as loud at its beginning as later"


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_hum_is_the_mains_and_its_harmonics(mains_hz: float) -> None:
    transform = sa.AddHum(mains_hz=(mains_hz,), snr_db=(10.0, 10.0))
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((3, RATE)) * 0.1).double()
    draws = transform.sample(rng(3))
    y, _ = transform(x, None, draws, sample_rate=RATE)
    amplitude = np.abs(np.fft.rfft((y - x).numpy())) * 2 / RATE  # one bin a hertz
    lines = (mains_hz * np.arange(1, 12)).astype(int)
    relative = 20 * np.log10(amplitude[:, lines] / amplitude[:, lines[:1]])
    drawn = draws.values["level_db"]
    assert relative == pytest.approx(drawn - drawn[:, :1], abs=1e-6)
    amplitude[:, lines] = 0.0
    assert amplitude.max() < 1e-9
    assert np.ptp(drawn + 20 * np.log10(np.arange(1, 12))) <= 12.0


def test_hum_leaves_out_what_would_alias() -> None:
    tone = F.hum(torch.tensor([60.0]), torch.zeros(1, 11), torch.zeros(1, 11), 8_000, 800)
    amplitude = np.abs(np.fft.rfft(tone.numpy()[0])) / 4_000
    assert np.flatnonzero(amplitude > 1e-6).tolist() == [600 * k for k in range(1, 7)]


def test_hum_chooses_both_mains_and_stays_in_phase_for_long() -> None:
    drawn = sa.AddHum().sample(rng(200)).values["frequency_hz"]
    assert 60 < (drawn == 50.0).sum() < 140
    assert set(drawn) == {50.0, 60.0}
    size = 600 * RATE
    tone = F.hum(torch.tensor([60.0]), torch.zeros(1, 1), torch.tensor([[0.25]]), size, RATE)[0, -1_000:].numpy()
    t = np.arange(size - 1_000, size) / RATE
    assert np.abs(tone - np.sin(2 * np.pi * (60.0 * t + 0.25))).max() < 1e-8


def test_impulses_come_as_a_poisson_process() -> None:
    rows, seconds, rate_per_s = 150, 3, 4.0
    transform = sa.AddImpulses(rate_per_s=(rate_per_s, rate_per_s), decay_ms=(1.0, 1.0))
    lengths = torch.full((rows,), seconds * RATE)
    lengths[0] = RATE
    x = torch.zeros(rows, seconds * RATE)
    out = transform.run(x, lengths, transform.sample(rng(rows)), sample_rate=RATE)
    counts = out.extras["impulses_per_s"].numpy()[1:] * seconds
    assert counts == pytest.approx(counts.round(), abs=1e-9)
    # Mean and variance of a Poisson distribution are equal; four standard errors.
    assert counts.mean() == pytest.approx(12.0, abs=4 * np.sqrt(12.0 / rows))
    assert counts.var() == pytest.approx(12.0, rel=4 * np.sqrt(2.0 / rows))
    # As many as one hears: milliseconds a thousand times as loud as the one before; some come too soon after another.
    energy = (out.x.double().numpy()[1:].reshape(rows - 1, -1, 16) ** 2).sum(axis=2) + 1e-12
    onsets = (energy[:, 1:] > 1e3 * energy[:, :-1]).sum()
    assert 0.93 * counts.sum() <= onsets <= counts.sum()
    assert not out.x[0, RATE:].any()


def test_impulses_decay_exponentially() -> None:
    transform = sa.AddImpulses(rate_per_s=(0.5, 0.5), decay_ms=(20.0, 20.0), level_db=(0.0, 0.0))
    x = torch.zeros(200, 2 * RATE, dtype=torch.float64)
    out = transform.run(x, None, transform.sample(rng(200)), sample_rate=RATE)
    once = out.x[out.extras["impulses_per_s"] == 0.5].numpy()
    pieces = []
    for row in once:
        start = int(np.flatnonzero(row)[0])
        if start + 3_200 < len(row):
            pieces.append(row[start : start + 3_200] ** 2 / np.sum(row**2))
    assert len(pieces) > 40
    # The energy of noise that falls to 1/e in 20 ms falls to 1/e in 10 ms.
    blocks = np.mean(pieces, axis=0).reshape(-1, 160).sum(axis=1)
    slope = np.polyfit(np.arange(10) * 0.01, np.log(blocks[:10]), 1)[0]
    assert -1.0 / slope == pytest.approx(0.010, rel=0.08)


def test_impulses_are_as_loud_as_asked() -> None:
    transform = sa.AddImpulses(rate_per_s=(20.0, 20.0), level_db=(-12.0, 6.0))
    x, lengths = speech(2)
    x[3] = 0.0
    draws = transform.sample(rng(4))
    y, _ = transform(x, lengths, draws, sample_rate=RATE)
    added = (y - x).abs().amax(dim=(1, 2)).numpy()
    peak = x.abs().amax(dim=(1, 2)).numpy()
    peak[3] = 10 ** (-12 / 20)
    assert 20 * np.log10(added / peak) == pytest.approx(draws.values["level_db"], abs=1e-3)
    assert torch.allclose((y - x)[:, 0], (y - x)[:, 1], atol=1e-6)
    quiet = sa.AddImpulses(rate_per_s=(0.0, 0.0))
    assert torch.equal(quiet(x, lengths, quiet.sample(rng(4)), sample_rate=RATE)[0], x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda bank: sa.AddBabble(bank=bank, talkers=(0, 3)), r"AddBabble: talkers must be .* got \(0, 3\)"),
        (lambda bank: sa.AddBabble(bank=bank, talkers=(1.0, 3.0)), "AddBabble: talkers must be"),
        (lambda bank: sa.AddBabble(bank=bank, reference="peak"), "AddBabble: reference must be"),
        (lambda bank: sa.AddHum(mains_hz=()), "AddHum: mains_hz must be"),
        (lambda bank: sa.AddHum(harmonics=-1), "AddHum: harmonics must be"),
        (lambda bank: sa.AddImpulses(decay_ms=(0.0, 1.0)), "AddImpulses: decay_ms must be"),
        (lambda bank: sa.AddImpulses(rate_per_s=(-1.0, 1.0)), "AddImpulses: rate_per_s must be"),
        (lambda bank: sa.AddSpeechShapedNoise(reference="loud"), "AddSpeechShapedNoise: reference must be"),
    ],
)
def test_bad_configurations_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(sa.Bank.from_arrays(talkers(1), sample_rate=RATE))
