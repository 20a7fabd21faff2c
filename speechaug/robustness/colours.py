"""Colours of the heat maps: steps that differ in lightness, so that they are told apart by everyone, on light and dark.

Each step has an ink, black or white, whichever stands out more: at least 4.5 to 1 (WCAG 2, level AA).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RUNS = 4
"""How many models have a colour of their own before they repeat."""

STEPS = 20
"""A rate falls into one of ``STEPS + 1`` steps; a difference into as many, of which the middle one is none."""

_RATES = {
    "light": ("#f5f1e8", "#f3cf96", "#e08a45", "#a8402b", "#571a2c"),
    "dark": ("#292724", "#5a2a3c", "#a8402b", "#e8944c", "#ffdf9e"),
}
_CHANGES = {
    "light": ("#16508f", "#7fb0e0", "#f3f0ea", "#f0b070", "#a84a12"),
    "dark": ("#9cc9ff", "#3f73b0", "#292724", "#a8662c", "#ffc98a"),
}
_LAB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_MIX = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def rate_step(rate: float, top: float) -> str:
    """Class of a rate on a scale from 0 to ``top``; what is above counts as ``top``.

    Example:
        >>> rate_step(0.25, top=0.5)
        'h10'
    """
    return f"h{round(STEPS * min(1.0, rate / top))}"


def change_step(difference: float, top: float) -> str:
    """Class of a difference on a scale from ``-top`` to ``top``: blue where errors went, orange where they came.

    Example:
        >>> change_step(-0.5, top=0.5), change_step(0.0, top=0.5)
        ('d0', 'd10')
    """
    return f"d{round(STEPS / 2 * (1 + max(-1.0, min(1.0, difference / top))))}"


def style() -> str:
    """Style sheet of all steps, as the variables ``--heat`` and ``--ink``."""
    rules = []
    for letter, scale in (("h", _RATES), ("d", _CHANGES)):
        light, dark = (ramp(scale[theme]) for theme in ("light", "dark"))
        for place, (day, night) in enumerate(zip(light, dark, strict=True)):
            inks = f"light-dark({ink(day)},{ink(night)})"
            rules.append(f".{letter}{place}{{--heat:light-dark({day},{night});--ink:{inks}}}")
    return "\n".join(rules)


def ramp(stops: Sequence[str]) -> list[str]:
    """Mix colours evenly between stops, in OKLab (Ottosson, 2020), where equal steps look equal."""
    known = np.array([_to_lab(stop) for stop in stops])
    places = np.linspace(0, len(stops) - 1, STEPS + 1)
    mixed = np.stack([np.interp(places, np.arange(len(stops)), channel) for channel in known.T], axis=1)
    return [_from_lab(colour) for colour in mixed]


def ink(colour: str) -> str:
    """Return the colour of text that stands out more: black or white."""
    luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ _to_linear(colour))
    return "#000" if luminance > 0.179 else "#fff"


def _to_linear(colour: str) -> NDArray[np.float64]:
    value = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear: NDArray[np.float64] = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return linear


def _to_lab(colour: str) -> NDArray[np.float64]:
    lab: NDArray[np.float64] = _MIX @ np.cbrt(_LAB @ _to_linear(colour))
    return lab


def _from_lab(lab: NDArray[np.float64]) -> str:
    linear = np.clip(np.linalg.solve(_LAB, np.linalg.solve(_MIX, lab) ** 3), 0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in value)
