"""What the names of test conditions tell: ``noise_10db`` a ratio, ``white:3`` a severity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def label(condition: str) -> str:
    """Write the name of a test condition in words.

    Example:
        >>> label("noise_5db"), label("far_room")
        ('noise, 5 dB', 'far room')
    """
    ratio = snr_db(condition)
    return condition.replace("_", " ") if ratio is None else f"noise, {ratio:g} dB"


def snr_db(condition: str) -> float | None:
    """Return the signal-to-noise ratio that a name such as ``noise_-5db`` states, else None."""
    text = condition.removeprefix("noise_").removesuffix("db")
    if condition != f"noise_{text}db":
        return None
    try:
        return float(text)
    except ValueError:
        return None


def conditions_of(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return what an evaluation holds of conditions that are known by their names alone."""
    ratios = {name: snr_db(name) for name in names}
    rank = sorted((ratio for ratio in ratios.values() if ratio is not None), reverse=True)
    return [_condition_of(name, ratio, rank) for name, ratio in ratios.items()]


def _condition_of(name: str, ratio: float | None, rank: Sequence[float]) -> dict[str, Any]:
    corruption, colon, severity = name.rpartition(":")
    if ratio is not None:
        corruption, number = "noise", 1 + rank.index(ratio)
    elif colon and severity.isdecimal():
        number = int(severity)
    else:
        corruption, number = name, int(name != "clean")
    return {
        "name": name,
        "corruption": corruption,
        "family": corruption,
        "severity": number,
        "nominal": {} if ratio is None else {"snr_db": ratio},
        "hash": "",
        "held_out": False,
        "trained": False,
    }
