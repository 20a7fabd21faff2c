"""Compounds: what happens together on the way from a talker to a recognizer, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from speechaug.robustness.catalogue.corruption import Corruption, Step
from speechaug.robustness.catalogue.sounds import Sounds

RECIPES: dict[str, tuple[str, ...]] = {
    "street_call": ("environment", "telephone", "packet_loss"),
    "cafe_voice_message": ("babble", "device_eq", "mp3"),
    "meeting_recording": ("far_field", "gain_steps", "mu_law"),
    "hands_free_car": ("room", "brown", "telephone"),
    "smart_speaker": ("measured_room", "enhancement"),
    "conference_call": ("room", "environment", "mu_law", "packet_loss"),
    "shouting_in_noise": ("pitch_up", "environment", "clipping"),
    "hurried_caller": ("tempo_up", "competing_talker", "telephone"),
    "child_across_the_room": ("tract_short", "room", "pink"),
    "whisper_at_night": ("whisper", "hum", "low_level"),
    "workshop_radio": ("impulsive", "telephone", "gain_steps"),
    "dictaphone": ("tempo_down", "hum", "low_pass", "bit_crush"),
}
"""Parts in physical order: talker, room, noise, microphone, codec, network."""


def compounds(single: Mapping[str, Corruption]) -> list[Corruption]:
    """Build the recipes; every part has the severity of the whole.

    Args:
        single: the corruptions they are made of, by name.
    """
    return [_compound(name, [single[part] for part in parts]) for name, parts in RECIPES.items()]


def _compound(name: str, parts: Sequence[Corruption]) -> Corruption:
    rates = tuple(max(part.min_sample_rate(severity) for part in parts) for severity in range(1, 6))
    return Corruption(name, "compound", _joined(parts), min_sample_rates=rates)


def _joined(parts: Sequence[Corruption]) -> Callable[[Sounds], list[Step]]:
    def steps(sounds: Sounds) -> list[Step]:
        return [_merge(level) for level in zip(*(part.steps(sounds) for part in parts), strict=True)]

    return steps


def _merge(steps: Sequence[Step]) -> Step:
    nominal = {name: value for step in steps for name, value in step.nominal.items()}
    return Step(nominal, tuple(member for step in steps for member in step.members))
