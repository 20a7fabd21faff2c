"""Banks: decoding, identity, cropping with a seamless loop, weights."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import soundfile
import soxr
import torch

import speechaug as sa
from speechaug.banks import RATES_KEPT


def rng(rows):
    return sa.Rng.from_ids(seed=1, epoch=0, ids=[str(row) for row in range(rows)])


def test_decodes_resamples_and_takes_the_first_channel(tmp_path):
    generator = np.random.default_rng(0)
    stereo = (generator.uniform(-0.5, 0.5, (4_000, 2)) * 32767).astype(np.int16)
    soundfile.write(tmp_path / "b.wav", stereo, 8_000)
    (tmp_path / "sub").mkdir()
    soundfile.write(tmp_path / "sub" / "a.flac", stereo[:, 1], 16_000)
    bank = sa.Bank.from_folder(tmp_path, sample_rate=16_000)
    assert bank.names == ("b.wav", "sub/a.flac")
    whole, peak = bank.take(torch.tensor([0, 1]))
    expected = soxr.resample(stereo[:, 0] / 32768.0, 8_000, 16_000, quality="HQ")
    assert whole.shape == (2, 8_000)
    assert np.abs(whole[0].numpy() - expected).max() < 2e-4
    assert np.abs(whole[1, :4_000].numpy() - stereo[:, 1] / 32768.0).max() < 2e-5
    assert not whole[1, 4_000:].any()
    assert int(peak[1]) == int(np.abs(stereo[:, 1].astype(int)).argmax())


def test_what_is_not_audio_is_named_and_left_out(tmp_path):
    soundfile.write(tmp_path / "good.wav", np.ones(100) * 0.1, 16_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16_000)
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.flac").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"3 files of .* were left out: empty.flac .*silent.wav \(silent\).*text.wav"):
        bank = sa.Bank.from_folder(tmp_path, sample_rate=16_000)
    assert bank.names == ("good.wav",)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="folder must hold usable audio files"):
        sa.Bank.from_folder(tmp_path, sample_rate=16_000)
    with pytest.raises(ValueError, match="folder must be an existing folder"):
        sa.Bank.from_folder(tmp_path / "nowhere", sample_rate=16_000)


def test_identity_is_the_contents(tmp_path):
    noise = (np.random.default_rng(0).uniform(-0.5, 0.5, 500) * 32767).astype(np.int16)
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    soundfile.write(tmp_path / "one" / "a.wav", noise, 16_000)
    soundfile.write(tmp_path / "two" / "a.wav", noise, 16_000)
    soundfile.write(tmp_path / "three" / "a.wav", -noise, 16_000)
    one, two, three = (sa.Bank(str(tmp_path / name), sample_rate=16_000) for name in ("one", "two", "three"))
    assert one == two != three
    assert hash(one) == hash(two)
    assert one != sa.Bank(str(tmp_path / "one"), sample_rate=8_000)
    assert pickle.loads(pickle.dumps(one)) == one
    soundfile.write(tmp_path / "two" / "a.flac", noise, 16_000)
    both = sa.Bank(str(tmp_path / "two"), sample_rate=16_000)
    assert both.hashes[0] == both.hashes[1] == one.hashes[0]


def test_crop_repeats_without_a_seam():
    rate, length = 16_000, 3_000
    tone = np.sin(2 * np.pi * 440.3 * np.arange(length) / rate)
    bank = sa.Bank.from_arrays([tone], sample_rate=rate)
    out = bank.crop(torch.tensor([0]), torch.tensor([0.5]), 20_000)[0].numpy()
    assert np.abs(np.diff(out)).max() < 1.5 * np.abs(np.diff(tone)).max()
    period = length - 160
    np.testing.assert_array_equal(out[:-period], out[period:])
    start = int(0.5 * period)
    np.testing.assert_allclose(out[: length - 160 - start], tone[start : length - 160], atol=1e-4)


def test_crop_never_crosses_into_the_next_clip():
    bank = sa.Bank.from_arrays([np.full(100, 0.5), np.full(37, -0.25), np.full(1, 1.0)], sample_rate=1_000)
    clip = torch.tensor([0, 1, 2, 1])
    out = bank.crop(clip, torch.tensor([0.99, 0.5, 0.0, 0.999]), 500)
    assert out.shape == (4, 500)
    assert all(bool((torch.sign(row) == sign).all()) for row, sign in zip(out, (1, -1, 1, -1), strict=True))


def test_weights_are_per_subfolder(tmp_path):
    for name in ("rain/a", "rain/b", "rain/c", "dog/a"):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.random.default_rng(len(name)).uniform(-0.1, 0.1, 50), 16_000)
    bank = sa.Bank.from_folder(tmp_path, sample_rate=16_000, weights={"rain": 1.0, "dog": 3.0})
    counts = np.bincount(bank.draw(rng(4_000)), minlength=4) / 4_000
    assert bank.names[0] == "dog/a.wav"
    np.testing.assert_allclose(counts, [0.75, 1 / 12, 1 / 12, 1 / 12], atol=0.03)
    even = sa.Bank.from_folder(tmp_path, sample_rate=16_000)
    np.testing.assert_allclose(np.bincount(even.draw(rng(4_000)), minlength=4) / 4_000, [0.25] * 4, atol=0.03)
    with pytest.raises(ValueError, match=r"weights must name subfolders.*'cat'"):
        sa.Bank.from_folder(tmp_path, sample_rate=16_000, weights={"cat": 1.0})


@pytest.mark.parametrize("weights", [{"kind": -1.0}, {"kind": float("nan")}, {"kind": 0.0}])
def test_weights_must_leave_a_choice(noise_folder, weights):
    for _ in range(2):
        with pytest.raises(ValueError, match="weights must"):
            sa.Bank(noise_folder, sample_rate=16_000, weights=weights).draw(rng(2))


def test_a_bank_with_wrong_weights_stays_wrong(noise_folder):
    bank = sa.Bank(noise_folder, sample_rate=16_000, weights={"cat": 1.0})
    for _ in range(2):
        with pytest.raises(ValueError, match="weights must name subfolders"):
            bank.draw(rng(2))


def test_whole_and_decimal_weights_are_the_same(noise_folder):
    whole, decimal = (sa.Bank(noise_folder, sample_rate=16_000, weights={"kind": w}) for w in (1, 1.0))
    assert whole == decimal


def test_only_the_last_few_rates_are_kept():
    bank = sa.Bank.from_arrays([np.sin(np.arange(800) / 5)], sample_rate=16_000)
    first, second = bank.at_rate(4_000), bank.at_rate(5_000)
    for rate in range(6_000, 6_000 + RATES_KEPT - 1):
        assert bank.at_rate(rate).sample_rate == rate
        assert bank.at_rate(5_000) is second
    again = bank.at_rate(4_000)
    assert again is not first and again == first


def test_apply_opens_no_file(monkeypatch, noise_folder):
    policy = sa.AddNoise(bank=sa.Bank.from_folder(noise_folder, sample_rate=16_000))
    draws = policy.sample(rng(2))
    policy(torch.ones(2, 800) * 0.1, None, draws, sample_rate=16_000)  # numba's compiled kernels lie in files
    monkeypatch.setattr("builtins.open", lambda *a, **k: pytest.fail("a file was opened"))
    monkeypatch.setattr(soundfile, "read", lambda *a, **k: pytest.fail("a file was read"))
    policy(torch.ones(2, 800) * 0.1, None, draws, sample_rate=16_000)
