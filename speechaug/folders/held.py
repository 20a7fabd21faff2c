"""The file that libsndfile writes a copy to."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from speechaug.folders.stamps import remove_stamps

_MOST = 2**20  # bytes that are held


class Held:
    """A file that is held in memory and written at once, unless it is long.

    soundfile is given no file of its own, because it has the disk written to when it closes one. Nothing can be raised
    through libsndfile, so the first error is kept, and raised in the end instead of what libsndfile makes of it.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        """Hold nothing."""
        self._path = path
        self._file: BinaryIO = io.BytesIO()
        self._error: OSError | None = None

    def __enter__(self) -> Held:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, and tell what was wrong with it."""
        with self._file:
            if self._error is not None:
                raise self._error

    def finish(self) -> None:
        """Remove the stamps, and write what is held."""
        remove_stamps(self._file)
        if isinstance(self._file, io.BytesIO):
            self._path.write_bytes(self._file.getvalue())

    def write(self, data: bytes) -> int:
        """Write for libsndfile."""
        return self._try(self._write, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek for libsndfile."""
        return self._try(self._file.seek, offset, whence)

    def tell(self) -> int:
        """Tell libsndfile where it is."""
        return self._try(self._file.tell)

    def read(self, count: int) -> bytes:
        """Read for libsndfile."""
        return self._file.read(count)

    def _write(self, data: bytes) -> int:
        if isinstance(self._file, io.BytesIO) and self._file.tell() + len(data) > _MOST:
            held = self._file
            self._file = self._path.open("w+b", buffering=_MOST)
            self._file.write(held.getvalue())
            self._file.seek(held.tell())
        return self._file.write(data)

    def _try(self, call: Callable[..., int], *arguments: Any) -> int:
        try:
            return call(*arguments)
        except OSError as error:
            self._error = self._error or error
            return 0
