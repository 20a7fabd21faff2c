"""What everybody is measured on: one batch of speech-like audio, its features, noise clips and rooms."""

from __future__ import annotations

import functools
import wave
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import speechaug as sa

RATE = 16_000
MELS = 80
ROOMS = 32
ROOM_S = 0.5

Clip = NDArray[np.float32]


def speech_like(rows: int, samples: int) -> Clip:
    """Return harmonics of a moving pitch under formants, with noise, in syllables; RMS 0.1, ``(rows, samples)``.

    Eight voices; further rows are these, shifted in time.
    """
    rng, time = np.random.default_rng(0), np.arange(samples) / RATE
    voices = np.stack([_voice(rng, time) for _ in range(min(rows, 8))]) if rows else np.zeros((0, samples))
    shifted = [np.roll(voices[row % 8], 997 * row) for row in range(rows)]
    return np.stack(shifted).astype(np.float32) if rows else voices.astype(np.float32)


def _voice(rng: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    sway = 1.0 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * time)
    pitch = rng.uniform(90.0, 240.0)
    phase = 2 * np.pi * np.cumsum(pitch * sway) / RATE
    formants = rng.uniform((300.0, 900.0, 2_200.0), (800.0, 1_800.0, 3_200.0))
    sound = 0.15 * rng.standard_normal(len(time))
    for harmonic in range(1, 24):
        level = np.exp(-(((harmonic * pitch - formants) / 370.0) ** 2)).sum() + 0.03
        sound += level * np.sin(harmonic * phase + rng.uniform(0.0, 6.0))
    sound *= np.clip(0.4 + np.sin(2 * np.pi * rng.uniform(3.0, 5.0) * time + rng.uniform(0.0, 6.0)), 0.0, None)
    return np.asarray(0.1 * sound / max(np.sqrt(np.square(sound).mean()), 1e-9))


class Batch:
    """Rows of equal length in the layouts the libraries want.

    Args:
        rows: utterances.
        seconds: length of each.
        device: where ``x`` and ``spec`` lie.
        folder: where the files are written for libraries that read files.
    """

    def __init__(self, rows: int, seconds: float, device: str, folder: Path) -> None:
        """Make the audio; see the class."""
        self.rows, self.seconds, self.device, self.folder = rows, seconds, torch.device(device), folder
        self.samples = round(seconds * RATE)
        waves = speech_like(rows, self.samples)
        self.clips: list[Clip] = list(waves)
        self.x = torch.from_numpy(waves).to(self.device)
        self.ids = [f"utt-{row}" for row in range(rows)]

    @property
    def audio_s(self) -> float:
        """Seconds of audio in the batch."""
        return self.rows * self.seconds

    @functools.cached_property
    def on_cpu(self) -> Batch:
        """The same batch on the CPU."""
        return self if self.device.type == "cpu" else Batch(self.rows, self.seconds, "cpu", self.folder)

    @functools.cached_property
    def spec(self) -> Tensor:
        """Log-mel features ``(B, MELS, frames)``."""
        features = sa.LogMel(RATE, n_mels=MELS, normalisation="none").to(self.device)
        with torch.no_grad():
            spec: Tensor = features(self.x)[0]
        return spec.contiguous()

    @functools.cached_property
    def spec_last(self) -> Tensor:
        """The features as ``(B, frames, MELS)``, contiguous."""
        return self.spec.transpose(1, 2).contiguous()

    @functools.cached_property
    def noises(self) -> list[Clip]:
        """White noise longer than a row: 50 clips of 10 s, fewer where rows are long."""
        length = max(10.0, self.seconds + 1.0)
        rng, count = np.random.default_rng(1), max(8, int(500.0 / length))
        return [0.1 * rng.standard_normal(round(length * RATE), np.float32) for _ in range(count)]

    @functools.cached_property
    def rooms(self) -> list[Clip]:
        """Impulse responses of half a second: silence, the direct path, a decaying tail."""
        rng, size = np.random.default_rng(2), round(ROOM_S * RATE)
        rooms = []
        for _ in range(ROOMS):
            room = rng.standard_normal(size) * np.exp(-6.9 * np.arange(size) / RATE / rng.uniform(0.2, 0.5))
            room[:32] = 0.0
            room[32] = 4.0
            rooms.append((room / np.abs(room).max()).astype(np.float32))
        return rooms

    @functools.cached_property
    def noise_bank(self) -> sa.Bank:
        """The noise clips as a bank of ours."""
        return sa.Bank.from_arrays(self.noises, sample_rate=RATE)

    @functools.cached_property
    def room_bank(self) -> sa.Bank:
        """The rooms as a bank of ours."""
        return sa.Bank.from_arrays(self.rooms, sample_rate=RATE)

    @functools.cached_property
    def noise_folder(self) -> Path:
        """The noise clips as WAV files."""
        return _write(self.folder / f"noise-{len(self.noises[0])}", self.noises)

    @functools.cached_property
    def room_folder(self) -> Path:
        """The rooms as WAV files."""
        return _write(self.folder / "rooms", self.rooms)


def _write(folder: Path, clips: list[Clip]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(clips):
        with wave.open(str(folder / f"{number:02d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((clip * 32_767.0).clip(-32_768, 32_767).astype("<i2").tobytes())
    return folder
