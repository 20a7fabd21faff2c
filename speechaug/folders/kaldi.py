"""Kaldi data directories: the word times of one, and one of copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechaug._lines import write_text
from speechaug.data.kaldi import read_pairs
from speechaug.data.manifest import Utterance
from speechaug.folders.ctm import Line, read_ctm, write_ctm
from speechaug.folders.items import Row
from speechaug.folders.times import Word

CTM_FILE = "ctm"


def is_kaldi(folder: Path) -> bool:
    """Say whether a folder is a Kaldi data directory."""
    return (folder / "wav.scp").is_file()


def read_times(folder: Path, utterances: Sequence[Utterance]) -> dict[str, list[Row]]:
    """Read the word times in the ``ctm`` of a data directory, in seconds from the beginning of each utterance.

    Args:
        folder: of the data directory.
        utterances: in it.

    Returns:
        Words as they stand in a manifest, by the utterance's id; nothing if there is no ``ctm``.

    Raises:
        ValueError: if it is malformed.
    """
    path = folder / CTM_FILE
    if not path.is_file():
        return {}
    lines: dict[str, list[Line]] = defaultdict(list)
    for line in read_ctm(path.read_bytes(), path):
        lines[line.name].append(line)
    segments = read_pairs(folder / "segments")
    told: dict[str, list[Row]] = {}
    for said in utterances:
        recording = segments.get(said.id, said.id).partition(" ")[0]
        # Aligners name the utterance, or the recording that it was cut from.
        offset = 0.0 if said.id in lines else said.offset
        found = lines.get(said.id) or lines.get(recording, [])
        words = [_row(line, offset) for line in found if _touches(line.word, offset, said.duration)]
        if words:
            told[said.id] = words
    return told


def write_kaldi(folder: Path, copies: Iterable[tuple[Utterance, Row]]) -> None:
    """Write a data directory of copies: ``wav.scp`` with full paths, ``utt2uniq``, ``utt2dur``, and what is known.

    ``text``, ``utt2spk`` and ``spk2utt`` are written where the source tells texts and speakers, ``ctm`` where it has
    word times. Lines are sorted as Kaldi wants them.

    Args:
        folder: to write to, where the copies are.
        copies: of each the utterance that it was made of, and its line of the manifest.
    """
    named = sorted(((f"{said.id}_aug{row['copy']}", said, row) for said, row in copies), key=lambda copy: _key(copy[0]))
    speakers: dict[str, list[str]] = defaultdict(list)
    for name, said, _ in named:
        if said.speaker:
            speakers[said.speaker].append(name)
    files = {
        "wav.scp": {name: str(folder / row["audio"]) for name, _, row in named},
        "utt2uniq": {name: said.id for name, said, _ in named},
        "utt2dur": {name: f"{row['duration']:.4f}" for name, _, row in named},
        "text": {name: row["text"] for name, _, row in named if row.get("text")},
        "utt2spk": {name: said.speaker for name, said, _ in named if said.speaker},
        "spk2utt": {speaker: " ".join(names) for speaker, names in sorted(speakers.items(), key=lambda s: _key(s[0]))},
    }
    for file, pairs in files.items():
        if pairs:
            write_text(folder / file, "".join(f"{key} {value}\n" for key, value in pairs.items()))
    words = [line for name, _, row in named for line in _lines(name, row.get("words", ()))]
    if words:
        write_text(folder / CTM_FILE, write_ctm(words).decode())


def _row(line: Line, offset: float) -> Row:
    word, start, end = line.word
    told = {"word": word, "start": round(start - offset, 6), "end": round(end - offset, 6)}
    return {**told, "channel": line.channel, **({"rest": line.rest} if line.rest else {})}


def _touches(word: Word, offset: float, duration: float | None) -> bool:
    return word.end >= offset and (duration is None or word.start < offset + duration)


def _lines(name: str, words: Iterable[Mapping[str, Any]]) -> Iterable[Line]:
    for row in words:
        word = Word(row["word"], row["start"], row["end"])
        yield Line(name, row.get("channel", "1"), word, row.get("rest", ""))


def _key(name: str) -> bytes:
    """Sort as ``LC_ALL=C sort`` does."""
    return name.encode(errors="surrogateescape")
