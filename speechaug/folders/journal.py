"""The manifest of a job, and the journal that is kept until it can be written."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from speechaug._lines import complete_file, encoded, line
from speechaug.folders.items import Key, Row

JOB_FILE = "augment.json"
"""Says what was done, to be read by people and by the next run."""

MANIFEST_FILE = "manifest.jsonl"
JOURNAL_FILE = ".unfinished.jsonl"
"""Names of the files; the journal is there until all is done."""

_PATIENCE_S = 1.0  # a job that was killed takes a moment to end


class Journal:
    """Which copies there are, and where their lines stand: in the manifest of before or in the journal.

    The lines stay on disk, because of a hundred thousand hours they would fill the memory.

    Args:
        folder: of the copies.
        manifest: name of the file that they are in at the end.
    """

    def __init__(self, folder: Path, manifest: str = MANIFEST_FILE) -> None:
        """Hold nothing; :meth:`read` and ``with`` find what there is."""
        self.folder = folder
        self.manifest = manifest
        self._lines: dict[Key, tuple[str, int, int]] = {}
        self.audio: dict[Key, str] = {}
        self._file: BinaryIO | None = None
        self._end = 0

    def read(self) -> None:
        """Find the lines of earlier runs, if the folder is that of a job; a line that was cut off is none."""
        if not (self.folder / JOB_FILE).is_file():
            return
        for name in (self.manifest, JOURNAL_FILE):
            with contextlib.suppress(FileNotFoundError), self._opened(name) as file:
                for start, size, row in _found(file):
                    self._note(name, start, size, row)

    @property
    def is_unfinished(self) -> bool:
        """Whether a run was stopped before its end, with something made."""
        return self._end > 0

    def __contains__(self, key: Key) -> bool:
        """Say whether a copy is there."""
        return key in self.audio

    def forget(self, key: Key) -> None:
        """Leave a copy out."""
        del self.audio[key], self._lines[key]

    def clear(self) -> None:
        """Remove the lines that told of copies, which are all forgotten."""
        assert self._file is not None and not self.audio
        self._end = 0
        self._file.truncate(0)
        (self.folder / self.manifest).unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        """Keep other jobs out of the folder, and read what there is.

        Raises:
            ValueError: if another process is at work in the folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = _locked(self.folder / JOURNAL_FILE)
        self.read()
        self._file.truncate(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let other jobs in, and leave no empty journal."""
        assert self._file is not None
        if self._end == 0:
            (self.folder / JOURNAL_FILE).unlink()
        self._file.close()

    def add(self, *rows: Row) -> None:
        """Write lines, so that no kill of this process can lose them."""
        assert self._file is not None
        texts = [encoded(line(row)) for row in rows]
        self._file.write(b"".join(texts))
        self._file.flush()
        for row, text in zip(rows, texts, strict=True):
            self._note(JOURNAL_FILE, self._end, len(text), row)

    def finish(self) -> None:
        """Write the manifest, ordered by recording and copy, and empty the journal, which is then taken away."""
        assert self._file is not None
        with complete_file(self.folder / self.manifest) as temporary, temporary.open("wb") as file:
            file.writelines(self._texts())
        self._file.truncate(0)
        self._end = 0

    def _note(self, name: str, start: int, size: int, row: Row) -> None:
        key = row["source"], row["copy"]
        self._lines[key] = name, start, size
        self.audio[key] = row["audio"]
        if name == JOURNAL_FILE:
            self._end = start + size

    def _texts(self) -> Iterator[bytes]:
        with contextlib.ExitStack() as stack:
            named = {place[0] for place in self._lines.values()}
            files = {name: stack.enter_context(self._opened(name)) for name in named}
            for _, (name, start, size) in sorted(self._lines.items()):
                files[name].seek(start)
                yield files[name].read(size)

    def _opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to be read: the journal as it is, because closing another handle of it would end the lock."""
        if name == JOURNAL_FILE and self._file is not None:
            return nullcontext(self._file)
        return (self.folder / name).open("rb")


def _found(file: BinaryIO) -> Iterator[tuple[int, int, Row]]:
    """Yield where each whole line begins, how long it is, and its row."""
    start = 0
    file.seek(0)
    for text in file:
        if text.endswith(b"\n"):
            yield start, len(text), json.loads(text)
        start += len(text)


def _locked(path: Path) -> BinaryIO:
    """Open a journal, alone: another job that has it may be about to take it away.

    Raises:
        ValueError: if another process has it.
    """
    while True:
        file = path.open("a+b")
        _lock(file, path.parent)
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()


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
