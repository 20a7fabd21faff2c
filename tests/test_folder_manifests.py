"""Manifests in, manifests of the same kind out; read back by csv, json, tarfile, datasets, and by Kaldi's own rules."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import speechaug as sa
from speechaug.folders.manifests import augment_manifest

RATE = 8_000
POLICY = sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.AddColoredNoise(snr_db=(30.0, 40.0))])
CLICKS = (0.2, 0.5, 0.8)


def clicks(duration_s: float = 1.0, at: tuple[float, ...] = CLICKS) -> np.ndarray:
    """Short bursts at known moments."""
    away = np.arange(round(duration_s * RATE)) - np.rint(np.asarray(at) * RATE)[:, None]
    return 0.5 * (np.sin(0.9 * away + 1.0) * np.exp(-((away / 16.0) ** 2))).sum(0)


def heard(path: Path | io.BytesIO, near_s: float) -> float:
    """Find the loudest burst around a moment."""
    y, rate = soundfile.read(path)
    first = max(0, round((near_s - 0.08) * rate))
    energy = np.convolve(y[first : round((near_s + 0.08) * rate)] ** 2, np.hanning(51), "same")
    return float(first + np.argmax(energy)) / rate


def check_words(path: Path | io.BytesIO, words: list[dict[str, Any]], said: str = "one two three") -> None:
    """Compare where words begin with where their clicks are heard."""
    assert " ".join(word["word"] for word in words) == said
    for word in words:
        if isinstance(path, io.BytesIO):
            path.seek(0)
        assert abs(heard(path, word["start"]) - word["start"]) <= 1e-4 + 1.0 / RATE


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


WORDS = [{"word": word, "start": at, "end": at + 0.1} for word, at in zip(("one", "two", "three"), CLICKS, strict=True)]


@pytest.fixture
def wavs(tmp_path: Path) -> Path:
    folder = tmp_path / "wavs"
    folder.mkdir()
    for number in range(4):
        soundfile.write(folder / f"u{number}.wav", clicks(), RATE)
    return folder


# Tables.


def test_jsonl_keeps_its_columns_and_moves_words(tmp_path: Path, wavs: Path) -> None:
    rows = [
        {"audio_filepath": f"wavs/u{n}.wav", "duration": 1.0, "text": f"text {n}", "lang": "de", "words": WORDS}
        for n in range(4)
    ]
    (tmp_path / "nemo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = augment_manifest(tmp_path / "nemo.jsonl", tmp_path / "dst", POLICY, copies=2, workers=0)
    assert (report.files, report.made, report.failures) == (8, 8, ())
    told = lines(tmp_path / "dst" / "nemo.jsonl")
    assert [list(row) for row in told] == [list(rows[0])] * 8  # the same columns in the same order
    assert [row["audio_filepath"] for row in told[:3]] == [
        "wavs/u0_aug1.flac",
        "wavs/u0_aug2.flac",
        "wavs/u1_aug1.flac",
    ]
    for row in told:
        path = tmp_path / "dst" / row["audio_filepath"]
        assert soundfile.info(path).duration == pytest.approx(row["duration"])
        assert row["lang"] == "de"
        check_words(path, row["words"])
    manifest = lines(tmp_path / "dst" / "manifest.jsonl")
    assert [(row["id"], row["text"], row["lang"]) for row in manifest[:2]] == [
        ("wavs/u0_aug1", "text 0", "de"), ("wavs/u0_aug2", "text 0", "de")
    ]  # fmt: skip
    assert [row["words"] for row in manifest] == [row["words"] for row in told]
    assert "audio_filepath" not in manifest[0]
    for name in ("nemo.jsonl", "manifest.jsonl"):
        said = sa.read_manifest(tmp_path / "dst" / name)
        assert [Path(u.audio).name for u in said] == [f"u{n}_aug{copy}.flac" for n in range(4) for copy in (1, 2)]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_csv_keeps_its_columns(tmp_path: Path, wavs: Path, delimiter: str) -> None:
    header = ["id", "audio", "text", "speaker", "accent", "offset", "duration"]
    rows = [[f"u{n}", f"wavs/u{n}.wav", 'say "a", b', "ann", "süd, west", 0.25, 0.5] for n in range(3)]
    path = tmp_path / ("train.csv" if delimiter == "," else "train.tsv")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    augment_manifest(path, tmp_path / "dst", POLICY, copies=2, workers=0)
    with (tmp_path / "dst" / path.name).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, delimiter=delimiter))
    assert list(found[0]) == header
    assert [(row["id"], row["audio"]) for row in found[:2]] == [
        ("u0_aug1", "u0_aug1.flac"),
        ("u0_aug2", "u0_aug2.flac"),
    ]
    assert {(row["text"], row["speaker"], row["accent"]) for row in found} == {('say "a", b', "ann", "süd, west")}
    for row in found:
        sound = soundfile.info(tmp_path / "dst" / row["audio"])
        assert 0.5 / 1.25 <= sound.duration <= 0.5 / 0.8
        assert (float(row["offset"]), float(row["duration"])) == (0.0, pytest.approx(sound.duration))
        # The click at 0.5 s is a quarter of a second into the part.
        expected = 0.5 * sound.duration
        assert abs(heard(tmp_path / "dst" / row["audio"], expected) - expected) < 2e-3
    assert [u.speaker for u in sa.read_manifest(tmp_path / "dst" / path.name)] == ["ann"] * 6


def test_common_voice_stays_common_voice(tmp_path: Path) -> None:
    (tmp_path / "cv" / "clips").mkdir(parents=True)
    for n in range(2):
        soundfile.write(tmp_path / "cv" / "clips" / f"c{n}.mp3", clicks(), RATE, format="MP3")
    table = 'client_id\tpath\tsentence\tage\nann\tc0.mp3\t"Quoted at the start\ttwenties\nbob\tc1.mp3\tplain\t\n'
    (tmp_path / "cv" / "train.tsv").write_text(table, encoding="utf-8")
    augment_manifest(tmp_path / "cv" / "train.tsv", tmp_path / "dst", POLICY, workers=0, format="keep")
    expected = table.replace("c0.mp3", "c0_aug1.mp3").replace("c1.mp3", "c1_aug1.mp3")
    assert (tmp_path / "dst" / "train.tsv").read_text(encoding="utf-8") == expected
    said = sa.read_manifest(tmp_path / "dst" / "train.tsv")
    assert [(u.text, u.speaker) for u in said] == [('"Quoted at the start', "ann"), ("plain", "bob")]
    assert all(Path(u.audio).parent.name == "clips" and Path(u.audio).is_file() for u in said)


def test_a_copy_can_be_augmented_again(tmp_path: Path, wavs: Path) -> None:
    sa.write_manifest(tmp_path / "a.jsonl", [sa.Utterance("u0", str(wavs / "u0.wav"), "one", speaker="ann", take="3")])
    augment_manifest(tmp_path / "a.jsonl", tmp_path / "b", POLICY, workers=0)
    augment_manifest(tmp_path / "b" / "manifest.jsonl", tmp_path / "c", POLICY, copies=2, workers=0)
    (row, _) = lines(tmp_path / "c" / "manifest.jsonl")
    assert (row["id"], row["source"], row["copy"], row["text"]) == ("u0_aug1_aug1", "u0_aug1", 1, "one")
    said = sa.read_manifest(tmp_path / "c" / "manifest.jsonl")
    assert [(u.id, u.text, u.speaker, u.take) for u in said] == [
        ("u0_aug1_aug1", "one", "ann", "3"), ("u0_aug1_aug2", "one", "ann", "3")
    ]  # fmt: skip


def test_folders_with_a_pattern_and_utterances(tmp_path: Path, wavs: Path) -> None:
    augment_manifest(wavs, tmp_path / "a", POLICY, pattern="{text}.wav", workers=0)
    augment_manifest(sa.read_manifest(wavs, "{text}.wav"), tmp_path / "b", POLICY, workers=0)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert [(u.id, u.text) for u in sa.read_manifest(tmp_path / "a" / "manifest.jsonl")][:2] == [
        ("u0_aug1", "u0"), ("u1_aug1", "u1")
    ]  # fmt: skip


def test_data_module_trains_on_what_was_written(tmp_path: Path, wavs: Path) -> None:
    said = [sa.Utterance(f"u{n}", str(wavs / f"u{n}.wav"), "one two", speaker=f"s{n % 2}") for n in range(4)]
    augment_manifest(said, tmp_path / "dst", POLICY, copies=2, workers=0)
    data = sa.SpeechDataModule(train=tmp_path / "dst" / "manifest.jsonl", test_speakers=["s1"], sample_rate=RATE)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert set(batch["text"]) == {"one two"} and set(batch["speaker"]) == {"s0"}


# Same bytes, resumed, failures.


def test_same_bytes_for_any_workers_and_after_a_lost_copy(tmp_path: Path, wavs: Path) -> None:
    sa.write_manifest(tmp_path / "a.jsonl", sa.read_manifest(wavs, "{text}.wav"))
    for workers in (0, 2):
        augment_manifest(tmp_path / "a.jsonl", tmp_path / str(workers), POLICY, copies=2, workers=workers)
    before = tree(tmp_path / "0")
    assert before == tree(tmp_path / "2")
    (tmp_path / "0" / "u1_aug2.flac").unlink()
    (tmp_path / "0" / "a.jsonl").unlink()
    again = augment_manifest(tmp_path / "a.jsonl", tmp_path / "0", POLICY, copies=2, workers=0)
    assert (again.files, again.made) == (8, 1)
    assert tree(tmp_path / "0") == before


def test_broken_recordings_are_named_and_left_out_of_every_table(tmp_path: Path, wavs: Path) -> None:
    (wavs / "u1.wav").write_bytes(b"RIFF....WAVE")
    (wavs / "u2.wav").unlink()
    rows = "".join(f"u{n},wavs/u{n}.wav,text\n" for n in range(4))
    (tmp_path / "a.csv").write_text("id,audio,text\n" + rows)
    report = augment_manifest(tmp_path / "a.csv", tmp_path / "dst", POLICY, copies=2, workers=0)
    assert report.files == report.made == 4
    assert [failure.id for failure in report.failures] == ["u1", "u2"]
    assert "no such file" in report.failures[1].reason
    for name in ("a.csv", "manifest.jsonl"):
        assert [u.id for u in sa.read_manifest(tmp_path / "dst" / name)] == ["u0_aug1", "u0_aug2", "u3_aug1", "u3_aug2"]


def test_dry_run_writes_nothing(tmp_path: Path, wavs: Path) -> None:
    sa.write_manifest(tmp_path / "a.jsonl", sa.read_manifest(wavs, "{text}.wav"))
    report = augment_manifest(tmp_path / "a.jsonl", tmp_path / "dst", POLICY, copies=3, dry_run=True)
    assert (report.files, report.made, report.audio_s) == (12, 0, pytest.approx(12.0))
    assert not (tmp_path / "dst").exists()


@pytest.mark.parametrize("dst", [".", "wavs", "wavs/.."])
def test_never_over_the_source(tmp_path: Path, wavs: Path, dst: str) -> None:
    sa.write_manifest(tmp_path / "a.jsonl", sa.read_manifest(wavs, "{text}.wav"))
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="dst must"):
        augment_manifest(tmp_path / "a.jsonl", tmp_path / dst, POLICY, workers=0, overwrite=True)
    with pytest.raises(ValueError, match="dst must"):
        augment_manifest(wavs, wavs / "more", POLICY, pattern="{text}.wav", workers=0)
    assert tree(tmp_path) == before


# Beside the audio.


def test_sidecars_of_a_manifest(tmp_path: Path, wavs: Path) -> None:
    """Word times move; the text is that of the manifest; a broken file is told, and stops nothing."""
    (wavs / "u0.ctm").write_text("".join(f"u0 1 {w['start']} 0.1 {w['word']}\n" for w in WORDS))
    (wavs / "u0.txt").write_text("another text")
    (wavs / "u1.ctm").write_text("broken\n")
    (wavs / "u2.txt").write_text("from the file")
    sa.write_manifest(
        tmp_path / "a.jsonl",
        [sa.Utterance(f"u{n}", str(wavs / f"u{n}.wav"), "" if n == 2 else "told") for n in range(3)],
    )
    report = augment_manifest(tmp_path / "a.jsonl", tmp_path / "dst", POLICY, workers=0)
    first, second, third = lines(tmp_path / "dst" / "manifest.jsonl")
    assert (report.failures, report.files) == ((), 3)
    check_words(tmp_path / "dst" / "u0_aug1.flac", first["words"])
    assert [row["text"] for row in (first, second, third)] == ["told", "told", "from the file"]
    assert second["problems"] == [
        f"{wavs / 'u1.ctm'}:1: must be recording, channel, begin, duration and word, got 'broken'"
    ]
    assert (tmp_path / "dst" / "u0_aug1.ctm").read_text().split()[0] == "u0_aug1"


def test_sidecars_of_a_part_of_a_recording(tmp_path: Path, wavs: Path) -> None:
    """Times beside a recording count from its beginning, also where a part of it is taken."""
    (wavs / "u0.ctm").write_text("".join(f"u0 1 {w['start']} 0.1 {w['word']}\n" for w in WORDS))
    part = sa.Utterance("part", str(wavs / "u0.wav"), "two three", offset=0.4)
    augment_manifest([part], tmp_path / "dst", POLICY, workers=0)
    (row,) = lines(tmp_path / "dst" / "manifest.jsonl")
    check_words(tmp_path / "dst" / "part_aug1.flac", row["words"], "two three")
