"""Codecs against their standards, soxr, and files written and read in the test."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

import speechaug as sa
from speechaug import _torchaudio
from speechaug import functional as F
from speechaug.functional import codec
from speechaug.graph import CapturedPolicy
from speechaug.testing import check_transform

RATE = 16_000
CODED = [("mp3", 8), ("mp3", 16), ("mp3", 32), ("mp3", 64), ("opus", 6), ("opus", 24)]
SPEECH = sorted((Path(__file__).parents[1] / "fixtures" / "speech").glob("*.flac"))


def _speech(rate: int = RATE, seconds: float = 4.0) -> np.ndarray:
    """Several voices, one after the other."""
    voices = itertools.chain.from_iterable(soundfile.read(path, dtype="float32")[0] for path in SPEECH[::5])
    x = np.fromiter(itertools.islice(voices, int(RATE * seconds)), np.float32)
    return x if rate == RATE else soxr.resample(x, RATE, rate)


def _batch(samples: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(samples)[None], torch.tensor([len(samples)])


def _db(ratio: float) -> float:
    return float(10 * np.log10(ratio + 1e-30))


def _band_energy(x: np.ndarray, low_hz: float, high_hz: float, rate: int) -> float:
    power = np.abs(np.fft.rfft(x)) ** 2
    hz = np.fft.rfftfreq(len(x), 1 / rate)
    return float(power[(hz >= low_hz) & (hz < high_hz)].sum())


def _delay_ms(x: np.ndarray, y: np.ndarray, rate: int) -> float:
    """Where the cross-correlation is largest, to a quarter of a sample."""
    size = 2 * len(x)
    spectrum = np.fft.rfft(y, size) * np.conj(np.fft.rfft(x, size))
    peak = int(np.argmax(np.fft.irfft(spectrum, 4 * size)))
    return (peak if peak < 2 * size else peak - 4 * size) / 4 / rate * 1_000


# Mu-law


def _g711(x: np.ndarray) -> np.ndarray:
    """Encode and decode by the segments of ITU-T G.711, table 2: 14 bits, bias 33."""
    magnitude = np.minimum(np.abs(x) * 8_159, 8_158).astype(int) + 33
    segment = np.floor(np.log2(magnitude)).astype(int) - 5
    interval = (magnitude >> (segment + 1)) & 15
    return np.sign(x) * ((2 * interval + 33) * 2**segment - 33) / 8_159


def test_mu_law_is_as_good_as_g711_at_every_level():
    x = np.sin(np.arange(40_000) * 0.4007)
    for level_db in (0, -10, -20, -30, -40):
        scaled = x * 10 ** (level_db / 20)
        ours = F.mu_law(torch.from_numpy(scaled)[None], torch.tensor([8.0]))[0].numpy()
        snr, standard = (_db(np.mean(scaled**2) / np.mean((y - scaled) ** 2)) for y in (ours, _g711(scaled)))
        assert snr > standard - 1.0
        assert snr > (33 if level_db >= -30 else 27), "the mask of ITU-T G.712"


@pytest.mark.parametrize("bits", [2.0, 3.0, 4.5, 6.0, 8.0])
def test_mu_law_rounds_to_the_nearest_step_of_the_formula(bits):
    x = np.linspace(-1.2, 1.2, 10_001)
    y = F.mu_law(torch.from_numpy(x)[None], torch.tensor([bits]))[0].numpy()
    steps = 2 ** (bits - 1) - 1
    curve, rounded = (np.sign(v) * np.log1p(255 * np.abs(v)) / np.log(256) for v in (np.clip(x, -1, 1), y))
    assert np.abs(curve - rounded).max() <= 0.5 / steps + 1e-9
    assert len(np.unique(np.rint(rounded * steps))) <= 2 * np.rint(steps) + 1
    np.testing.assert_allclose(y, -y[::-1], atol=1e-12)


@pytest.mark.skipif(not _torchaudio.available(), reason="torchaudio cannot be imported")
def test_mu_law_is_as_good_as_torchaudios():
    functional = _torchaudio.require().functional
    x = torch.from_numpy(_speech())
    theirs = functional.mu_law_decoding(functional.mu_law_encoding(x, 256), 256)
    ours = F.mu_law(x[None], torch.tensor([8.0]))[0]
    ratio = [_db(float(x.square().mean() / (y - x).square().mean())) for y in (ours, theirs)]
    assert ratio[0] == pytest.approx(ratio[1], abs=0.3)


# Lower sample rates


@pytest.mark.parametrize("factor", [0.75, 0.5, 0.375, 0.25, 0.125, 1 / 16])
def test_downsampling_is_what_soxr_makes_of_it(factor):
    x, nyquist = _speech(), factor * RATE / 2
    y = F.downsample(*_batch(x), torch.tensor([factor], dtype=torch.float64))[0].numpy()
    reference = soxr.resample(soxr.resample(x, RATE, RATE * factor, "VHQ"), RATE * factor, RATE, "VHQ")
    difference = (y - np.pad(reference, (0, max(0, len(y) - len(reference))))[: len(y)])[2_000:-2_000]
    assert _db(_band_energy(difference, 0, 0.8 * nyquist, RATE) / _band_energy(x, 0, 0.8 * nyquist, RATE)) < -50
    assert _db(_band_energy(y, 1.1 * nyquist, RATE, RATE) / _band_energy(x, 1.1 * nyquist, RATE, RATE)) < -35


def test_tones_beyond_the_new_nyquist_frequency_leave_nothing():
    factor = 0.375
    for hz, left_db in ((2_400.0, 0.0), (3_400.0, -60.0), (6_000.0, -60.0)):
        x = np.sin(np.arange(16_000) * 2 * np.pi * hz / RATE).astype(np.float32)
        y = F.downsample(*_batch(x), torch.tensor([factor]))[0, 500:-500].numpy()
        if left_db == 0.0:
            assert _db(np.mean((y - x[500:-500]) ** 2) / np.mean(x**2)) < -60
        else:
            assert _db(np.mean(y**2) / np.mean(x**2)) < left_db


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.125, 0.375, 0.1, 0.7])
def test_without_filters_samples_are_kept_and_held(factor):
    x = _speech()[:4_001]
    y = F.sample_and_hold(*_batch(x), torch.tensor([factor], dtype=torch.float64))[0].numpy()
    last, kept, clock = np.float32(0), [], -1
    for n in range(len(x)):  # a counter that ticks at the lower rate
        if int(round(n * factor * 1_000) / 1_000) > clock:
            clock, last = clock + 1, x[n]
        kept.append(last)
    np.testing.assert_array_equal(y, kept)


def test_without_filters_a_tone_folds_down():
    x = np.sin(np.arange(16_000) * 2 * np.pi * 5_000 / RATE).astype(np.float32)
    y = F.sample_and_hold(*_batch(x), torch.tensor([0.5]))[0].numpy()
    spectrum = np.abs(np.fft.rfft(y))
    assert np.argmax(spectrum[:4_000]) == 3_000  # 8 - 5 kHz
    assert spectrum[3_000] / np.abs(np.fft.rfft(x)).max() == pytest.approx(np.cos(np.pi * 3_000 / RATE), rel=1e-3)


# MP3 and Opus


@pytest.fixture
def files(monkeypatch):
    """What is encoded from here on."""
    found = []
    encode = codec._encode

    def keep(*args):
        found.append(encode(*args))
        return found[-1]

    monkeypatch.setattr(codec, "_encode", keep)
    return found


def _mp3_header(file: bytes) -> tuple[float, int]:
    """Bit rate in kb/s and sample rate by the first frame's header (ISO/IEC 11172-3, 2.4.2.3; 13818-3)."""
    start = next(i for i in range(len(file)) if file[i] == 0xFF and file[i + 1] & 0xE0 == 0xE0)
    version, index, rate = (file[start + 1] >> 3) & 3, file[start + 2] >> 4, (file[start + 2] >> 2) & 3
    first = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
    second = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
    return (first if version == 3 else second)[index], [44_100, 48_000, 32_000][rate] >> {3: 0, 2: 1, 0: 2}[version]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("kbps", [8.0, 16.0, 24.0, 32.0, 64.0])
def test_mp3_has_the_bit_rate_asked_for(files, kbps, rate):
    x = _speech(rate)
    _, reached = F.mp3(*_batch(x), torch.tensor([kbps + 1.0 if kbps < 64.0 else kbps]), rate)
    found, coded_at = _mp3_header(files[0])
    assert found == kbps == float(reached)
    assert coded_at == rate or (rate == 44_100 and kbps < 32.0 and coded_at == 24_000)
    assert len(files[0]) * 8 / (len(x) / rate) / 1_000 == pytest.approx(kbps, rel=0.15)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("kbps", [6.0, 8.0, 12.0, 16.0, 24.0, 64.0])
def test_opus_has_about_the_bit_rate_asked_for(files, kbps, rate):
    """Constrained variable rate: never much more, on speech with pauses less."""
    x = _speech(rate)
    _, reached = F.opus(*_batch(x), torch.tensor([kbps]), rate)
    seconds = len(x) / rate
    assert 0.75 * kbps < float(reached) < 1.1 * kbps
    assert float(reached) < len(files[0]) * 8 / seconds / 1_000 < float(reached) + 3.5  # Ogg's own share


@pytest.mark.parametrize(("effect", "kbps"), CODED)
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000])
def test_the_speech_stays_in_place(effect, kbps, rate):
    x = _speech(rate, 2.0)
    y, _ = getattr(F, effect)(*_batch(x), torch.tensor([float(kbps)]), rate)
    assert abs(_delay_ms(x, y[0].numpy(), rate)) < 0.5
    assert _db(np.mean(x**2) / np.mean((y[0].numpy() - x) ** 2)) > 3.0


@pytest.mark.parametrize("kbps", [16.0, 48.0])
def test_mp3_is_what_soundfile_makes_of_it(kbps):
    x = _speech()
    file = io.BytesIO()
    level = (160 - kbps) / 152
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": level, "bitrate_mode": "CONSTANT"}
    soundfile.write(file, x, RATE, **options)
    decoded = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0]
    late = round(_delay_ms(x, decoded[: len(x)], RATE) * RATE / 1_000)
    np.testing.assert_array_equal(F.mp3(*_batch(x), torch.tensor([kbps]), RATE)[0][0], decoded[late : late + len(x)])


def test_opus_is_what_soundfile_makes_of_it():
    x, file = _speech(), io.BytesIO()
    soundfile.write(file, x, RATE, format="OGG", subtype="OPUS", compression_level=(256 - 12) / 250)
    decoded = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0]
    np.testing.assert_array_equal(F.opus(*_batch(x), torch.tensor([12.0]), RATE)[0][0], decoded)


def test_low_bit_rates_narrow_the_band():
    x = _speech()
    whole = _band_energy(x, 5_000, 8_000, RATE)
    kept = {}
    for effect, kbps in (("mp3", 8.0), ("mp3", 64.0), ("opus", 6.0), ("opus", 24.0)):
        y = getattr(F, effect)(*_batch(x), torch.tensor([kbps]), RATE)[0][0].numpy()
        kept[effect, kbps] = _db(_band_energy(y, 5_000, 8_000, RATE) / whole)
    assert kept["mp3", 8.0] < -20 and kept["opus", 6.0] < -20
    assert abs(kept["mp3", 64.0]) < 4 and abs(kept["opus", 24.0]) < 4


@pytest.mark.parametrize("effect", [F.mp3, F.opus])
def test_every_row_and_length_by_itself(effect):
    x = torch.from_numpy(_speech(seconds=1.0)).repeat(6, 1)
    lengths = torch.tensor([16_000, 1, 2, 999, 0, 8_000])
    x = torch.where(torch.arange(16_000) < lengths[:, None], x, 0.0)
    x[5, 100] = float("nan")
    y, reached = effect(x, lengths, torch.full((6,), 16.0), RATE)
    torch.testing.assert_close(y[5], x[5], equal_nan=True)
    assert bool(torch.isfinite(y[:5]).all())
    assert not bool((y[:5] * (torch.arange(16_000) >= lengths[:5, None])).any())
    assert (reached > 0).tolist() == [True, True, True, True, False, False]


def test_beyond_full_scale_is_clipped_first():
    x = _speech(seconds=1.0) * 30
    for effect in (F.mp3, F.opus):
        loud, clipped = (effect(*_batch(v), torch.tensor([32.0]), RATE)[0] for v in (x, x.clip(-1, 1)))
        assert torch.equal(loud, clipped)


def test_what_runs_on_the_host_says_so():
    policy = sa.Compose([sa.Gain(), sa.OneOf([sa.Polarity(), sa.Mp3()])])
    assert policy.on_host and not sa.Compose([sa.Gain(), sa.MuLaw()]).on_host
    with pytest.raises(ValueError, match="CapturedPolicy: policy must compute on the device alone, got Compose"):
        CapturedPolicy(policy, torch.zeros(1, 2), None, sample_rate=RATE)


def test_an_old_soundfile_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(soundfile, "write", lambda file, data, samplerate, subtype=None, format=None: None)
    with pytest.raises(RuntimeError, match=r"OPUS needs soundfile 0.13 .* pip install -U soundfile"):
        F.opus(torch.zeros(1, 100), torch.tensor([100]), torch.tensor([16.0]), RATE)


VARIANTS = [sa.Downsample(factor=(0.125, 1.0)), sa.Downsample(aliased=True)]


@pytest.mark.parametrize("variant", VARIANTS, ids=repr)
def test_variants_keep_the_contract(variant):
    check_transform(variant)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sa.MuLaw(bits=(1.0, 8.0)), "MuLaw: bits must be at least 2"),
        (lambda: sa.Downsample(factor=(0.01, 1.0)), "Downsample: factor must be at least 0.0625"),
        (lambda: sa.Downsample(factor=(0.5, 1.5)), "Downsample: factor must be at most 1"),
        (lambda: sa.Downsample(aliased="no"), "Downsample: aliased must be True or False"),
        (lambda: sa.Mp3(bitrate_kbps=(4.0, 8.0)), "Mp3: bitrate_kbps must be at least 8"),
        (lambda: sa.Mp3(bitrate_kbps=(8.0, 128.0)), "Mp3: bitrate_kbps must be at most 64"),
        (lambda: sa.Opus(bitrate_kbps=(2.0, 8.0)), "Opus: bitrate_kbps must be at least 6"),
        (lambda: sa.Opus(bitrate_kbps=(8.0, 512.0)), "Opus: bitrate_kbps must be at most 256"),
    ],
)
def test_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
