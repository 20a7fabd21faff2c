"""The catalogue of ``speechaug-C`` version 1: what each corruption does at each of five severities.

Filters are Butterworth of order 8, causal. A lower sample rate is reached through filters, without aliases. Lost
packets and drop-outs are silent. A device's equaliser has five bands, a chorus two copies at most 10 ms apart. Impulses
come by chance: their rate is what it is on average.
"""

from __future__ import annotations

from speechaug.robustness.catalogue import channel, compound, fault, noise, room, speaker, spectral, srb
from speechaug.robustness.catalogue.corruption import Corruption, Step
from speechaug.robustness.catalogue.sounds import SOUNDS, Sounds

SINGLE: dict[str, Corruption] = {
    corruption.name: corruption
    for part in (noise, room, channel, fault, speaker, spectral)
    for corruption in part.CORRUPTIONS
}
"""Corruptions that do one thing, by name."""

COMPOUND: dict[str, Corruption] = {corruption.name: corruption for corruption in compound.compounds(SINGLE)}
"""Several of them in physical order, all at one severity."""

CATALOGUE: dict[str, Corruption] = {**SINGLE, **COMPOUND}
"""All of ``speechaug-C``, in the order in which it is tested and shown."""

SRB: dict[str, Corruption] = {corruption.name: corruption for corruption in srb.CORRUPTIONS}
"""The parameters of Speech Robust Bench, four severities."""

STANDARD = (
    "white",
    "brown",
    "babble",
    "environment",
    "music",
    "impulsive",
    "room",
    "measured_room",
    "far_field",
    "low_pass",
    "telephone",
    "mu_law",
    "opus",
    "clipping",
    "packet_loss",
    "dropouts",
    "speed_up",
    "tempo_down",
    "pitch_up",
    "device_eq",
    "street_call",
    "meeting_recording",
)
"""A part of it that represents each family."""

TINY = ("white:3", "babble:3", "environment:3", "room:3", "telephone:3", "packet_loss:3")
"""Six conditions for a look while training."""

__all__ = ["CATALOGUE", "COMPOUND", "SINGLE", "SOUNDS", "SRB", "STANDARD", "TINY", "Corruption", "Sounds", "Step"]
