"""Folders as people have them: odd names, links, loops, places one may not write to; nothing is written elsewhere."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

import speechaug as sa

POLICY = sa.Gain(gain_db=(-6.0, 6.0))
RATE = 8_000
NOBODY = 65_534
NAMES = (
    "with space/a b.wav",
    "ünï/çødé 語 🎤.wav",
    unicodedata.normalize("NFD", "é.wav"),
    "-dash.wav",
    "quote'\" $HOME `x`;.wav",
    "new\nline.wav",
    "back\\slash.wav",
    "UPPER/LOUD.WAV",
    "two.dots..wav",
    "percent%20{text}.wav",
    "x" * 200 + ".wav",
    os.fsdecode(b"no utf-8 \xff.wav"),
)


def sound(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, np.random.default_rng(seed).uniform(-0.3, 0.3, 900), RATE, format="WAV")
    return path


def tree(folder: Path) -> dict[str, bytes | str]:
    """Return all that lies below a folder, links as what they say."""
    found: dict[str, bytes | str] = {}
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here, name)
            if path.is_symlink():
                found[str(path.relative_to(folder))] = os.readlink(path)
            elif path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def untouched(folder: Path, do: Callable[[], sa.folders.Report]) -> sa.folders.Report:
    """Do it, and check that nothing has changed but what lies in ``out``."""

    def rest() -> dict[str, bytes | str]:
        return {name: content for name, content in tree(folder).items() if not name.startswith("out/")}

    before = rest()
    report = do()
    assert rest() == before
    return report


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def test_odd_names(tmp_path):
    for number, name in enumerate(NAMES):
        sound(tmp_path / "speech" / name, number)
    sound(tmp_path / "speech" / ".hidden" / "no.wav")
    out = tmp_path / "out"
    report = untouched(tmp_path, lambda: sa.augment_folder(tmp_path / "speech", out, POLICY, workers=0))
    assert report.files + len(report.failures) == len(NAMES)
    assert all("utf-8" in failure.id for failure in report.failures)
    made = [out / row["audio"] for row in rows(out)]
    assert len(made) == report.files >= len(NAMES) - 1
    assert all(len(soundfile.read(io.BytesIO(path.read_bytes()))[0]) == 900 for path in made)
    assert all(path.resolve().is_relative_to(out.resolve()) for path in made)
    again = sa.augment_folder(tmp_path / "speech", out, POLICY, workers=0)
    assert (again.files, again.made) == (report.files, 0)


def test_paths_through_other_folders(tmp_path, monkeypatch):
    sound(tmp_path / "speech" / "ann" / "one.wav")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    untouched(tmp_path, lambda: sa.augment_folder("../elsewhere/../speech/./ann/..", "../out", POLICY, workers=0))
    assert [row["source"] for row in rows(tmp_path / "out")] == ["ann/one.wav"]
    assert (tmp_path / "out" / "ann" / "one_aug1.flac").is_file()


def test_links_are_followed_and_loops_end(tmp_path):
    speech = tmp_path / "speech"
    sound(speech / "ann" / "one.wav", 1)
    sound(tmp_path / "far" / "two.wav", 2)
    (speech / "file.wav").symlink_to(tmp_path / "far" / "two.wav")
    (speech / "folder").symlink_to(tmp_path / "far")
    (speech / "ann" / "loop").symlink_to(speech)
    (speech / "self.wav").symlink_to("self.wav")
    (speech / "gone.wav").symlink_to("nowhere.wav")
    out = tmp_path / "out"
    report = untouched(tmp_path, lambda: sa.augment_folder(speech, out, POLICY, workers=0))
    sources = {row["source"] for row in rows(out)}
    assert {"ann/one.wav", "file.wav", "folder/two.wav"} <= sources
    assert [failure.id for failure in report.failures] == ["gone.wav", "self.wav"]
    assert not any(path.is_symlink() for path in out.rglob("*"))


@pytest.mark.parametrize(
    "place", ["speech", "speech/ann", "speech/new", ".", "inward", "inward/new", "Speech/../speech"]
)
def test_neither_among_the_recordings_nor_around_them(tmp_path, place):
    sound(tmp_path / "speech" / "ann" / "one.wav")
    (tmp_path / "Speech").mkdir(exist_ok=True)
    (tmp_path / "inward").symlink_to(tmp_path / "speech" / "ann")
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="dst must lie outside src and src outside dst"):
        sa.augment_folder(tmp_path / "speech", tmp_path / place, POLICY, workers=0)
    assert tree(tmp_path) == before


def test_a_link_in_the_output_leads_nowhere_else(tmp_path):
    for name in ("ann/one.wav", "ben/two.wav"):
        sound(tmp_path / "speech" / name)
    (tmp_path / "far").mkdir()
    sa.augment_folder(tmp_path / "speech", tmp_path / "out", POLICY, workers=0)
    shutil.rmtree(tmp_path / "out" / "ann")
    (tmp_path / "out" / "ann").symlink_to(tmp_path / "far")
    report = untouched(tmp_path, lambda: sa.augment_folder(tmp_path / "speech", tmp_path / "out", POLICY, workers=0))
    assert [failure.id for failure in report.failures] == ["ann/one.wav"]
    assert "outside" in report.failures[0].reason


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "..", "a/../../evil", "nul\0", "con/../.."])
def test_ids_of_a_table_stay_inside(tmp_path, name):
    audio = sound(tmp_path / "speech" / "one.wav")
    table = tmp_path / "speech" / "table.jsonl"
    table.write_text(json.dumps({"id": name, "audio": str(audio), "text": "one"}) + "\n")
    out = tmp_path / "a" / "b" / "out"
    sa.augment_manifest(table, out, POLICY, workers=0)
    (row,) = rows(out)
    assert (out / row["audio"]).resolve().is_relative_to(out.resolve())
    assert {path.name for path in tmp_path.iterdir()} == {"speech", "a"}
    assert sorted(path.name for path in tmp_path.glob("a/*")) == ["b"] and len(list(tmp_path.glob("a/b/*"))) == 1


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the rights of root, for whom every folder is open."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_one_may_not_write_to_is_named(tmp_path):
    sound(tmp_path / "speech" / "one.wav")
    sa.augment_folder(tmp_path / "speech", tmp_path / "out", POLICY, workers=0)  # imports all it needs
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(tmp_path / "speech", place / "speech")
        (place / "closed").mkdir(mode=0o555)
        place.chmod(0o555)
        with as_nobody(), pytest.raises(PermissionError, match="closed"):
            sa.augment_folder(place / "speech", place / "closed" / "out", POLICY, workers=0)
        assert not any((place / "closed").iterdir())
        place.chmod(0o755)
