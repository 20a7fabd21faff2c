"""What there is to do, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from speechaug._open import AudioSource

Row = dict[str, Any]
"""A line of the manifest: ``id``, ``audio``, ``source``, ``source_hash``, ``copy``, ``sample_rate``, ``duration``,
``transforms`` and what else is known."""

Key = tuple[str, int]
"""Id of a recording, and the number of a copy: what the manifest is ordered by."""

MOST_AT_ONCE = 64
"""Items that a worker is given to make together."""

_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A recording, or a part of one, to be augmented.

    Args:
        id: unique within the job; all randomness is keyed by it. Of a file in a folder the path within, its ending
            included, with ``/`` on every system.
        source: where it is.
        name: what its copies are called, before ``_aug1`` and the ending: a relative path, with ``/``.
        offset_s: where it begins in the file, in seconds.
        duration_s: its length in seconds; None means to the end of the file.
        columns: of its row in a manifest, which are carried over; the times of ``words`` move with the audio.
        sidecars: contents of the files beside it, by name; None looks for them beside the source.
    """

    id: str
    source: AudioSource
    name: str
    offset_s: float = 0.0
    duration_s: float | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    sidecars: Mapping[str, bytes] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One output to make.

    Args:
        recording: what it is made of.
        copy: its number, from 1.
    """

    recording: Recording
    copy: int

    @property
    def id(self) -> str:
        """Id of the output, unique in its manifest: its path without the ending."""
        return f"{self.recording.name}_aug{self.copy}"

    @property
    def key(self) -> Key:
        """What the output is known by in a manifest, whatever its name."""
        return self.recording.id, self.copy


class Failure(NamedTuple):
    """What could not be made.

    Attributes:
        id: of the recording.
        reason: why, in a line.
    """

    id: str
    reason: str


class Made(NamedTuple):
    """What came of an item.

    Attributes:
        item: the output that was wanted.
        row: its line of the manifest; None where it failed.
        reason: why it failed, in a line.
        is_full: whether it failed because there is no more room to write, as all others would.
    """

    item: Item
    row: Row | None
    reason: str = ""
    is_full: bool = False


class Work(Protocol):
    """Makes items. It can be pickled, raises nothing, and what comes of an item depends on nothing but the item."""

    def __call__(self, items: Sequence[Item]) -> Iterator[list[Made]]:
        """Write the sound files of some items; yield their lines of the manifest in the same order, what is done."""


Engine = Callable[[Work, Sequence[Item], int | None], Generator[Made, None, None]]
"""Makes items by so many workers, in any order; None for as many as there are cores. An item whose worker dies again
and again has failed."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a job is done; see :func:`speechaug.augment_folder`."""

    copies: int = 1
    seed: int = 0
    workers: int | None = None
    format: str = "flac"
    sample_rate: int | None = None
    overwrite: bool = False
    exclude: Sequence[str] = ()
    limit: int | None = None
    dry_run: bool = False
    engine: str = "local"
    progress: bool | None = None


@dataclass(frozen=True)
class Report:
    """What a job did, or after a dry run would do.

    Args:
        folder: where the copies are.
        files: how many copies there are.
        made: how many of them were made now; the others were there.
        audio_s: length of those made now, in seconds; in a dry run that of the recordings.
        failures: recordings that could not be used.
        problems: files beside the recordings, or word times, that could not be used for the copies made now.
    """

    folder: Path
    files: int
    made: int
    audio_s: float
    failures: tuple[Failure, ...]
    problems: tuple[Failure, ...] = ()

    def __str__(self) -> str:
        """Say what was done in a line, and in one more for each thing that could not be used, why."""
        new = "" if self.made == self.files else f", {self.made} of them new"
        told = f"{self.files} files in {self.folder}{new}, {_length(self.audio_s)} of audio"
        failed = f"; {len(self.failures)} recordings failed:" if self.failures else ""
        lines = [told + failed, *(f"  {one.id}: {one.reason}" for one in self.failures)]
        if self.problems:
            lines += [f"{len(self.problems)} transcripts or word times left out:"]
            lines += [f"  {one.id}: {one.reason}" for one in self.problems[:_SHOWN]]
            lines += [f"  and {len(self.problems) - _SHOWN} more"] if len(self.problems) > _SHOWN else []
        return "\n".join(lines)


def _length(seconds: float) -> str:
    """Write a length of time in the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 3_600 else f"{seconds / 3_600:.1f} hours"
