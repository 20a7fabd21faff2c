"""Rooms: reverberation, echo, and a talker and a noise far away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from speechaug.compose import Compose, OneOf
from speechaug.robustness.catalogue.corruption import Corruption, Step, fixed, grid
from speechaug.robustness.catalogue.sounds import Rooms, Sounds
from speechaug.transform import Transform
from speechaug.waveform.echo import Echo
from speechaug.waveform.noise import AddNoise
from speechaug.waveform.room import Reverb

FAR_SNR_DB = (20.0, 15.0, 10.0, 5.0, 0.0)


def _rooms(choose: Callable[[Sounds], Sequence[Rooms]]) -> Callable[[Sounds], list[Step]]:
    def steps(sounds: Sounds) -> list[Step]:
        return [Step(rooms.nominal, (Reverb(bank=rooms.bank, level="matched"),)) for rooms in choose(sounds)]

    return steps


def _far_field(sounds: Sounds) -> list[Step]:
    """Put the talker and a noise into one room, each with the response of its own place."""
    found = []
    for snr_db, rooms in zip(FAR_SNR_DB, sounds.far_field, strict=True):
        in_rooms = [
            Compose(
                [
                    Reverb(bank=talker, level="matched"),
                    AddNoise(bank=noises, snr_db=fixed(snr_db), reference="active"),
                ]
            )
            for talker, noises in rooms
        ]
        found.append(Step({"snr_db": snr_db}, (OneOf(in_rooms),)))
    return found


def echo(_: Sounds, *, delay_ms: float) -> Transform:
    """Add one delayed copy."""
    return Echo(delay_ms=fixed(delay_ms), decay=fixed(0.3))


CORRUPTIONS = (
    Corruption("room", "room", _rooms(lambda sounds: sounds.rooms)),
    Corruption("measured_room", "room", _rooms(lambda sounds: sounds.measured_rooms)),
    Corruption("echo", "room", grid(echo, delay_ms=(60, 125, 250, 500, 1000))),
    Corruption("far_field", "room", _far_field),
)
