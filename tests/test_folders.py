"""Folder jobs: the tree, the manifest, the same bytes however they are made, and what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import speechaug as sa
from speechaug import audio
from speechaug.banks import RATES_KEPT
from speechaug.folders import Report, sounds
from speechaug.folders.copies import CopyWork
from speechaug.folders.journal import Journal
from speechaug.folders.policies import banks

RATES = {"ann/one.wav": 8_000, "ann/two.wav": 16_000, "bob b/drei ä.flac": 16_000, "bob b/vier.WAV": 11_025}


@pytest.fixture
def src(tmp_path: Path) -> Path:
    for seed, (name, rate) in enumerate(RATES.items()):
        samples = 0.1 * np.random.default_rng(seed).standard_normal((1 + (seed == 1), rate // 2))
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples.T, rate, subtype="PCM_16")
    (tmp_path / "src" / "README.md").write_text("no sound")
    (tmp_path / "src" / "ann" / "._one.wav").write_bytes(b"not visible")
    return tmp_path / "src"


@pytest.fixture
def policy(noise_folder: Path) -> sa.Compose:
    noise = sa.AddNoise(bank=sa.Bank(noise_folder, sample_rate=16_000), snr_db=(5.0, 15.0), p=0.8)
    return sa.Compose([sa.Speed(factor=(0.8, 1.2)), noise, sa.LowPass(cutoff_hz=(1_000.0, 3_000.0)), sa.Gain()])


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def test_tree_names_and_manifest(src: Path, tmp_path: Path, policy: sa.Compose) -> None:
    done = sa.augment_folder(src, tmp_path / "dst", policy, copies=2, workers=0)
    assert (done.files, done.made, done.failures) == (8, 8, ())
    expected = [f"{name.rpartition('.')[0]}_aug{copy}.flac" for name in sorted(RATES) for copy in (1, 2)]
    assert sorted(tree(tmp_path / "dst")) == sorted([*expected, "augment.json", "manifest.jsonl"])
    found = rows(tmp_path / "dst")
    assert [row["audio"] for row in found] == expected
    assert [row["source"] for row in found] == [name for name in sorted(RATES) for _ in (1, 2)]
    for row in found:
        source, copy = src / str(row["source"]), soundfile.info(tmp_path / "dst" / str(row["audio"]))
        assert row["source_hash"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert (row["sample_rate"], row["duration"]) == (copy.samplerate, copy.frames / copy.samplerate)
        assert copy.samplerate == soundfile.info(source).samplerate
        assert copy.channels == soundfile.info(source).channels
        on = row["transforms"]["AddNoise"]["on"][0]  # type: ignore[index]
        assert ("snr_db" in row) == on
        if on:
            assert row["snr_db"] == pytest.approx(row["transforms"]["AddNoise"]["snr_db"][0], abs=0.1)  # type: ignore[index]
    assert done.audio_s == pytest.approx(sum(row["duration"] for row in found))  # type: ignore[arg-type]
    assert sa.read_manifest(tmp_path / "dst" / "manifest.jsonl")[0].id == "ann/one_aug1"


def test_no_ratio_is_told_beside_silence(tmp_path: Path) -> None:
    audio.write(tmp_path / "src" / "nothing.wav", np.zeros(8_000), 16_000)
    sa.augment_folder(tmp_path / "src", tmp_path / "dst", sa.AddColoredNoise(), workers=0)
    assert "snr_db" not in rows(tmp_path / "dst")[0]


def test_the_first_copy_is_what_augment_gives_and_the_manifest_replays(src: Path, tmp_path: Path) -> None:
    policy = sa.Compose([sa.Speed(factor=(0.8, 1.2)), sa.Gain(gain_db=(-6.0, 6.0)), sa.LowPass()])
    sa.augment_folder(src, tmp_path / "dst", policy, copies=2, seed=3, workers=0)
    for row in rows(tmp_path / "dst"):
        samples, rate = soundfile.read(src / str(row["source"]), dtype="float32", always_2d=True)
        written, _ = soundfile.read(tmp_path / "dst" / str(row["audio"]), dtype="int16", always_2d=True)
        draws = policy.replay(row["transforms"])  # type: ignore[arg-type]
        y, _ = policy(torch.from_numpy(samples.T.copy())[None], None, draws, sample_rate=rate)
        assert np.abs(written.T - y[0].numpy() * 32_768.0).max() <= 0.51
        if row["copy"] == 1:
            alone = sa.augment(samples.T, rate, policy, seed=3, id=str(row["source"]))
            assert np.array_equal(alone, y[0].numpy())


def test_a_policy_that_does_nothing_copies_exactly(src: Path, tmp_path: Path) -> None:
    sa.augment_folder(src, tmp_path / "dst", sa.Gain(p=0.0), workers=0)
    for row in rows(tmp_path / "dst"):
        before, _ = soundfile.read(src / str(row["source"]), dtype="int32")
        after, _ = soundfile.read(tmp_path / "dst" / str(row["audio"]), dtype="int32")
        assert np.array_equal(before, after)


@pytest.mark.parametrize("workers", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_same_bytes_whatever_the_workers(src: Path, tmp_path: Path, policy: sa.Compose, workers: int) -> None:
    for count in (0, workers):
        sa.augment_folder(src, tmp_path / str(count), policy, copies=3, workers=count)
    assert tree(tmp_path / "0") == tree(tmp_path / str(workers))


def test_a_file_does_not_depend_on_the_others(src: Path, tmp_path: Path, policy: sa.Compose) -> None:
    sa.augment_folder(src, tmp_path / "all", policy, copies=2, workers=0)
    sa.augment_folder(src, tmp_path / "one", policy, copies=1, workers=0, exclude=["ann", "*.WAV"])
    found = tree(tmp_path / "one")
    assert set(found) == {"bob b/drei ä_aug1.flac", "augment.json", "manifest.jsonl"}
    assert found["bob b/drei ä_aug1.flac"] == tree(tmp_path / "all")["bob b/drei ä_aug1.flac"]


def test_what_is_there_is_not_made_again(src: Path, tmp_path: Path, policy: sa.Compose) -> None:
    dst = tmp_path / "dst"
    sa.augment_folder(src, dst, policy, workers=0)
    before = tree(dst)
    (dst / "ann" / "one_aug1.flac").unlink()
    (dst / "ann" / "two_aug1.flac").write_bytes(b"")
    again = sa.augment_folder(src, dst, policy, workers=0)
    assert (again.files, again.made) == (4, 2)
    assert tree(dst) == before
    later = time.time() + 10.0
    os.utime(src / "ann" / "one.wav", (later, later))  # a recording that was changed
    assert sa.augment_folder(src, dst, policy, workers=0).made == 1
    more = sa.augment_folder(src, dst, policy, copies=2, workers=0)
    assert (more.files, more.made) == (8, 5)
    assert {name: tree(dst)[name] for name in before if name.endswith("flac")} == {
        name: digest for name, digest in before.items() if name.endswith("flac")
    }
    assert sa.augment_folder(src, dst, policy, limit=1, workers=0).files == 1
    assert len(rows(dst)) == 8


def test_what_has_changed_is_made_again_and_nothing_of_before_stays(tmp_path: Path) -> None:
    src, dst = tmp_path / "src", tmp_path / "dst"
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, 4_000)
    for name in ("fixed", "broken", "plain"):
        audio.write(src / f"{name}.wav", samples, 8_000)
        for ending in (".txt", ".lab"):
            (src / f"{name}{ending}").write_text("wrong")
    sa.augment_folder(src, dst, sa.Gain(), workers=0)
    later = time.time() + 10.0
    (src / "fixed.txt").write_text("right")
    (src / "fixed.lab").unlink()
    (src / "broken.wav").write_text("no audio")
    for name in ("fixed.txt", "broken.wav"):
        os.utime(src / name, (later, later))
    assert sa.augment_folder(src, dst, sa.Gain(), workers=0, dry_run=True).made == 1
    assert (dst / "broken_aug1.lab").exists()
    done = sa.augment_folder(src, dst, sa.Gain(), workers=0)
    assert (done.files, done.made, [one.id for one in done.failures]) == (2, 1, ["broken.wav"])
    assert [row["text"] for row in rows(dst)] == ["right", "wrong"]
    kept = {"fixed_aug1.flac", "fixed_aug1.txt", "plain_aug1.flac", "plain_aug1.txt", "plain_aug1.lab"}
    assert set(tree(dst)) == kept | {"augment.json", "manifest.jsonl"}


def test_another_job_needs_another_folder(src: Path, tmp_path: Path) -> None:
    dst = tmp_path / "dst"
    sa.augment_folder(src, dst, sa.Gain(), copies=2, workers=0)
    with pytest.raises(ValueError, match="another seed, policy; overwrite=True"):
        sa.augment_folder(src, dst, sa.Polarity(), seed=1, workers=0)
    sa.augment_folder(src, dst, sa.Polarity(), seed=1, workers=0, overwrite=True)
    sa.augment_folder(src, tmp_path / "new", sa.Polarity(), seed=1, workers=0)
    assert tree(dst) == tree(tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "full" / ".mine.tmp").write_text("mine")
    (tmp_path / "full" / f".{'0a' * 16}.tmp").write_text("left by a job that was killed")
    with pytest.raises(ValueError, match="must be new, empty or begun by augment"):
        sa.augment_folder(src, tmp_path / "full", sa.Gain(), workers=0)
    sa.augment_folder(src, tmp_path / "full", sa.Gain(), workers=0, overwrite=True)
    assert (tmp_path / "full" / "mine.txt").read_text() == (tmp_path / "full" / ".mine.tmp").read_text() == "mine"
    assert not (tmp_path / "full" / f".{'0a' * 16}.tmp").exists()


def test_dry_run_and_limit(src: Path, tmp_path: Path) -> None:
    (src / "broken.wav").write_bytes(b"RIFF")
    done = sa.augment_folder(src, tmp_path / "dst", sa.Gain(), copies=3, dry_run=True)
    assert (done.files, done.made, done.audio_s) == (12, 12, pytest.approx(4 * 0.5 * 3, abs=0.001))
    assert [failure.id for failure in done.failures] == ["broken.wav"]
    assert not (tmp_path / "dst").exists()
    assert sa.augment_folder(src, tmp_path / "dst", sa.Gain(), limit=2, workers=0).files == 2
    before = tree(tmp_path / "dst")
    more = sa.augment_folder(src, tmp_path / "dst", sa.Gain(), copies=3, dry_run=True)
    assert (more.files, more.made, more.audio_s) == (12, 10, pytest.approx(5.0, abs=0.001))
    assert str(more).startswith(f"12 files in {tmp_path / 'dst'}, 10 of them new, 5.0 seconds of audio")
    with pytest.raises(ValueError, match="another seed"):  # as without dry_run
        sa.augment_folder(src, tmp_path / "dst", sa.Gain(), seed=1, dry_run=True)
    assert sa.augment_folder(src, tmp_path / "dst", sa.Gain(), seed=1, overwrite=True, dry_run=True).made == 4
    assert tree(tmp_path / "dst") == before


def test_broken_files_are_named_and_the_rest_is_done(src: Path, tmp_path: Path) -> None:
    whole = (src / "ann" / "one.wav").read_bytes()
    (src / "empty.wav").write_bytes(b"")
    (src / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (src / "text.mp3").write_text("this is no sound\n" * 50)
    (src / "phone.m4a").write_bytes(bytes(100))
    (src / "gone.wav").symlink_to(src / "nowhere.wav")
    soundfile.write(src / "none.wav", np.zeros(0), 8_000)
    soundfile.write(src / "silent.wav", np.zeros(800), 8_000)
    soundfile.write(src / "sample.wav", [0.5], 8_000)
    soundfile.write(src / "nan.wav", [0.5, np.nan], 8_000, subtype="FLOAT")
    done = sa.augment_folder(src, tmp_path / "dst", sa.Speed(factor=(1.5, 1.5)), workers=2)
    reasons = {failure.id: failure.reason for failure in done.failures}
    assert sorted(reasons) == ["cut.wav", "empty.wav", "gone.wav", "nan.wav", "none.wav", "phone.m4a", "text.mp3"]
    assert "is cut short" in reasons["cut.wav"] and "non-finite" in reasons["nan.wav"]
    assert (done.files, len(rows(tmp_path / "dst"))) == (6, 6)
    assert "7 recordings failed" in str(done) and str(src / "empty.wav") in str(done)
    soundfile.write(src / "empty.wav", np.zeros(8), 8_000)
    assert sa.augment_folder(src, tmp_path / "dst", sa.Speed(factor=(1.5, 1.5)), workers=0).made == 1


def test_src_and_dst_lie_apart(src: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(src)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "inner").symlink_to(src)
    for one, other in [
        (src, src),
        (src, src / "dst"),
        (src / "ann", src),
        (src, tmp_path / "link" / "dst"),
        (tmp_path / "outer", src / "ann" / "dst"),  # a link in src leads to where dst lies
        (src, src / ".." / "src" / "x"),
    ]:
        before = tree(src)
        with pytest.raises(ValueError, match="dst must lie outside src and src outside dst"):
            sa.augment_folder(one, other, sa.Gain(), workers=0)
        assert tree(src) == before


def test_nothing_is_written_outside_dst(src: Path, tmp_path: Path) -> None:
    (tmp_path / "dst").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "dst" / "ann").symlink_to(tmp_path / "elsewhere")
    done = sa.augment_folder(src, tmp_path / "dst", sa.Gain(), workers=0, overwrite=True)
    assert {failure.id for failure in done.failures} == {"ann/one.wav", "ann/two.wav"}
    assert "outside" in done.failures[0].reason
    assert not list((tmp_path / "elsewhere").iterdir())


def test_names_that_would_be_the_same(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "A.wav", "b.wav"):
        audio.write(tmp_path / "src" / name, np.full(80, 0.1), 8_000)
    decomposed = unicodedata.normalize("NFD", "ü.wav")
    audio.write(tmp_path / "src" / decomposed, np.full(80, 0.1), 8_000)
    sa.augment_folder(tmp_path / "src", tmp_path / "dst", sa.Gain(), workers=0)
    names = [str(row["audio"]) for row in rows(tmp_path / "dst")]
    assert [name for name in names if "-" not in name] == ["a.flac_aug1.flac", "b_aug1.flac", "ü_aug1.flac"]
    if len(list((tmp_path / "src").iterdir())) == 5:  # upper and lower case are different here
        assert [name.partition("-")[0] for name in names if "-" in name] == ["A.wav", "a.wav"]
        assert len({name.casefold() for name in names}) == 5


def test_names_may_clash_where_they_are_left_out(tmp_path: Path) -> None:
    audio.write(tmp_path / "s.wav", np.full(80, 0.1), 8_000)
    for name in ("0/x.tar", "1/x.tar", "1/X.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with tarfile.open(tmp_path / name, "w") as tar:
            tar.add(tmp_path / "s.wav", "s.wav")
    sources = {"ids": (f"{tmp_path}/{{0..1}}/x.tar", {"limit": 1})}
    if len(list((tmp_path / "1").iterdir())) == 2:  # upper and lower case are different here
        sources["names"] = (f"{tmp_path}/1", {"exclude": ["X"]})
    for clash, (source, left) in sources.items():
        with pytest.raises(ValueError, match=f"must have different {clash}, got the same for"):
            sa.augment_manifest(source, tmp_path / clash, sa.Gain(), workers=0)
        sa.augment_manifest(source, tmp_path / clash, sa.Gain(), workers=0, **left)  # type: ignore[arg-type]
        assert [path.name for path in (tmp_path / clash).glob("*.tar")] == ["x_aug1.tar"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    audio.write(tmp_path / "src" / "x.wav", np.full(80, 0.1), 8_000)
    try:
        os.rename(tmp_path / "src" / "x.wav", os.fsencode(tmp_path / "src") + b"/x\xff.wav")
    except OSError:
        pytest.skip("the file system has names of UTF-8 only")
    for _ in range(2):
        assert sa.augment_folder(tmp_path / "src", tmp_path / "dst", sa.Gain(), workers=0).files == 1
    assert rows(tmp_path / "dst")[0]["source"] == "x\udcff.wav"


class TestRefusals:
    """What is wrong is told before anything is read or written."""

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"copies": 0}, "copies must be >= 1, got 0"),
            ({"workers": -1}, "workers must be >= 0, got -1"),
            ({"limit": 0}, "limit must be >= 1, got 0"),
            ({"format": "m4a"}, "format must be flac, wav, ogg, opus, mp3 or keep, got 'm4a'"),
            ({"format": "opus", "sample_rate": 22_050}, "got 22050"),
            ({"engine": "slurm"}, "engine must be local or ray, got 'slurm'"),
            ({"exclude": ["*"]}, "exclude must leave a recording"),
        ],
    )
    def test_options(self, src: Path, tmp_path: Path, options: dict[str, object], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            sa.augment_folder(src, tmp_path / "dst", sa.Gain(), **options)  # type: ignore[arg-type]
        assert not (tmp_path / "dst").exists()

    def test_policies(self, src: Path, tmp_path: Path) -> None:
        mixing = sa.Compose([sa.Gain(), sa.Polarity()])
        object.__setattr__(mixing.members[1], "mixes_rows", True)
        for policy, told in [
            (sa.TimeMask(), "must act on waveforms, got spectrograms"),
            (mixing, "Polarity mixes the rows of a batch"),
            ("nothing.yaml", "must be small_sample or an existing YAML file, got 'nothing.yaml'"),
        ]:
            with pytest.raises(ValueError, match=told):
                sa.augment_folder(src, tmp_path / "dst", policy, workers=0)

    def test_folders(self, src: Path, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no such folder"):
            sa.augment_folder(tmp_path / "nowhere", tmp_path / "dst", sa.Gain())
        with pytest.raises(FileNotFoundError, match="is a file"):
            sa.augment_folder(src / "README.md", tmp_path / "dst", sa.Gain())
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match=r"is empty|holds no sound files"):
            sa.augment_folder(tmp_path / "empty", tmp_path / "dst", sa.Gain())
        (tmp_path / "file").write_text("")
        with pytest.raises((ValueError, NotADirectoryError), match="file"):
            sa.augment_folder(src, tmp_path / "file", sa.Gain(), workers=0)


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_two_jobs_in_one_folder(src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sa.augment_folder(src, tmp_path / "dst", sa.Gain(), workers=0)
    words = [sys.executable, "-c", HOLD, str(tmp_path / "dst" / ".unfinished.jsonl")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another job is at work in"):
            sa.augment_folder(src, tmp_path / "dst", sa.Gain(), copies=2, workers=0)
        before = tree(tmp_path / "dst")
        with pytest.raises(ValueError, match="another job is at work in"):  # before anything of it is taken away
            sa.augment_folder(src, tmp_path / "dst", sa.Gain(), seed=1, overwrite=True, workers=0)
        assert tree(tmp_path / "dst") == before
        other.communicate(b"")
    assert sa.augment_folder(src, tmp_path / "dst", sa.Gain(), copies=2, workers=2).files == 8


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_a_job_that_waited_for_another_sees_what_it_made(src: Path, tmp_path: Path) -> None:
    dst, journal = tmp_path / "dst", Journal(tmp_path / "dst")
    sa.augment_folder(src, dst, sa.Gain(), workers=0)
    lines = (dst / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (dst / "manifest.jsonl").unlink()
    (dst / ".unfinished.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:9])
    words = [sys.executable, "-c", HOLD, str(dst / ".unfinished.jsonl")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        waiting = threading.Thread(target=journal.__enter__)
        waiting.start()
        time.sleep(0.2)
        (dst / "manifest.jsonl").write_bytes(b"".join(lines))  # the other finishes
        (dst / ".unfinished.jsonl").unlink()
        other.communicate(b"")
        waiting.join()
    assert len(journal.audio) == 4 and not journal.is_unfinished
    journal.__exit__(None, None, None)
    assert not (dst / ".unfinished.jsonl").exists()


def test_a_job_that_made_nothing_binds_no_folder(src: Path, tmp_path: Path) -> None:
    missing = sa.AddNoise(bank=sa.Bank(tmp_path / "gone", sample_rate=16_000, digest="0" * 16))
    with pytest.raises(ValueError, match="must be an existing folder"):
        sa.augment_folder(src, tmp_path / "dst", missing, workers=0)
    assert sa.augment_folder(src, tmp_path / "dst", sa.Gain(), workers=0).made == 4


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("format", ["wav", "flac", "ogg"])
def test_a_full_disk_stops_the_job(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], format: str
) -> None:
    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        yield Path("/dev/full")

    monkeypatch.setattr(sounds, "complete_file", full)
    with pytest.raises(OSError, match=r"dst is full \(.*No space left on device.*the same call goes on"):
        sa.augment_folder(src, tmp_path / "dst", sa.Gain(), format=format, workers=0)
    assert capfd.readouterr().err == ""
    monkeypatch.undo()
    assert sa.augment_folder(src, tmp_path / "dst", sa.Gain(), format=format, workers=0).made == 4


@pytest.mark.parametrize("write", range(7))
def test_no_file_is_left_without_the_others_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Of two copies with two files beside each, every one in turn finds no room: none of the three is there then."""
    for name in ("one", "two"):
        audio.write(tmp_path / "src" / f"{name}.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 4_000), 8_000)
        (tmp_path / "src" / f"{name}.txt").write_text(name)
        (tmp_path / "src" / f"{name}.ctm").write_text(f"{name} 1 0.1 0.2 {name}")
    sa.augment_folder(tmp_path / "src", tmp_path / "whole", sa.Speed(), workers=0)
    written = list[Path]()

    def until_full(path: Path, content: bytes) -> int:
        if len(written) == write:
            path.touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        with path.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    dst = tmp_path / "dst"
    with pytest.raises(OSError, match=r"dst is full \(.*No space left on device.*the same call goes on"):
        sa.augment_folder(tmp_path / "src", dst, sa.Speed(), workers=0)
    job, one = {"augment.json"}, {".unfinished.jsonl", *(f"one_aug1{ending}" for ending in (".flac", ".txt", ".ctm"))}
    assert {path.name for path in dst.iterdir()} == (set() if write == 0 else job if write < 4 else job | one)
    monkeypatch.undo()
    assert sa.augment_folder(tmp_path / "src", dst, sa.Speed(), workers=0).files == 2
    assert tree(dst) == tree(tmp_path / "whole")


def test_policies_of_the_last_few_rates_are_kept(tmp_path: Path, policy: sa.Compose) -> None:
    work = CopyWork(tmp_path, policy, 0, "flac", None)
    for rate in range(7_000, 7_000 + 2 * RATES_KEPT):
        assert {bank.sample_rate for bank in banks(work.at_rate(rate))} == {rate}
    assert len(work._policies) == RATES_KEPT


def test_policies_by_file_and_by_name(src: Path, tmp_path: Path) -> None:
    sa.save_policy(sa.presets.small_sample(), tmp_path / "policy.yaml")
    reports: list[Report] = []
    for number, policy in enumerate((tmp_path / "policy.yaml", "small_sample", sa.presets.small_sample())):
        reports.append(sa.augment_folder(src, tmp_path / str(number), policy, workers=0))
    assert tree(tmp_path / "0") == tree(tmp_path / "1") == tree(tmp_path / "2")


@pytest.mark.global_rng  # rich numbers its links at random
def test_progress_tells_hours_and_time_left(src: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sa.augment_folder(src, tmp_path / "dst", sa.Gain(), workers=0, progress=True)
    told = capsys.readouterr().err
    assert "augmenting" in told and "4/4" in told and "h/s" in told


def test_a_preset_with_recorded_sounds(src: Path, tmp_path: Path, noise_folder: Path) -> None:
    rooms, voices = tmp_path / "rooms", src / "bob b"
    audio.write(rooms / "room.wav", np.eye(1, 800, 40, dtype=np.float32)[0], 8_000)
    preset = sa.presets.small_sample(*(sa.Bank(folder, sample_rate=16_000) for folder in (noise_folder, rooms, voices)))
    sa.augment_folder(src, tmp_path / "python", preset, workers=0)
    sounds = {"noise": noise_folder, "rooms": str(rooms)}
    sa.augment_folder(src, tmp_path / "named", "small_sample", **sounds, voices=voices, workers=0)
    told = (tmp_path / "named" / "manifest.jsonl").read_bytes()
    assert told == (tmp_path / "python" / "manifest.jsonl").read_bytes()
    assert b"AddNoise" in told and b"Reverb" in told and b"AddBabble" in told
    other = tmp_path / "other noise"
    audio.write(other / "hiss.wav", np.random.default_rng(9).uniform(-0.1, 0.1, 8_000), 8_000)
    with pytest.raises(ValueError, match="made with another policy; overwrite=True"):
        sa.augment_folder(src, tmp_path / "named", "small_sample", noise=other, rooms=rooms, voices=voices, workers=0)
    noise_folder.rename(tmp_path / "moved")  # the same noise elsewhere is the same job
    sounds["noise"] = tmp_path / "moved"
    done = sa.augment_folder(src, tmp_path / "named", "small_sample", **sounds, voices=voices, workers=0)
    assert done.made == 0


def test_babble_has_the_voices_that_were_given(src: Path, tmp_path: Path) -> None:
    """What was drawn names the clips by the hashes of their samples: those of the folder, and no others."""
    voices = src / "bob b"
    sa.augment_folder(src, tmp_path / "dst", "small_sample", voices=voices, copies=8, workers=0)
    drawn = [row["transforms"]["AddBabble"] for row in rows(tmp_path / "dst")]  # type: ignore[index]
    heard = {clip for one in drawn if one["on"][0] for clip in np.ravel(one["clip"])}
    files = [soundfile.read(path, dtype="float32", always_2d=True) for path in voices.iterdir()]
    assert heard == {audio.pcm_hash(samples.T, rate) for samples, rate in files}


@pytest.mark.parametrize("name", ["noise", "rooms", "voices"])
def test_sounds_are_for_presets_only(src: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    sa.save_policy(sa.Gain(), tmp_path / "policy.yaml")
    for policy in (sa.Gain(), tmp_path / "policy.yaml"):
        with pytest.raises(ValueError, match=f"augment: {name} must be None unless policy is small_sample.*under bank"):
            sa.augment_folder(src, tmp_path / "dst", policy, workers=0, **{name: src})  # type: ignore[arg-type]
    for folder in ("absent", str(tmp_path / "empty")):
        with pytest.raises(ValueError, match=f"augment: {name} must be a folder with audio or a bank, got '{folder}'"):
            sa.augment_manifest(src, tmp_path / "dst", "small_sample", pattern="{text}.wav", **{name: folder})  # type: ignore[arg-type]


def test_a_dry_run_looks_for_banks(src: Path, tmp_path: Path, policy: sa.Compose, noise_folder: Path) -> None:
    sa.save_policy(policy, tmp_path / "policy.yaml")
    dry = {"workers": 0, "dry_run": True}
    assert sa.augment_folder(src, tmp_path / "dst", tmp_path / "policy.yaml", **dry).made == 4  # type: ignore[arg-type]
    for path in noise_folder.rglob("*.wav"):
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(ValueError, match="Bank: folder must hold usable audio files"):
        sa.augment_folder(src, tmp_path / "dst", tmp_path / "policy.yaml", **dry)  # type: ignore[arg-type]
    noise_folder.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="Bank: folder must be an existing folder"):
        sa.augment_folder(src, tmp_path / "dst", tmp_path / "policy.yaml", **dry)  # type: ignore[arg-type]
    assert not (tmp_path / "dst").exists()
