"""What an entry of the catalogue is, and how its severities are listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from speechaug.robustness.catalogue.sounds import Sounds
from speechaug.transform import Range, Transform


class Step(NamedTuple):
    """One severity: what is set, and the transforms that do it, in order."""

    nominal: dict[str, float]
    members: tuple[Transform, ...]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Args:
        name: such as ``white``.
        family: such as ``noise``.
        steps: makes the severities, mildest first, of the suite's sounds.
        min_sample_rates: lowest sample rate of each severity, in Hz; empty for 8 kHz throughout.
        marks: names of the transforms by which a training policy is recognised as containing it; empty for all of its
            own.
        held_out: whether it is kept out of every training preset.
    """

    name: str
    family: str
    steps: Callable[[Sounds], Sequence[Step]]
    min_sample_rates: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()
    held_out: bool = False

    def min_sample_rate(self, severity: int) -> int:
        """Return the lowest sample rate at which a severity, counted from 1, makes sense."""
        return self.min_sample_rates[severity - 1] if self.min_sample_rates else 8_000


def fixed(value: float) -> Range:
    """Return the range that holds one value."""
    return float(value), float(value)


def grid(
    make: Callable[..., Transform | tuple[Transform, ...]], **values: Sequence[float]
) -> Callable[[Sounds], list[Step]]:
    """List severities by the values of their parameters.

    Args:
        make: called with the sounds and one value of each parameter; returns a transform, or several in order.
        values: one for each severity.

    Example:
        >>> import speechaug as sa
        >>> steps = grid(lambda _, factor: sa.Speed(factor=fixed(factor)), factor=(1.1, 1.25))
        >>> steps(Sounds(8_000))[1]
        Step(nominal={'factor': 1.25}, members=(Speed(factor=(1.25, 1.25)),))
    """

    def steps(sounds: Sounds) -> list[Step]:
        made = []
        for level in zip(*values.values(), strict=True):
            nominal = {name: float(value) for name, value in zip(values, level, strict=True)}
            found: Any = make(sounds, **nominal)
            made.append(Step(nominal, found if isinstance(found, tuple) else (found,)))
        return made

    return steps
