"""Policies for recordings of any rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from speechaug import presets
from speechaug._contents import sound_files
from speechaug.augmenter import leaves
from speechaug.banks import Bank
from speechaug.policy_file import load_policy
from speechaug.transform import Transform

T = TypeVar("T", bound=Transform)

Sounds = Bank | str | Path | None
"""A bank, the folder of one, or none."""

BANK_RATE = 16_000
"""Of the banks that are made of folders, in Hz; they are brought to that of each recording."""


def with_sounds(
    policy: Transform | str | Path, owner: str, *, noise: Sounds, rooms: Sounds, voices: Sounds
) -> Transform | str | Path:
    """Give a preset recorded noise, rooms and voices; without any, return the policy as it is.

    Args:
        policy: which.
        owner: who asks, for messages.
        noise: for the preset.
        rooms: room responses for the preset.
        voices: single talkers for the preset.

    Raises:
        ValueError: if the policy is no preset, or there is no audio in a folder.
    """
    sounds = {"noise": noise, "rooms": rooms, "voices": voices}
    given = {name: source for name, source in sounds.items() if source is not None}
    if not given:
        return policy
    if policy != "small_sample":
        name, source = next(iter(given.items()))
        raise ValueError(
            f"{owner}: {name} must be None unless policy is small_sample, got {str(source)!r}; another policy has "
            "its folders in its YAML file, under bank, and load_policy(path, banks=...) gives it others"
        )
    return presets.small_sample(*(_bank(name, source, owner) for name, source in sounds.items()))


def _bank(name: str, source: Sounds, owner: str) -> Bank | None:
    if source is None or isinstance(source, Bank):
        return source
    if not any(True for _ in sound_files(source)):
        raise ValueError(f"{owner}: {name} must be a folder with audio or a bank, got {str(source)!r}")
    return Bank(source, sample_rate=BANK_RATE)


def resolve(policy: Transform | str | Path) -> Transform:
    """Return the policy for an object, a YAML file or the name of a preset.

    Args:
        policy: which.

    Raises:
        ValueError: if there is no such preset or file, or it cannot act on one recording alone.

    Example:
        >>> resolve("small_sample") == presets.small_sample()
        True
    """
    if policy == "small_sample":
        return presets.small_sample()
    if not isinstance(policy, Transform):
        if not Path(policy).is_file():
            raise ValueError(f"augment: policy must be small_sample or an existing YAML file, got {str(policy)!r}")
        policy = load_policy(policy)
    if policy.domain != "waveform":
        raise ValueError(f"augment: policy must act on waveforms, got {policy.domain}s in {policy!r}")
    mixing = sorted({type(leaf).__name__ for _, leaf in leaves(policy) if leaf.mixes_rows})
    if mixing:
        raise ValueError(
            f"augment: policy must act on each recording alone, {', '.join(mixing)} mixes the rows of a batch; "
            "train with it"
        )
    return policy


def at_rate(policy: T, sample_rate: int) -> T:
    """Return a policy whose banks have another rate.

    Args:
        policy: any.
        sample_rate: in Hz.
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(policy):
        value = getattr(policy, field.name)
        if isinstance(value, Bank) and value.sample_rate != sample_rate:
            changed[field.name] = value.at_rate(sample_rate)
        elif field.name == "members":
            members = tuple(at_rate(member, sample_rate) for member in value)
            if any(new is not old for new, old in zip(members, value, strict=True)):
                changed[field.name] = members
    return dataclasses.replace(policy, **changed) if changed else policy


def banks(policy: Transform) -> Iterator[Bank]:
    """Yield the banks of a policy."""
    for _, leaf in leaves(policy):
        yield from (value for value in vars(leaf).values() if isinstance(value, Bank))
