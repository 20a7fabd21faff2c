"""What is there to train on: utterances, and the tables in which they are written down."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from speechaug._lines import complete_file
from speechaug._open import AudioSource

TABLES = (".jsonl", ".json", ".csv", ".tsv")
"""Endings of the files that :func:`read_table` reads."""

ALIASES = {
    "audio": ("path", "audio_filepath", "file_name"),
    "text": ("sentence", "transcription", "transcript"),
    "speaker": ("speaker_id", "client_id"),
}
"""Other usual names of columns: those of Common Voice, NeMo and Hugging Face audio folders."""

_COMMON_VOICE = ("client_id", "path", "sentence")
_FIELDS = ("id", "text", "speaker", "take")
_SHOWN = 10
_QUOTES = 'a cell that holds a quotation mark is put in quotes, with "" for the mark; or write JSONL'


@dataclass(frozen=True)
class Utterance:
    """One recording, or a part of one, and what is said in it.

    Args:
        id: unique within its source; all randomness about the utterance is keyed by it.
        audio: path of the sound file; for a member of a tar ``shard.tar:1536:32044`` (first byte, bytes); for a row of
            a Hugging Face data set an object that opens it.
        text: transcript; empty when unknown, which is an error only where a transcript is needed.
        speaker: name of the speaker; empty when unknown.
        offset: where the utterance begins in the file, in seconds.
        duration: its length in seconds; None means to the end of the file.
        take: which repetition of the same text by the same speaker this is.

    Raises:
        ValueError: if offset or duration are no such times.

    Example:
        >>> Utterance(id="0_theo_3", audio="0_theo_3.wav", text="0", speaker="theo", take="3").speaker
        'theo'
    """

    id: str
    audio: AudioSource
    text: str
    speaker: str = ""
    offset: float = 0.0
    duration: float | None = None
    take: str = ""

    def __post_init__(self) -> None:
        """Refuse a part that lies nowhere."""
        # Written so that NaN is refused, too.
        if not 0 <= self.offset < math.inf or not (self.duration is None or 0 < self.duration < math.inf):
            raise ValueError(
                f"Utterance: offset must be >= 0 and duration > 0 or None, got {self.offset!r} and {self.duration!r} "
                f"for {self.id!r}"
            )


def read_table(path: Path) -> list[Utterance]:
    """Read utterances from a JSONL, CSV or TSV file; see :func:`speechaug.data.read_manifest`.

    Args:
        path: of the file; audio paths in it start at its folder.

    Raises:
        ValueError: if the ending is unknown, columns are missing or could mean the same, or a line is malformed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.tsv"
        >>> _ = path.write_text("file_name\\tsentence\\nwav/u1.wav\\tseven\\n")
        >>> [(u.id, u.text) for u in read_table(path)]
        [('wav/u1', 'seven')]
    """
    try:
        return [_utterance(_named(row, where), where, folder) for where, row, folder in raw_rows(path)]
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error


def columns(found: Iterable[str], where: object) -> dict[str, str]:
    """Find which columns hold audio, text and speaker.

    A column of the field's own name is taken. Without it, the one of another usual name, such as ``sentence``.

    Args:
        found: names of the columns.
        where: for messages.

    Returns:
        Columns by field; a field without a column is not in it.

    Raises:
        ValueError: if several columns could be meant.

    Example:
        >>> columns(["client_id", "path", "sentence", "age"], "cv.tsv")
        {'audio': 'path', 'text': 'sentence', 'speaker': 'client_id'}
    """
    found = set(found)
    chosen: dict[str, str] = {}
    for field, others in ALIASES.items():
        names = [field] if field in found else [name for name in others if name in found]
        if len(names) > 1:
            raise ValueError(f"{where}: columns {names} could each be the {field}, one must be named {field!r}")
        if names:
            chosen[field] = names[0]
    return chosen


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a JSONL manifest that ``read_manifest`` reads back as it was.

    Audio paths are written relative to the manifest's folder, so that both can move together; a path on another
    drive stays absolute. Members of tars are written with their place, so that reading needs no look at the tars. The
    file appears only when it is complete.

    Args:
        path: the manifest to write.
        utterances: what goes in, in this order.

    Raises:
        ValueError: if the audio of an utterance is an object and no file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_manifest(folder / "train.jsonl", [Utterance("u1", str(folder / "u1.wav"), "seven")])
        >>> (folder / "train.jsonl").read_text()
        '{"id": "u1", "audio": "u1.wav", "text": "seven"}\\n'
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for utterance in utterances:
            file.write(json.dumps(_row(utterance, path.parent), ensure_ascii=False) + "\n")


def shorten(names: Sequence[str], separator: str = ", ", most: int = _SHOWN) -> str:
    """Join names for a message: the first ones, ten unless told, and how many more there are."""
    more = f"{separator}and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, stripped, with their numbers.

    Args:
        path: of the file, with or without the mark that Windows puts first.

    Raises:
        ValueError: if it is not UTF-8.
    """
    try:
        # Not splitlines: a transcript may hold other separators, such as U+2028.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    return ((number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip())


def not_utf8(path: Path, error: UnicodeDecodeError) -> ValueError:
    """Return the error that names a file in another encoding."""
    return ValueError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})")


def as_text(value: Any, where: object) -> str:
    """Return a value of a table as text: numbers are welcome, because the transcript of a digit may well be 0.

    Args:
        value: text, a number, or None for nothing.
        where: for messages.

    Raises:
        ValueError: for a list or an object, whose notation is nobody's transcript.
    """
    if isinstance(value, (list, dict)):
        raise ValueError(f"{where}: must be text or a number, got {value!r:.80}")
    return "" if value is None else str(value)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key under which take 10 comes after take 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def raw_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """Yield each row of a table as it is written, where it stands for messages, and the folder its paths start at.

    Args:
        path: of a JSONL, CSV or TSV file.

    Raises:
        ValueError: if columns are missing or could mean the same, or a line is malformed.
    """
    ending = path.suffix.lower()
    with path.open(encoding="utf-8-sig", newline="") as file:
        if ending in (".csv", ".tsv"):
            yield from _table_rows(path, file, "\t" if ending == ".tsv" else ",")
            return
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}:{number}"
                yield where, _json_row(line, where), path.parent


def _table_rows(path: Path, file: TextIO, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    header = file.readline()
    file.seek(0)
    common_voice = set(_COMMON_VOICE) <= set(header.strip().split("\t"))
    # Common Voice quotes nothing: a sentence that begins with a quotation mark would swallow the lines after it.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if common_voice else csv.QUOTE_MINIMAL
    table = csv.DictReader(file, delimiter=delimiter, quoting=quoting, strict=True)
    folder = path.parent / "clips" if common_voice else path.parent
    number = 1
    try:
        for row in _cells(path, table, "tabs" if delimiter == "\t" else "commas"):
            number = table.line_num
            yield f"{path}:{number}", row, folder
    except csv.Error as error:
        raise ValueError(f"{path}:{number + 1}: is malformed ({error}); {_QUOTES}") from error


def _cells(path: Path, table: csv.DictReader[str], between: str) -> Iterator[dict[str, Any]]:
    found = list(table.fieldnames or ())
    chosen = columns(found, path)
    missing = [name for name in ("audio", "text") if name not in chosen]
    if missing:
        raise ValueError(f"{path}: columns {missing} are missing, found {found} between {between}")
    if len(set(found)) < len(found):
        raise ValueError(f"{path}: columns must have different names, got {found}")
    for row in table:
        broken = next((cell for cell in row.values() if isinstance(cell, str) and "\n" in cell), None)
        if broken is not None:  # a quotation mark that is not closed swallows the lines after it
            raise ValueError(f"{path}:{table.line_num}: has a line break within a cell, got {broken!r:.80}; {_QUOTES}")
        if None in row:  # an unquoted comma in the transcript would cut it short
            raise ValueError(f"{path}:{table.line_num}: has more values than columns, got {row[None]} too many")
        yield row


def _named(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a row with audio, text and speaker under these names."""
    return {**row, **{field: row[name] for field, name in columns(row, where).items()}}


def _json_row(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: is not JSON, one object on each line ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"{where}: must be one object on each line, got {line.strip()[:80]}")
    return row


def _utterance(row: Mapping[str, Any], where: str, folder: Path) -> Utterance:
    cells = {name: as_text(row.get(name), f"{where}: {name}") for name in ("audio", *_FIELDS)}
    if not cells["audio"]:
        raise ValueError(f"{where}: audio must be a path, got {dict(row)}")
    try:
        offset = float(row.get("offset") or 0.0)
        duration = None if row.get("duration") in (None, "") else float(row["duration"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: offset and duration must be seconds ({error})") from error
    cells["id"] = cells["id"] or Path(cells["audio"]).with_suffix("").as_posix()
    cells["audio"] = os.path.normpath(folder / cells["audio"])
    try:
        return Utterance(**cells, offset=offset, duration=duration)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _row(utterance: Utterance, folder: Path) -> dict[str, Any]:
    if not isinstance(utterance.audio, (str, Path)):
        raise ValueError(f"write_manifest: audio must be a path, got {utterance.audio} for {utterance.id!r}")
    path = os.path.abspath(utterance.audio)  # of a piece of a file, too
    with contextlib.suppress(ValueError):  # another drive: no relative path exists
        path = Path(os.path.relpath(path, folder)).as_posix()
    row = {"id": utterance.id, "audio": path, "text": utterance.text}
    defaults = {"speaker": "", "offset": 0.0, "duration": None, "take": ""}
    return row | {k: v for k, default in defaults.items() if (v := getattr(utterance, k)) != default}
