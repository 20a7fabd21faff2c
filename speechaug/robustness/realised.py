"""Severity measured back: what was really done to an utterance, from the sound and from the responses used."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug.audio import FloatArray
from speechaug.augmenter import leaves
from speechaug.banks import Bank
from speechaug.draws import Draws
from speechaug.functional.level import active_level_db, rms_db
from speechaug.functional.room import DIRECT_S
from speechaug.rng import Rng
from speechaug.transform import Transform
from speechaug.waveform.room import Reverb
from speechaug.waveform.time import Speed, TimeStretch

EARLY_S = 0.050
"""Early reflections help speech, later ones harm it: the 50 ms of the clarity C50."""

SILENT_DB = -90.0
"""Speech softer than this has no signal-to-noise ratio."""

_PROBE_S = 2.0
_FULL = 1.0 - 1e-6
_KEPT = 10_000

def t60_s(response: NDArray[Any], sample_rate: int) -> float:
    """Reverberation time: three times what the energy takes from -5 to -25 dB.

    Args:
        response: of a room, ``(T,)``.
        sample_rate: in Hz.

    Returns:
        Seconds; NaN where the energy does not fall that far.

    Source: Schroeder, "New method of measuring reverberation time", JASA 37 (1965); T20 of ISO 3382-2.

    Example:
        >>> decay = np.random.default_rng(0).standard_normal(16_000) * 10 ** (-3 * np.arange(16_000) / 16_000 / 0.5)
        >>> round(t60_s(decay, 16_000), 1)
        0.5
    """
    left = np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1]
    left = left[np.abs(response).argmax() :]
    level_db = 10.0 * np.log10(np.maximum(left / max(left[0], 1e-300), 1e-30))
    part = np.flatnonzero((level_db <= -5.0) & (level_db >= -25.0))
    if len(part) < 2 or level_db[-1] > -25.0:
        return float("nan")
    slope = np.polyfit(part / sample_rate, level_db[part], 1)[0]
    return float(-60.0 / slope)


def drr_db(response: NDArray[Any], sample_rate: int) -> float:
    """Direct-to-reverberant ratio: the energy within 2.5 ms of the peak over that of the rest, in dB.

    Example:
        >>> round(drr_db(np.array([0.0, 1.0, *[0.0] * 100, 0.1]), 16_000), 6)
        20.0
    """
    peak, near = int(np.abs(response).argmax()), int(DIRECT_S * sample_rate)
    energy = response.astype(np.float64) ** 2
    direct = energy[max(peak - near, 0) : peak + near + 1].sum()
    return _ratio_db(direct, energy.sum() - direct)


def c50_db(response: NDArray[Any], sample_rate: int) -> float:
    """Clarity: the energy of the first 50 ms from the peak on over that of the rest, in dB.

    Source: ISO 3382-1.

    Example:
        >>> round(c50_db(np.array([1.0, *[0.0] * 999, 0.1]), 16_000), 6)
        20.0
    """
    energy = response.astype(np.float64) ** 2
    end = int(np.abs(response).argmax()) + round(EARLY_S * sample_rate)
    return _ratio_db(energy[:end].sum(), energy[end:].sum())


def _ratio_db(signal: float, rest: float) -> float:
    return float(10.0 * np.log10(max(signal, 1e-300) / max(rest, 1e-300)))


class Applied(NamedTuple):
    """What was done to one utterance.

    Attributes:
        policy: what was applied, without a range policy.
        draws: what was drawn.
        extras: by-products of the policy.
        before: ``(T,)``.
        after: ``(T',)``.
        sample_rate: in Hz.
    """

    policy: Transform
    draws: Draws
    extras: dict[str, Tensor]
    before: FloatArray
    after: FloatArray
    sample_rate: int


def measure(applied: Applied) -> dict[str, float]:
    """Measure back what was done to an utterance.

    Transforms report what they reached (``snr_db``, ``loss_rate``, ``level_dbfs``). Rooms are measured on the response
    that was used, filters, tone controls and echoes on their response to a click, tempo on the lengths. Where noise
    is all that was done, its ratio is measured anew, on the difference between after and before.

    Args:
        applied: what was done.

    Returns:
        Values by the names of ``Condition.nominal``; what cannot be measured is left out.
    """
    reported = [(place.rpartition(".")[2], float(values[0])) for place, values in applied.extras.items()]
    # NaN where a member was off.
    realised = {_ALIASES.get(name, name): value for name, value in reported if not math.isnan(value)}
    drawn = dict(applied.draws.walk())
    on = [(leaf, drawn[place]) for place, leaf in leaves(applied.policy) if drawn[place].on[0]]
    for leaf, draws in on:
        realised.update(_of_transform(leaf, draws, applied))
    if len(on) == 1 and "snr_db" in realised:
        realised.update(_of_difference(applied, getattr(on[0][0], "reference", "active")))
    if len(on) == 1 and "clipped_fraction" in realised:
        realised.update(_of_peaks(applied.after))
    return {name: value for name, value in realised.items() if math.isfinite(value)}


def _of_transform(leaf: Transform, draws: Draws, applied: Applied) -> dict[str, float]:
    """What can be told of one transform, whatever was done beside it."""
    if isinstance(leaf, Reverb):
        return _of_room(leaf.bank, int(draws.values["clip"][0]))
    longer = len(applied.before) / max(1, len(applied.after))
    if isinstance(leaf, Speed):
        return {"factor": longer}
    if isinstance(leaf, TimeStretch):
        return {"rate": longer}
    return dict(_probed(leaf, applied.sample_rate))


def _of_room(bank: Bank, clip: int) -> dict[str, float]:
    key = bank.hashes[clip], bank.sample_rate
    if key not in _ROOMS:
        response, rate = bank.clip(clip), bank.sample_rate
        measures = {"t60_s": t60_s, "drr_db": drr_db, "c50_db": c50_db}
        _ROOMS[key] = {name: measure_room(response, rate) for name, measure_room in measures.items()}
    return _ROOMS[key]


def _of_difference(applied: Applied, reference: str) -> dict[str, float]:
    """The ratio of speech to what was added; nothing for silence, which has none."""
    added = torch.from_numpy(applied.after - applied.before)[None]
    added_db = float(rms_db(added, torch.tensor([len(applied.before)])))
    levels_db = _speech_db(applied.before, applied.sample_rate)
    if min(levels_db["rms"], added_db) < SILENT_DB:
        return {}
    return {"snr_db": levels_db[reference] - added_db}


def _speech_db(samples: FloatArray, sample_rate: int) -> dict[str, float]:
    """Both levels of an utterance; kept, because the same one comes in many conditions."""
    key = hashlib.blake2b(samples.tobytes(), digest_size=16).digest() + sample_rate.to_bytes(4, "little")
    if key not in _LEVELS:
        if len(_LEVELS) >= _KEPT:
            _LEVELS.clear()
        x, lengths = torch.from_numpy(samples)[None], torch.tensor([len(samples)])
        active_db = float(active_level_db(x, lengths, sample_rate))
        _LEVELS[key] = {"rms": float(rms_db(x, lengths)), "active": active_db}
    return _LEVELS[key]


def _of_peaks(after: FloatArray) -> dict[str, float]:
    """The share of samples that stand at the highest level."""
    magnitude = np.abs(after)
    return {"clipped_fraction": float(np.mean(magnitude >= magnitude.max(initial=0.0) * _FULL))}


# What a fixed transform does to a click, or to a constant.


@functools.lru_cache(maxsize=1_024)
def _probed(leaf: Transform, sample_rate: int) -> tuple[tuple[str, float], ...]:
    """Measure a transform whose parameters are fixed, once."""
    kind = type(leaf).__name__
    if kind not in _PROBES:
        return ()
    click = np.zeros(round(_PROBE_S * sample_rate), np.float32)
    click[len(click) // 4] = 1.0
    test = np.ones_like(click) if kind == "Tremolo" else click
    draws = leaf.sample(Rng.from_ids(seed=0, epoch=0, ids=["probe"]))
    y, _ = leaf(torch.from_numpy(test)[None], None, draws, sample_rate=sample_rate)
    return tuple(_PROBES[kind](y[0].numpy().astype(np.float64), sample_rate).items())


def _passed_hz(response: NDArray[np.float64], sample_rate: int, least: float = 0.5) -> tuple[float, float]:
    """Lowest and highest frequency of which so much of the power passes."""
    power = np.abs(np.fft.rfft(response)) ** 2
    passed = np.flatnonzero(power >= least) * (sample_rate / len(response))
    return (float(passed[0]), float(passed[-1])) if len(passed) else (math.nan, math.nan)


def _shelf_db(response: NDArray[np.float64]) -> float:
    """How far the lowest frequencies lie above the highest."""
    gains = np.abs(np.fft.rfft(response))
    return float(20.0 * np.log10(gains[0] / gains[-1]))


def _delay_ms(response: NDArray[np.float64], sample_rate: int) -> float:
    """How far the second sound lies behind the first."""
    first = int(np.abs(response).argmax())
    later = np.abs(response[first + 1 + sample_rate // 1_000 :])
    return 1_000.0 * (int(later.argmax()) + 1 + sample_rate // 1_000) / sample_rate


_ALIASES = {"impulses_per_s": "rate_per_s"}
_LEVELS: dict[bytes, dict[str, float]] = {}
_ROOMS: dict[tuple[str, int], dict[str, float]] = {}
_PROBES: dict[str, Callable[[NDArray[np.float64], int], dict[str, float]]] = {
    "LowPass": lambda y, rate: {"cutoff_hz": _passed_hz(y, rate)[1]},
    "HighPass": lambda y, rate: {"cutoff_hz": _passed_hz(y, rate)[0]},
    "BandPass": lambda y, rate: dict(zip(("low_hz", "high_hz"), _passed_hz(y, rate), strict=True)),
    "Downsample": lambda y, rate: {"factor": 2.0 * _passed_hz(y, rate, 1e-6)[1] / rate},  # where its filter ends
    "LowShelf": lambda y, _: {"gain_db": _shelf_db(y)},
    "HighShelf": lambda y, _: {"gain_db": -_shelf_db(y)},
    "Echo": lambda y, rate: {"delay_ms": _delay_ms(y, rate)},
    "Tremolo": lambda y, _: {"depth": float(1.0 - y.min() / y.max())},
}
