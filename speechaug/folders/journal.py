"""The manifest of a job, and the journal that is kept until it can be written."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from speechaug._lines import complete_file, encoded, line
from speechaug.folders.items import Row

MANIFEST_FILE = "manifest.jsonl"
JOURNAL_FILE = ".unfinished.jsonl"
"""Names of the files; the journal is there until all is done."""

_PATIENCE_S = 5.0  # workers of a job that was killed end with what they are at

Key = tuple[str, int]
"""Id of a recording, and the number of a copy: what the manifest is ordered by."""


class Journal:
    """Which copies there are, and where their lines stand: in the manifest of before or in the journal.

    The lines stay on disk, because of a hundred thousand hours they would fill the memory.

    Args:
        folder: of the copies.
        manifest: name of the file that they are in at the end.
    """

    def __init__(self, folder: Path, manifest: str = MANIFEST_FILE) -> None:
        """Find the lines of earlier runs; one that was cut off is none."""
        self.folder = folder
        self.manifest = manifest
        self._lines: dict[Key, tuple[str, int, int]] = {}
        self.audio: dict[Key, str] = {}
        self._file: BinaryIO | None = None
        self._end = 0
        for name in (manifest, JOURNAL_FILE):
            for start, size, row in _found(folder / name):
                self._note(name, start, size, row)

    @property
    def is_unfinished(self) -> bool:
        """Whether a run was stopped before its end."""
        return (self.folder / JOURNAL_FILE).exists()

    def __contains__(self, key: Key) -> bool:
        """Say whether a copy is there."""
        return key in self.audio

    def forget(self, key: Key) -> None:
        """Leave a copy out."""
        del self.audio[key], self._lines[key]

    def clear(self) -> None:
        """Forget every copy, and remove the files that tell of them."""
        self.audio.clear()
        self._lines.clear()
        self._end = 0
        for name in (self.manifest, JOURNAL_FILE):
            (self.folder / name).unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        """Open the journal, behind its last whole line.

        Raises:
            ValueError: if another process has it open.
        """
        self._file = (self.folder / JOURNAL_FILE).open("ab")
        _lock(self._file, self.folder)
        self._file.truncate(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        assert self._file is not None
        self._file.close()

    def add(self, row: Row) -> None:
        """Write a line, so that no kill of this process can lose it."""
        assert self._file is not None
        text = encoded(line(row))
        self._file.write(text)
        self._file.flush()
        self._note(JOURNAL_FILE, self._end, len(text), row)

    def finish(self) -> None:
        """Write the manifest, ordered by recording and copy, and take the journal away."""
        with complete_file(self.folder / self.manifest) as temporary, temporary.open("wb") as file:
            file.writelines(self._texts())
        (self.folder / JOURNAL_FILE).unlink()

    def _note(self, name: str, start: int, size: int, row: Row) -> None:
        key = row["source"], row["copy"]
        self._lines[key] = name, start, size
        self.audio[key] = row["audio"]
        if name == JOURNAL_FILE:
            self._end = start + size

    def _texts(self) -> Iterator[bytes]:
        files = {name: (self.folder / name).open("rb") for name in {place[0] for place in self._lines.values()}}
        try:
            for _, (name, start, size) in sorted(self._lines.items()):
                files[name].seek(start)
                yield files[name].read(size)
        finally:
            for file in files.values():
                file.close()


def _found(path: Path) -> Iterator[tuple[int, int, Row]]:
    """Yield where each whole line begins, how long it is, and its row."""
    if not path.is_file():
        return
    start = 0
    with path.open("rb") as file:
        for text in file:
            if text.endswith(b"\n"):
                yield start, len(text), json.loads(text)
            start += len(text)


def _lock(file: BinaryIO, folder: Path) -> None:
    """Keep other jobs out until this process ends or closes the file, where the file system can do that.

    Workers have no part in it, so a job whose process was killed goes on at once, whatever they are still at.
    """
    if sys.platform == "win32":
        return
    import fcntl

    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError) as error:
            if time.monotonic() > until:
                file.close()
                raise ValueError(f"augment: dst must be free, another job is at work in {str(folder)!r}") from error
            time.sleep(0.05)
        except OSError:  # a file system without locks
            return
