"""The sounds of the suite: noises, music, talkers and rooms, at the rate of the speech."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechaug.audio import FloatArray
from speechaug.banks import Bank
from speechaug.functional.room import good_size
from speechaug.robustness.realised import c50_db, drr_db, t60_s

SOUNDS = Path(__file__).parents[2] / "fixtures" / "suite"
"""The sounds that ship with the package; no training preset uses them."""

T60_S = (0.2, 0.4, 0.6, 0.9, 1.3)
DRR_DB = (6.0, 3.0, 0.0, -3.0, -6.0)
C50_DB = (20.0, 14.0, 9.0, 5.0, 1.0)
"""Reverberation times, direct-to-reverberant ratios and clarities of the rooms of each severity."""

CLIPS_PER_ROOM = 4
"""How many noises sound in each far-field room: each is convolved beforehand."""

Measure = Callable[[NDArray[Any], int], float]


class Rooms(NamedTuple):
    """The rooms of one severity, and what they are said to be like."""

    nominal: dict[str, float]
    bank: Bank


class Sounds:
    """Everything that conditions are made of; read when it is first used.

    Args:
        sample_rate: of the speech, in Hz.
        noise: folder or bank of recorded noise in place of ours.
        rooms: folder or bank of room responses in place of ours; far-field rooms stay ours, since each needs two
            responses of one room.

    Raises:
        ValueError: if a bank has another rate.

    Example:
        >>> len(Sounds(8_000).talkers)
        10
    """

    def __init__(
        self, sample_rate: int, noise: Bank | str | Path | None = None, rooms: Bank | str | Path | None = None
    ) -> None:
        """Remember where the sounds are; see the class."""
        self.sample_rate = sample_rate
        self.noise = self._bank(SOUNDS / "noise" if noise is None else noise)
        self._given = None if rooms is None else self._bank(rooms)

    @functools.cached_property
    def music(self) -> Bank:
        """Pieces of music."""
        return self._bank(SOUNDS / "music")

    @functools.cached_property
    def talkers(self) -> Bank:
        """Single talkers, for babble and as competing talkers."""
        return self._bank(SOUNDS / "babble")

    @functools.cached_property
    def rooms(self) -> tuple[Rooms, ...]:
        """Rooms of each severity, by reverberation time."""
        if self._given is not None:
            return _sorted(self._given, {"t60_s": t60_s, "drr_db": drr_db})
        return tuple(
            Rooms({"t60_s": t60, "drr_db": drr}, self._bank(SOUNDS / "rooms" / f"t60_{t60}"))
            for t60, drr in zip(T60_S, DRR_DB, strict=True)
        )

    @functools.cached_property
    def measured_rooms(self) -> tuple[Rooms, ...]:
        """Responses as measurements look, of each severity, by clarity."""
        if self._given is not None:
            return _sorted(self._given, {"c50_db": c50_db}, falling=True)
        return tuple(
            Rooms({"c50_db": c50}, self._bank(SOUNDS / "measured_like" / f"c50_{c50:g}")) for c50 in C50_DB
        )

    @functools.cached_property
    def far_field(self) -> tuple[tuple[tuple[Bank, Bank], ...], ...]:
        """For each severity its rooms: the response from the talker, and noises as they arrive from elsewhere."""
        return tuple(self._far_rooms(f"t60_{t60}") for t60 in T60_S)

    def _far_rooms(self, name: str) -> tuple[tuple[Bank, Bank], ...]:
        near, far = self._bank(SOUNDS / "rooms" / name), self._bank(SOUNDS / "far_field" / name)
        if near.names != far.names:
            raise ValueError(f"Sounds: rooms and far_field must hold the same rooms, got {near.names}, {far.names}")
        step, pairs = max(1, len(self.noise) // CLIPS_PER_ROOM), []
        for room in range(len(near)):
            chosen = [(room + step * turn) % len(self.noise) for turn in range(CLIPS_PER_ROOM)]
            pairs.append((_part(near, [room]), _reverberant(_part(self.noise, list(dict.fromkeys(chosen))), far, room)))
        return tuple(pairs)

    def _bank(self, source: Bank | str | Path) -> Bank:
        bank = source if isinstance(source, Bank) else Bank(source, sample_rate=self.sample_rate)
        if bank.sample_rate != self.sample_rate:
            raise ValueError(f"Sounds: a bank must have the rate of {self.sample_rate} Hz, got {bank.sample_rate} Hz")
        return bank


@functools.lru_cache(maxsize=8)
def sounds(sample_rate: int, noise: Bank | str | None, rooms: Bank | str | None) -> Sounds:
    """Return the same sounds for the same arguments: decoded once a process."""
    return Sounds(sample_rate, noise, rooms)


def _part(bank: Bank, chosen: Sequence[int]) -> Bank:
    """Return a bank of some of the clips of another."""
    return Bank.from_arrays(
        [bank.clip(index) for index in chosen],
        sample_rate=bank.sample_rate,
        names=[bank.names[index] for index in chosen],
        hashes=[bank.hashes[index] for index in chosen],
    )


def _reverberant(noise: Bank, rooms: Bank, room: int) -> Bank:
    """Let noises sound in a room; each ends when its recording does."""
    dry = [noise.clip(index) for index in range(len(noise))]
    return Bank.from_arrays(
        [_convolved(clip, rooms.clip(room)) for clip in dry],
        sample_rate=noise.sample_rate,
        names=noise.names,
        hashes=[f"{label}*{rooms.hashes[room]}" for label in noise.hashes],
    )


def _convolved(clip: FloatArray, response: FloatArray) -> FloatArray:
    size = good_size(len(clip) + len(response) - 1)
    spectrum = np.fft.rfft(clip.astype(np.float64), size) * np.fft.rfft(response.astype(np.float64), size)
    return np.fft.irfft(spectrum, size)[: len(clip)].astype(np.float32)


def _sorted(bank: Bank, measures: dict[str, Measure], falling: bool = False) -> tuple[Rooms, ...]:
    """Divide responses into five severities by the first measure; each has at least one."""
    arrays = [bank.clip(index) for index in range(len(bank))]
    found = {name: [measure(room, bank.sample_rate) for room in arrays] for name, measure in measures.items()}
    order = np.argsort(next(iter(found.values())), kind="stable")[:: -1 if falling else 1]
    divided = []
    for severity in range(5):
        first = severity * len(arrays) // 5
        part = order[first : max(first + 1, (severity + 1) * len(arrays) // 5)]
        means = {name: float(np.mean([values[index] for index in part])) for name, values in found.items()}
        nominal = {name: value for name, value in means.items() if np.isfinite(value)}  # not all decays can be measured
        divided.append(Rooms(nominal, _part(bank, part.tolist())))
    return tuple(divided)
