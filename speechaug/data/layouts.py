"""Folders as published: LibriSpeech and Speech Commands."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from speechaug.data.manifest import Utterance, numbered_lines, shorten
from speechaug.data.patterns import SOUNDS

LISTS = ("validation_list.txt", "testing_list.txt")
"""Files in which Speech Commands names what is not for training."""

_COMMAND = re.compile(r"(?P<text>[^/]+)/(?P<speaker>[^/]+)_nohash_(?P<take>\d+)(\.\w+)+")
_BACKGROUND = "_background_noise_"


def read_librispeech(folder: Path, names: Sequence[str]) -> list[Utterance]:
    """Read utterances from the layout of LibriSpeech: transcripts of a chapter beside its recordings.

    ``84/121123/84-121123.trans.txt`` holds lines such as ``84-121123-0000 GO``, and ``84-121123-0000.flac`` lies beside
    it. Recordings may have been converted to another format. Recordings without a transcript are left out with a
    warning; transcripts without a recording are kept, so that the files are named as missing when they are looked for.

    Args:
        folder: of a subset, such as ``dev-clean``, or of several.
        names: files below it.

    Raises:
        ValueError: for a line whose id is not ``speaker-chapter-number``.

    Source: Panayotov et al., "LibriSpeech: an ASR corpus based on public domain audio books", ICASSP 2015.
    """
    sounds = {str(PurePosixPath(name).with_suffix("")): name for name in names if name.lower().endswith(SOUNDS)}
    utterances = []
    for name in names:
        if name.endswith(".trans.txt"):
            for number, line in numbered_lines(folder / name):
                said, _, text = line.partition(" ")
                if said.count("-") != 2:
                    raise ValueError(f"{folder / name}:{number}: must begin with speaker-chapter-number, got {said!r}")
                stem = str(PurePosixPath(name).with_name(said))
                path = folder / sounds.pop(stem, f"{stem}.flac")
                utterances.append(Utterance(said, str(path), text.strip(), speaker=said.split("-")[0]))
    _name_strangers(folder, list(sounds.values()), "have no transcript")
    return utterances


def read_speech_commands(folder: Path, names: Sequence[str]) -> list[Utterance]:
    """Read the training part of the layout of Speech Commands: a folder for each word.

    ``yes/0a7c2a8d_nohash_1.wav`` is the word ``yes``, said by ``0a7c2a8d`` for the second time. What stands in
    ``validation_list.txt`` and ``testing_list.txt`` is not for training and left out: those files are sources of their
    own. Recordings may have been converted to another format. ``_background_noise_`` is left out, and good as a bank of
    noise.

    Args:
        folder: that holds the folders of the words.
        names: files below it.

    Source: Warden, "Speech Commands: a dataset for limited-vocabulary speech recognition", arXiv:1804.03209, 2018.
    """
    held_out = {_stem(line) for name in LISTS if name in names for _, line in numbered_lines(folder / name)}
    utterances, strangers = [], []
    for name in names:
        found = _command(folder, name)
        if found is not None and found.id not in held_out:
            utterances.append(found)
        elif found is None and name.lower().endswith(SOUNDS) and not name.startswith(f"{_BACKGROUND}/"):
            strangers.append(name)
    _name_strangers(folder, strangers, "are not {label}/{speaker}_nohash_{n}.wav")
    return utterances


def read_command_list(path: Path) -> list[Utterance]:
    """Read the part of Speech Commands that ``validation_list.txt`` or ``testing_list.txt`` names.

    Args:
        path: of the list, in the folder that holds the folders of the words.

    Raises:
        ValueError: for a line that does not name a recording.
    """
    utterances = []
    for number, line in numbered_lines(path):
        found = _command(path.parent, _as_converted(path.parent, line))
        if found is None:
            raise ValueError(f"{path}:{number}: must be {{label}}/{{speaker}}_nohash_{{n}}.wav, got {line!r}")
        utterances.append(found)
    return utterances


def _command(folder: Path, name: str) -> Utterance | None:
    found = _COMMAND.fullmatch(name)
    if found is None or found["text"] == _BACKGROUND:
        return None
    return Utterance(_stem(name), str(folder / name), found["text"], speaker=found["speaker"], take=found["take"])


def _stem(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _as_converted(folder: Path, name: str) -> str:
    """Return the name under which a recording is there; its own, if it is not."""
    names = (name, *(_stem(name) + ending for ending in SOUNDS))
    return next((other for other in names if (folder / other).exists()), name)


def _name_strangers(folder: Path, names: Sequence[str], problem: str) -> None:
    if names:
        warnings.warn(f"{folder}: {len(names)} files {problem} and are left out: {shorten(names)}", stacklevel=4)
