"""What a bank holds: clips with names and hashes, and what they are at another rate."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from speechaug._clips import Packed, Shelf, each, looped, pack
from speechaug.audio import FloatArray, pcm_hash, read, resample, resampled_length
from speechaug.functional.room import DIRECT_S

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"})

LOOP_FADE_S = 0.010
"""Length of the cross-fade where a clip shorter than the speech starts again."""


class Source(NamedTuple):
    """What a clip was made of.

    Args:
        length: in samples.
        sample_rate: in Hz.
        is_kept: whether the clip, as it is stored and rounded to 16 bits, is still just that.
    """

    length: int
    sample_rate: int
    is_kept: bool


@dataclass(eq=False)
class Contents:
    """What a bank holds at one rate.

    Args:
        folder: where the files are, wherever the process goes; None for arrays.
        sample_rate: in Hz.
        names: of the clips.
        hashes: of what the clips were made of.
        sources: what that was.
        shelf: the clips.

    Attributes:
        labels: the hashes, to be indexed.
        longest: length of the longest clip.
        loops: the clips made to repeat.
    """

    folder: Path | None
    sample_rate: int
    names: tuple[str, ...]
    hashes: tuple[str, ...]
    sources: tuple[Source, ...]
    shelf: Shelf

    def __post_init__(self) -> None:
        """Prepare what follows from it."""
        shelf = self.shelf
        fade = np.minimum(int(LOOP_FADE_S * self.sample_rate), shelf.length // 2)
        self.labels: NDArray[np.str_] = np.asarray(self.hashes)
        self.longest = int(shelf.length.max())
        self.loops = Shelf(shelf.length - fade, lambda index: looped(shelf[index], int(fade[index])))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without what follows from it."""
        return Contents, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def reach(self) -> tuple[int, int]:
        """How far clips extend before and after their largest sample, at most, in samples."""
        return _reach(self.shelf)

    def at_rate(self, sample_rate: int) -> Contents:
        """Return what the bank holds at another rate; a clip is resampled when it is first wanted.

        Raises:
            ValueError: if the clips were arrays, and one is too short to have a sample at the rate.
        """
        lengths = [resampled_length(source.length, source.sample_rate, sample_rate) for source in self.sources]
        if 0 in lengths:
            if self.folder is not None:
                return read_folder(self.folder, sample_rate)
            raise ValueError(f"Bank: clips must have a sample at {sample_rate} Hz, got {self.names[lengths.index(0)]}")
        if self.folder is None:
            sources = [Source(length, sample_rate, False) for length in lengths]
        else:
            sources = [source._replace(is_kept=False) for source in self.sources]
        shelf = Shelf(np.array(lengths, np.int64), partial(self._resampled, sample_rate))
        return Contents(self.folder, sample_rate, self.names, self.hashes, tuple(sources), shelf)

    def _resampled(self, sample_rate: int, index: int) -> Packed:
        samples, rate = self._source(index)
        clip = resample(samples[:1], rate, sample_rate)[0]
        if not clip.any():
            raise ValueError(f"Bank: clips must not be silent, got {self.names[index]} at {sample_rate} Hz")
        return pack(clip, near(sample_rate))

    def _source(self, index: int) -> tuple[FloatArray, int]:
        """Return what a clip was made of, and its rate."""
        if self.folder is None:
            return self.shelf[index].samples[None], self.sample_rate
        if self.sources[index].is_kept:
            return _rounded(self.shelf[index])[None], self.sample_rate
        samples, rate = read(self.folder / self.names[index])
        if pcm_hash(samples, rate) != self.hashes[index]:
            raise ValueError(
                f"Bank: files must stay what they were, {self.folder / self.names[index]} has changed since the bank "
                "was decoded"
            )
        return samples, rate


def of_arrays(
    clips: Sequence[NDArray[np.float32]], sample_rate: int, names: tuple[str, ...], hashes: tuple[str, ...]
) -> Contents:
    """Return arrays as what a bank holds."""
    sources = tuple(Source(len(clip), sample_rate, False) for clip in clips)
    shelf = _whole([pack(clip, near(sample_rate)) for clip in clips])
    return Contents(None, sample_rate, names, hashes, sources, shelf)


_reaches: WeakKeyDictionary[Shelf, tuple[int, int]] = WeakKeyDictionary()


def _reach(shelf: Shelf) -> tuple[int, int]:
    if shelf not in _reaches:
        shelf.put_all_in()
        _reaches[shelf] = int(shelf.peak.max()), int((shelf.length - 1 - shelf.peak).max())
    return _reaches[shelf]


# What torch.compiler.assume_constant_result does, without importing the compiler, which takes seconds.
_reach._dynamo_marked_constant = True  # type: ignore[attr-defined]


class _File(NamedTuple):
    """A file that was read, as the bank is to know and hold it."""

    name: str
    hash: str
    source: Source
    clip: Packed


def sound_files(folder: str | Path) -> Iterator[Path]:
    """Yield the audio files below a folder, by their endings; none if there is no such folder."""
    return (path for path in Path(folder).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)


def read_folder(folder: str | Path, sample_rate: int) -> Contents:
    """Decode every audio file below a folder; those that cannot be used are named in one warning.

    Raises:
        ValueError: if there is none that can be used.
    """
    top = Path(folder)
    found = list(each(partial(_read, top, sample_rate), sorted(sound_files(top))))
    bad = [file for file in found if isinstance(file, str)]
    files = [file for file in found if not isinstance(file, str)]
    if bad:
        listed = "; ".join(bad[:10]) + (f"; and {len(bad) - 10} more" if len(bad) > 10 else "")
        warnings.warn(f"Bank: {len(bad)} files of {folder} were left out: {listed}", stacklevel=4)
    if not files:
        raise ValueError(f"Bank: folder must hold usable audio files, got {str(folder)!r}")
    names, hashes, sources, clips = map(tuple, zip(*files, strict=True))
    return Contents(top.absolute(), sample_rate, names, hashes, sources, _whole(clips))


def _read(top: Path, sample_rate: int, path: Path) -> _File | str:
    """Read a file, or say which it is and why it cannot be used."""
    name = path.relative_to(top).as_posix()
    try:
        samples, rate = read(path)
    except (ValueError, OSError) as error:
        return f"{name} ({error})"
    clip = resample(samples[:1], rate, sample_rate)[0]
    if not clip.any():
        return f"{name} (silent)"
    packed = pack(clip, near(sample_rate))
    is_kept = rate == sample_rate and np.array_equal(_rounded(packed), clip)
    return _File(name, pcm_hash(samples, rate), Source(samples.shape[1], rate, is_kept), packed)


def _whole(clips: Sequence[Packed]) -> Shelf:
    shelf = Shelf(np.array([len(clip.pcm) for clip in clips], np.int64), clips.__getitem__)
    shelf.put_all_in()
    return shelf


def _rounded(clip: Packed) -> FloatArray:
    """Return a clip as it is stored, rounded to 16 bits."""
    samples = clip.samples
    samples *= 32768.0
    np.rint(samples, out=samples)
    samples /= 32768.0
    return samples


def near(sample_rate: int) -> int:
    """Return how far from the direct path is near it, in samples."""
    return int(DIRECT_S * sample_rate)
