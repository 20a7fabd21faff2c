"""Audio files in and out, through soundfile (libsndfile) and soxr alone.

Every error names the file, because a message without the name is useless in a folder of ten thousand. Nothing here
repairs a broken file: it is refused, and the caller decides what to do without it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechaug._lines import complete_file
from speechaug._open import AudioError as AudioError
from speechaug._open import AudioSource as AudioSource
from speechaug._open import open_sound

FloatArray = npt.NDArray[np.float32]

_FORMATS = {".wav": "WAV", ".flac": "FLAC"}


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Args:
        frames: samples per channel.
        sample_rate: in Hz.
        channels: number of channels.
        subtype: libsndfile's name of the encoding, such as ``PCM_16`` or ``FLOAT``.
    """

    frames: int
    sample_rate: int
    channels: int
    subtype: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def info(path: AudioSource) -> AudioInfo:
    """Read the header of an audio file, decoding nothing but the last sample of a FLAC, to know that it is there.

    Args:
        path: the file, a piece of a file (``shard.tar:1536:32044``, in bytes) or an object with ``open()``.

    Raises:
        FileNotFoundError: if there is no such file.
        AudioError: a ValueError, if it is empty, is not audio or is cut short.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
        >>> write(path, np.zeros((2, 800), dtype=np.float32), 8_000)
        0
        >>> info(path)
        AudioInfo(frames=800, sample_rate=8000, channels=2, subtype='PCM_16')
    """
    with open_sound(path) as file:
        if file.format == "FLAC":
            _decode(file, file.frames - 1, 1, path)
        return AudioInfo(file.frames, file.samplerate, file.channels, file.subtype)


def read(
    path: AudioSource, *, sample_rate: int | None = None, offset_s: float = 0.0, duration_s: float | None = None
) -> tuple[FloatArray, int]:
    """Read an audio file, or a part of it, as float32 with full scale at 1.

    Integer files of up to 24 bits arrive exactly. Channels are kept as they are. Of a long file only the part asked
    for is read and decoded, and the index that leads there; an MP3 has no index and is read from its beginning.

    Args:
        path: a file libsndfile can decode (WAV, FLAC, OGG, MP3, AIFF and others), a piece of a file
            (``shard.tar:1536:32044``, in bytes) or an object with ``open()``.
        sample_rate: rate to resample to, in Hz (soxr, high quality); None keeps the rate of the file.
        offset_s: where to begin, in seconds.
        duration_s: how much to read, in seconds; a file that ends earlier gives what it holds. None reads to the end.

    Shape: samples ``(C, T)``.    Silence: read as it is.

    Returns:
        The samples and their rate in Hz.

    Raises:
        FileNotFoundError: if there is no such file.
        AudioError: a ValueError, if the file is empty, is not audio, is corrupt or cut short, holds NaN or infinite
            samples, or ends before ``offset_s``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tone.flac"
        >>> clipped = write(path, 0.5 * np.sin(np.arange(800, dtype=np.float32)), 8_000)
        >>> samples, rate = read(path, sample_rate=16_000, offset_s=0.05)
        >>> samples.shape, samples.dtype, rate
        ((1, 800), dtype('float32'), 16000)
    """
    with open_sound(path) as file:
        samples, rate = read_from(file, path, offset_s, duration_s)
    if sample_rate is None or sample_rate == rate:
        return samples, rate
    return resample(samples, rate, sample_rate), sample_rate


def read_from(file: Any, path: AudioSource, offset_s: float, duration_s: float | None) -> tuple[FloatArray, int]:
    """Read an open audio file, or a part of it, as :func:`read` does at the rate of the file.

    Args:
        file: an open ``soundfile.SoundFile``.
        path: of it, for messages.
        offset_s: where to begin, in seconds.
        duration_s: how much to read, in seconds; None reads to the end.

    Shape: samples ``(C, T)``.

    Returns:
        The samples and their rate in Hz.

    Raises:
        ValueError: as :func:`read`.
    """
    _check_part(path, offset_s, duration_s)
    first, wanted = _part(file, path, offset_s, duration_s)
    return _decode(file, first, wanted, path), int(file.samplerate)


def blocks(
    path: AudioSource,
    *,
    block_s: float,
    sample_rate: int | None = None,
    offset_s: float = 0.0,
    duration_s: float | None = None,
) -> Iterator[FloatArray]:
    """Read an audio file block by block: a long one in little memory.

    Args:
        path: as for :func:`read`.
        block_s: length of a block, in seconds; a file that is no longer comes as one, just as :func:`read` reads it.
        sample_rate: rate to resample to, in Hz; None keeps the rate of the file.
        offset_s: where to begin, in seconds.
        duration_s: how much to read, in seconds; None reads to the end.

    Shape: blocks ``(C, T)``.

    Raises:
        OSError, ValueError: as :func:`read`, when the block is reached.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
        >>> clipped = write(path, 0.5 * np.sin(np.arange(2_000, dtype=np.float32)), 8_000)
        >>> [block.shape for block in blocks(path, block_s=0.1)]
        [(1, 800), (1, 800), (1, 400)]
    """
    import soxr

    _check_part(path, offset_s, duration_s)
    with open_sound(path) as file:
        rate = int(file.samplerate)
        first, wanted = _part(file, path, offset_s, duration_s)
        block = max(1, round(block_s * rate))
        if wanted <= block:
            samples = _decode(file, first, wanted, path)
            yield samples if sample_rate is None else resample(samples, rate, sample_rate)
            return
        stream = soxr.ResampleStream(rate, sample_rate or rate, file.channels, quality="HQ")
        file.seek(first)
        for start in range(first, first + wanted, block):
            count = min(block, first + wanted - start)
            samples = _next(file, start, count, path)
            if sample_rate not in (None, rate):
                more = stream.resample_chunk(samples.T, last=start + count == first + wanted)
                samples = np.ascontiguousarray(more.T)
            if samples.shape[1]:
                yield samples


def resample(samples: FloatArray, rate: int, new_rate: int) -> FloatArray:
    """Resample by soxr at its high quality setting.

    Args:
        samples: the signal.
        rate: its rate, in Hz.
        new_rate: the rate wanted, in Hz.

    Shape: ``(C, T)`` -> ``(C, T')``.    Length: ``round(T * new_rate / rate)``, at least one sample.

    Raises:
        ValueError: if a rate is not positive.

    Example:
        >>> resample(np.zeros((1, 441), dtype=np.float32), 44_100, 16_000).shape
        (1, 160)
    """
    import soxr

    if rate <= 0 or new_rate <= 0:
        raise ValueError(f"resample: rate and new_rate must be > 0, got {rate!r} and {new_rate!r}")
    if rate == new_rate:
        return samples
    y = soxr.resample(np.ascontiguousarray(samples.T), rate, new_rate, quality="HQ").T
    if y.shape[1] == 0 < samples.shape[1]:
        return np.zeros((samples.shape[0], 1), dtype=np.float32)  # shorter than half a sample at the new rate
    return np.ascontiguousarray(y, dtype=np.float32)


def resampled_length(length: int, rate: int, new_rate: int) -> int:
    """Return how many samples :func:`resample` makes; 0 where it makes one, of silence, because there is none.

    Args:
        length: in samples.
        rate: of the signal, in Hz.
        new_rate: the rate wanted, in Hz.

    Example:
        >>> [resampled_length(length, 44_100, 16_000) for length in (441, 1)]
        [160, 0]
    """
    return int(length / (rate / new_rate) + 0.5)  # as soxr rounds


def write(path: str | Path, samples: npt.ArrayLike, sample_rate: int) -> int:
    """Write 16-bit WAV or FLAC: never wrapping, never leaving half a file.

    Samples beyond full scale are clipped and counted, so that a caller can report them. The file appears under its
    name only when it is complete, and the same samples give the same bytes. Folders on the way are created.

    Args:
        path: the file; its ending, ``.wav`` or ``.flac``, states the format.
        samples: ``(T,)`` or ``(C, T)``, full scale at 1.
        sample_rate: in Hz.

    Returns:
        How many samples were beyond full scale.

    Raises:
        ValueError: if the ending is unknown, or the samples are empty, of another shape or not finite.

    Example:
        >>> import tempfile
        >>> write(Path(tempfile.mkdtemp()) / "loud.wav", [0.5, 1.0, 1.5, -2.0], 8_000)
        2
    """
    import soundfile

    path = Path(path)
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise ValueError(f"write: path must end in {' or '.join(_FORMATS)}, got {str(path)!r}")
    x = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"write: samples must be (T,) or (C, T) and not empty, got {np.shape(samples)} for {path}")
    if not np.isfinite(x).all():
        raise ValueError(f"write: samples must be finite, got NaN or infinity for {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as temporary:
        soundfile.write(temporary, to_int16(x).T, sample_rate, format=file_format, subtype="PCM_16")
    return int(np.count_nonzero(np.abs(x) > 1.0))


def to_int16(samples: FloatArray) -> npt.NDArray[np.int16]:
    """Quantise to 16 bits: rounded to nearest, clipped, never wrapped; exact for what came from a 16-bit file.

    Args:
        samples: finite, full scale at 1.

    Shape: any -> the same.

    Example:
        >>> to_int16(np.array([0.0, -1.0, 1.0, 7.0], dtype=np.float32))
        array([     0, -32768,  32767,  32767], dtype=int16)
    """
    y: npt.NDArray[np.int16] = np.clip(np.rint(samples * np.float32(32768.0)), -32768, 32767).astype(np.int16)
    return y


def pcm_hash(samples: npt.ArrayLike, rate: int) -> str:
    """Identify audio by what it sounds like, not by its file: the hash of the decoded samples.

    The same 16-bit audio as WAV and as FLAC has the same hash; names, tags and paths play no part.

    Args:
        samples: ``(T,)`` or ``(C, T)`` as decoded, before any resampling.
        rate: their rate, in Hz.

    Returns:
        32 hexadecimal digits (BLAKE2b of rate, channels and little-endian float32 samples).

    Example:
        >>> pcm_hash(np.zeros(8), 8_000) == pcm_hash(np.zeros((1, 8)), 8_000)
        True
        >>> pcm_hash(np.zeros(8), 8_000) == pcm_hash(np.zeros(8), 16_000)
        False
    """
    x = np.atleast_2d(np.ascontiguousarray(samples, dtype="<f4"))
    digest = hashlib.blake2b(f"{rate} {x.shape[0]} ".encode(), digest_size=16)
    digest.update(x.ravel().data)
    return digest.hexdigest()


def _check_part(path: AudioSource, offset_s: float, duration_s: float | None) -> None:
    if not (math.isfinite(offset_s) and offset_s >= 0):
        raise ValueError(f"read: offset_s must be >= 0, got {offset_s!r} for {path}")
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise ValueError(f"read: duration_s must be > 0, got {duration_s!r} for {path}")


def _part(file: Any, path: AudioSource, offset_s: float, duration_s: float | None) -> tuple[int, int]:
    """Return the first sample of a part, and how many there are."""
    rate = int(file.samplerate)
    first = round(offset_s * rate)
    if first >= file.frames:
        raise AudioError(f"{path}: ends at {file.frames / rate:.3f} s, before the offset of {offset_s} s", "beyond_end")
    wanted: int = file.frames - first
    return first, wanted if duration_s is None else min(wanted, max(1, round(duration_s * rate)))


def _decode(file: Any, first: int, wanted: int, path: AudioSource) -> FloatArray:
    """Decode a part of an open file: all of it, finite, or an error."""
    import soundfile

    try:
        file.seek(first)
    except soundfile.SoundFileError as error:
        raise _corrupt(path, error) from error
    return _next(file, first, wanted, path)


def _next(file: Any, first: int, wanted: int, path: AudioSource) -> FloatArray:
    """Decode what comes next, from sample ``first`` on."""
    import soundfile

    try:
        samples = file.read(wanted, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise _corrupt(path, error) from error
    if len(samples) < wanted:
        raise AudioError(f"{path}: is cut short, {len(samples)} samples of {wanted} could be decoded")
    if not np.isfinite(samples).all():
        first_bad = first + int((~np.isfinite(samples)).any(axis=1).argmax())
        raise AudioError(f"{path}: holds non-finite samples, the first at sample {first_bad}", "not_finite")
    return np.ascontiguousarray(samples.T)


def _corrupt(path: AudioSource, error: Exception) -> AudioError:
    return AudioError(f"{path}: cannot be decoded, it is corrupt or cut short ({error})")
