"""What is measured: the rows with a goal, then every other registered transform."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import speechaug as sa
from benchmarks import physics
from benchmarks.batch import MELS, RATE, Batch
from speechaug.testing import example

Subject = sa.Transform | sa.LogMel


class Row(NamedTuple):
    """One line of the table.

    Args:
        name: on the command line.
        title: in the table.
        make: builds what is measured, for a batch (whose clips it may use).
        check: raises AssertionError where the result is physically wrong.
    """

    name: str
    title: str
    make: Callable[[Batch], Subject]
    check: Callable[[Any, Batch], object]


def _masks(batch: Batch) -> sa.Transform:
    widest = max(1, batch.spec.shape[-1] // 20)
    return sa.Compose([sa.FrequencyMask(width_bins=(0, 27), count=2), sa.TimeMask(width_frames=(0, widest), count=5)])


def _policy(batch: Batch) -> sa.Transform:
    return sa.Compose(
        [
            sa.AddColoredNoise(snr_db=(5.0, 30.0), exponent=(0.0, 0.0), p=0.5),
            sa.Gain(gain_db=(-18.0, 6.0)),
            sa.Reverb(bank=batch.room_bank, p=0.3),
            sa.LowPass(cutoff_hz=(300.0, 7_000.0), p=0.3),
            sa.PitchShift(semitones=(-4.0, 4.0), p=0.3),
            sa.Speed(factor=(0.9, 1.1), p=0.5),
        ]
    )


def _speed(quality: Literal["high", "fast"], low: float, high: float) -> Callable[[Batch], Subject]:
    return lambda batch: sa.Speed(factor=(low, high), quality=quality)


NAMED = (
    Row(
        "pitch-shift",
        "pitch shift, any semitones, per row",
        lambda batch: sa.PitchShift(semitones=(-4.0, 4.0)),
        physics.pitch,
    ),
    Row(
        "pitch-shift-high",
        "pitch shift, high quality",
        lambda batch: sa.PitchShift(semitones=(-4.0, 4.0), quality="high"),
        physics.pitch,
    ),
    Row(
        "time-stretch",
        "time stretch, per row",
        lambda batch: sa.TimeStretch(rate=(0.8, 1.25)),
        physics.stretch,
    ),
    Row(
        "time-stretch-high",
        "time stretch, high quality",
        lambda batch: sa.TimeStretch(rate=(0.8, 1.25), quality="high"),
        physics.stretch,
    ),
    Row(
        "speed-any-high",
        "speed, any ratio per row, 75 dB",
        _speed("high", 0.9, 1.1),
        functools.partial(physics.speed, least_db=75.0),
    ),
    Row(
        "speed-any-fast",
        "speed, any ratio per row, 55 dB",
        _speed("fast", 0.9, 1.1),
        functools.partial(physics.speed, least_db=55.0),
    ),
    Row(
        "speed-one",
        "speed 0.9 for the batch, 75 dB",
        _speed("high", 0.9, 0.9),
        functools.partial(physics.speed, least_db=75.0),
    ),
    Row(
        "white-noise",
        "Gaussian noise at SNR",
        lambda batch: sa.AddColoredNoise(snr_db=(5.0, 30.0), exponent=(0.0, 0.0)),
        physics.white_noise,
    ),
    Row(
        "background-noise",
        "background noise at SNR",
        lambda batch: sa.AddNoise(bank=batch.noise_bank, snr_db=(5.0, 30.0)),
        physics.noise,
    ),
    Row(
        "low-pass",
        "low-pass, per row",
        lambda batch: sa.LowPass(cutoff_hz=(300.0, 7_000.0)),
        physics.low_pass,
    ),
    Row("reverb", "reverb 0.5 s, per row", lambda batch: sa.Reverb(bank=batch.room_bank), physics.reverb),
    Row("masks", "SpecAugment masks", _masks, physics.masks),
    Row("time-warp", "time warp, per row", lambda batch: sa.TimeWarp(shift_frames=(-80.0, 80.0)), physics.time_warp),
    Row("log-mel", "log-mel", lambda batch: sa.LogMel(RATE, n_mels=MELS, normalisation="none"), physics.log_mel),
    Row("policy", "whole policy", _policy, physics.policy),
)
"""The rows with a goal, with the other quality of pitch and stretch."""

_MEASURED_AS = {
    "PitchShift": "pitch-shift",
    "TimeStretch": "time-stretch",
    "Speed": "speed-any-high",
    "AddNoise": "background-noise",
    "LowPass": "low-pass",
    "Reverb": "reverb",
    "TimeWarp": "time-warp",
    "Compose": "policy",
    "OneOf": "policy",  # the others choose which members act; what that costs is the members
    "SomeOf": "policy",
}


def rows() -> dict[str, Row]:
    """Return every row by name: those with a goal, then the registered transforms that none of these measures.

    Example:
        >>> list(rows())[0], "Gain" in rows(), "LowPass" in rows()
        ('pitch-shift', True, False)
    """
    found = {row.name: row for row in NAMED}
    for name, cls in sorted(sa.TRANSFORMS.items()):
        if cls.__module__.startswith("speechaug.") and name not in _MEASURED_AS:
            found[name] = Row(name, name, functools.partial(_registered, cls), physics.CHECKS.get(name, physics.sound))
    return found


def _registered(cls: type[sa.Transform], batch: Batch) -> sa.Transform:
    return dataclasses.replace(example(cls), p=1.0)
