"""Damaged audio files: cut short, with bytes flipped, with headers that lie, or of something else altogether."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
_HEADER = 64  # bytes
_FOREIGN = (b"", b"\0", b"\0" * 4_096, b"<html></html>", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\x89PNG\r\n\x1a\n" * 9)


def speech(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    """Return a tone that swells, with noise: every encoder has something to do."""
    generator = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    swell = 0.3 * np.sin(np.pi * t / seconds)
    return swell * np.sin(2 * np.pi * (200 + 300 * t) * t) + generator.normal(0, 0.01, t.size)


def encoded(ending: str) -> bytes:
    """Return a sound file as it should be."""
    buffer = io.BytesIO()
    kind, subtype = FORMATS[ending]
    soundfile.write(buffer, speech(), RATE, format=kind, subtype=subtype)
    return buffer.getvalue()


def _cut(content: bytes, generator: np.random.Generator) -> bytes:
    return content[: generator.integers(1, len(content))]


def _flipped(content: bytes, generator: np.random.Generator, most: int, end: int | None = None) -> bytes:
    damaged = np.frombuffer(content, np.uint8).copy()
    places = generator.integers(0, end or len(content), generator.integers(1, most + 1))
    damaged[places] ^= generator.integers(1, 256, places.size).astype(np.uint8)
    return damaged.tobytes()


def _foreign(content: bytes, generator: np.random.Generator) -> bytes:
    start = _FOREIGN[generator.integers(len(_FOREIGN))]
    return start if generator.random() < 0.5 else start + content[len(start) :]


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "cut": _cut,
    "flipped": lambda content, generator: _flipped(content, generator, 20),
    "header": lambda content, generator: _flipped(content, generator, 3, _HEADER),
    "foreign": _foreign,
}


def write_damaged(folder: Path, count: int) -> Iterator[Path]:
    """Write damaged files, each format and kind of damage in turn; the same each time."""
    sounds = {ending: encoded(ending) for ending in FORMATS}
    kinds = [(ending, damage) for damage in DAMAGES for ending in FORMATS]
    folder.mkdir(parents=True)
    for number in range(count):
        ending, damage = kinds[number % len(kinds)]
        path = folder / f"{damage}_{number:03d}.{ending}"
        path.write_bytes(DAMAGES[damage](sounds[ending], np.random.default_rng(number)))
        yield path


def decodes(path: Path) -> bool:
    """Say whether soundfile, on its own, decodes all that the file claims to hold, to finite samples."""
    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(dtype="float32", always_2d=True)
            return len(samples) > 0 and len(samples) == file.frames and bool(np.isfinite(samples).all())
    except (soundfile.SoundFileError, TypeError, MemoryError):
        return False
