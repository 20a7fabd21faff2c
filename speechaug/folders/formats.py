"""Formats of the copies: what each can hold, and what is chosen for a recording."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechaug._open import RATES
from speechaug.audio import FloatArray

_FLAC_FINE = 65_535  # Hz; beyond, FLAC counts in tens
KEEP = "keep"
"""The format that stands for that of each recording."""


class Format(NamedTuple):
    """A format that copies can have.

    Attributes:
        container: libsndfile's name of it.
        subtypes: libsndfile's names of the encodings that are kept.
        by_default: encoding of what has another one, by whether that has more than 16 bits.
        rates: sample rates it can have, in Hz, in order; empty for any up to the highest.
        highest_rate: in Hz.
        most_channels: that it can have.
    """

    container: str
    subtypes: tuple[str, ...]
    by_default: tuple[str, str]
    rates: tuple[int, ...] = ()
    highest_rate: int = RATES[1]
    most_channels: int = 255

    def rate(self, wanted: int) -> int:
        """Return the next higher sample rate that it can have, or the highest, in Hz.

        Args:
            wanted: in Hz.
        """
        if self.rates:
            return min((one for one in self.rates if one >= wanted), default=self.rates[-1])
        if self.container == "FLAC" and wanted > _FLAC_FINE:
            wanted = 10 * math.ceil(wanted / 10)
        return min(wanted, self.highest_rate)


FORMATS = {
    "flac": Format("FLAC", ("PCM_S8", "PCM_16", "PCM_24"), ("PCM_16", "PCM_24"), most_channels=8),
    "wav": Format(
        "WAV", ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"), ("PCM_16", "PCM_24")
    ),
    "ogg": Format("OGG", ("VORBIS",), ("VORBIS", "VORBIS"), highest_rate=200_000),
    "opus": Format("OGG", ("OPUS",), ("OPUS", "OPUS"), (8_000, 12_000, 16_000, 24_000, 48_000)),
    "mp3": Format(
        "MP3",
        ("MPEG_LAYER_III",),
        ("MPEG_LAYER_III", "MPEG_LAYER_III"),
        (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
        most_channels=2,
    ),
}
"""By the ending of their files."""

_DEEP = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_24", "ALAC_32"})
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_EXACT_BITS = 24  # that float32 holds
_OTHER_BITS = {"FLOAT": 32, "DOUBLE": 64, "ULAW": 8, "ALAW": 8}
_MOST_BYTES = 2**32 - 2**20  # of samples in a WAV: its header counts to 4 GiB, and holds tags too
_EIGHT_BITS = {"PCM_U8": "PCM_S8", "PCM_S8": "PCM_U8"}
_KEPT = {"FLAC": "flac", "WAV": "wav", "WAVEX": "wav", "MP3": "mp3"}
_OGG = {"VORBIS": "ogg", "OPUS": "opus"}


class Target(NamedTuple):
    """What a copy is written as.

    Attributes:
        ending: of its file, a key of :data:`FORMATS`.
        subtype: libsndfile's name of the encoding.
        sample_rate: in Hz.
        channels: number of channels.
    """

    ending: str
    subtype: str
    sample_rate: int
    channels: int

    @property
    def is_float(self) -> bool:
        """Whether samples beyond full scale are kept."""
        return self.subtype in ("FLOAT", "DOUBLE")


def check_format(name: str, sample_rate: int | None) -> None:
    """Refuse a format that there is not, or a rate that it cannot have.

    Args:
        name: a key of :data:`FORMATS`, or ``keep``.
        sample_rate: in Hz; None for that of each recording.

    Raises:
        ValueError: if it is neither, or the format has no such rate.

    Example:
        >>> check_format("opus", 16_000)
        >>> check_format("opus", 22_050)
        Traceback (most recent call last):
        ValueError: augment: sample_rate must be one that opus has, such as 24000, got 22050
    """
    if name not in (*FORMATS, KEEP):
        raise ValueError(f"augment: format must be {', '.join(FORMATS)} or {KEEP}, got {name!r}")
    if sample_rate is not None and not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(f"augment: sample_rate must be in [{RATES[0]}, {RATES[1]}], got {sample_rate!r}")
    if sample_rate is not None and name in FORMATS and (has := FORMATS[name].rate(sample_rate)) != sample_rate:
        raise ValueError(f"augment: sample_rate must be one that {name} has, such as {has}, got {sample_rate}")


def choose(name: str, sample_rate: int | None, container: str, subtype: str, heard: tuple[int, int]) -> Target:
    """Choose what a copy is written as: as much like the recording as the format can be.

    The encoding is kept where the format has it. Otherwise it has 24 bits for what has more than 16, and 16 for all
    else. A rate the format does not have becomes the next higher one, so that nothing is lost, or its highest. What
    ``keep`` cannot keep (AIFF, AU and others) becomes FLAC.

    Args:
        name: a key of :data:`FORMATS`, or ``keep``.
        sample_rate: wanted, in Hz; None for that of the recording.
        container: of the recording, by libsndfile's name.
        subtype: its encoding.
        heard: its sample rate in Hz and its number of channels.

    Raises:
        ValueError: if the format cannot hold so many channels.

    Example:
        >>> choose("flac", None, "WAV", "FLOAT", (44_100, 2))
        Target(ending='flac', subtype='PCM_24', sample_rate=44100, channels=2)
        >>> choose("opus", None, "WAV", "PCM_16", (22_050, 1))
        Target(ending='opus', subtype='OPUS', sample_rate=24000, channels=1)
    """
    rate, channels = heard
    ending = _kept(container, subtype) if name == KEEP else name
    form = FORMATS[ending]
    if channels > form.most_channels:
        raise ValueError(f"{ending} holds at most {form.most_channels} channels, got {channels}")
    return Target(ending, _subtype(form, subtype), form.rate(sample_rate or rate), channels)


def check_size(target: Target, frames: int) -> None:
    """Refuse a WAV that would be longer than its header can say.

    Args:
        target: what is written.
        frames: samples per channel.

    Raises:
        ValueError: if they take more than 4 GiB.

    Example:
        >>> check_size(Target("wav", "PCM_16", 48_000, 2), 48_000 * 6 * 3_600)
        >>> check_size(Target("wav", "PCM_24", 48_000, 2), 48_000 * 6 * 3_600)
        Traceback (most recent call last):
        ValueError: wav holds at most 4 GiB, got 5.8; flac holds more
    """
    if target.ending != "wav":
        return
    size = frames * target.channels * (_BITS | _OTHER_BITS)[target.subtype] // 8
    if size > _MOST_BYTES:
        raise ValueError(f"wav holds at most 4 GiB, got {size / 2**30:.1f}; flac holds more")


def quantise(samples: FloatArray, subtype: str) -> NDArray[np.generic]:
    """Return samples as they are to be given to libsndfile: rounded to nearest, clipped, never wrapped.

    Args:
        samples: finite, full scale at 1.
        subtype: encoding of the file.

    Shape: any -> the same.

    Example:
        >>> quantise(np.array([0.5, -1.0, 2.0], np.float32), "PCM_24").tolist()
        [1073741824, -2147483648, 2147483392]
    """
    if subtype in ("FLOAT", "DOUBLE"):
        return samples
    bits = _BITS.get(subtype)
    if bits is None:
        return np.clip(samples, -1.0, 1.0)
    full = 2.0 ** (bits - 1)
    levels = samples.astype(np.float32 if bits <= _EXACT_BITS else np.float64) * full
    np.clip(np.rint(levels, out=levels), -full, full - 1.0, out=levels)
    return levels.astype(np.int32) << (32 - bits)


def _kept(container: str, subtype: str) -> str:
    return _OGG.get(subtype, "flac") if container == "OGG" else _KEPT.get(container, "flac")


def _subtype(form: Format, subtype: str) -> str:
    alike: Mapping[str, str] = _EIGHT_BITS
    if subtype in form.subtypes:
        return subtype
    if alike.get(subtype) in form.subtypes:
        return alike[subtype]
    return form.by_default[subtype in _DEEP]
