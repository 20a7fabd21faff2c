"""Kaldi data directories: ``wav.scp``, ``text``, ``utt2spk`` and ``segments``."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from speechaug.data.manifest import Utterance, numbered_lines, shorten


def read_kaldi(folder: Path) -> list[Utterance]:
    """Read utterances from a Kaldi data directory.

    ``wav.scp`` names the recordings, ``segments`` cuts them to utterances (without it a recording is an utterance),
    ``text`` holds the transcripts and ``utt2spk`` the speakers. A relative path starts at the directory if the file is
    there, otherwise, as in Kaldi, at the working directory. An utterance without transcript has an empty text; a
    transcript without an utterance is named in a warning.

    Args:
        folder: that holds ``wav.scp``.

    Raises:
        ValueError: for commands (``sph2pipe ... |``), archives (``wav.ark:12``) and malformed lines, each named.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, line in (("wav.scp", "r1 /x/r1.wav"), ("segments", "u1 r1 2.5 4"), ("text", "u1 hello you")):
        ...     _ = (folder / name).write_text(line)
        >>> read_kaldi(folder)
        [Utterance(id='u1', audio='/x/r1.wav', text='hello you', speaker='', offset=2.5, duration=1.5, take='')]

    Source: https://kaldi-asr.org/doc/data_prep.html
    """
    recordings = {name: _path(folder, name, value) for name, value in read_pairs(folder / "wav.scp").items()}
    texts, speakers = read_pairs(folder / "text"), read_pairs(folder / "utt2spk")
    parts: dict[str, tuple[str, float, float | None]] = {name: (name, 0.0, None) for name in recordings}
    if (folder / "segments").exists():
        parts = {
            name: _segment(folder, name, value, recordings) for name, value in read_pairs(folder / "segments").items()
        }
    strangers = sorted(set(texts) - set(parts))
    if strangers:
        told = f"{folder / 'text'}: {len(strangers)} transcripts have no utterance: {shorten(strangers)}"
        warnings.warn(told, stacklevel=3)
    return [
        Utterance(name, recordings[recording], texts.get(name, ""), speakers.get(name, ""), offset, duration)
        for name, (recording, offset, duration) in parts.items()
    ]


def read_pairs(path: Path) -> dict[str, str]:
    """Read lines of a key and a value; an absent file holds none.

    Args:
        path: of the file.

    Raises:
        ValueError: if a key comes twice.
    """
    if not path.exists():
        return {}
    pairs: dict[str, str] = {}
    for number, line in numbered_lines(path):
        key, _, value = line.replace("\t", " ").partition(" ")
        if key in pairs:
            raise ValueError(f"{path}:{number}: ids must be unique, got {key!r} again")
        pairs[key] = value.strip()
    return pairs


def _path(folder: Path, name: str, value: str) -> str:
    where = f"{folder / 'wav.scp'}: {name}"
    if value.endswith("|"):
        raise ValueError(f"{where}: is a command, which is not run; write its output to a file, got {value!r}")
    if re.fullmatch(r".*:\d+", value):
        raise ValueError(f"{where}: is in a Kaldi archive, which is not read; copy it to a file, got {value!r}")
    if not value:
        raise ValueError(f"{where}: must have a path, got nothing")
    beside = folder / value
    return os.path.abspath(beside if beside.exists() else value)


def _segment(folder: Path, name: str, value: str, recordings: dict[str, str]) -> tuple[str, float, float | None]:
    where = f"{folder / 'segments'}: {name}"
    cells = value.split()
    try:
        recording, begin, end = cells[0], float(cells[1]), float(cells[2])
    except (IndexError, ValueError) as error:
        raise ValueError(f"{where}: must be recording, begin and end in seconds, got {value!r}") from error
    if len(cells) > 3:
        raise ValueError(f"{where}: channels cannot be selected, got {value!r}")
    if recording not in recordings:
        raise ValueError(f"{where}: recording must be in wav.scp, got {recording!r}")
    if not begin >= 0 or not (end == -1 or end > begin):  # -1 stands for the end of the recording
        raise ValueError(f"{where}: must have 0 <= begin < end, got {value!r}")
    return recording, begin, None if end == -1 else end - begin
