"""Spectra and modulation: tone controls, devices, chorus, tremolo."""

from __future__ import annotations

from speechaug.robustness.catalogue.corruption import Corruption, fixed, grid
from speechaug.robustness.catalogue.sounds import Sounds
from speechaug.transform import Transform
from speechaug.waveform.echo import Chorus
from speechaug.waveform.equalize import Equalizer, HighShelf, LowShelf
from speechaug.waveform.modulation import Tremolo

SHELF_DB = (6, 12, 18, 24, 30)


def bass(_: Sounds, *, gain_db: float) -> Transform:
    """Raise what lies below 250 Hz."""
    return LowShelf(gain_db=fixed(gain_db), cutoff_hz=fixed(250.0))


def treble(_: Sounds, *, gain_db: float) -> Transform:
    """Raise what lies above 2.5 kHz."""
    return HighShelf(gain_db=fixed(gain_db), cutoff_hz=fixed(2_500.0))


def _device_eq(_: Sounds, *, gain_db: float) -> Transform:
    return Equalizer(gain_db=(-gain_db, gain_db), bands=5, frequency_hz=(100.0, 3_500.0))


def chorus(_: Sounds, *, delay_ms: float) -> Transform:
    """Add two copies that waver, as SoX does with the parameters of Speech Robust Bench."""
    later = (delay_ms, delay_ms + 10.0)
    return Chorus(delay_ms=later, voices=2, depth_ms=fixed(2.0), rate_hz=(0.25, 0.4), decay=fixed(0.7))


def tremolo(_: Sounds, *, depth: float) -> Transform:
    """Let the loudness swing."""
    return Tremolo(depth=fixed(depth))


CORRUPTIONS = (
    Corruption("bass", "spectral", grid(bass, gain_db=SHELF_DB)),
    Corruption("treble", "spectral", grid(treble, gain_db=SHELF_DB)),
    Corruption("device_eq", "spectral", grid(_device_eq, gain_db=(3, 6, 9, 12, 18))),
    Corruption("chorus", "spectral", grid(chorus, delay_ms=(30, 45, 60, 75, 90))),
    Corruption("tremolo", "spectral", grid(tremolo, depth=(0.40, 0.55, 0.70, 0.85, 1.00))),
)
