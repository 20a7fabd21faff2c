"""Reading and writing: against soundfile and soxr used directly, and every file that must be refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechaug import audio


def tone(samples: int = 800, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise on the 16-bit grid, so that 16-bit files hold it exactly."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-20_000, 20_000, size=(channels, samples)) / 32768).astype(np.float32)


@pytest.mark.parametrize("ending", [".wav", ".flac", ".WAV"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_is_read_back_exactly(tmp_path: Path, ending: str, channels: int) -> None:
    x = tone(channels=channels)
    path = tmp_path / "new folder" / f"x{ending}"
    assert audio.write(path, x, 8_000) == 0
    y, rate = audio.read(path)
    assert rate == 8_000
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(soundfile.read(path, dtype="float32", always_2d=True)[0].T, x)
    assert audio.info(path) == audio.AudioInfo(800, 8_000, channels, "PCM_16")


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "MS_ADPCM"])
def test_other_encodings_read_as_soundfile_reads_them(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, tone()[0], 8_000, subtype=subtype)
    np.testing.assert_array_equal(audio.read(path)[0][0], soundfile.read(path, dtype="float32")[0])


def test_a_part_is_the_slice(tmp_path: Path) -> None:
    path, x = tmp_path / "x.wav", tone()
    audio.write(path, x, 8_000)
    np.testing.assert_array_equal(audio.read(path, offset_s=0.05, duration_s=0.025)[0], x[:, 400:600])
    np.testing.assert_array_equal(audio.read(path, offset_s=0.05, duration_s=9.0)[0], x[:, 400:])
    np.testing.assert_array_equal(audio.read(path, duration_s=1e-9)[0], x[:, :1])


@pytest.mark.parametrize("rate", [16_000, 6_000, 44_100])
def test_resampling_is_soxr_high_quality(tmp_path: Path, rate: int) -> None:
    path, x = tmp_path / "x.wav", tone(channels=2)
    audio.write(path, x, 8_000)
    y, new_rate = audio.read(path, sample_rate=rate)
    assert new_rate == rate
    np.testing.assert_array_equal(y, soxr.resample(x.T, 8_000, rate, quality="HQ").T)
    assert abs(y.shape[1] - 800 * rate / 8_000) <= 0.5


def test_one_sample_survives_any_rate() -> None:
    for rate, new_rate in ((48_000, 8_000), (8_000, 48_000), (16_000, 16_000)):
        y = audio.resample(np.full((1, 1), 0.5, dtype=np.float32), rate, new_rate)
        assert y.shape[1] >= 1
        assert np.isfinite(y).all()


def test_too_loud_is_clipped_and_counted_never_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    x = np.array([0.0, 1.0, -1.0, 1.001, -1.5, 300.0, 0.99999], dtype=np.float32)
    assert audio.write(path, x, 8_000) == 3
    pcm = soundfile.read(path, dtype="int16")[0]
    np.testing.assert_array_equal(pcm, [0, 32767, -32768, 32767, -32768, 32767, 32767])


def test_same_samples_same_bytes_and_nothing_else_left(tmp_path: Path) -> None:
    for ending in (".wav", ".flac"):
        for name in ("a", "b"):
            audio.write(tmp_path / f"{name}{ending}", tone(), 8_000)
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    audio.write(path, tone(), 8_000)
    before = path.read_bytes()
    with pytest.raises(soundfile.SoundFileError):
        audio.write(path, tone(channels=9), 8_000)  # FLAC has at most eight
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "samples", "match"),
    [
        ("x.mp3", [0.0], r"path must end in \.wav or \.flac, got .*x\.mp3"),
        ("x.wav", [], "not empty"),
        ("x.wav", np.zeros((1, 2, 3)), r"got \(1, 2, 3\)"),
        ("x.wav", [0.0, np.nan], "must be finite"),
        ("x.wav", [np.inf], "must be finite"),
    ],
)
def test_write_refuses(tmp_path: Path, name: str, samples: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        audio.write(tmp_path / name, samples, 8_000)
    assert not list(tmp_path.iterdir())


def test_hash_is_of_the_audio(tmp_path: Path) -> None:
    x = tone()
    for name in ("x.wav", "x.flac", "renamed.wav"):
        audio.write(tmp_path / name, x, 8_000)
    soundfile.write(tmp_path / "float.wav", x[0], 8_000, subtype="FLOAT")
    hashes = {audio.pcm_hash(*audio.read(path)) for path in tmp_path.iterdir()}
    assert len(hashes) == 1
    (known,) = hashes
    assert audio.pcm_hash(x[0].astype(np.float64), 8_000) == known
    assert audio.pcm_hash(np.asfortranarray(x), 8_000) == known
    others = [(x, 16_000), (x[:, :-1], 8_000), (-x, 8_000), (np.concatenate([x, x]), 8_000), (x.reshape(2, -1), 8_000)]
    assert len({known, *(audio.pcm_hash(*other) for other in others)}) == 6
    assert len(known) == 32


def bad_file(kind: str, folder: Path) -> Path:
    """Make a file that must not be read."""
    path = folder / f"{kind}.wav"
    audio.write(path, tone(4_000), 8_000)
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "text":
        path.write_text("this is not sound\n" * 20)
    elif kind in ("nan", "inf"):
        x = tone()[0]
        x[123] = np.nan if kind == "nan" else np.inf
        soundfile.write(path, x, 8_000, subtype="FLOAT")
    elif kind == "flac":
        path = path.with_suffix(".flac")
        audio.write(path, tone(80_000), 8_000)
        path.write_bytes(path.read_bytes()[:50_000])
    else:
        contents = {"empty": b"", "header": whole[:30], "no-samples": whole[:40] + struct.pack("<I", 0)}
        contents |= {"cut": whole[:3_000], "garbage": bytes(range(256)) * 20}
        path.write_bytes(contents[kind])
    return path


BAD = {
    "missing": "no such file",
    "folder": "is a folder",
    "empty": r"is empty \(0 bytes\)",
    "text": "is not an audio file, or is corrupt",
    "garbage": "is not an audio file, or is corrupt",
    "header": "is not an audio file, or is corrupt",
    "no-samples": "holds no samples",
    "cut": "is cut short, 2956 bytes of audio of 8000 are there",
    "flac": "corrupt|cut short",
    "nan": "holds non-finite samples, the first at sample 123",
    "inf": "holds non-finite samples, the first at sample 123",
}


@pytest.mark.parametrize("kind", BAD)
def test_read_refuses_and_names_the_file(tmp_path: Path, kind: str) -> None:
    path = bad_file(kind, tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=BAD[kind]) as caught:
        audio.read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_streamed_wav_is_read_to_its_end(tmp_path: Path) -> None:
    path, x = tmp_path / "x.wav", tone()
    audio.write(path, x, 8_000)
    whole = bytearray(path.read_bytes())
    whole[4:8] = whole[40:44] = b"\xff\xff\xff\xff"  # what a pipe writes before it knows the length
    path.write_bytes(whole)
    np.testing.assert_array_equal(audio.read(path)[0], x)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"offset_s": 0.1}, "ends at 0.100 s, before the offset of 0.1 s"),
        ({"offset_s": -1.0}, "offset_s must be >= 0, got -1.0"),
        ({"offset_s": float("nan")}, "offset_s must be >= 0, got nan"),
        ({"duration_s": 0.0}, "duration_s must be > 0, got 0.0"),
        ({"sample_rate": 0}, "must be > 0"),
    ],
)
def test_read_refuses_arguments(tmp_path: Path, arguments: dict[str, float], match: str) -> None:
    path = tmp_path / "x.wav"
    audio.write(path, tone(), 8_000)
    with pytest.raises(ValueError, match=match):
        audio.read(path, **arguments)  # type: ignore[arg-type]


def test_nan_after_the_part_asked_for_does_not_matter(tmp_path: Path) -> None:
    path, x = tmp_path / "x.wav", tone()[0]
    x[700] = np.nan
    soundfile.write(path, x, 8_000, subtype="FLOAT")
    assert audio.read(path, duration_s=0.05)[0].shape == (1, 400)
    with pytest.raises(ValueError, match="the first at sample 700"):
        audio.read(path, offset_s=0.05)


def test_odd_files_of_a_real_folder(shared_data: Path) -> None:
    for path in sorted((shared_data / "formats").iterdir()):
        x, rate = audio.read(path)
        expected, expected_rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate == expected_rate
        np.testing.assert_array_equal(x, expected.T)


class Held:
    """A sound file in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return "row 3"


@pytest.mark.skipif(os.name != "posix", reason="needs file names of any bytes")
def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    soundfile.write(os.fsencode(path), np.full(8, 0.5), 8_000)
    samples, rate = audio.read(path)
    assert (samples.shape, rate, audio.info(path).frames) == ((1, 8), 8_000, 8)


def test_pieces_and_objects_are_read_as_files(tmp_path: Path) -> None:
    path, x = tmp_path / "x.flac", tone(channels=2)
    audio.write(path, x, 8_000)
    content = path.read_bytes()
    (tmp_path / "several").write_bytes(b"before" + content + b"after")
    for source in (f"{tmp_path}/several:6:{len(content)}", Held(content)):
        np.testing.assert_array_equal(audio.read(source)[0], x)
        np.testing.assert_array_equal(audio.read(source, offset_s=0.05, duration_s=0.025)[0], x[:, 400:600])
        assert audio.info(source) == audio.info(path)


@pytest.mark.parametrize(
    ("content", "kind", "match"),
    [(b"", "empty", r"row 3: is empty \(0 bytes\)"), (b"hello" * 99, "unreadable", "row 3: is not an audio file")],
)
def test_objects_that_cannot_be_read_are_named(content: bytes, kind: str, match: str) -> None:
    with pytest.raises(audio.AudioError, match=match) as caught:
        audio.info(Held(content))
    assert caught.value.kind == kind
    again = pickle.loads(pickle.dumps(caught.value))  # as a worker hands it to the main process
    assert (str(again), again.kind) == (str(caught.value), kind)


@pytest.mark.parametrize("left", [0.2, 0.6, 0.999])
def test_a_flac_that_was_cut_is_known_by_its_header_alone(tmp_path: Path, left: float) -> None:
    path = tmp_path / "x.flac"
    audio.write(path, tone(80_000), 8_000)
    assert audio.info(path).frames == 80_000
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    with pytest.raises(audio.AudioError, match=r"x\.flac: .*cut short"):
        audio.info(path)


def test_a_flac_that_does_not_know_its_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    audio.write(path, tone(80_000), 8_000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the last 36 bits of the header's length, as a pipe leaves them
    content[22:26] = bytes(4)
    path.write_bytes(content)
    for look in (audio.info, audio.read):
        with pytest.raises(audio.AudioError, match="does not say how long it is"):
            look(path)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "RF64", "CAF"])
def test_a_file_that_was_cut_is_known_by_its_header(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cut.{kind.lower()}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 4_000), 16_000, format=kind)
    assert audio.info(path).frames == 4_000
    path.write_bytes(path.read_bytes()[:5_000])
    with pytest.raises(audio.AudioError, match=r"cut\.\w+: is (cut short|not an audio file, or is corrupt)"):
        audio.info(path)


def test_a_header_that_claims_what_no_memory_holds(tmp_path: Path) -> None:
    path = tmp_path / "corrupt.mp3"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 16_000), 16_000)
    content = bytearray(path.read_bytes())
    place = content.index(b"Info" if b"Info" in content else b"Xing")
    content[place + 8 : place + 12] = b"\x7f\xff\xff\xff"  # number of frames, of 576 samples each
    path.write_bytes(content)
    for look in (audio.info, audio.read):
        with pytest.raises(
            audio.AudioError, match=r"corrupt\.mp3: claims \d+ samples in \d+ bytes, its header is corrupt"
        ):
            look(path)


def test_silence_is_no_corrupt_header(tmp_path: Path) -> None:
    for ending in ("flac", "ogg", "mp3"):
        path = tmp_path / f"silence.{ending}"
        with soundfile.SoundFile(path, "w", 8_000, 1) as file:
            for _ in range(600):  # libsndfile cannot write a long OGG at once
                file.write(np.zeros(8_000, dtype=np.float32))
        assert audio.info(path).frames >= 600 * 8_000
