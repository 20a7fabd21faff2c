"""Formats of folder jobs: what is kept, what is converted, and bytes without a clock in them; long recordings."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import speechaug as sa
from speechaug.folders.formats import FORMATS
from speechaug.folders.pieces import cut

RATE = 16_000
TAGS = {"title": "Sieben", "artist": "Änn", "comment": "seven"}


def record(path: Path, subtype: str, *, rate: int = RATE, channels: int = 1, container: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(3).standard_normal((rate, channels))
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=container) as file:
        for name, text in TAGS.items() if file.format in ("WAV", "FLAC", "OGG", "MP3") else ():
            setattr(file, name, text)
        file.write(samples)
    return path


def augment(tmp_path: Path, dst: str = "dst", **options: Any) -> list[dict[str, Any]]:
    done = sa.augment_folder(tmp_path / "src", tmp_path / dst, sa.Gain(gain_db=(-6.0, 6.0)), workers=0, **options)
    assert done.failures == ()
    lines = (tmp_path / dst / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "subtype", "container", "flac", "wav", "kept"),
    [
        ("a.wav", "PCM_16", "WAV", "PCM_16", "PCM_16", "WAV PCM_16"),
        ("a.wav", "PCM_24", "WAV", "PCM_24", "PCM_24", "WAV PCM_24"),
        ("a.wav", "PCM_32", "WAV", "PCM_24", "PCM_32", "WAV PCM_32"),
        ("a.wav", "FLOAT", "WAV", "PCM_24", "FLOAT", "WAV FLOAT"),
        ("a.wav", "DOUBLE", "WAVEX", "PCM_24", "DOUBLE", "WAV DOUBLE"),
        ("a.wav", "PCM_U8", "WAV", "PCM_S8", "PCM_U8", "WAV PCM_U8"),
        ("a.wav", "ULAW", "WAV", "PCM_16", "ULAW", "WAV ULAW"),
        ("a.wav", "IMA_ADPCM", "WAV", "PCM_16", "PCM_16", "WAV PCM_16"),
        ("a.flac", "PCM_24", "FLAC", "PCM_24", "PCM_24", "FLAC PCM_24"),
        ("a.ogg", "VORBIS", "OGG", "PCM_16", "PCM_16", "OGG VORBIS"),
        ("a.opus", "OPUS", "OGG", "PCM_16", "PCM_16", "OGG OPUS"),
        ("a.mp3", "MPEG_LAYER_III", "MP3", "PCM_16", "PCM_16", "MP3 MPEG_LAYER_III"),
        ("a.aiff", "PCM_24", "AIFF", "PCM_24", "PCM_24", "FLAC PCM_24"),
    ],
)
def test_encodings_and_tags(
    tmp_path: Path, name: str, subtype: str, container: str, flac: str, wav: str, kept: str
) -> None:
    record(tmp_path / "src" / name, subtype, container=container, channels=2)
    for form, expected in (("flac", f"FLAC {flac}"), ("wav", f"WAV {wav}"), ("keep", kept)):
        (row,) = augment(tmp_path, form, format=form)
        copy = soundfile.info(tmp_path / form / row["audio"])
        assert f"{copy.format} {copy.subtype}" == expected
        assert (copy.samplerate, copy.channels) == (RATE, 2)
        if container in ("WAV", "FLAC", "OGG", "MP3"):
            with soundfile.SoundFile(tmp_path / form / row["audio"]) as file:
                assert TAGS.items() <= file.copy_metadata().items()
        source, _ = soundfile.read(tmp_path / "src" / name)
        written, _ = soundfile.read(tmp_path / form / row["audio"])
        gain = 10.0 ** (row["transforms"]["gain_db"][0] / 20.0)
        if "PCM" in expected or "FLOAT" in expected or "DOUBLE" in expected:
            step = 2.0**-7 if "8" in expected else 2.0**-15
            assert np.abs(written - np.clip(gain * source, -1.0, 1.0)).max() <= 1.01 * step


PROGRAM = """
import sys, speechaug as sa
for form in sys.argv[3:]:
    sa.augment_folder(sys.argv[1], sys.argv[2] + form, sa.Gain(gain_db=(-6.0, 6.0)), workers=0, format=form)
"""


def test_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    record(tmp_path / "src" / "a.wav", "FLOAT")
    found = {form: augment(tmp_path, form, format=form)[0]["audio"] for form in FORMATS}
    arguments = [str(tmp_path / "src"), str(tmp_path / "again-"), *FORMATS]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True)  # starts more than a second later
    for form, name in found.items():
        written = (tmp_path / form / name).read_bytes()
        assert (tmp_path / f"again-{form}" / name).read_bytes() == written
        assert soundfile.info(tmp_path / form / name).duration == pytest.approx(1.0, abs=0.1)


def test_pages_of_ogg_have_true_checksums(tmp_path: Path) -> None:
    record(tmp_path / "src" / "a.wav", "PCM_16", channels=2)
    for form in ("ogg", "opus"):
        (row,) = augment(tmp_path, form, format=form)
        data, start, pages = (tmp_path / form / row["audio"]).read_bytes(), 0, 0
        while start < len(data):
            segments = data[start + 26]
            size = 27 + segments + sum(data[start + 27 : start + 27 + segments])
            page = bytearray(data[start : start + size])
            told, page[22:26] = int.from_bytes(page[22:26], "little"), bytes(4)
            assert page[:4] == b"OggS" and checksum(page) == told
            start, pages = start + size, pages + 1
        assert pages > 2


def checksum(page: bytes) -> int:
    """The definition in RFC 3533, bit by bit."""
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


def test_rates_that_a_format_does_not_have(tmp_path: Path) -> None:
    for rate in (6_000, 22_050, 44_100, 96_000):
        record(tmp_path / "src" / f"{rate}.wav", "PCM_16", rate=rate)
    names = ("22050.wav", "44100.wav", "6000.wav", "96000.wav")
    for form, rates in {"opus": (24_000, 48_000, 8_000, 48_000), "mp3": (22_050, 44_100, 8_000, 48_000)}.items():
        found = augment(tmp_path, form, format=form)
        assert {row["source"]: row["sample_rate"] for row in found} == dict(zip(names, rates, strict=True))
        for row in found:
            assert row["duration"] == pytest.approx(1.0, abs=0.001)
            assert soundfile.info(tmp_path / form / row["audio"]).duration == pytest.approx(1.0, abs=0.1)
    assert {row["sample_rate"] for row in augment(tmp_path, "all", sample_rate=12_000)} == {12_000}


def test_channels_that_a_format_does_not_have(tmp_path: Path) -> None:
    record(tmp_path / "src" / "a.wav", "PCM_16", channels=3)
    done = sa.augment_folder(tmp_path / "src", tmp_path / "dst", sa.Gain(), workers=0, format="mp3")
    assert [failure.reason for failure in done.failures] == ["mp3 holds at most 2 channels, got 3"]
    assert not list((tmp_path / "dst").glob("*.mp3"))


@pytest.mark.parametrize("sample_rate", [-1, 0, 999, 655_351])
def test_what_no_recording_may_have_is_not_written(tmp_path: Path, sample_rate: int) -> None:
    soundfile.write(_folder(tmp_path / "src") / "a.wav", np.zeros(2_000), 8_000)
    with pytest.raises(ValueError, match=rf"sample_rate must be in \[1000, 655350\], got {sample_rate}"):
        sa.augment_folder(tmp_path / "src", tmp_path / "dst", sa.Gain(), format="wav", sample_rate=sample_rate)
    sa.augment_folder(tmp_path / "src", tmp_path / "dst", sa.Gain(), workers=0, format="wav", sample_rate=1_000)
    assert sa.audio.read(tmp_path / "dst" / "a_aug1.wav")[1] == 1_000


def test_a_wav_beyond_its_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechaug.folders.formats._MOST_BYTES", 20_000)
    for name, seconds in (("short", 1), ("long", 2)):
        soundfile.write(tmp_path / f"{name}.flac", np.full(8_000 * seconds, 0.1), 8_000, subtype="PCM_16")
    given: dict[str, Any] = {"format": "wav", "workers": 0}
    for more in ({"dry_run": True}, {}):
        done = sa.augment_folder(tmp_path, tmp_path.parent / "as-it-is", sa.Gain(), **given, **more)
        assert [(one.id, one.reason) for one in done.failures] == [
            ("long.flac", "wav holds at most 4 GiB, got 0.0; flac holds more")
        ]
    slow = sa.Speed(factor=(0.5, 0.5))  # which tells only when it is done
    done = sa.augment_folder(tmp_path, tmp_path.parent / "slower", slow, **given)
    assert len(done.failures) == 2 and not list((tmp_path.parent / "slower").rglob("*short*"))
    assert sa.augment_folder(tmp_path, tmp_path.parent / "flac", slow, workers=0).failures == ()


def test_clipping_is_counted(tmp_path: Path) -> None:
    soundfile.write(_folder(tmp_path / "src") / "a.wav", [0.1, 0.6, -0.7, 0.2], 8_000, subtype="FLOAT")
    loud = sa.Gain(gain_db=(6.0, 6.0))
    for form, clipped, peak in (("flac", 2, 1.0), ("wav", 0, 1.397)):
        sa.augment_folder(tmp_path / "src", tmp_path / form, loud, workers=0, format=form)
        row = json.loads((tmp_path / form / "manifest.jsonl").read_text())
        assert row["clipped"] == clipped
        assert np.abs(soundfile.read(tmp_path / form / row["audio"])[0]).max() == pytest.approx(peak, abs=1e-3)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_long_recordings_are_cut_where_it_is_quiet(tmp_path: Path) -> None:
    rng, rate = np.random.default_rng(0), 1_000
    samples = 0.3 * rng.uniform(-1.0, 1.0, 100 * rate)
    for second in (25.5, 48.25):
        samples[int(second * rate) : int((second + 0.1) * rate)] = 0.0
    for size in (7_777, 40_000):
        blocks = [samples[None, start : start + size].astype(np.float32) for start in range(0, len(samples), size)]
        pieces = list(cut(blocks, rate))
        assert np.array_equal(np.concatenate(pieces, axis=1)[0], samples.astype(np.float32))
        cuts = np.cumsum([piece.shape[1] for piece in pieces])
        assert 25.5 <= cuts[0] / rate <= 25.6 and 48.25 <= cuts[1] / rate <= 48.35
        assert all(20.0 <= piece.shape[1] / rate <= 30.0 for piece in pieces[:-1])
        assert 10.0 <= pieces[-1].shape[1] / rate <= 40.0


def test_each_piece_is_an_example_of_its_own(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(70 * 8_000)
    soundfile.write(_folder(tmp_path / "src") / "long.wav", noise, 8_000, subtype="FLOAT")
    policy = sa.Compose([sa.Speed(factor=(0.8, 1.2)), sa.AddColoredNoise(snr_db=(10.0, 20.0)), sa.Gain()])
    sa.augment_folder(tmp_path / "src", tmp_path / "dst", policy, workers=0, format="wav")
    row = json.loads((tmp_path / "dst" / "manifest.jsonl").read_text())
    paths = (tmp_path / "src" / "long.wav", tmp_path / "dst" / "long_aug1.wav")
    samples, written = (soundfile.read(path, dtype="float32")[0] for path in paths)
    cuts = [*row["cuts"], len(samples)]
    assert cuts[0] == 0 and len(cuts) == len(row["transforms"]) + 1 > 2
    parts = []
    for number, (first, end) in enumerate(itertools.pairwise(cuts)):
        name = f"long.wav#{number}" if number else "long.wav"
        parts.append(sa.augment(samples[first:end], 8_000, policy, id=name))
        (wanted,) = row["transforms"][number]["AddColoredNoise"]["snr_db"]
        assert row["snr_db"][number] == pytest.approx(wanted, abs=0.1)
    assert np.array_equal(written, np.concatenate(parts))
    assert row["duration"] == len(written) / 8_000


def test_long_recordings_at_another_rate(tmp_path: Path) -> None:
    times = np.arange(90 * 16_000) / 16_000
    soundfile.write(_folder(tmp_path / "src") / "long.flac", 0.5 * np.sin(2 * np.pi * 440.0 * times), 16_000)
    sa.augment_folder(tmp_path / "src", tmp_path / "dst", sa.Gain(p=0.0), workers=0, sample_rate=8_000)
    written, rate = soundfile.read(tmp_path / "dst" / "long_aug1.flac")
    assert (len(written), rate) == (90 * 8_000, 8_000)
    expected = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(len(written)) / 8_000)
    assert np.abs(written - expected)[800:-800].max() < 2e-3


MEASURE = """
import resource, sys
import numpy as np, soundfile, speechaug as sa
policy = sa.Compose([sa.Speed(), sa.AddColoredNoise(), sa.LowPass(), sa.Gain()])
sa.augment_folder(sys.argv[1] + "/short", sys.argv[1] + "/a", policy, workers=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sa.augment_folder(sys.argv[1] + "/long", sys.argv[1] + "/b", policy, workers=0)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB on Linux")
def test_an_hour_needs_no_more_memory_than_minutes(tmp_path: Path) -> None:
    block = (0.1 * np.random.default_rng(0).standard_normal((60 * 16_000, 2))).astype(np.float32)
    for name, minutes in (("short", 2), ("long", 60)):
        with soundfile.SoundFile(_folder(tmp_path / name) / "a.wav", "w", 16_000, 2, "PCM_16") as file:
            for _ in range(minutes):
                file.write(block)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 30.0  # MB; as float32 the hour is 461
