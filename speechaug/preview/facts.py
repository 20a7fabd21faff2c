"""What changed, in figures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from speechaug.audio import FloatArray
from speechaug.page.words import number, percent, quantity, signed

Facts = dict[str, str]
"""What is said, by what it is about."""


def sound_facts(after: FloatArray, before: FloatArray, sample_rate: int, measured: Mapping[str, float]) -> Facts:
    """Compare samples ``(C, T)`` with what they were, and say what was measured.

    Args:
        after: what the policy made.
        before: what it was given.
        sample_rate: of both, in Hz.
        measured: by-products of the policy, such as ``AddNoise.snr_db``; beside silence there is nothing to tell.

    Example:
        >>> tone = np.full((1, 8_000), 0.5, np.float32)
        >>> sound_facts(4 * tone[:, :6_000], tone, 8_000, {"AddNoise.snr_db": 7.31})["clipped samples"]
        '6000 (100.0\\xa0%)'
    """
    clipped = int(np.count_nonzero(np.abs(after) > 1.0))
    facts = {
        "length": _length(after.shape[1], before.shape[1], sample_rate),
        "level": _change(_level(before), _level(after), " dBFS"),
        "clipped samples": f"{clipped} ({percent(clipped / after.size)})" if clipped else "none",
    }
    return facts | ({"measured": _measured(measured)} if measured and before.any() else {})


def feature_facts(after: FloatArray, before: FloatArray) -> Facts:
    """Compare features ``(F, T)`` with what they were.

    Example:
        >>> feature_facts(np.array([[0.0, 2.0]], np.float32), np.array([[1.0, 2.0]], np.float32))
        {'length': '2 frames', 'changed cells': '50.0\\xa0%'}
    """
    changed = np.count_nonzero(after != before) / max(1, before.size)
    return {"length": f"{after.shape[1]} frames", "changed cells": percent(changed)}


def _length(after: int, before: int, sample_rate: int) -> str:
    if after == before:
        return f"{after / sample_rate:.2f} s, unchanged"
    change = signed(100 * (after / before - 1))
    return f"{_change(f'{before / sample_rate:.2f}', f'{after / sample_rate:.2f}', ' s')} ({change} %)"


def _level(x: FloatArray) -> str:
    rms = float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0
    return number(20 * np.log10(rms)) if rms > 0.0 else "silence"


def _change(before: str, after: str, unit: str) -> str:
    return f"{before}{unit}" if before == after else f"{before} → {after}{unit}"


def _measured(measured: Mapping[str, float]) -> str:
    """Write what was measured; whose it is only where several members measure something."""
    said = []
    for name, value in measured.items():
        place, _, what = name.rpartition(".")
        owner = f" ({place.rpartition('/')[2]})" if len(measured) > 1 and place else ""
        said.append(quantity(what, value) + owner)
    return ", ".join(said)
