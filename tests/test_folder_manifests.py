"""Manifests in, manifests of the same kind out; read back by csv, json, tarfile, datasets, and by Kaldi's own rules."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import speechaug as sa
from speechaug.data import SpeechDataModule
from speechaug.folders import augment_manifest
from speechaug.interop import DatasetMap

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
    data = SpeechDataModule(train=tmp_path / "dst" / "manifest.jsonl", test_speakers=["s1"], sample_rate=RATE)
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
    assert (report.files, report.made, report.audio_s) == (12, 12, pytest.approx(12.0))
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
    assert second["problems"] == ["u1.ctm:1: must be recording, channel, begin, duration and word, got 'broken'"]
    assert report.problems == (("u1", second["problems"][0]),)
    assert (tmp_path / "dst" / "u0_aug1.ctm").read_text().split()[0] == "u0_aug1"


def test_broken_words_of_a_row_are_left_out(tmp_path: Path, wavs: Path) -> None:
    broken = [{"word": "one", "start": "early", "end": 1.0}]
    rows = [{"audio": "wavs/u0.wav", "words": broken}, {"audio": "wavs/u1.wav", "words": ["without", "times"]}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = augment_manifest(tmp_path / "a.jsonl", tmp_path / "dst", POLICY, workers=0)
    assert [problem.id for problem in report.problems] == ["wavs/u0"]
    assert [row["words"] for row in lines(tmp_path / "dst" / "a.jsonl")] == [None, ["without", "times"]]
    assert [row.get("words") for row in lines(tmp_path / "dst" / "manifest.jsonl")] == [None, ["without", "times"]]


def test_pieces_of_shards_become_files(tmp_path: Path, shards: Path) -> None:
    sa.write_manifest(tmp_path / "pieces.jsonl", sa.read_manifest(shards)[:2])
    augment_manifest(tmp_path / "pieces.jsonl", tmp_path / "dst", POLICY, workers=0)
    said = sa.read_manifest(tmp_path / "dst" / "pieces.jsonl")
    assert [(u.text, Path(u.audio).name) for u in said] == [
        ("text 0 0", "0000_aug1.flac"),
        ("text 0 1", "0001_aug1.flac"),
    ]


def test_sidecars_of_a_part_of_a_recording(tmp_path: Path, wavs: Path) -> None:
    """Times beside a recording count from its beginning, also where a part of it is taken."""
    (wavs / "u0.ctm").write_text("".join(f"u0 1 {w['start']} 0.1 {w['word']}\n" for w in WORDS))
    part = sa.Utterance("part", str(wavs / "u0.wav"), "two three", offset=0.4)
    augment_manifest([part], tmp_path / "dst", POLICY, workers=0)
    (row,) = lines(tmp_path / "dst" / "manifest.jsonl")
    check_words(tmp_path / "dst" / "part_aug1.flac", row["words"], "two three")


# Kaldi.


@pytest.fixture
def kaldi(tmp_path: Path, wavs: Path) -> Path:
    """Make a data directory of two recordings cut to three utterances, as Kaldi's own scripts leave it."""
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text(f"r1 {wavs}/u0.wav\nr2 {wavs}/u1.wav\n")
    (folder / "segments").write_text("ann-1 r1 0.1 0.7\nann-2 r1 0.7 1.0\nbob-1 r2 0.0 1.0\n")
    (folder / "text").write_text("ann-1 one two\nann-2 three\nbob-1 one two three\n")
    (folder / "utt2spk").write_text("ann-1 ann\nann-2 ann\nbob-1 bob\n")
    named = [(recording, word) for recording in ("r1", "r2") for word in WORDS]
    (folder / "ctm").write_text("".join(f"{r} 1 {w['start']:.2f} 0.10 {w['word']} 0.98\n" for r, w in named))
    return folder


def pairs(path: Path) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in path.read_text().splitlines())


def test_kaldi_directories(tmp_path: Path, kaldi: Path) -> None:
    augment_manifest(kaldi, tmp_path / "aug", POLICY, copies=2, workers=0, format="wav")
    found = {path.name: pairs(path) for path in (tmp_path / "aug").iterdir() if path.is_file() and "." not in path.name}
    names = [f"{name}_aug{copy}" for name in ("ann-1", "ann-2", "bob-1") for copy in (1, 2)]
    texts = [text for text in ("one two", "three", "one two three") for _ in range(2)]
    assert found["text"] == dict(zip(names, texts, strict=True))
    assert found["utt2spk"] == {name: name[:3] for name in names}
    assert found["spk2utt"] == {"ann": " ".join(names[:4]), "bob": " ".join(names[4:])}
    assert found["utt2uniq"] == {name: name[:5] for name in names}
    scp = pairs(tmp_path / "aug" / "wav.scp")
    assert list(scp) == names
    assert not (tmp_path / "aug" / "segments").exists()
    words: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for line in (tmp_path / "aug" / "ctm").read_text().splitlines():
        name, channel, start, duration, word, confidence = line.split()
        assert (channel, confidence) == ("1", "0.98")
        words[name].append({"word": word, "start": float(start), "end": float(start) + float(duration)})
    for name, text in found["text"].items():
        assert soundfile.info(scp[name]).subtype == "PCM_16"
        assert soundfile.info(scp[name]).duration == pytest.approx(float(found["utt2dur"][name]), abs=1e-4)
        check_words(Path(scp[name]), words[name], text)
    said = sa.read_manifest(tmp_path / "aug")
    assert [(u.id, u.text, u.speaker, u.audio) for u in said] == [
        (name, text, name[:3], scp[name]) for name, text in found["text"].items()
    ]


@pytest.mark.parametrize("name", ["wav.scp", "text", "utt2spk", "spk2utt", "utt2uniq", "utt2dur", "ctm"])
def test_kaldi_files_are_sorted_as_kaldi_wants_them(tmp_path: Path, wavs: Path, name: str) -> None:
    """validate_data_dir.sh compares with ``LC_ALL=C sort``: capitals first."""
    folder = tmp_path / "data"
    folder.mkdir()
    ids = ["b", "B", "a_2", "a-1", "é"]
    (folder / "wav.scp").write_text("".join(f"{id} {wavs}/u0.wav\n" for id in ids))
    (folder / "text").write_text("".join(f"{id} one\n" for id in ids))
    (folder / "utt2spk").write_text("".join(f"{id} {id}\n" for id in ids))
    (folder / "ctm").write_text("".join(f"{id} 1 0.2 0.1 one\n" for id in ids))
    augment_manifest(folder, tmp_path / "aug", POLICY, workers=0)
    keys = [line.split()[0].encode() for line in (tmp_path / "aug" / name).read_text(encoding="utf-8").splitlines()]
    assert keys == sorted(keys) and len(set(keys)) == 5


def test_a_ctm_may_name_utterances_and_be_broken(tmp_path: Path, kaldi: Path) -> None:
    (kaldi / "ctm").write_text("ann-1 1 0.1 0.1 one\nann-1 1 0.4 0.1 two\n")
    augment_manifest(kaldi, tmp_path / "aug", POLICY, workers=0)
    first, second, _ = lines(tmp_path / "aug" / "manifest.jsonl")
    check_words(tmp_path / "aug" / "ann-1_aug1.flac", first["words"], "one two")
    assert "words" not in second
    (kaldi / "ctm").write_text("ann-1 1 0.1\n")
    report = augment_manifest(kaldi, tmp_path / "broken", POLICY, workers=0)
    assert report.files == 3
    assert [problem.reason for problem in report.problems] == [
        f"{kaldi / 'ctm'}:1: must be recording, channel, begin, duration and word, got 'ann-1 1 0.1'"
    ]
    assert not (tmp_path / "broken" / "ctm").exists()


# Tar shards.


def encoded(x: np.ndarray, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, x, RATE, format=kind)
    return buffer.getvalue()


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, (name, content) in enumerate(members.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_000 + number
            tar.addfile(member, io.BytesIO(content))
    return path


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for number in range(2):
        members: dict[str, bytes] = {"__README__": b"about"}
        for place in range(3):
            told = {"text": f"json {place}", "speaker": "ann", "duration": 1.0, "words": WORDS, "snr": [1, None]}
            members[f"{place:04d}.json"] = json.dumps(told).encode()
            members[f"{place:04d}.wav"] = encoded(clicks())
            members[f"{place:04d}.txt"] = f"text {number} {place}\n".encode()
            members[f"{place:04d}.png"] = bytes([place] * 100)
        shard(tmp_path / "shards" / f"train-{number:03d}.tar", members)
    return tmp_path / "shards"


def test_shards_keep_their_members_in_order(tmp_path: Path, shards: Path) -> None:
    report = augment_manifest(shards, tmp_path / "aug", POLICY, copies=2, workers=0)
    assert (report.files, report.made, report.failures, report.problems) == (4, 4, (), ())
    assert sorted(path.name for path in (tmp_path / "aug").glob("*.tar")) == [
        f"train-{number:03d}_aug{copy}.tar" for number in range(2) for copy in (1, 2)
    ]
    for number in range(2):
        before = unpacked(shards / f"train-{number:03d}.tar")
        for copy in (1, 2):
            after = unpacked(tmp_path / "aug" / f"train-{number:03d}_aug{copy}.tar")
            assert list(after) == [name.replace(".wav", ".flac") for name in before]
            assert all(after[name] == before[name] for name in before if not name.endswith((".wav", ".json")))
            for place in range(3):
                told = json.loads(after[f"{place:04d}.json"])
                assert list(told) == ["text", "speaker", "duration", "words", "snr"]
                sound = io.BytesIO(after[f"{place:04d}.flac"])
                assert told["duration"] == soundfile.info(sound).duration != 1.0
                check_words(sound, told["words"])
    with tarfile.open(tmp_path / "aug" / "train-000_aug1.tar") as tar:
        assert [member.mtime for member in tar] == [1_000 + number for number in range(13)]


def test_shards_are_read_back_by_tar_and_by_manifest(tmp_path: Path, shards: Path) -> None:
    augment_manifest(f"{shards}/train-{{000..001}}.tar", tmp_path / "aug", POLICY, copies=2, workers=0)
    by_tar = sa.read_manifest(f"{tmp_path}/aug/train-{{000..001}}_aug{{1..2}}.tar")
    assert by_tar == sa.read_manifest(tmp_path / "aug")
    assert [(u.id, u.text, u.speaker) for u in by_tar[:2]] == [
        ("train-000_aug1/0000", "text 0 0", "ann"), ("train-000_aug1/0001", "text 0 1", "ann")
    ]  # fmt: skip
    by_manifest = sa.read_manifest(tmp_path / "aug" / "manifest.jsonl")
    assert [replace(said, duration=None) for said in by_manifest] == by_tar
    rows = lines(tmp_path / "aug" / "manifest.jsonl")
    assert (rows[0]["source"], rows[0]["copy"]) == ("train-000/0000", 1)
    for row, said in zip(rows, by_tar, strict=True):
        assert sa.audio.info(said.audio).duration_s == row["duration"]
        assert {word["word"] for word in row["words"]} == {"one", "two", "three"}


def test_a_sound_is_augmented_alike_in_a_shard_and_as_a_file(tmp_path: Path, shards: Path) -> None:
    """The same id, the same draws."""
    augment_manifest(shards / "train-001.tar", tmp_path / "aug", POLICY, copies=2, workers=0)
    said = sa.read_manifest(shards / "train-001.tar")
    augment_manifest(said, tmp_path / "files", POLICY, copies=2, workers=0)
    members = unpacked(tmp_path / "aug" / "train-001_aug2.tar")
    assert members["0001.flac"] == (tmp_path / "files" / "train-001" / "0001_aug2.flac").read_bytes()


def test_shards_are_the_same_for_any_workers_and_made_again_when_lost(tmp_path: Path, shards: Path) -> None:
    for workers in (0, 2):
        augment_manifest(shards, tmp_path / str(workers), POLICY, copies=2, workers=workers)
    before = tree(tmp_path / "0")
    assert before == tree(tmp_path / "2")
    (tmp_path / "0" / "train-001_aug1.tar").unlink()
    again = augment_manifest(shards, tmp_path / "0", POLICY, copies=2, workers=0)
    assert (again.files, again.made) == (4, 1)
    assert tree(tmp_path / "0") == before


PROGRAM = """
import sys, time
import speechaug as sa
from speechaug.folders import shard
def slow(*arguments, add=shard._add):
    time.sleep(0.05)
    add(*arguments)
shard._add = slow
sa.augment_manifest(sys.argv[1], sys.argv[2], sa.load_policy(sys.argv[3]), copies=2, workers=int(sys.argv[4]))
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_among_shards_and_resumed_gives_the_same_bytes(tmp_path: Path, shards: Path, workers: int) -> None:
    sa.save_policy(POLICY, tmp_path / "policy.yaml")
    dst, arguments = tmp_path / "dst", [shards, tmp_path / "dst", tmp_path / "policy.yaml", workers]
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, arguments)])
    until = time.monotonic() + 60.0
    while not list(dst.glob("*.tar")) and time.monotonic() < until:
        time.sleep(0.02)
    program.kill()
    program.wait()
    for path in dst.glob("*.tar"):
        assert len(unpacked(path)) == 13  # what is there is whole
    resumed = augment_manifest(shards, dst, POLICY, copies=2, workers=0)
    assert 0 < resumed.made < 4
    assert not list(dst.glob(".*"))
    augment_manifest(shards, tmp_path / "whole", POLICY, copies=2, workers=0)
    assert tree(dst) == tree(tmp_path / "whole")


def test_what_is_broken_in_a_shard_is_left_out_and_named(tmp_path: Path) -> None:
    members = {
        "a.wav": encoded(clicks()),
        "a.txt": b"one",
        "b.wav": b"RIFF....WAVE",
        "b.txt": b"gone with its sound",
        "c.wav": encoded(clicks()),
        "c.txt": b"\xff\xfe\xfd",
        "c.json": b'{"text": "three", "words": [{"word": "three"}]}',
        "d.txt": b"no sound",
        "e.wav": encoded(clicks()),
        "e.flac": encoded(clicks(), "FLAC"),
    }
    path = shard(tmp_path / "in" / "s.tar", members)
    report = augment_manifest(path, tmp_path / "aug", POLICY, workers=0)
    assert [failure.id for failure in report.failures] == ["s/b", "s/e"]
    assert "must have one sound" in report.failures[1].reason
    assert report.problems[0].id == "s" and "c.txt: is not UTF-8" in report.problems[0].reason
    assert list(unpacked(tmp_path / "aug" / "s_aug1.tar")) == ["a.flac", "a.txt", "c.flac", "d.txt"]
    # The same is told when nothing is left to do.
    assert augment_manifest(path, tmp_path / "aug", POLICY, workers=0).failures == report.failures


def test_cut_and_compressed_shards(tmp_path: Path, shards: Path) -> None:
    whole = (shards / "train-000.tar").read_bytes()
    (shards / "train-000.tar").write_bytes(whole[: 3 * len(whole) // 5])
    (shards / "train-001.tar").write_bytes(b"\x1f\x8b" + whole[2:])
    report = augment_manifest(shards, tmp_path / "aug", POLICY, workers=0)
    assert [(one.id, one.reason.partition(": ")[2][:20]) for one in report.failures] == [
        ("train-000", "ends too early (unex"), ("train-001", "must not be compress")
    ]  # fmt: skip
    assert report.files == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = sa.read_manifest(shards / "train-000.tar")
    assert [row["source"] for row in lines(tmp_path / "aug" / "manifest.jsonl")] == [said.id for said in left]


def test_absent_shards_are_named_before_anything_is_written(tmp_path: Path, shards: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train-002\.tar: no such shard"):
        augment_manifest(f"{shards}/train-{{000..002}}.tar", tmp_path / "aug", POLICY, workers=0)
    assert not (tmp_path / "aug").exists()


def test_odd_names_in_shards(tmp_path: Path) -> None:
    sound = encoded(clicks())
    members = {
        "./ü b/c.d/x.1.WAV": sound,
        "../../outside.wav": sound,
        f"{'y' * 150}.wav": sound,
        "keep.flac": encoded(clicks(), "FLAC"),
    }
    path = shard(tmp_path / "in" / "s.tar", members)
    augment_manifest(path, tmp_path / "aug", POLICY, workers=0)
    assert list(unpacked(tmp_path / "aug" / "s_aug1.tar")) == [
        "./ü b/c.d/x.1.flac", "../../outside.flac", f"{'y' * 150}.flac", "keep.flac"
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aug", "in"]
    assert len(sa.read_manifest(tmp_path / "aug")) == 4


def test_dry_run_of_shards(tmp_path: Path, shards: Path) -> None:
    report = augment_manifest(shards, tmp_path / "aug", POLICY, copies=2, dry_run=True, limit=1)
    assert (report.files, report.made, report.audio_s) == (2, 2, pytest.approx(6.0))
    assert not (tmp_path / "aug").exists()


# Hugging Face.


def dataset(count: int = 5) -> Any:
    datasets = pytest.importorskip("datasets")
    rows = {
        "audio": [{"bytes": encoded(clicks()), "path": f"{n}.wav"} for n in range(count)],
        "sentence": [f"text {n}" for n in range(count)],
        "client_id": ["ann", "bob", "ann", "bob", "ann"][:count],
        "age": list(range(count)),
        "words": [WORDS] * count,
    }
    return datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))


def test_data_sets_of_hugging_face(tmp_path: Path) -> None:
    for workers in (0, 2):
        augment_manifest(dataset(), tmp_path / str(workers), POLICY, copies=2, workers=workers)
    assert tree(tmp_path / "0") == tree(tmp_path / "2")
    rows = lines(tmp_path / "0" / "metadata.jsonl")
    assert list(rows[0]) == ["sentence", "client_id", "age", "words", "file_name"]
    assert (rows[1]["sentence"], rows[1]["age"], rows[1]["file_name"]) == ("text 0", 0, "0_aug2.flac")
    for row in rows:
        check_words(tmp_path / "0" / row["file_name"], row["words"])
    said = sa.read_manifest(tmp_path / "0" / "metadata.jsonl")
    assert [(u.text, u.speaker) for u in said] == [
        (f"text {n}", "ann" if n % 2 == 0 else "bob") for n in (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
    ]


def test_datasets_reads_what_was_written_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    # Without torchcodec it cannot even take a path as it is.
    monkeypatch.setattr(datasets.Audio, "encode_example", lambda self, value: {"bytes": None, "path": value})
    augment_manifest(dataset(), tmp_path / "aug", POLICY, copies=2, workers=0)
    found = datasets.load_dataset(
        "audiofolder", data_dir=str(tmp_path / "aug"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert found["sentence"] == [f"text {n}" for n in range(5) for _ in range(2)]
    said = sa.read_manifest(found.cast_column("audio", datasets.Audio(decode=False)))
    assert [Path(u.audio).name for u in said] == [f"{n}_aug{copy}.flac" for n in range(5) for copy in (1, 2)]


@pytest.mark.parametrize(
    "way",
    [{}, {"num_proc": 2}, {"batched": True, "batch_size": 2}, {"batched": True, "batch_size": 3, "num_proc": 2}],
    ids=str,
)
def test_map_of_datasets_gives_what_the_folder_gets(tmp_path: Path, way: dict[str, Any]) -> None:
    augment_manifest(dataset(), tmp_path, POLICY, workers=0, seed=3)
    found = dataset().map(DatasetMap(POLICY, seed=3), with_indices=True, **way)
    for number, (row, before) in enumerate(zip(found, dataset(), strict=True)):
        assert {name: row[name] for name in before if name != "audio"} == {
            k: v for k, v in before.items() if k != "audio"
        }
        heard_there, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        written, expected_rate = soundfile.read(tmp_path / f"{number}_aug1.flac")
        assert rate == expected_rate and np.array_equal(heard_there, written)


def test_map_of_datasets_makes_copies(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    named = dataset(3).add_column("id", ["x", "y", "z"])
    found = named.map(DatasetMap(POLICY, copies=2), with_indices=True, batched=True, batch_size=2)
    assert found["id"] == ["x_aug1", "x_aug2", "y_aug1", "y_aug2", "z_aug1", "z_aug2"]
    assert len({row["audio"]["bytes"] for row in found}) == 6
    assert [u.text for u in sa.read_manifest(found)] == ["text 0", "text 0", "text 1", "text 1", "text 2", "text 2"]
    with pytest.raises(ValueError, match="copies must be 1 unless map is batched, got 2"):
        DatasetMap(POLICY, copies=2)({"audio": None}, 0)
    with pytest.raises(ValueError, match="copies must be at least 1, got 0"):
        DatasetMap(POLICY, copies=0)
    with pytest.raises(ValueError, match="row 7 must hold sound"):
        DatasetMap(POLICY)({"audio": None}, 7)
    assert datasets.fingerprint.Hasher.hash(DatasetMap(POLICY)) == datasets.fingerprint.Hasher.hash(DatasetMap(POLICY))
    made = DatasetMap(POLICY)({"audio": {"array": clicks(), "sampling_rate": RATE}}, 0)["audio"]["bytes"]
    augment_manifest(dataset(1), tmp_path, POLICY, workers=0)
    assert np.allclose(soundfile.read(io.BytesIO(made))[0], soundfile.read(tmp_path / "0_aug1.flac")[0], atol=1e-3)
