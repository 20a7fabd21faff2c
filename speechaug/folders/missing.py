"""Which copies are wanted of which recordings, and which of these are missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from speechaug._open import AudioSource
from speechaug.data.manifest import shorten
from speechaug.folders.items import Item, Key, Options, Recording
from speechaug.folders.journal import Journal
from speechaug.folders.sidecars import sidecars_of


def choose(recordings: Sequence[Recording], options: Options) -> Sequence[Recording]:
    """Leave out what is excluded or beyond the limit; refuse copies that would have the same name.

    Args:
        recordings: that there are.
        options: which of them are wanted.

    Raises:
        ValueError: if nothing is left, or two have the same id or name.
    """
    left = [one for one in recordings if not _fits(one.id, options.exclude)]
    if not left:
        raise ValueError(f"augment: exclude must leave a recording, got {list(options.exclude)!r}")
    limit = min(options.limit or len(left), len(left))
    chosen = [left[number * len(left) // limit] for number in range(limit)]
    for told, as_said in (("id", str), ("name", str.casefold)):
        counts = Counter(as_said(getattr(one, told)) for one in chosen)
        twice = [one.id for one in chosen if counts[as_said(getattr(one, told))] > 1]
        if twice:
            raise ValueError(f"augment: recordings must have different {told}s, got the same for {shorten(twice)}")
    return chosen


def copies_of(recording: Recording, options: Options) -> list[Item]:
    """Return the copies that are wanted of a recording."""
    return [Item(recording=recording, copy=copy) for copy in range(1, options.copies + 1)]


def missing_of(recording: Recording, options: Options, journal: Journal) -> list[Item]:
    """Return the copies of a recording that are not there, whole and not older than it and what lies beside it.

    Args:
        recording: which.
        options: how many copies are wanted.
        journal: of what is there.
    """
    items = copies_of(recording, options)
    if not any(item.key in journal for item in items):
        return items
    beside = [held for held in sidecars_of(recording).values() if isinstance(held, Path)]
    changed_ns = max(map(_changed_ns, [recording.source, *beside]))
    return [item for item in items if not (item.key in journal and _is_whole(journal, item.key, changed_ns))]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a path, its file name or a folder it lies in fits one of the patterns."""
    path = PurePosixPath(name)
    tried = {name, path.name, *(folder.as_posix() for folder in path.parents)}
    return any(fnmatchcase(one, pattern.rstrip("/")) for one in tried for pattern in patterns)


def _is_whole(journal: Journal, key: Key, changed_ns: int) -> bool:
    try:
        copy = (journal.folder / journal.audio[key]).stat()
    except FileNotFoundError:
        return False
    return copy.st_size > 0 and copy.st_mtime_ns >= changed_ns


def _changed_ns(source: AudioSource) -> int:
    """Return when a file was changed; 0 where that is not known."""
    try:
        return os.stat(source).st_mtime_ns  # type: ignore[arg-type]
    except (OSError, TypeError, ValueError):  # a piece of a file, or an object
        return 0
