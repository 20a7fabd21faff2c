"""Tar shards: tarfile writes them and is the oracle of what lies in them."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from speechaug import _open, audio
from speechaug.data import Joined, SpeechDataModule, SpeechDataset, read_manifest, scan, write_manifest

RATE = 8_000


def samples(seed: int, count: int = 800) -> np.ndarray:
    return (np.random.default_rng(seed).integers(-9_000, 9_000, count) / 32768).astype(np.float32)


def encoded(x: np.ndarray, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, x, RATE, format=kind)
    return buffer.getvalue()


def shard(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def three(folder: Path, count: int = 2) -> Path:
    """Write three shards of a few samples; every shard begins to count anew."""
    for number in range(3):
        members: dict[str, bytes] = {}
        for place in range(count):
            members[f"{place:04d}.flac"] = encoded(samples(10 * number + place, 500 + 100 * place), "FLAC")
            members[f"{place:04d}.txt"] = f"wörd {number} {place}\n".encode()
            members[f"{place:04d}.json"] = json.dumps({"speaker_id": f"s{place}", "path": "/was/here"}).encode()
        shard(folder / f"train-{number:03d}.tar", members)
    return folder


def test_folder_tar_and_braces_give_the_same(tmp_path: Path) -> None:
    folder = three(tmp_path / "shards")
    every = read_manifest(folder)
    assert [(u.id, u.text, u.speaker) for u in every] == [
        (f"train-{number:03d}/{place:04d}", f"wörd {number} {place}", f"s{place}")
        for number in range(3)
        for place in range(2)
    ]
    assert read_manifest(f"{folder}/train-{{000..002}}.tar") == every
    assert read_manifest(folder / "train-001.tar") == every[2:4]
    assert read_manifest(f"{folder}/train-{{001..002}}.tar") == every[2:]


def test_members_are_read_where_they_lie(tmp_path: Path) -> None:
    for said in read_manifest(three(tmp_path)):
        path, first, size = str(said.audio).rsplit(":", 2)
        shard_name, name = said.id.split("/")
        with tarfile.open(path) as tar:
            member = tar.getmember(f"{name}.flac")
            content = tar.extractfile(member).read()  # type: ignore[union-attr]
        assert (Path(path).stem, int(first), int(size)) == (shard_name, member.offset_data, member.size)
        expected, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
        x, found_rate = audio.read(said.audio)
        np.testing.assert_array_equal(x, expected.T)
        np.testing.assert_array_equal(audio.read(said.audio, offset_s=0.01, duration_s=0.02)[0], expected.T[:, 80:240])
        assert (found_rate, audio.info(said.audio).frames) == (rate, len(expected))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_every_format_is_read_from_a_tar_as_from_a_file(tmp_path: Path, kind: str) -> None:
    content = encoded(samples(0, 8_000), kind)
    path = tmp_path / f"u.{kind.lower()}"
    path.write_bytes(content)
    (said,) = read_manifest(shard(tmp_path / "t.tar", {f"u.{kind.lower()}": content}))
    for part in ({}, {"offset_s": 0.5, "duration_s": 0.25}):
        np.testing.assert_array_equal(audio.read(said.audio, **part)[0], audio.read(path, **part)[0])


def test_names_in_tars(tmp_path: Path) -> None:
    sound = encoded(samples(0))
    members = {
        "./a/b.c/u1.WAV": sound,
        "./a/b.c/u1.txt": b"one",
        "ü 2.wav": sound,
        "ü 2.json": b'{"sentence": "two", "speaker": "ann"}',
        "u3.wav": sound,
        "u3.cls": b"7",
        "._u4.wav": b"resource fork",
        "u5.clean.flac": encoded(samples(1), "FLAC"),
        f"{'x' * 150}.wav": sound,  # longer than the first tar format can hold
    }
    found = read_manifest(shard(tmp_path / "t.tar", members))
    assert [(u.id, u.text, u.speaker) for u in found] == [
        ("t/a/b.c/u1", "one", ""),
        ("t/ü 2", "two", "ann"),
        ("t/u3", "7", ""),
        ("t/u5", "", ""),
        (f"t/{'x' * 150}", "", ""),
    ]
    assert all(audio.info(u.audio).frames == 800 for u in found)


def test_upper_case_endings_and_files_beside_shards(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", {"u.wav": encoded(samples(0))})
    shard(tmp_path / "B.TAR", {"u.wav": encoded(samples(1))})
    (tmp_path / "a.tar.idx").write_text("512 8044")
    assert [u.id for u in read_manifest(tmp_path)] == ["B/u", "a/u"]


def test_tars_of_the_command_line(tmp_path: Path) -> None:
    """What tar writes: ./ before names, folders, long names, links, owners; in both of its formats."""
    name = "x" * 140
    for stem in ("u1", name):
        (tmp_path / "in" / "a b").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "a b" / f"{stem}.wav").write_bytes(encoded(samples(0)))
        (tmp_path / "in" / "a b" / f"{stem}.json").write_text('{"text": "ö"}')
    (tmp_path / "in" / "again.wav").hardlink_to(tmp_path / "in" / "a b" / "u1.wav")
    (tmp_path / "in" / "soft.wav").symlink_to("a b/u1.wav")
    for kind in ("gnu", "posix"):
        path = tmp_path / f"{kind}.tar"
        subprocess.run(["tar", f"--format={kind}", "--sort=name", "-cf", path, "-C", tmp_path / "in", "."], check=True)
        with pytest.warns(UserWarning, match=r"2 samples have no sound and are left out: again, soft"):
            found = read_manifest(path)
        assert [(u.id, u.text) for u in found] == [(f"{kind}/a b/u1", "ö"), (f"{kind}/a b/{name}", "ö")]
        for said in found:
            np.testing.assert_array_equal(audio.read(said.audio)[0][0], samples(0))


def test_a_sound_stored_with_holes_is_refused(tmp_path: Path) -> None:
    content = encoded(np.zeros(2**18, np.float32))
    with (tmp_path / "u.wav").open("wb") as file:
        file.write(content[:44])
        file.truncate(len(content))
    subprocess.run(["tar", "-S", "-cf", tmp_path / "t.tar", "-C", tmp_path, "u.wav"], check=True)
    with tarfile.open(tmp_path / "t.tar") as tar:
        if not tar.getmember("u.wav").issparse():
            pytest.skip("this file system keeps no holes")
    with pytest.raises(ValueError, match=r"t\.tar: must not be written by tar -S, .* got 'u\.wav'"):
        read_manifest(tmp_path / "t.tar")


def test_a_transcript_of_null_is_none(tmp_path: Path) -> None:
    sound = encoded(samples(0))
    rows = {"u1": b'{"text": null, "speaker": null}', "u2": b'{"text": 7, "speaker": 3}', "u3": b'{"text": ""}'}
    members = {f"{name}.{ending}": x for name, row in rows.items() for ending, x in (("wav", sound), ("json", row))}
    found = read_manifest(shard(tmp_path / "t.tar", {**members, "u3.cls": b"5"}))
    assert [(u.text, u.speaker) for u in found] == [("", ""), ("7", "3"), ("5", "")]


def test_samples_without_sound_are_told(tmp_path: Path) -> None:
    path = shard(tmp_path / "t.tar", {"u1.txt": b"one", "u2.wav": encoded(samples(0)), "u3.json": b"{}"})
    with pytest.warns(UserWarning, match=r"t\.tar: 2 samples have no sound and are left out: u1, u3"):
        assert [u.id for u in read_manifest(path)] == ["t/u2"]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("hidden", [False, True])
def test_compressed_tars_are_refused(tmp_path: Path, mode: str, hidden: bool) -> None:
    name = "t.tar" if hidden else f"t.tar.{mode[2:]}"
    path = shard(tmp_path / name, {"u1.wav": encoded(samples(0))}, mode)
    for source in (path, tmp_path):
        with pytest.raises(ValueError, match=f"{name}: must not be compressed, .*; unpack it to a .tar"):
            read_manifest(source)


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"u1.wav": b"x", "u1.flac": b"x"}, r"t\.tar: u1: must have one sound, got 'u1\.flac' as well"),
        ({"u1.wav": b"x", "u1.txt": b"caf\xe9"}, r"t\.tar: u1: its transcript is malformed"),
        ({"u1.wav": b"x", "u1.json": b"{"}, r"t\.tar: u1: its transcript is malformed"),
        ({"u1.wav": b"x", "u1.json": b"[1]"}, r"t\.tar: u1: its \.json must be an object"),
        ({"u1.wav": b"x", "u1.json": b'{"text": ["a"]}'}, r"t\.tar: u1: text: must be text or a number, got \['a'\]"),
        ({"u1.wav": b"x", "u1.json": b'{"sentence": "a", "transcript": "b"}'}, "could each be the text"),
        ({}, "holds no utterances"),
    ],
)
def test_shards_that_are_refused(tmp_path: Path, members: dict[str, bytes], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        read_manifest(shard(tmp_path / "t.tar", members))


def test_what_is_no_tar_and_what_is_absent(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_text("not a tar\n" * 200)
    with pytest.raises(ValueError, match=r"t\.tar: is not a tar"):
        read_manifest(tmp_path / "t.tar")
    with pytest.raises(FileNotFoundError, match=r"x-01\.tar: no such shard"):
        read_manifest(f"{tmp_path}/x-{{01..03}}.tar")
    with pytest.raises(ValueError, match=r"pattern is for folders, got '\{id\}\.wav' for"):
        read_manifest(f"{tmp_path}/x-{{01..03}}.tar", "{id}.wav")
    with pytest.raises(ValueError, match="a range must run upwards"):
        read_manifest(f"{tmp_path}/x-{{3..1}}.tar")


def test_a_shard_that_breaks_off_gives_what_it_holds(tmp_path: Path) -> None:
    path = shard(tmp_path / "t.tar", {f"u{i}.wav": encoded(samples(i)) for i in range(4)})
    with tarfile.open(path) as tar:
        third = tar.getmember("u2.wav")
    whole = path.read_bytes()
    for cut in (third.offset_data + 100, third.offset_data - 100):  # within the sound, within its header
        path.write_bytes(whole[:cut])
        with pytest.warns(UserWarning, match=r"t\.tar: ends too early \(.*\); what comes before is used"):
            assert [u.id for u in read_manifest(path)] == ["t/u0", "t/u1"]


def test_bad_members_are_named_by_id(tmp_path: Path) -> None:
    whole = encoded(samples(0))
    nan = samples(1)
    nan[5] = np.nan
    buffer = io.BytesIO()
    soundfile.write(buffer, nan, RATE, format="WAV", subtype="FLOAT")
    members = {"good.wav": whole, "none.wav": b"", "cut.wav": whole[:300], "text.wav": b"hello " * 50}
    found, findings = scan(
        read_manifest(shard(tmp_path / "t.tar", {**members, "nan.wav": buffer.getvalue()})), sample_rate=RATE
    )
    assert [recording.utterance.id for recording in found] == ["t/good"]
    assert [(f.kind, f.text.split(":")[0]) for f in findings] == [
        ("empty", "t/none"),
        ("unreadable", "t/cut"),
        ("unreadable", "t/text"),
        ("not_finite", "t/nan"),
    ]


def test_a_piece_beyond_its_file(tmp_path: Path) -> None:
    path = shard(tmp_path / "t.tar", {"u.wav": encoded(samples(0))})
    with pytest.raises(ValueError, match="is cut short, the file has"):
        audio.info(_open.piece(path, 512, 10**6))
    with pytest.raises(FileNotFoundError, match=r"absent\.tar: no such file"):
        audio.info("absent.tar:512:100")
    with pytest.raises(ValueError, match="is not an audio file"):
        audio.info(_open.piece(path, 0, 512))


def test_the_index_of_shards_can_be_kept(tmp_path: Path) -> None:
    every = read_manifest(three(tmp_path / "shards"))
    write_manifest(tmp_path / "m.jsonl", every)
    assert read_manifest(tmp_path / "m.jsonl") == every
    first = json.loads((tmp_path / "m.jsonl").read_text("utf-8").splitlines()[0])
    assert first["audio"].startswith("shards/train-000.tar:512:")


def test_shards_and_files_train_on_the_same_batches(tmp_path: Path) -> None:
    folder = three(tmp_path / "shards", count=6)
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                target = tmp_path / "files" / path.stem / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
    rows = [
        {
            "id": f"{path.parent.name}/{path.stem}",
            "audio": path.as_posix(),
            "text": path.with_suffix(".txt").read_text("utf-8").strip(),
            **json.loads(path.with_suffix(".json").read_text()),
        }
        for path in sorted((tmp_path / "files").rglob("*.flac"))
    ]
    (tmp_path / "files.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def batches(source: Path, **arguments: Any) -> list[tuple[Any, ...]]:
        data = SpeechDataModule(source, sample_rate=RATE, batch_size=4, concat=(1, 3), **arguments)
        data.setup("fit")
        return [(b["id"], b["text"], b["waveform"].tolist()) for b in data.train_dataloader()]

    expected = batches(tmp_path / "files.jsonl")
    assert batches(folder) == expected
    assert batches(folder, cache_mb=0.0) == expected


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_open_shards_for_themselves(tmp_path: Path, start: str) -> None:
    recordings, findings = scan(read_manifest(three(tmp_path)), sample_rate=RATE)
    assert not findings
    data = SpeechDataset(recordings, sample_rate=RATE)
    rows = [(Joined(u.id, (index,), (), 0.0),) for index, u in enumerate(data.utterances)]
    expected = [data[row]["waveform"] for row in rows]
    assert pickle.loads(pickle.dumps(data))[rows[0]]["waveform"].equal(expected[0])
    loader = DataLoader(
        data,
        batch_size=None,
        sampler=rows,
        num_workers=2 if start == "fork" else 1,
        multiprocessing_context=start,
        generator=torch.Generator().manual_seed(0),
    )
    found = list(loader)
    assert all(batch["waveform"].equal(x) for batch, x in zip(found, expected, strict=True))
