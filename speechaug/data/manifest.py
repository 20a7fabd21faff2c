"""What is there to train on: utterances, read from a manifest or from the names of files."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

_FIELDS = ("id", "text", "speaker", "take")
_SHOWN = 10


@dataclass(frozen=True)
class Utterance:
    """One recording, or a part of one, and what is said in it.

    Args:
        id: unique within its source; all randomness about the utterance is keyed by it.
        audio: path of the sound file.
        text: transcript; empty when unknown, which is an error only where a transcript is needed.
        speaker: name of the speaker; empty when unknown.
        offset: where the utterance begins in the file, in seconds.
        duration: its length in seconds; None means to the end of the file.
        take: which repetition of the same text by the same speaker this is.

    Example:
        >>> Utterance(id="0_theo_3", audio="0_theo_3.wav", text="0", speaker="theo", take="3").speaker
        'theo'
    """

    id: str
    audio: str
    text: str
    speaker: str = ""
    offset: float = 0.0
    duration: float | None = None
    take: str = ""


def read_manifest(source: str | Path, pattern: str | None = None) -> list[Utterance]:
    """Read utterances from a JSONL, CSV or TSV file, or from the file names of a folder.

    Manifests hold ``audio`` and ``text``, and may hold ``id`` (otherwise the path without its ending), ``speaker``,
    ``offset``, ``duration`` (seconds) and ``take``; anything else is ignored. Audio paths start at the manifest's
    folder.

    A pattern such as ``{text}_{speaker}_{take}.wav`` or ``{speaker}/{text}.flac`` is compared with the end of every
    path below the folder, upper and lower case of the ending alike. A field never holds a character that stands beside
    it in the pattern. Hidden files are left out, other files that end alike but do not fit are named in a warning.

    Args:
        source: the manifest, or the folder.
        pattern: file-name pattern with the fields ``{text}``, ``{speaker}``, ``{take}``, ``{id}``; for folders only.

    Returns:
        The utterances, in the order of the manifest or sorted by path.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if nothing is found, a pattern is missing or malformed, columns are missing, a line is malformed
            (named with its number) or ids are not unique.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.csv"
        >>> _ = path.write_text("id,audio,text,speaker\\nu1,wav/u1.wav,seven,ann\\n")
        >>> [(u.id, Path(u.audio).name, u.text, u.speaker) for u in read_manifest(path)]
        [('u1', 'u1.wav', 'seven', 'ann')]
    """
    path = Path(os.path.abspath(source))
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such manifest or folder")
    if path.is_dir():
        utterances = _from_folder(path, pattern)
    elif pattern is not None:
        raise ValueError(f"read_manifest: pattern is for folders, got {pattern!r} for the file {path}")
    else:
        utterances = _from_file(path)
    if not utterances:
        raise ValueError(f"{path}: holds no utterances")
    twice = [name for name, count in Counter(u.id for u in utterances).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: ids must be unique, got more than one of {shorten(twice)}")
    return utterances


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a JSONL manifest that ``read_manifest`` reads back as it was.

    Audio paths are written relative to the manifest's folder, so that both can move together; a path on another
    drive stays absolute. The file appears only when it is complete.

    Args:
        path: the manifest to write.
        utterances: what goes in, in this order.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_manifest(folder / "train.jsonl", [Utterance("u1", str(folder / "u1.wav"), "seven")])
        >>> (folder / "train.jsonl").read_text()
        '{"id": "u1", "audio": "u1.wav", "text": "seven"}\\n'
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for utterance in utterances:
                file.write(json.dumps(_row(utterance, path.parent), ensure_ascii=False) + "\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def shorten(names: Sequence[str], separator: str = ", ") -> str:
    """Join names for a message: the first ten, and how many more there are."""
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key under which take 10 comes after take 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def _from_file(path: Path) -> list[Utterance]:
    try:
        return [_utterance(row, where, path.parent) for where, row in _rows(path)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from error


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each row of a manifest with where it stands, for messages."""
    ending = path.suffix.lower()
    if ending not in (".jsonl", ".json", ".csv", ".tsv"):
        raise ValueError(f"read_manifest: source must be a folder or end in .jsonl, .csv or .tsv, got {str(path)!r}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        if ending in (".csv", ".tsv"):
            table = csv.DictReader(file, delimiter="\t" if ending == ".tsv" else ",")
            missing = [name for name in ("audio", "text") if name not in (table.fieldnames or ())]
            if missing:
                raise ValueError(f"{path}: columns {missing} are missing, found {list(table.fieldnames or ())}")
            for row in table:
                if None in row:  # an unquoted comma in the transcript would cut it short
                    raise ValueError(f"{path}:{table.line_num}: has more values than columns, got {row[None]} too many")
                yield f"{path}:{table.line_num}", row
            return
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path}:{number}", _json_row(line, f"{path}:{number}")


def _json_row(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"{where}: must be an object, got {line.strip()[:80]}")
    return row


def _utterance(row: Mapping[str, Any], where: str, folder: Path) -> Utterance:
    # Numbers are welcome: the transcript of a digit may well be 0.
    cells = {name: "" if row.get(name) is None else str(row[name]) for name in ("audio", *_FIELDS)}
    if not cells["audio"]:
        raise ValueError(f"{where}: audio must be a path, got {dict(row)}")
    try:
        offset = float(row.get("offset") or 0.0)
        duration = None if row.get("duration") in (None, "") else float(row["duration"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: offset and duration must be seconds ({error})") from error
    if not offset >= 0 or not (duration is None or duration > 0):
        raise ValueError(f"{where}: offset must be >= 0 and duration > 0, got {offset} and {duration}")
    cells["id"] = cells["id"] or Path(cells["audio"]).with_suffix("").as_posix()
    cells["audio"] = os.path.normpath(folder / cells["audio"])
    return Utterance(**cells, offset=offset, duration=duration)


def _row(utterance: Utterance, folder: Path) -> dict[str, Any]:
    path = os.path.abspath(utterance.audio)
    with contextlib.suppress(ValueError):  # another drive: no relative path exists
        path = Path(os.path.relpath(path, folder)).as_posix()
    row = {"id": utterance.id, "audio": path, "text": utterance.text}
    defaults = {"speaker": "", "offset": 0.0, "duration": None, "take": ""}
    return row | {k: v for k, default in defaults.items() if (v := getattr(utterance, k)) != default}


def _from_folder(folder: Path, pattern: str | None) -> list[Utterance]:
    if pattern is None:
        raise ValueError(f"read_manifest: pattern must be given for a folder such as {folder}: '{{text}}_{{take}}.wav'")
    expression, ending = _compile(pattern)
    parts = pattern.count("/") + 1
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if not names:
        raise ValueError(f"{folder}: the folder is empty")
    utterances, strangers = [], []
    for name in names:
        found = expression.fullmatch("/".join(name.split("/")[-parts:]))
        if found:
            fields: dict[str, Any] = {"id": name[: name.rindex(".")], "text": "", **found.groupdict()}
            utterances.append(Utterance(audio=str(folder / name), **fields))
        elif name.lower().endswith(ending):
            strangers.append(name)
    if not utterances:
        example = (strangers or names)[0]
        raise ValueError(f"{folder}: no file fits the pattern {pattern!r}; a file there is {example!r}")
    if strangers:
        named = f"{len(strangers)} files do not fit the pattern {pattern!r}"
        warnings.warn(f"{folder}: {named} and are left out: {shorten(strangers)}", stacklevel=3)
    return utterances


def _compile(pattern: str) -> tuple[re.Pattern[str], str]:
    """Turn a file-name pattern into a regular expression and its ending in lower case."""
    stem, dot, ending = pattern.rpartition(".")
    if not dot or not ending or "{" in ending:
        raise ValueError(f"pattern: must end in a file ending such as .wav, got {pattern!r}")
    pieces = re.split(r"\{(\w*)\}", stem)
    fields = pieces[1::2]
    if not fields or len(set(fields)) < len(fields) or not set(fields) <= set(_FIELDS):
        raise ValueError(f"pattern: must name fields out of {', '.join(_FIELDS)}, each once, got {pattern!r}")
    if "" in pieces[2:-1:2]:
        raise ValueError(f"pattern: needs a character between two fields, got {pattern!r}")
    expression = re.escape(pieces[0])
    for name, before, after in zip(fields, pieces[::2], pieces[2::2], strict=False):
        # Otherwise 7_ann_smith_1 would be read as take smith_1 of ann, and nobody would notice.
        beside = re.escape(before[-1:] + after[:1])
        expression += f"(?P<{name}>[^/{beside}]+)" + re.escape(after)
    return re.compile(rf"{expression}(?i:\.{re.escape(ending)})"), f".{ending.lower()}"
