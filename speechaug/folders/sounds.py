"""Recordings read and copies written, piece by piece."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechaug import audio
from speechaug._lines import complete_file
from speechaug._open import file_hash, open_sound
from speechaug.audio import FloatArray
from speechaug.folders.formats import FORMATS, Target, check_size, quantise
from speechaug.folders.held import Held
from speechaug.folders.items import Recording
from speechaug.folders.pieces import LONGEST_S, cut
from speechaug.folders.sidecars import sidecars_of

_TAGS = ("title", "artist", "album", "tracknumber", "date", "genre", "comment", "copyright", "license")
_AT_ONCE = 2**16  # samples: libsndfile's Vorbis encoder takes what it is given on the stack


class Header(NamedTuple):
    """What a recording says of itself.

    Attributes:
        container: libsndfile's name of the format.
        subtype: libsndfile's name of the encoding.
        sample_rate: in Hz.
        channels: number of channels.
        duration_s: of the recording, in seconds, as its header says.
        tags: title, artist and so on.
    """

    container: str
    subtype: str
    sample_rate: int
    channels: int
    duration_s: float
    tags: Mapping[str, str]


class Sound:
    """A recording at the rate of its copies; one that is not long is read once, for all of them.

    Args:
        recording: which.
    """

    def __init__(self, recording: Recording) -> None:
        """Read the header, hash the file, look what lies beside it, and keep the samples unless it is long."""
        self.recording = recording
        self._by_rate: dict[int, FloatArray] = {}
        with open_sound(recording.source) as file:
            self.header = _header(file, recording)
            if self.header.duration_s <= LONGEST_S:
                samples, rate = audio.read_from(file, recording.source, recording.offset_s, recording.duration_s)
                self._by_rate[rate] = samples
        self.hash = file_hash(recording.source)
        self.sidecars = sidecars_of(recording)

    def pieces(self, sample_rate: int) -> Iterator[FloatArray]:
        """Yield its pieces, float32 ``(C, T)``."""
        if not self._by_rate:
            yield from self._long_pieces(sample_rate)
            return
        if sample_rate not in self._by_rate:
            rate = self.header.sample_rate
            self._by_rate[sample_rate] = audio.resample(self._by_rate[rate], rate, sample_rate)
        yield from cut([self._by_rate[sample_rate]], sample_rate)

    def _long_pieces(self, sample_rate: int) -> Iterator[FloatArray]:
        recording = self.recording
        blocks = audio.blocks(
            recording.source,
            block_s=LONGEST_S,
            sample_rate=sample_rate,
            offset_s=recording.offset_s,
            duration_s=recording.duration_s,
        )
        for piece in cut(blocks, sample_rate):
            yield piece
            _give_back()


def _give_back() -> None:
    """Return freed memory to the system: pieces of many lengths leave holes in which the next ones do not fit."""
    with contextlib.suppress(AttributeError, OSError):  # other systems, and C libraries that have no such call
        ctypes.CDLL(None).malloc_trim(0)


def read_header(recording: Recording) -> Header:
    """Read what a recording says of itself; nothing is decoded.

    Raises:
        OSError, ValueError: if it cannot be opened.
    """
    with open_sound(recording.source) as file:
        return _header(file, recording)


def _header(file: Any, recording: Recording) -> Header:
    tags = {name: text for name, text in file.copy_metadata().items() if name in _TAGS and text}
    duration_s = file.frames / file.samplerate - recording.offset_s
    duration_s = min(duration_s, recording.duration_s or duration_s)
    return Header(file.format, file.subtype, file.samplerate, file.channels, duration_s, tags)


class Writer:
    """Writes the pieces of a copy.

    Args:
        file: an open ``soundfile.SoundFile``.
        target: what is written.

    Attributes:
        frames: samples per channel written so far.
        clipped: how many samples were beyond full scale, and were clipped.
    """

    def __init__(self, file: Any, target: Target) -> None:
        """Start with nothing."""
        self._file, self._target = file, target
        self.frames = self.clipped = 0

    def write(self, samples: FloatArray) -> None:
        """Write a piece.

        Raises:
            ValueError: if it holds NaN or infinity, or the file would be too large for its format.
        """
        check_size(self._target, self.frames + samples.shape[1])
        low, high = samples.min(), samples.max()  # NaN, if there is any
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("the policy made samples that are not finite")
        if (low < -1.0 or high > 1.0) and not self._target.is_float:
            self.clipped += int(np.count_nonzero(np.abs(samples) > 1.0))
        levels = quantise(samples, self._target.subtype).T
        for start in range(0, len(levels), _AT_ONCE):
            self._file.write(levels[start : start + _AT_ONCE])
        self.frames += len(levels)


@contextmanager
def copy_writer(path: Path, target: Target, tags: Mapping[str, str]) -> Iterator[Writer]:
    """Open a copy to be written; it appears under its name when it is complete. The same samples, the same bytes.

    Args:
        path: of the copy; its folder must be there.
        target: what it is written as.
        tags: title, artist and so on.
    """
    import soundfile

    container, (rate, channels) = FORMATS[target.ending].container, (target.sample_rate, target.channels)
    with complete_file(path) as temporary, Held(temporary) as held:
        with soundfile.SoundFile(held, "w", rate, channels, target.subtype, format=container) as file:
            for name, text in tags.items():
                setattr(file, name, text)
            yield Writer(file, target)
        held.finish()


def make_folder(root: Path, path: Path) -> None:
    """Make the folder of a copy; never outside the root, not through a link either.

    Raises:
        ValueError: if a link leads it elsewhere.
    """
    if not lies_in(root, path.parent):
        raise ValueError(f"{path}: would be written outside {root}, to {os.path.realpath(path.parent)}")
    path.parent.mkdir(parents=True, exist_ok=True)


def lies_in(root: Path, folder: Path) -> bool:
    """Say whether a folder is, or lies in, another one, wherever links lead."""
    real = os.path.realpath(root)
    return os.path.commonpath([real, os.path.realpath(folder)]) == real
