"""Noisy test sets on disk: same bytes however they are made, resumed after a kill, read back, ours and others'."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from speechaug import audio
from speechaug._names import file_names
from speechaug.data import Utterance, read_manifest, write_manifest
from speechaug.robustness import foreign, sets
from speechaug.robustness.corrupt import corrupt
from speechaug.robustness.render import render
from speechaug.robustness.sets import is_noisy_sets, read_noisy_sets
from speechaug.robustness.suite import load_suite

RATE = 8_000
WORDS = ("one", "two", "three", "four")
PATTERN = "{text}_{speaker}.wav"
CHOSEN = ["white:3", "speed_up:2"]


@pytest.fixture
def src(tmp_path: Path) -> Path:
    rng = np.random.default_rng(8)
    for number, word in enumerate(WORDS):
        swell = np.abs(np.sin(np.arange(RATE // 2) / RATE * 12.0))
        audio.write(tmp_path / "src" / f"{word}_ann{number}.wav", 0.1 * swell * rng.standard_normal(RATE // 2), RATE)
    return tmp_path / "src"


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_folders_manifests_and_checksums(src: Path, tmp_path: Path) -> None:
    done = corrupt(src, tmp_path / "dst", suite="tiny", pattern=PATTERN)
    assert (done.files, done.made, done.findings) == (28, 28, ())
    assert done.suite.sample_rate == RATE
    found = tree(tmp_path / "dst")
    assert len(found) == 28 + 7 + 2
    lines = (tmp_path / "dst" / "checksums.sha256").read_text().splitlines()
    assert {name: digest for digest, name in (line.split("  ") for line in lines)} == {
        name: digest for name, digest in found.items() if name not in ("suite.json", "checksums.sha256")
    }
    rows = [json.loads(line) for line in (tmp_path / "dst/packet_loss/3/manifest.jsonl").read_text().splitlines()]
    assert [(row["id"], row["text"], row["speaker"]) for row in rows] == [
        ("four_ann3", "four", "ann3"),
        ("one_ann0", "one", "ann0"),
        ("three_ann2", "three", "ann2"),
        ("two_ann1", "two", "ann1"),
    ]
    assert rows[0]["realised"] == {"loss_rate": round(round(0.1 * 25) / 25, 4)}
    assert (rows[0]["duration"], rows[0]["condition"]) == (0.5, "packet_loss:3")


def test_files_hold_what_is_rendered(src: Path, tmp_path: Path) -> None:
    corrupt(src, tmp_path / "dst", suite=CHOSEN, pattern=PATTERN, seed=5, draw=2)
    for said in read_manifest(src, PATTERN):
        x = audio.read(said.audio)[0][0]
        clean, rate = audio.read(tmp_path / "dst" / "clean" / "0" / f"{said.id}.flac")
        assert rate == RATE
        assert np.array_equal(clean[0], x)
        for name in CHOSEN:
            expected = render(load_suite("full", sample_rate=RATE)[name], x, RATE, id=said.id, seed=5, draw=2).samples
            written = audio.read(tmp_path / "dst" / name.replace(":", "/") / f"{said.id}.flac")[0][0]
            assert np.array_equal(audio.to_int16(written), audio.to_int16(expected))


def test_same_bytes_whatever_the_workers(src: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        corrupt(src, tmp_path / str(workers), suite="tiny", pattern=PATTERN, workers=workers)
    assert tree(tmp_path / "0") == tree(tmp_path / "2")


def test_what_is_there_is_not_made_again(src: Path, tmp_path: Path) -> None:
    dst = tmp_path / "dst"
    corrupt(src, dst, suite=CHOSEN, pattern=PATTERN)
    before, times = tree(dst), {path: path.stat().st_mtime_ns for path in dst.rglob("*.flac")}
    (dst / "white" / "3" / "one_ann0.flac").unlink()
    again = corrupt(src, dst, suite=CHOSEN, pattern=PATTERN)
    assert (again.files, again.made) == (12, 1)
    assert tree(dst) == before
    assert sum(times[path] != path.stat().st_mtime_ns for path in dst.rglob("*.flac")) == 1


PROGRAM = """
import sys, time
from speechaug.robustness.corrupt import _Job, corrupt
def slow(job, condition, row, samples, write=_Job.write):
    time.sleep(0.05)
    return write(job, condition, row, samples)
_Job.write = slow
corrupt(sys.argv[1], sys.argv[2], suite="tiny", pattern=sys.argv[3], workers=0)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_killed_and_resumed_gives_the_same_bytes(src: Path, tmp_path: Path) -> None:
    dst, whole = tmp_path / "dst", tmp_path / "whole"
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(src), str(dst), PATTERN])
    until = time.monotonic() + 60.0
    while len(list(dst.rglob("*.flac"))) < 10 and time.monotonic() < until:
        time.sleep(0.02)
    program.send_signal(signal.SIGKILL)
    program.wait()
    (dst / "white" / "3" / ".one_ann0.flac.0123.tmp").write_bytes(b"half a file")
    assert (dst / sets.JOURNAL_FILE).is_file()
    with pytest.raises(ValueError, match="is not finished; run corrupt again"):
        read_noisy_sets(dst)
    with (dst / sets.JOURNAL_FILE).open("a") as journal:
        journal.write('{"id": "one_an')  # as if the last line had been cut off
    resumed = corrupt(src, dst, suite="tiny", pattern=PATTERN)
    assert 0 < resumed.made < 28
    corrupt(src, whole, suite="tiny", pattern=PATTERN)
    assert tree(dst) == tree(whole)


def test_never_into_the_recordings_nor_onto_something_else(src: Path, tmp_path: Path) -> None:
    for dst in (src, src / "noisy"):
        with pytest.raises(ValueError, match="dst must lie outside src"):
            corrupt(src, dst, suite="tiny", pattern=PATTERN)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="dst must be new, empty or begun by corrupt"):
        corrupt(src, tmp_path / "full", suite="tiny", pattern=PATTERN)
    corrupt(src, tmp_path / "dst", suite=["white:3"], pattern=PATTERN)
    for other in ({"seed": 1}, {"suite": ["white:4"]}, {"limit": 2}):
        with pytest.raises(ValueError, match=r"dst must be a new folder, .* holds sets with another"):
            corrupt(src, tmp_path / "dst", **{"suite": ["white:3"], "pattern": PATTERN, **other})  # type: ignore[arg-type]
    assert len(tree(src)) == 4


def test_bad_recordings_are_left_out_and_named(src: Path, tmp_path: Path) -> None:
    import soundfile

    soundfile.write(src / "nan_ann4.wav", np.full(800, np.nan, np.float32), RATE, subtype="FLOAT")
    (src / "empty_ann5.wav").touch()
    audio.write(src / "silent_ann6.wav", np.zeros(800), RATE)
    audio.write(src / "sample_ann7.wav", [0.5], RATE)
    audio.write(src / "rate_ann8.wav", 0.1 * np.sin(np.arange(8_000)), 16_000)
    done = corrupt(src, tmp_path / "dst", suite=["white:3", "speed_up:5"], pattern=PATTERN)
    assert {finding.kind for finding in done.findings} == {"not_finite", "empty", "resampled"}
    assert done.files == 3 * 7
    read = read_noisy_sets(tmp_path / "dst")
    assert {u.text for u in read.sets[1].utterances} == {*WORDS, "silent", "sample", "rate"}
    told = json.loads((tmp_path / "dst" / "suite.json").read_text())
    assert told["speech"]["lost"] == ["empty_ann5", "nan_ann4"]
    assert audio.info(tmp_path / "dst" / "clean" / "0" / "rate_ann8.flac").sample_rate == RATE


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    with pytest.raises(ValueError, match="the folder is empty"):
        corrupt(tmp_path / "src", tmp_path / "dst", pattern=PATTERN)
    with pytest.raises(ValueError, match="src must hold recordings that can be read"):
        corrupt([Utterance("u", str(tmp_path / "absent.wav"), "x")], tmp_path / "dst")
    assert not (tmp_path / "dst").exists()


def test_ids_make_safe_file_names() -> None:
    ids = ["a/b", "a_b", "../x", "A_B", "", "ü 1", "n" * 300, ".hidden"]
    names = list(file_names(ids))
    assert len({name.casefold() for name in names}) == len(ids)
    assert not [name for name in names if "/" in name or name.startswith(".") or not 0 < len(name) < 120]
    assert names[1] == "a_b"


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are any bytes")
def test_odd_file_names(tmp_path: Path) -> None:
    for name in (b"zw\xc3\xb6lf_ann.wav", b"b\xffd_bo.wav", b"two\nlines_cy.wav", b"a b'$(x)_di.wav"):
        audio.write(tmp_path / "made.wav", 0.1 * np.ones(800), RATE)
        path = tmp_path / "src" / "sub" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made.wav").rename(path)
    done = corrupt(tmp_path / "src", tmp_path / "dst", suite=["white:3"], pattern=PATTERN)
    assert not done.findings
    assert {u.id for u in read_noisy_sets(tmp_path / "dst").sets[0].utterances} == {
        "sub/zwölf_ann",
        "sub/b\udcffd_bo",
        "sub/two\nlines_cy",
        "sub/a b'$(x)_di",
    }
    checked = ["sha256sum", "-c", "--quiet", sets.CHECKSUMS_FILE]
    assert subprocess.run(checked, cwd=tmp_path / "dst", check=False).returncode == 0


def test_own_sets_are_read_back(src: Path, tmp_path: Path) -> None:
    done = corrupt(src, tmp_path / "dst", suite="tiny", pattern=PATTERN, seed=3, draw=1)
    assert is_noisy_sets(tmp_path / "dst")
    assert not is_noisy_sets(src)
    read = read_noisy_sets(tmp_path / "dst")
    assert (read.seed, read.draw) == (3, 1)
    assert read.suite.hash == done.suite.hash
    assert read.suite.names == done.suite.names
    for one, condition in zip(read.sets, done.suite.conditions, strict=True):
        assert (one.condition.hash, one.condition.nominal) == (condition.hash, condition.nominal)
        assert {u.id: u.text for u in one.utterances} == {f"{w}_ann{n}": w for n, w in enumerate(WORDS)}
        assert set(one.realised) == {u.id for u in one.utterances}


def test_sets_of_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("clean", "cafe_0dB", "cafe_10dB", "rain/1", "rain/2", "lift"):
        audio.write(tmp_path / folder / "seven.wav", 0.1 * rng.standard_normal(800), RATE)
        said = Utterance("u1", str(tmp_path / folder / "seven.wav"), "seven")
        write_manifest(tmp_path / folder / "list.jsonl", [said])
    read = read_noisy_sets(tmp_path)
    assert read.suite.names == ("clean", "cafe:2", "cafe:1", "lift:1", "rain:1", "rain:2")
    assert (read.suite.subset, read.suite.sample_rate, read.suite.version) == ("foreign", RATE, 0)
    assert read.suite["cafe:2"].nominal == {"snr_db": 0.0}
    assert [one.utterances[0].text for one in read.sets] == ["seven"] * 6
    assert len({condition.hash for condition in read.suite.conditions}) == 6


@pytest.mark.parametrize(
    ("where", "kind", "snr_db"),
    [
        ("babble/-5dB", "babble", -5.0),
        ("babble_-5dB", "babble", -5.0),
        ("babble-5dB", "babble", 5.0),
        ("babble_m5dB", "babble", -5.0),
        ("room5dB", "room", 5.0),
        ("N1/SNR20", "N1", 20.0),
        ("N1_SNR-5", "N1", -5.0),
        ("car snr=-2.5 dB", "car", -2.5),
        ("snr_10dB", "noise", 10.0),
        ("airport/0dB", "airport", 0.0),
        ("airport_0dB/0dB", "airport", 0.0),  # as NOIZEUS is unpacked
        ("airport/airport_0dB", "airport", 0.0),
        ("airport_5dB/SNR5", "airport", 5.0),
        ("0dB/airport", "airport", 0.0),
        ("0dB/airport_0dB/wav", "airport_wav", 0.0),
        ("0dB/0dB", "noise", 0.0),
        ("babble/snr/-5", "babble", -5.0),
        ("room_5dB/10dB", "room_5dB", 10.0),
    ],
)
def test_ratios_told_by_the_paths_of_others(where: str, kind: str, snr_db: float) -> None:
    assert foreign._told_by(where) == (kind, 1, {"snr_db": snr_db})


def test_sets_of_others_by_a_pattern(tmp_path: Path) -> None:
    for folder in ("clean", "white/1", "cafe/-5dB", "cafe/5dB"):
        audio.write(tmp_path / folder / "seven_ann.wav", 0.1 * np.ones(800), RATE)
    read = read_noisy_sets(tmp_path, PATTERN)
    assert read.suite.names == ("clean", "cafe:2", "cafe:1", "white:1")
    assert read.suite["cafe:2"].nominal == {"snr_db": -5.0}
    assert read.sets[1].utterances[0].speaker == "ann"


@pytest.mark.parametrize("layout", ["{kind}_{snr}dB/{snr}dB", "{kind}/{kind}_{snr}dB", "{kind}/{snr}dB"])
def test_sets_as_others_unpack_them(tmp_path: Path, layout: str) -> None:
    for kind in ("airport", "car"):
        for snr in (0, 5, 15):
            audio.write(tmp_path / layout.format(kind=kind, snr=snr) / "seven_ann.wav", 0.1 * np.ones(800), RATE)
    suite = read_noisy_sets(tmp_path, PATTERN).suite
    assert sorted(suite.names) == ["airport:1", "airport:2", "airport:3", "car:1", "car:2", "car:3"]
    assert [suite[f"airport:{severity}"].nominal for severity in (1, 2, 3)] == [{"snr_db": r} for r in (15, 5, 0)]


def test_no_sets(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_noisy_sets(tmp_path / "absent")
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match="holds no noisy test sets"):
        read_noisy_sets(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / "sub" / name).write_text('{"audio": "x.wav", "text": "x"}\n')
    with pytest.raises(ValueError, match=r"must hold one table, got \['a.jsonl', 'b.jsonl'\]"):
        read_noisy_sets(tmp_path)
