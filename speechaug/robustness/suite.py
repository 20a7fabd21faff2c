"""The suite: named, versioned conditions under which a recognizer is tested."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from speechaug.banks import Bank
from speechaug.compose import Compose
from speechaug.data.manifest import shorten
from speechaug.transform import Transform, plain

if TYPE_CHECKING:
    from speechaug.robustness.catalogue import Corruption, Sounds

NAME = "speechaug-C"
VERSION = 1
"""Changes whenever a rendering changes: scores of different versions are not comparable."""

LOWEST_RATE = 8_000
"""Lowest sample rate of the suite, in Hz."""

Subset = Literal["tiny", "standard", "full", "srb"]
Folder = Bank | str | Path | None


@dataclass(frozen=True)
class Condition:
    """One corruption at one severity, frozen and named.

    Args:
        name: such as ``white:3``; ``clean`` for speech as it is.
        corruption: what is done, such as ``white``.
        family: ``clean``, ``noise``, ``room``, ``channel``, ``fault``, ``speaker``, ``spectral`` or ``compound``; of
            noisy sets made elsewhere ``foreign``.
        severity: 1 to 5; 0 for clean.
        policy: how it is done; None for clean.
        nominal: what is set, by the names under which :func:`speechaug.robustness.render.render` measures it back.
        min_sample_rate: lowest sample rate at which it makes sense, in Hz.
        held_out: whether it is of the family kept out of every training preset.
        known_hash: the hash of a condition that was read from disk, without its policy.

    Example:
        >>> condition = Condition("clean", "clean", "clean", 0, None, {})
        >>> condition.hash == dataclasses.replace(condition, name="silence").hash
        True
    """

    name: str
    corruption: str
    family: str
    severity: int
    policy: Transform | None = field(repr=False)
    nominal: Mapping[str, float]
    min_sample_rate: int = 8_000
    held_out: bool = False
    known_hash: str = field(default="", repr=False)

    @functools.cached_property
    def hash(self) -> str:
        """Return 16 hexadecimal digits of all that the sound depends on beside the speech: version, policy, banks."""
        if self.known_hash:
            return self.known_hash
        policy = None if self.policy is None else _contents(self.policy.to_dict())
        return _digest([NAME, VERSION, self.corruption, policy])

    @functools.cached_property
    def unscaled(self) -> Transform | None:
        """Return the policy without its range policy, for those who bring the result into range themselves."""
        scaled = isinstance(self.policy, Compose)
        return dataclasses.replace(self.policy, range_policy="none") if scaled else self.policy  # type: ignore[type-var]


CLEAN = Condition("clean", "clean", "clean", 0, None, {})
"""Speech as it is."""


@dataclass(frozen=True)
class Suite:
    """Conditions that are tested together, clean first.

    Args:
        name: of the catalogue.
        version: of the catalogue.
        subset: which part of it.
        sample_rate: of the speech, in Hz.
        conditions: in order.
        left_out: names of conditions that make no sense at this rate.

    Example:
        >>> suite = load_suite("tiny", sample_rate=8_000)
        >>> suite.names[:2], suite["white:3"].nominal
        (('clean', 'white:3'), {'snr_db': 10.0})
    """

    name: str
    version: int
    subset: str
    sample_rate: int
    conditions: tuple[Condition, ...]
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the conditions, in order."""
        return tuple(condition.name for condition in self.conditions)

    @functools.cached_property
    def hash(self) -> str:
        """Return 16 hexadecimal digits of the rate and of every condition's hash."""
        return _digest([self.name, self.version, self.sample_rate, [c.hash for c in self.conditions]])

    def __len__(self) -> int:
        """Return the number of conditions."""
        return len(self.conditions)

    def __getitem__(self, name: str) -> Condition:
        """Return a condition by its name."""
        for condition in self.conditions:
            if condition.name == name:
                return condition
        raise KeyError(f"Suite: name must be one of {shorten(list(self.names))}, got {name!r}")


def load_suite(
    subset: Subset = "standard", *, sample_rate: int = 16_000, noise: Folder = None, rooms: Folder = None
) -> Suite:
    """Return the conditions of the suite.

    Args:
        subset: ``tiny`` (6 conditions beside clean), ``standard``, ``full``, or ``srb``, the parameters of Speech
            Robust Bench.
        sample_rate: of the speech, in Hz; conditions that need a higher one are left out and named.
        noise: folder (or bank) of recorded noise in place of ours.
        rooms: folder (or bank) of room responses in place of ours, sorted into severities by what is measured on them.

    Raises:
        ValueError: if there is no such subset, or the rate is below 8 kHz.
    """
    if subset not in ("tiny", "standard", "full", "srb"):
        hint = f", which is a condition: give a list, [{subset}]" if ":" in str(subset) else ""
        raise ValueError(f"load_suite: subset must be tiny, standard, full or srb, got {subset!r}{hint}")
    if not isinstance(sample_rate, int) or sample_rate < LOWEST_RATE:
        raise ValueError(f"load_suite: sample_rate must be an integer of at least {LOWEST_RATE}, got {sample_rate!r}")
    noise, rooms = (str(source) if isinstance(source, Path) else source for source in (noise, rooms))
    return _suite(subset, sample_rate, noise, rooms)


@functools.lru_cache(maxsize=8)
def _suite(subset: Subset, sample_rate: int, noise: Bank | str | None, rooms: Bank | str | None) -> Suite:
    """Build a suite once a process."""
    from speechaug.robustness.catalogue import CATALOGUE, SRB, STANDARD, TINY
    from speechaug.robustness.catalogue.sounds import sounds

    wanted = {"tiny": [name.split(":")[0] for name in TINY], "standard": STANDARD, "full": CATALOGUE, "srb": SRB}
    entries = SRB if subset == "srb" else CATALOGUE
    made_of = sounds(sample_rate, noise, rooms)
    found = [condition for name in wanted[subset] for condition in _conditions(entries[name], made_of)]
    if subset == "tiny":
        found = [condition for condition in found if condition.name in TINY]
    usable = [condition for condition in found if condition.min_sample_rate <= sample_rate]
    left_out = tuple(condition.name for condition in found if condition.min_sample_rate > sample_rate)
    return Suite(NAME, VERSION, subset, sample_rate, (CLEAN, *usable), left_out)


def _conditions(corruption: Corruption, sounds: Sounds) -> list[Condition]:
    return [
        Condition(
            name=f"{corruption.name}:{severity}",
            corruption=corruption.name,
            family=corruption.family,
            severity=severity,
            policy=Compose(step.members, range_policy="rescale"),
            nominal=step.nominal,
            min_sample_rate=corruption.min_sample_rate(severity),
            held_out=corruption.held_out,
        )
        for severity, step in enumerate(corruption.steps(sounds), start=1)
    ]


def _contents(data: Any) -> Any:
    """Replace banks in plain data by what they hold, so that folders do not matter."""
    if isinstance(data, Mapping):
        if data.get("class_path") == "speechaug.Bank":
            return data["init_args"]["digest"]
        return {name: _contents(value) for name, value in data.items()}
    return [_contents(value) for value in data] if isinstance(data, list) else data


def _digest(data: Any) -> str:
    return hashlib.blake2b(json.dumps(plain(data), sort_keys=True).encode(), digest_size=8).hexdigest()
