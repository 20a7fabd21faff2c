"""Tar shards as WebDataset writes them: ``u1.flac``, ``u1.txt``, ``u2.flac``, ``u2.json`` and so on.

A shard is listed once; its sound files are then read where they lie, as ``shard.tar:first:size``, so that any utterance
can be read at any time, by any process, and batches are as well mixed as those from single files.
"""

from __future__ import annotations

import itertools
import json
import re
import tarfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speechaug._open import piece
from speechaug.data.manifest import ALIASES, Utterance, as_text, columns, shorten
from speechaug.data.patterns import SOUNDS

COMPRESSED = re.compile(r".*\.(tar\.(gz|bz2|xz|zst|lz4)|tgz|tbz2|txz|tzst)", re.IGNORECASE)
"""Names of tars that cannot be read from the middle."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def expand(source: str) -> list[Path]:
    """List the shards of a brace pattern.

    Args:
        source: such as ``train-{000..127}.tar``; numbers keep the width in which they are written.

    Raises:
        ValueError: if a range runs backwards.

    Example:
        >>> [path.name for path in expand("train-{08..10}.tar")]
        ['train-08.tar', 'train-09.tar', 'train-10.tar']
    """
    pieces = _RANGE.split(source)
    numbers = []
    for first, last in zip(pieces[1::3], pieces[2::3], strict=True):
        if int(last) < int(first):
            raise ValueError(f"shards: a range must run upwards, got {source!r}")
        numbers.append([str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)])
    texts = pieces[::3]
    return [
        Path("".join(text + number for text, number in zip(texts, (*chosen, ""), strict=True)))
        for chosen in itertools.product(*numbers)
    ]


def is_braced(source: str) -> bool:
    """Say whether a source is a brace pattern of shards."""
    return _RANGE.search(source) is not None


def read_shards(paths: list[Path]) -> list[Utterance]:
    """Read utterances from tars of sound files with transcripts.

    Members that share a name up to the first dot are one sample. Of each, the sound is one of ``.wav``, ``.flac``,
    ``.ogg`` and so on; the text is the ``.txt``, or the number in the ``.cls``, or stands in the ``.json``, together
    with the speaker and under the names that columns of manifests may have. The id is ``{shard}/{sample}``. What has
    no sound is named in a warning; a shard that ends too early gives what it holds, with a warning.

    Args:
        paths: of the shards.

    Raises:
        FileNotFoundError: if a shard is absent.
        ValueError: if one is compressed or no tar, or a transcript is malformed.

    Source: https://github.com/webdataset/webdataset
    """
    return [utterance for path in paths for utterance in _read_shard(path)]


def _read_shard(path: Path) -> list[Utterance]:
    samples: dict[str, dict[str, Any]] = {}
    with open_tar(path) as tar:
        for member in members_of(tar, path):
            key, ending = sample_of(member)
            if key:
                collect(samples.setdefault(key, {}), ending, tar, member)
    silent = [name for name, sample in samples.items() if "audio" not in sample]
    if silent:
        warnings.warn(f"{path}: {len(silent)} samples have no sound and are left out: {shorten(silent)}", stacklevel=5)
    return [utterance_of(path, name, sample) for name, sample in samples.items() if "audio" in sample]


def sample_of(member: tarfile.TarInfo) -> tuple[str, str]:
    """Tell which sample a member belongs to, and its ending, in lower case; both are empty where it is of none.

    Args:
        member: of a shard.

    Example:
        >>> sample_of(tarfile.TarInfo("./ann/u1.clean.FLAC"))
        ('ann/u1', '.clean.flac')
    """
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    stem, dot, ending = name.partition(".")
    if member.isdir() or not stem or not dot:
        return "", ""
    return f"{folder}/{stem}" if folder else stem, f".{ending.lower()}"


def collect(sample: dict[str, Any], ending: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Keep what a member is good for: the place of a sound, the contents of a transcript.

    Args:
        sample: what is known of the sample so far.
        ending: of the member.
        tar: that holds it.
        member: which.

    Raises:
        ValueError: if the sample has a sound already.
    """
    if not member.isfile():
        return  # a link; without a sound of its own the sample is named
    where = str(tar.name)
    if ending.endswith(SOUNDS):
        if "audio" in sample:
            raise ValueError(f"{where}: {sample_of(member)[0]}: must have one sound, got {member.name!r} as well")
        sample["audio"] = piece(where, member.offset_data, member.size)
    elif ending in (".txt", ".json", ".cls"):
        held = tar.extractfile(member)
        sample[ending] = b"" if held is None else held.read()


def open_tar(path: Path) -> tarfile.TarFile:
    """Open a shard.

    Args:
        path: of the shard.

    Raises:
        FileNotFoundError: if it is absent.
        ValueError: if it is compressed or no tar.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such shard")
    if COMPRESSED.fullmatch(path.name) or _is_compressed(path):
        raise ValueError(f"{path}: must not be compressed, because it is read from the middle; unpack it to a .tar")
    try:
        return tarfile.open(path, "r:")
    except tarfile.TarError as error:
        raise ValueError(f"{path}: is not a tar ({error})") from error


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"))


def members_of(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield what a tar holds, up to where it breaks off, which is told in a warning.

    Args:
        tar: open.
        path: of it.

    Raises:
        ValueError: if it has holes.
    """
    size = path.stat().st_size
    try:
        for member in tar:
            if member.issparse():
                raise ValueError(f"{path}: must not be written by tar -S, which leaves holes, got {member.name!r}")
            if member.offset_data + member.size > size:
                raise tarfile.ReadError("unexpected end of data")
            yield member
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("truncated header")  # tarfile takes that for the end
    except tarfile.TarError as error:
        warnings.warn(f"{path}: ends too early ({error}); what comes before is used", stacklevel=6)


def utterance_of(path: Path, name: str, sample: Mapping[str, Any]) -> Utterance:
    """Return the utterance of a sample.

    Args:
        path: of the shard.
        name: of the sample.
        sample: what :func:`collect` kept of it.

    Raises:
        ValueError: if its transcript is malformed.
    """
    where = f"{path}: {name}"
    try:
        row = json.loads(sample.get(".json", "{}"))
        words, label = (sample[ending].decode() if ending in sample else None for ending in (".txt", ".cls"))
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise ValueError(f"{where}: its transcript is malformed ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"{where}: its .json must be an object, got {row!r:.80}")
    chosen = columns(set(row) - {"audio", *ALIASES["audio"]}, where)
    text, speaker = (as_text(row.get(chosen.get(field)), f"{where}: {field}") for field in ("text", "speaker"))
    said = next((value for value in (words, text or None, label) if value is not None), "")
    return Utterance(f"{path.stem}/{name}", sample["audio"], said.strip(), speaker=speaker)
