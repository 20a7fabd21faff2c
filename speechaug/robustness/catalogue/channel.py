"""Channels: filters, sample rates, codecs."""

from __future__ import annotations

from speechaug.robustness.catalogue.corruption import Corruption, fixed, grid
from speechaug.robustness.catalogue.sounds import Sounds
from speechaug.transform import Transform
from speechaug.waveform.codec import Downsample, Mp3, MuLaw, Opus
from speechaug.waveform.distortion import Quantization
from speechaug.waveform.filter import BandPass, HighPass, LowPass
from speechaug.waveform.level import Rescale

STEEP = 8
"""Order of the filters: 48 dB per octave."""


def low_pass(_: Sounds, *, cutoff_hz: float) -> Transform:
    """Remove what lies above."""
    return LowPass(cutoff_hz=fixed(cutoff_hz), order=STEEP)


def high_pass(_: Sounds, *, cutoff_hz: float) -> Transform:
    """Remove what lies below."""
    return HighPass(cutoff_hz=fixed(cutoff_hz), order=STEEP)


def _telephone(_: Sounds, *, low_hz: float, high_hz: float) -> tuple[Transform, ...]:
    band = BandPass(low_hz=fixed(low_hz), high_hz=fixed(high_hz), order=STEEP)
    return band, *_mu_law(_, bits=8.0)


def downsample(_: Sounds, *, factor: float) -> Transform:
    """Reduce the sample rate and raise it again."""
    return Downsample(factor=fixed(factor))


def _mu_law(_: Sounds, *, bits: float) -> tuple[Transform, ...]:
    return Rescale(), MuLaw(bits=fixed(bits))  # codecs clip, and silently


def _bit_crush(_: Sounds, *, bits: float) -> Transform:
    return Quantization(bits=fixed(bits))


def _mp3(_: Sounds, *, bitrate_kbps: float) -> tuple[Transform, ...]:
    return Rescale(), Mp3(bitrate_kbps=fixed(bitrate_kbps))


def _opus(_: Sounds, *, bitrate_kbps: float) -> tuple[Transform, ...]:
    return Rescale(), Opus(bitrate_kbps=fixed(bitrate_kbps))


CORRUPTIONS = (
    Corruption(
        "low_pass",
        "channel",
        grid(low_pass, cutoff_hz=(4000, 3000, 2000, 1300, 800)),
        min_sample_rates=(11_025, 8_000, 8_000, 8_000, 8_000),
    ),
    Corruption("high_pass", "channel", grid(high_pass, cutoff_hz=(300, 600, 1000, 1600, 2400))),
    Corruption(
        "telephone",
        "channel",
        grid(_telephone, low_hz=(300, 400, 500, 600, 700), high_hz=(3400, 3000, 2600, 2200, 1800)),
    ),
    Corruption("downsample", "channel", grid(downsample, factor=(0.75, 0.5, 0.375, 0.25, 0.125))),
    Corruption("mu_law", "channel", grid(_mu_law, bits=(8, 6, 5, 4, 3))),
    Corruption("bit_crush", "channel", grid(_bit_crush, bits=(10, 8, 7, 6, 5))),
    Corruption("mp3", "channel", grid(_mp3, bitrate_kbps=(64, 32, 24, 16, 8))),
    Corruption("opus", "channel", grid(_opus, bitrate_kbps=(24, 16, 12, 8, 6))),
)
