"""Which recordings are shown: a few of a folder, spread over it, each cut to what one listens to."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechaug import audio
from speechaug.audio import AudioError, FloatArray
from speechaug.banks import AUDIO_SUFFIXES
from speechaug.data.patterns import visible_files


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """The beginning of a recording.

    Args:
        id: its path within the folder it was found in, or its name: what the draws depend on.
        path: the file.
        samples: ``(C, T)``.
        sample_rate: in Hz.
        whole_s: how long the whole recording is, in seconds.
    """

    id: str
    path: Path
    samples: FloatArray
    sample_rate: int
    whole_s: float

    @property
    def duration_s(self) -> float:
        """How long what is heard is, in seconds."""
        return len(self.samples[0]) / self.sample_rate

    @property
    def is_cut(self) -> bool:
        """Whether more was recorded than is heard."""
        return self.whole_s > self.duration_s + 0.5 / self.sample_rate


def read_excerpts(files: Iterable[str | Path], limit: int, seconds: float) -> list[Excerpt]:
    """Read the recordings given, and of each folder at most ``limit``, spread over it.

    What cannot be read in a folder is left out with a warning, and what stands beside it is taken instead.

    Args:
        files: recordings and folders.
        limit: most recordings of a folder.
        seconds: how much of each to read.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a recording given by its name cannot be read, or there is none that can.
    """
    found: list[Excerpt] = []
    for path in map(Path, files):
        found += _of_folder(path, limit, seconds) if path.is_dir() else [_read(path, path.name, seconds)]
    return found


def spread(names: Sequence[str], count: int) -> list[str]:
    """Choose names at equal distances.

    Example:
        >>> spread(["a", "b", "c", "d", "e", "f"], 2), spread(["a", "b"], 5)
        (['b', 'e'], ['a', 'b'])
    """
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def _of_folder(folder: Path, limit: int, seconds: float) -> list[Excerpt]:
    names = [name for name in visible_files(folder) if Path(name).suffix.lower() in AUDIO_SUFFIXES]
    if not names:
        raise ValueError(f"{folder}: no audio found ({', '.join(sorted(AUDIO_SUFFIXES))})")
    recordings = list(_readable(folder, names, limit, seconds))
    if not recordings:
        raise ValueError(f"{folder}: none of the {len(names)} recordings can be read")
    return recordings


def _readable(folder: Path, names: Sequence[str], limit: int, seconds: float) -> Iterator[Excerpt]:
    """Yield as many as wanted, of those that are left when what cannot be read is left out."""
    left, missing = list(names), limit
    while left and missing:
        for name in spread(left, missing):
            left.remove(name)
            try:
                yield _read(folder / name, name, seconds)
            except AudioError as error:
                warnings.warn(f"preview: left out: {error}", stacklevel=2)
            else:
                missing -= 1


def _read(path: Path, name: str, seconds: float) -> Excerpt:
    samples, rate = audio.read(path, duration_s=seconds)
    whole_s = audio.info(path).duration_s
    return Excerpt(id=name, path=path, samples=samples, sample_rate=rate, whole_s=whole_s)
