"""Speakers: faster and slower, higher and lower, other heads, whispering."""

from __future__ import annotations

from speechaug.robustness.catalogue.corruption import Corruption, fixed, grid
from speechaug.robustness.catalogue.sounds import Sounds
from speechaug.transform import Transform
from speechaug.waveform.time import Speed, TimeStretch
from speechaug.waveform.tract import VocalTractLength, Whisper
from speechaug.waveform.voice import PitchShift

FASTER = (1.1, 1.25, 1.4, 1.6, 1.8)
SLOWER = (0.9, 0.8, 0.7, 0.6, 0.5)
SEMITONES = (1, 2, 4, 6, 9)
ALPHA = (1.05, 1.1, 1.15, 1.2, 1.3)


def speed(_: Sounds, *, factor: float) -> Transform:
    """Play at another speed."""
    return Speed(factor=fixed(factor))


def tempo(_: Sounds, *, rate: float) -> Transform:
    """Speak at another tempo."""
    return TimeStretch(rate=fixed(rate))


def pitch(_: Sounds, *, semitones: float) -> Transform:
    """Speak at another pitch."""
    return PitchShift(semitones=fixed(semitones))


def _tract(_: Sounds, *, alpha: float) -> Transform:
    return VocalTractLength(alpha=fixed(alpha))


def _whisper(_: Sounds, *, amount: float) -> Transform:
    return Whisper(amount=fixed(amount))


CORRUPTIONS = (
    Corruption("speed_up", "speaker", grid(speed, factor=FASTER)),
    Corruption("speed_down", "speaker", grid(speed, factor=SLOWER)),
    Corruption("tempo_up", "speaker", grid(tempo, rate=FASTER)),
    Corruption("tempo_down", "speaker", grid(tempo, rate=SLOWER)),
    Corruption("pitch_up", "speaker", grid(pitch, semitones=SEMITONES)),
    Corruption("pitch_down", "speaker", grid(pitch, semitones=[-step for step in SEMITONES])),
    Corruption("tract_short", "speaker", grid(_tract, alpha=ALPHA)),
    Corruption("tract_long", "speaker", grid(_tract, alpha=[1.0 / alpha for alpha in ALPHA])),
    Corruption("whisper", "speaker", grid(_whisper, amount=(0.2, 0.4, 0.6, 0.8, 1.0))),
)
