"""Any source of speech becomes a list of utterances: which reader is asked, and how that is found out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

from speechaug.data.hugging_face import read_hugging_face
from speechaug.data.kaldi import read_kaldi
from speechaug.data.layouts import LISTS, read_command_list, read_librispeech, read_speech_commands
from speechaug.data.manifest import TABLES, Utterance, read_table, shorten
from speechaug.data.patterns import read_pattern, visible_files
from speechaug.data.shards import COMPRESSED, expand, is_braced, read_shards
from speechaug.data.torchaudio_sets import read_torchaudio

Source = str | Path | Any
"""A path, a sequence of ``Utterance``, a Hugging Face data set or one of torchaudio's: what ``read_manifest`` reads."""


class _Layout(NamedTuple):
    """A layout of folders, told by the path, within the folder, of a file that no other layout has."""

    looks_for: str
    mark: re.Pattern[str]
    read: Callable[[Path, list[str]], list[Utterance]]


_TAR = re.compile(rf"(?!.*/)({COMPRESSED.pattern}|.*\.tar)", re.IGNORECASE)
_LAYOUTS = (
    _Layout("wav.scp (Kaldi)", re.compile(r"wav\.scp"), lambda folder, _: read_kaldi(folder)),
    _Layout("*.tar (WebDataset)", _TAR, lambda folder, _: read_shards(shards_of(folder))),
    _Layout("*.trans.txt (LibriSpeech)", re.compile(r"(.*/)?[^/]+\.trans\.txt"), read_librispeech),
    _Layout(
        "{label}/{speaker}_nohash_{n}.wav (Speech Commands)",
        re.compile(r"[^/]+/[^/]+_nohash_\d+\.\w+"),
        read_speech_commands,
    ),
)


def read_manifest(source: Source, pattern: str | None = None) -> list[Utterance]:
    """Read the utterances of any source.

    - A **table**, ``.jsonl``, ``.csv`` or ``.tsv``, with ``audio`` and ``text``, and perhaps ``id`` (otherwise the path
      without its ending), ``speaker``, ``offset``, ``duration`` (seconds) and ``take``. Paths start at its folder. The
      names of Common Voice (``path``, ``sentence``, ``client_id``; paths start at ``clips/``), of NeMo
      (``audio_filepath``) and of Hugging Face audio folders (``file_name``, ``transcription``) are known.
    - A **folder with a pattern** such as ``{text}_{speaker}_{take}.wav``, or ``{text}/{take}.wav`` where folders are
      classes. It is compared with the end of every path below the folder, upper and lower case of the ending alike. A
      field never holds a character that stands beside it in the pattern. Files that end alike but do not fit are named
      in a warning.
    - A **folder without a pattern**, whose layout is told by one file: ``wav.scp`` is a Kaldi data directory, ``*.tar``
      are WebDataset shards, ``*.trans.txt`` (anywhere below) is LibriSpeech, ``{label}/{speaker}_nohash_{n}.wav`` is
      Speech Commands, without what its ``validation_list.txt`` and ``testing_list.txt`` name.
    - One of these two **lists**: what it names.
    - A **tar**, or several: ``shards/train-{000..127}.tar``. Members are read where they lie, at random; therefore a
      tar must not be compressed.
    - A Hugging Face ``datasets.Dataset`` with an ``Audio`` column; nothing is decoded by ``datasets``.
    - ``torchaudio.datasets`` ``LIBRISPEECH``, ``SPEECHCOMMANDS`` or ``YESNO``; nothing is decoded by torchaudio.
    - **Utterances**, which are returned as they are.

    Hidden files are left out, links to folders followed.

    Args:
        source: one of these.
        pattern: file-name pattern with the fields ``{text}``, ``{speaker}``, ``{take}``, ``{id}``; for folders only.

    Returns:
        The utterances, in the order of the source, or sorted by path.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if nothing is found, a folder's layout is not known, a pattern is malformed, columns are missing, a
            line is malformed (named with its number) or ids are not unique.
        ImportError: for a data set of torchaudio, if torchaudio cannot be imported.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.csv"
        >>> _ = path.write_text("id,audio,text,speaker\\nu1,wav/u1.wav,seven,ann\\n")
        >>> [(u.id, Path(u.audio).name, u.text, u.speaker) for u in read_manifest(path)]
        [('u1', 'u1.wav', 'seven', 'ann')]
    """
    name: object = source
    if isinstance(source, (str, Path)):
        name = os.path.abspath(source)
        utterances = _from_path(Path(name), str(source), pattern)
    elif pattern is not None:
        raise ValueError(f"read_manifest: pattern is for folders, got {pattern!r} for {describe(source)}")
    else:
        name = describe(source)
        utterances = _from_object(source)
    if not utterances:
        raise ValueError(f"{name}: holds no utterances")
    twice = [name for name, count in Counter(u.id for u in utterances).items() if count > 1]
    if twice:
        raise ValueError(f"{name}: ids must be unique, got more than one of {shorten(twice)}")
    return utterances


def shards_of(source: Source) -> list[Path]:
    """List the tars that a source names, by braces, by itself or by being their folder; none if it is something else.

    Args:
        source: any, without a pattern.
    """
    if not isinstance(source, (str, Path)):
        return []
    path = Path(os.path.abspath(source))
    if path.is_dir():
        return [path / name for name in visible_files(path) if _TAR.fullmatch(name)]
    if is_braced(str(source)):
        return expand(str(path))
    return [path] if _TAR.fullmatch(path.name) else []


def has_layout(folder: Path) -> bool:
    """Say whether a folder is known to say what was said: Kaldi, WebDataset, LibriSpeech or Speech Commands.

    Args:
        folder: any.
    """
    names = visible_files(folder)
    return any(layout.mark.fullmatch(name) for layout in _LAYOUTS for name in names)


def is_hugging_face(source: Source) -> bool:
    """Say whether a source is an object of ``datasets``; by name, so that it is not imported."""
    return "datasets" in _libraries(source)


def describe(source: Source) -> str:
    """Name a source in a message, or in the hyper-parameters of a checkpoint, which hold plain data only.

    Args:
        source: any.

    Example:
        >>> describe("train.csv"), describe([Utterance("u1", "u1.wav", "seven")])
        ('train.csv', '<list of 1>')
    """
    if isinstance(source, (str, Path)):
        return str(source)
    count = f" of {len(source)}" if isinstance(source, Sized) else ""
    return f"<{type(source).__name__}{count}>"


def same_source(one: Source, other: Source) -> bool:
    """Say whether two sources are the same: one object, or one path.

    Args:
        one: any source.
        other: any source.

    Example:
        >>> same_source("digits/", Path("digits")), same_source("digits/", [])
        (True, False)
    """
    if isinstance(one, (str, Path)) and isinstance(other, (str, Path)):
        return Path(one).resolve() == Path(other).resolve()
    return one is other


def _from_path(path: Path, given: str, pattern: str | None) -> list[Utterance]:
    if path.is_dir():
        return _from_layout(path) if pattern is None else read_pattern(path, pattern)
    if given.startswith("<") and given.endswith(">"):  # what describe() says
        raise ValueError(
            f"read_manifest: {given} was an object, which a checkpoint does not hold; give it again, "
            "as in load_from_checkpoint(path, train=...)"
        )
    if not path.exists() and not is_braced(given):
        raise FileNotFoundError(f"{path}: no such manifest or folder")
    if pattern is not None:
        raise ValueError(f"read_manifest: pattern is for folders, got {pattern!r} for {path}")
    if path.name in LISTS:
        return read_command_list(path)
    if path.suffix.lower() in TABLES:
        return read_table(path)
    shards = shards_of(given)
    if shards:
        return read_shards(shards)
    raise ValueError(
        f"read_manifest: source must be a folder, end in .jsonl, .csv, .tsv or .tar, or be {' or '.join(LISTS)}, "
        f"got {str(path)!r}"
    )


def _from_layout(folder: Path) -> list[Utterance]:
    names = visible_files(folder)
    found = [layout for layout in _LAYOUTS if any(layout.mark.fullmatch(name) for name in names)]
    if not found:
        looked_for = ", ".join(layout.looks_for for layout in _LAYOUTS)
        tables = [name for name in names if name.lower().endswith(TABLES)]
        example = f"a table there is {tables[0]!r}" if tables else f"a file there is {names[0]!r}"
        raise ValueError(
            f"{folder}: no known layout, looked for {looked_for}; a table is named itself, and any other folder needs "
            f"a pattern, such as '{{text}}_{{take}}.wav', or '{{text}}/{{take}}.wav' for classes; {example}"
        )
    if len(found) > 1:
        several = " and ".join(layout.looks_for for layout in found)
        raise ValueError(f"{folder}: must have one layout, found {several}; name a folder or file within")
    return found[0].read(folder, names)


def _from_object(source: Any) -> list[Utterance]:
    if is_hugging_face(source):
        return read_hugging_face(source)
    if "torchaudio" in _libraries(source):
        return read_torchaudio(source)
    if isinstance(source, Sequence) and all(isinstance(item, Utterance) for item in source):
        return list(source)
    raise ValueError(
        "read_manifest: source must be a path, a list of Utterance, a datasets.Dataset or a data set of torchaudio, "
        f"got {type(source).__name__}"
    )


def _libraries(source: Any) -> set[str]:
    """Name the libraries of an object's classes, so that none is imported for those who use another or none."""
    return {kind.__module__.partition(".")[0] for kind in type(source).__mro__}
