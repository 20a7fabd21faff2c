"""Which conditions make up which corruption and which family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any


class Grid:
    """Places of the conditions of an evaluation.

    Args:
        conditions: name, corruption, family and severity of each, in order.

    Example:
        >>> names = ["clean", "white:1", "white:2"]
        >>> grid = Grid([
        ...     {"name": name, "corruption": name[:5], "family": "noise", "severity": place}
        ...     for place, name in enumerate(names)
        ... ])
        >>> grid.clean, grid.corruptions, grid.families
        (0, {'white': [1, 2]}, {'noise': ['white']})
    """

    def __init__(self, conditions: Sequence[Mapping[str, Any]]) -> None:
        self.conditions = conditions
        self.names = [condition["name"] for condition in conditions]

    @cached_property
    def clean(self) -> int | None:
        """Place of clean speech; None without it."""
        return next((place for place, each in enumerate(self.conditions) if each["severity"] == 0), None)

    @cached_property
    def corrupted(self) -> list[int]:
        """Places of all conditions but clean."""
        return [place for place, each in enumerate(self.conditions) if each["severity"] != 0]

    @cached_property
    def corruptions(self) -> dict[str, list[int]]:
        """Places of the severities of each corruption."""
        found: dict[str, list[int]] = {}
        for place in self.corrupted:
            found.setdefault(self.conditions[place]["corruption"], []).append(place)
        return found

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """Corruptions of each family."""
        found: dict[str, dict[str, None]] = {}
        for place in self.corrupted:
            found.setdefault(self.conditions[place]["family"], {})[self.conditions[place]["corruption"]] = None
        return {family: list(members) for family, members in found.items()}

    def groups(self, corruptions: Iterable[str]) -> list[list[int]]:
        """Places of the severities of some corruptions, a list each."""
        return [self.corruptions[corruption] for corruption in corruptions]
