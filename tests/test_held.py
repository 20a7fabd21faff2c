"""Files that libsndfile writes through memory: the bytes are those of soundfile alone, errors are told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speechaug.folders import held
from speechaug.folders.formats import Target
from speechaug.folders.journal import JOB_FILE, JOURNAL_FILE, Journal
from speechaug.folders.sounds import copy_writer

LEVELS = np.random.default_rng(0).integers(-8_000, 8_000, (1, 20_000), np.int16)
SAMPLES = (LEVELS / 32_768).astype(np.float32)
ENDINGS = ("wav", "flac")


def write(path: Path, *pieces: NDArray[np.float32]) -> None:
    with copy_writer(path, Target(path.suffix[1:], "PCM_16", 8_000, 1), {}) as writer:
        for piece in pieces:
            writer.write(piece)


def write_held(path: Path, ending: str) -> None:
    with held.Held(path) as file:
        with soundfile.SoundFile(file, "w", 8_000, 1, "PCM_16", format=ending) as sound:
            sound.write(LEVELS.T)
        file.finish()


@pytest.mark.parametrize("most", [0, 10_000, 2**20])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_copy_is_what_soundfile_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, most: int
) -> None:
    monkeypatch.setattr(held, "_MOST", most)
    soundfile.write(tmp_path / f"theirs.{ending}", LEVELS.T, 8_000, "PCM_16")
    write(tmp_path / f"ours.{ending}", *np.split(SAMPLES, [7_000, 14_000], axis=1))
    ours, theirs = sorted(tmp_path.iterdir())
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("most", [0, 10_000, 2**20])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, ending: str, most: int) -> None:
    monkeypatch.setattr(held, "_MOST", most)
    with pytest.raises(OSError, match="No space left") as told:
        write_held(Path("/dev/full"), ending)
    assert told.value.errno == errno.ENOSPC


@pytest.mark.parametrize("most", [0, 2**20])
def test_nothing_is_left_of_a_copy_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(held, "_MOST", most)
    with pytest.raises(ValueError, match="not finite"):
        write(tmp_path / "u.flac", SAMPLES, np.full((1, 8), np.nan, np.float32))
    assert not list(tmp_path.iterdir())


def test_lines_added_together_are_lines_added_one_by_one(tmp_path: Path) -> None:
    rows = [{"source": "u", "copy": copy, "audio": f"u_aug{copy}.flac", "text": "è" * copy} for copy in (1, 2, 3)]
    journals = [Journal(tmp_path / name) for name in ("together", "alone")]
    with journals[0] as together, journals[1] as alone:
        together.add(*rows)
        for row in rows:
            alone.add(row)
        texts = [(journal.folder / JOURNAL_FILE).read_bytes() for journal in journals]
        assert texts[0] == texts[1] and texts[0].count(b"\n") == 3
    (tmp_path / "together" / JOB_FILE).touch()
    again = Journal(tmp_path / "together")
    again.read()
    assert again.audio == alone.audio
