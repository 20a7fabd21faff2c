"""Utterances from the names of files: ``{text}_{speaker}_{take}.wav``."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechaug.data.manifest import Utterance, shorten

FIELDS = ("id", "text", "speaker", "take")

SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".w64", ".caf")
"""Endings, in lower case, under which sound is looked for where no pattern names one."""


def read_pattern(folder: Path, pattern: str) -> list[Utterance]:
    """Read utterances from the names of the files below a folder; see :func:`speechaug.data.read_manifest`.

    Args:
        folder: where to look.
        pattern: compared with the end of every path.

    Raises:
        ValueError: if the pattern is malformed, or no file fits it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "7_theo_0.wav").touch()
        >>> [(u.text, u.speaker) for u in read_pattern(folder, "{text}_{speaker}_{take}.wav")]
        [('7', 'theo')]
    """
    expression, ending = _compile(pattern)
    parts = pattern.count("/") + 1
    names = visible_files(folder)
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


def visible_files(folder: Path) -> list[str]:
    """List the files below a folder by their sorted paths within it, without hidden ones.

    Links to folders are followed, but not back to a folder that they lie in.

    Args:
        folder: where to look.

    Raises:
        ValueError: if there is none.
    """
    names = list(_visible(folder, "", ()))
    if not names:
        raise ValueError(f"{folder}: the folder is empty")
    return names


def _visible(folder: str | Path, before: str, above: tuple[str, ...]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        link = entry.is_symlink()
        if os.path.isdir(entry.path) if link else entry.is_dir():  # is_dir raises at a link to itself
            yield from _visible(entry.path, f"{before}{entry.name}/", (*above, real))
        elif link or entry.is_file():  # a link that leads nowhere is named when it is opened
            yield before + entry.name


def _compile(pattern: str) -> tuple[re.Pattern[str], str]:
    """Turn a file-name pattern into a regular expression and its ending in lower case."""
    stem, dot, ending = pattern.rpartition(".")
    if not dot or not ending or "{" in ending:
        raise ValueError(f"pattern: must end in a file ending such as .wav, got {pattern!r}")
    pieces = re.split(r"\{(\w*)\}", stem)
    fields = pieces[1::2]
    if not fields or len(set(fields)) < len(fields) or not set(fields) <= set(FIELDS):
        raise ValueError(f"pattern: must name fields out of {', '.join(FIELDS)}, each once, got {pattern!r}")
    if "" in pieces[2:-1:2]:
        raise ValueError(f"pattern: needs a character between two fields, got {pattern!r}")
    expression = re.escape(pieces[0])
    for name, before, after in zip(fields, pieces[::2], pieces[2::2], strict=False):
        # Otherwise 7_ann_smith_1 would be read as take smith_1 of ann, and nobody would notice.
        beside = re.escape(before[-1:] + after[:1])
        expression += f"(?P<{name}>[^/{beside}]+)" + re.escape(after)
    return re.compile(rf"{expression}(?i:\.{re.escape(ending)})"), f".{ending.lower()}"
