"""Looking at files before training, and reading long ones piece by piece: bytes are counted where they are read."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from trees import RATE

from speechaug import _open, audio
from speechaug.data import SpeechDataModule, SpeechDataset, Utterance, read_manifest, scan, summarize, write_manifest

LONG_S = 240


class Counting(io.RawIOBase):
    """A file that counts the bytes taken from it."""

    def __init__(self, held: Held) -> None:
        self._file, self._held = held.path.open("rb", buffering=0), held

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self._held.bytes += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class Held:
    """A sound file of which it is known how often it was opened and how much of it was read."""

    def __init__(self, path: Path) -> None:
        self.path, self.opened, self.bytes = path, 0, 0

    def open(self) -> Counting:
        self.opened += 1
        return Counting(self)


@pytest.fixture(scope="module")
def long_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four minutes of noise in three formats, written in pieces."""
    folder = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(0)
    paths = {kind: folder / f"long.{kind}" for kind in ("wav", "flac", "ogg")}
    files = [soundfile.SoundFile(path, "w", RATE, 1) for path in paths.values()]
    for _ in range(LONG_S // 10):
        x = rng.integers(-9_000, 9_000, 10 * RATE) / 32768
        for file in files:
            file.write(x)
    for file in files:
        file.close()
    return paths


# Long files


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("offset_s", [1.0, 120.0, 238.0])
def test_only_a_part_is_read(long_files: dict[str, Path], kind: str, offset_s: float) -> None:
    held = Held(long_files[kind])
    x, _ = audio.read(held, offset_s=offset_s, duration_s=1.0)
    first = round(offset_s * RATE)
    whole, _ = soundfile.read(held.path, start=first, frames=RATE, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(x, whole.T)
    # A second of WAV is 16 kB; libsndfile finds the end and the place of an OGG in steps of 64 kB.
    room = {"wav": 40_000, "flac": 100_000, "ogg": 250_000}[kind]
    assert held.bytes < room < held.path.stat().st_size / 2


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_five_thousand_segments_are_scanned_by_one_look(long_files: dict[str, Path], kind: str) -> None:
    held = Held(long_files[kind])
    segments = [Utterance(f"u{i}", held, "x", offset=i * 0.04, duration=0.04) for i in range(5_000)]
    recordings, findings = scan(segments, sample_rate=RATE)
    assert (len(recordings), findings, held.opened) == (5_000, [], 1)
    assert held.bytes < {"wav": 20_000, "flac": 60_000, "ogg": 150_000}[kind]


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_segments_of_a_long_file_cost_what_they_hold(long_files: dict[str, Path], kind: str) -> None:
    held = Held(long_files[kind])
    segments = [Utterance(f"u{i}", held, "x", offset=i * 6.0, duration=6.0) for i in range(40)]
    recordings, _ = scan(segments, sample_rate=RATE, cache_bytes=10**9)
    assert held.opened == 41
    assert held.bytes < 2 * held.path.stat().st_size
    x, _ = soundfile.read(held.path, dtype="int16")
    data = SpeechDataset(recordings, sample_rate=RATE)
    np.testing.assert_array_equal(np.concatenate([data.samples(i) for i in range(40)]), x)


def test_only_a_part_of_a_tar_is_read(
    long_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("wav", "flac"):
        shutil.copy(long_files[kind], tmp_path / f"{kind}.{kind}")
    shutil.make_archive(str(tmp_path / "t"), "tar", tmp_path, "wav.wav")
    (said,) = read_manifest(tmp_path / "t.tar")
    taken = []
    readinto = _open._Piece.readinto
    monkeypatch.setattr(
        _open._Piece, "readinto", lambda self, buffer: taken.append(readinto(self, buffer)) or taken[-1]
    )
    x, _ = audio.read(said.audio, offset_s=200.0, duration_s=0.5)
    expected, _ = soundfile.read(long_files["wav"], start=200 * RATE, frames=RATE // 2, dtype="float32")
    np.testing.assert_array_equal(x[0], expected)
    assert 0 < sum(taken) < 50_000


# Findings


def folder_of_everything(root: Path) -> Path:
    """Write two good files and one of each kind that is not; names say which."""
    x = (np.random.default_rng(0).integers(-9_000, 9_000, 4_000) / 32768).astype(np.float32)
    for name, count, rate in (
        ("good_1", 4_000, RATE),
        ("good_2", 2_000, RATE),
        ("short_1", 300, RATE),
        ("short_2", 1, RATE),
        ("long_1", 4_000, 2_000),
        ("rate_1", 4_000, 16_000),
        ("rate_2", 3_000, 11_025),
    ):
        audio.write(root / f"{name}.wav", x[:count], rate)
    audio.write(root / "silent_1.wav", np.zeros(1_600), RATE)
    (root / "empty_1.wav").touch()
    (root / "text_1.wav").write_text("hello " * 50)
    audio.write(root / "flac_1.flac", np.tile(x, 20), RATE)
    (root / "flac_1.flac").write_bytes((root / "flac_1.flac").read_bytes()[:60_000])
    (root / "flac_1.flac").rename(root / "cut_1.wav")
    x[9] = np.inf
    soundfile.write(root / "nan_1.wav", x, RATE, subtype="FLOAT")
    return root


def test_one_summary_names_everything_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = folder_of_everything(tmp_path)
    for cache_mb in (0.0, 10.0):
        data = SpeechDataModule(
            root, pattern="{text}_{take}.wav", sample_rate=RATE, min_duration_s=0.1, max_duration_s=1.5,
            cache_mb=cache_mb,
        )  # fmt: skip
        with pytest.warns(UserWarning, match="recordings are left out") as caught:
            data.setup("fit")
        (warning,) = caught
        lines = str(warning.message).splitlines()
        assert lines[0] == "7 of 12 recordings are left out, 2 of 12 recordings are resampled:"
        told = {line.split(":")[0].strip(): line.split(":", 1)[1] for line in lines[1:]}
        assert list(told) == [
            "1 empty",
            "2 unreadable",
            "1 with NaN or infinite samples",
            "2 too short",
            "1 too long",
            "2 resampled",
        ]
        assert "text_1.wav: is not an audio file" in told["2 unreadable"]
        assert "cut_1.wav: cannot be decoded, it is corrupt or cut short" in told["2 unreadable"]
        assert "short_1.wav (0.037 s < 0.1 s)" in told["2 too short"]
        assert "long_1.wav (2.000 s > 1.5 s)" in told["1 too long"]
        assert "rate_1.wav (16000 Hz); " in told["2 resampled"] and "rate_2.wav (11025 Hz)" in told["2 resampled"]
        assert sorted(Path(str(u.audio)).stem for u in data.train_utterances) == [
            "good_1", "good_2", "rate_1", "rate_2", "silent_1",
        ]  # fmt: skip
        assert data.left_out == {"train": 7, "val": 0, "test": 0}
        assert sum(len(batch["id"]) for batch in data.train_dataloader()) == 5


def test_other_rates_are_skipped_or_refused(tmp_path: Path) -> None:
    for name, rate in (("a_1", RATE), ("b_1", 16_000), ("c_1", 44_100)):
        audio.write(tmp_path / f"{name}.wav", np.full(4_000, 0.1), rate)
    arguments: dict[str, Any] = {"pattern": "{text}_{take}.wav", "sample_rate": RATE}
    data = SpeechDataModule(tmp_path, **arguments, other_rates="skip")
    with pytest.warns(UserWarning, match=r"2 of 3 .* left out:\n  2 of another sample rate: .*b_1\.wav \(16000 Hz\); "):
        data.setup("fit")
    assert data.left_out["train"] == 2
    assert data.texts == ["a"]
    with pytest.raises(ValueError, match=r"sample_rate: every file must have 8000 Hz, got .*c_1\.wav \(44100 Hz\)"):
        SpeechDataModule(tmp_path, **arguments, other_rates="error").setup("fit")
    SpeechDataModule(tmp_path, pattern="a_{take}.wav", sample_rate=RATE, other_rates="error")


def test_an_utterance_that_ends_after_its_file(tmp_path: Path) -> None:
    path = str(tmp_path / "r.wav")
    audio.write(path, np.full(RATE, 0.1), RATE)
    given = [
        Utterance("a", path, "x", offset=0.75, duration=0.5),  # reaches 0.25 s beyond: cut, as Kaldi does
        Utterance("b", path, "x", offset=0.75, duration=1.0),
        Utterance("c", path, "x", offset=1.0 - 1e-5),
    ]
    recordings, findings = scan(given, sample_rate=RATE)
    assert [(r.utterance.id, r.utterance.duration) for r in recordings] == [("a", 0.25)]
    assert [finding.text for finding in findings] == [
        "b: ends at 1.000 s, before 1.750 s",
        "c: ends at 1.000 s, before offset 0.99999 s",
    ]


def test_names_in_a_summary_are_few_and_counted() -> None:
    absent = [Utterance(f"u{i}", "absent.wav", "x", offset=float(i)) for i in range(25)]
    recordings, findings = scan(absent, sample_rate=RATE)
    assert not recordings
    first, second = summarize(findings, 30).splitlines()
    assert first == "25 of 30 recordings are left out:"
    assert second.startswith("  25 missing: absent.wav: no such file; u1: absent.wav: no such file; ")
    assert second.endswith("; and 15 more")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"min_duration_s": -0.1}, r"min_duration_s must be >= 0, got -0\.1"),
        ({"min_duration_s": float("nan")}, "min_duration_s must be >= 0, got nan"),
        ({"max_duration_s": 0.0}, r"max_duration_s must be > 0 or None, got 0\.0"),
        ({"min_duration_s": 2.0, "max_duration_s": 1.0}, r"max_duration_s must be >= min_duration_s, which is 2\.0"),
        ({"other_rates": "ignore"}, "other_rates must be resample, skip or error, got 'ignore'"),
    ],
)
def test_options_that_are_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=f"^SpeechDataModule: {match}"):
        SpeechDataModule("train.jsonl", **arguments)


@pytest.mark.parametrize(
    "part", [{"offset": np.inf}, {"offset": -1.0}, {"offset": np.nan}, {"duration": 0.0}, {"duration": np.nan}]
)
def test_parts_that_lie_nowhere_are_refused(part: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^Utterance: offset must be >= 0 and duration > 0 or None, got .* for 'u1'"):
        Utterance("u1", "r.wav", "x", **part)


def test_audio_may_be_a_path(tmp_path: Path) -> None:
    audio.write(tmp_path / "r.wav", np.full(RATE, 0.1), RATE)
    given = [Utterance("a", tmp_path / "r.wav", "x"), Utterance("b", tmp_path / "absent.wav", "x")]
    recordings, findings = scan(given, sample_rate=RATE)
    assert [r.utterance.id for r in recordings] == ["a"]
    assert [finding.text for finding in findings] == [f"{tmp_path / 'absent.wav'}: no such file"]
    write_manifest(tmp_path / "m.jsonl", given)
    assert [u.audio for u in read_manifest(tmp_path / "m.jsonl")] == [str(u.audio) for u in given]
