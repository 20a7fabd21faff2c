"""What lies beside a recording under the same name: transcripts, which are carried over, and word times, which move."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, TypeGuard

import numpy as np

from speechaug._open import AudioSource, is_piece
from speechaug.folders import ctm, textgrid
from speechaug.folders.items import Recording, Row
from speechaug.folders.times import Move, Word, are_timed, move_rows, plain_words, read_words

ENDINGS = (".txt", ".lab", ".TextGrid", ".textgrid", ".ctm", ".json")
"""Endings of the files that are looked for beside a recording."""

_HTK = re.compile(r"\s*\d+\s+\d+\s+\S")


@dataclass
class Carried:
    """What came of the files beside a recording.

    Attributes:
        files: to be written beside the copy, their contents by ending.
        text: the transcript; None where none lay there.
        words: with their times in the copy; None where none lay there.
        problems: what could not be used, and why.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    text: str | None = None
    words: list[Word] | None = None
    problems: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """Return text and words as they stand in a line of a manifest; a transcript can be that of the words."""
        text = self.text if self.text is not None or self.words is None else " ".join(word.word for word in self.words)
        told = {"text": text, "words": None if self.words is None else plain_words(self.words)}
        return {name: value for name, value in told.items() if value is not None}


def sidecars_of(recording: Recording) -> Mapping[str, bytes | Path]:
    """Return what lies beside a recording that is used, by name: a transcript is not if its row has one.

    Args:
        recording: the source.
    """
    if recording.sidecars is not None:
        return recording.sidecars
    own = beside(recording.source) if _is_file(recording.source) else {}
    return {name: held for name, held in own.items() if not (recording.columns.get("text") and _is_transcript(name))}


def carry_over(
    recording: Recording, found: Mapping[str, bytes | Path], name: str, move: Move, duration_s: float
) -> tuple[Row, dict[str, bytes]]:
    """Say what is known of what is said in a copy, and what is to lie beside it.

    What the row of a manifest says goes before what lies beside the audio. Times in a row count from the beginning of
    the utterance, those beside a recording from its beginning. What is broken is told under ``problems``.

    Args:
        recording: the source.
        found: what lies beside it.
        name: of the copy, without its ending.
        move: from moments of the utterance to moments of its copy.
        duration_s: of the copy.

    Returns:
        What its line in the manifest says, and the contents of the files beside it, by ending.
    """
    row = dict(recording.columns)
    carried = carry(found, lambda times: move(np.maximum(times - recording.offset_s, 0.0)), duration_s, name)
    if are_timed(row.get("words")):
        try:
            row["words"] = move_rows(row["words"], move, "words")
        except ValueError as error:
            carried.problems.append(str(error))
            del row["words"]
    row.update({field: told for field, told in carried.row().items() if not row.get(field)})
    return {**row, **({"problems": carried.problems} if carried.problems else {})}, carried.files


def beside(path: str | Path) -> dict[str, Path]:
    """Find the files beside a recording, by name.

    Args:
        path: of the recording.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "u1.txt").write_text("seven")
        >>> list(beside(folder / "u1.wav"))
        ['u1.txt']
    """
    stem = os.path.splitext(path)[0]
    found = {ending.lower(): ending for ending in ENDINGS if os.path.isfile(stem + ending)}
    return {held.name: held for held in (Path(stem + found[ending]) for ending in sorted(found))}


def carry(contents: Mapping[str, bytes | Path], move: Move, duration_s: float, name: str) -> Carried:
    """Carry over transcripts, and move word times with the audio.

    Text is the ``.txt`` or the ``.lab``, otherwise the ``text`` of the ``.json``; words are those of the TextGrid,
    otherwise of the CTM, otherwise ``words`` in the ``.json``. Each file is carried in its own form. What is broken is
    told and left out.

    Args:
        contents: of the files beside the source, or where these are, by name.
        move: from moments of the source to moments of its copy.
        duration_s: of the copy.
        name: of the copy, for the first column of a CTM.

    Example:
        >>> done = carry({"u1.txt": b"seven\\n", "u1.ctm": b"u1 1 0 0.5 seven"}, lambda times: times / 2, 0.5, "u1-1")
        >>> done.text, done.words, done.files[".ctm"]
        ('seven', [Word(word='seven', start=0.0, end=0.25)], b'u1-1 1 0.0000 0.2500 seven\\n')
    """
    carried = Carried()
    for path, held in sorted(contents.items(), key=lambda item: _rank(item[0])):
        ending = PurePath(path).suffix
        try:
            content = held if isinstance(held, bytes) else held.read_bytes()
            moved, text, words = _CARRY[ending.lower()](content, path, move, duration_s, name)
        except (ValueError, OSError) as error:
            carried.problems.append(f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error))
            continue
        carried.files[ending] = moved
        carried.text = text if carried.text is None else carried.text
        carried.words = words if carried.words is None else carried.words
    return carried


def _is_file(source: AudioSource) -> TypeGuard[str | Path]:
    """Say whether a source is a file of its own."""
    return isinstance(source, Path) or (isinstance(source, str) and not is_piece(source))


def _is_transcript(name: str) -> bool:
    return name.lower().endswith((".txt", ".lab"))


_Part = tuple[bytes, str | None, list[Word] | None]


def _text(content: bytes, path: str, move: Move, duration_s: float, name: str) -> _Part:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    if path.lower().endswith(".lab") and _HTK.match(text):
        raise ValueError(f"{path}: holds labels of HTK with times, which are not read; a TextGrid or CTM is")
    return content, " ".join(text.split()), None


def _textgrid(content: bytes, path: str, move: Move, duration_s: float, name: str) -> _Part:
    tiers = textgrid.move_tiers(textgrid.read_textgrid(content, path), move, duration_s)
    return textgrid.write_textgrid(tiers, duration_s), None, textgrid.words_of(tiers) or None


def _ctm(content: bytes, path: str, move: Move, duration_s: float, name: str) -> _Part:
    lines = ctm.move_lines(ctm.read_ctm(content, path), move, name)
    return ctm.write_ctm(lines), None, ctm.words_of(lines)


def _json(content: bytes, path: str, move: Move, duration_s: float, name: str) -> _Part:
    """Move the words, whatever else is told of each; a duration that is told becomes that of the copy."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError, too
        raise ValueError(f"{path}: is not JSON ({error})") from error
    if not isinstance(told, dict):
        return content, None, None
    text = told["text"] if isinstance(told.get("text"), str) else None
    if not {"words", "duration"} & set(told):
        return content, text, None
    words = None
    if are_timed(told.get("words")):
        told["words"] = move_rows(told["words"], move, path)
        words = read_words(told["words"], path)
    if "duration" in told:
        told["duration"] = duration_s
    return f"{json.dumps(told, ensure_ascii=False)}\n".encode(), text, words


_CARRY = {".txt": _text, ".lab": _text, ".textgrid": _textgrid, ".ctm": _ctm, ".json": _json}


def _rank(path: str) -> int:
    return list(_CARRY).index(PurePath(path).suffix.lower())
