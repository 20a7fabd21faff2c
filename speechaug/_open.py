"""Open whatever holds a sound file, or say in one line why that cannot be done.

A sound file is a path, a piece of another file (``shard.tar:1536:32044``, first byte and number of bytes, as fairseq
writes it), or an object with ``open()``, such as a row of a table. Nothing stays open between two reads, so all of
them can be copied to other processes.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RATES = 1_000, 655_350
"""Sample rates that are read, in Hz: below there is no speech, beyond FLAC ends, and what claims another one would be
resampled to gigabytes."""

_PIECE = re.compile(r"(.+):(\d+):(\d+)")
# Where names of files are bytes, which need not be UTF-8; soundfile takes text for UTF-8.
_BYTES = os.name == "posix"
# A header written before the length was known (a pipe) claims 2 or 4 GiB; libsndfile reads such files to their end.
_STREAMED = 0x7FFF_F000
# The same in FLAC, where libsndfile cannot say where the end is.
_ENDLESS = 2**62
# No encoding packs more samples into a byte: FLAC needs about one for 4,000 of silence.
_DENSEST = 2**14
_BLOCK = 2**16
# Where libsndfile notes that less is there than a header says: WAV, AIFF, AU, W64 and RF64.
_CUT = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


class AudioError(ValueError):
    """A sound file that cannot be used.

    Args:
        message: which file, and what is wrong with it.
        kind: ``empty``, ``unreadable``, ``not_finite`` or ``beyond_end``, to count by.
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        """Keep the kind; one argument is enough, because a data loader raises it anew in another process."""
        super().__init__(message)
        self.kind = kind


class Openable(Protocol):
    """What holds an encoded sound file without being one; its ``str`` names it in messages."""

    def open(self) -> BinaryIO:
        """Return the encoded file, readable and seekable, to be closed by the caller."""
        ...


@dataclass(frozen=True)
class Encoded:
    """An encoded sound file that lies in memory.

    Args:
        content: of the file.
        name: for messages.
    """

    content: bytes = field(repr=False)
    name: str

    def open(self) -> BinaryIO:
        """Return the file."""
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        """Name the file."""
        return self.name


AudioSource = str | Path | Openable
"""A path, a piece of a file (``path:first:size``, in bytes), or an object with ``open()``."""


def piece(path: str | Path, first: int, size: int) -> str:
    """Name a piece of a file, such as a member of a tar, that is itself a sound file.

    Args:
        path: the file.
        first: where the piece begins, in bytes.
        size: how long it is, in bytes.

    Example:
        >>> piece("shards/000.tar", 1536, 32044)
        'shards/000.tar:1536:32044'
    """
    return f"{path}:{first}:{size}"


def is_piece(source: str) -> bool:
    """Say whether a source is a piece of a file."""
    return _PIECE.fullmatch(source) is not None


@contextmanager
def open_sound(source: AudioSource) -> Iterator[Any]:
    """Open a sound file as a ``soundfile.SoundFile``, and close it.

    Args:
        source: path, piece or object.

    Raises:
        FileNotFoundError: if there is no such file.
        AudioError: if it is empty, is not audio or is cut short.
    """
    import soundfile

    with _bytes_of(source) as held:
        size = os.path.getsize(held) if isinstance(held, str) else held.seek(0, os.SEEK_END)
        if size == 0:
            raise AudioError(f"{source}: is empty (0 bytes)", "empty")
        if not isinstance(held, str):
            held.seek(0)
        try:
            file = soundfile.SoundFile(os.fsencode(held) if _BYTES and isinstance(held, str) else held)
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless .raw
            reason = getattr(error, "error_string", "").strip().rstrip(".") or "unreadable header"
            raise AudioError(f"{source}: is not an audio file, or is corrupt ({reason})") from error
        with file:
            if file.frames == 0:
                raise AudioError(f"{source}: holds no samples", "empty")
            if file.frames >= _ENDLESS:
                raise AudioError(f"{source}: does not say how long it is, as FLAC from a pipe does; encode it again")
            if file.frames > _DENSEST * size:
                raise AudioError(f"{source}: claims {file.frames} samples in {size} bytes, its header is corrupt")
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise AudioError(f"{source}: claims a sample rate of {file.samplerate} Hz, its header is corrupt")
            _check_whole(source, file.extra_info)
            yield file


def file_hash(source: AudioSource) -> str:
    """Return the SHA-256 of an encoded sound file, what ``sha256sum`` prints.

    Args:
        source: path, piece or object.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    digest = hashlib.sha256()
    with _bytes_of(source) as held, io.FileIO(held) if isinstance(held, str) else nullcontext(held) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _bytes_of(source: AudioSource) -> AbstractContextManager[Any]:
    """Return what soundfile can open: a path, which it reads fastest, or a binary file."""
    if not isinstance(source, (str, Path)):
        return source.open()
    found = _PIECE.fullmatch(str(source))
    path = found[1] if found else str(source)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: is a folder, not a file" if Path(path).is_dir() else f"{path}: no such file")
    if found is None:
        return nullcontext(path)
    first, size = int(found[2]), int(found[3])
    if first + size > os.path.getsize(path):
        raise AudioError(f"{source}: is cut short, the file has {os.path.getsize(path)} bytes")
    return io.BufferedReader(_Piece(Path(path), first, size))


def _check_whole(source: AudioSource, log: str) -> None:
    """Refuse a file whose header promises more than is there: libsndfile only notes it in its log."""
    found = _CUT.search(log)
    if found is None:
        return
    promised, present = int(found[1]), int(found[2])
    # Some writers count their header as data: a percent is not a loss.
    if promised < _STREAMED and present < 0.99 * promised:
        raise AudioError(f"{source}: is cut short, {present} bytes of audio of {promised} are there")


class _Piece(io.RawIOBase):
    """A range of bytes of a file, as a file of its own."""

    def __init__(self, path: Path, first: int, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._first, self._size, self._at = first, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        wanted = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        self._file.seek(self._first + self._at)
        count = self._file.readinto(wanted) or 0
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
