"""What a transform of another library is called here: one function for each, with their arguments and defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from speechaug.banks import AUDIO_SUFFIXES, Bank
from speechaug.functional.filter import ORDERS
from speechaug.transform import Range, Transform


class Converted(NamedTuple):
    """A transform of ours and what is not the same; empty where the effect is."""

    transform: Transform
    remark: str = ""


class NoCounterpart(Exception):
    """There is nothing like it here, or not with these arguments; says why."""


Builder = Callable[..., Converted]
B = TypeVar("B", bound=Builder)


class Counterpart(NamedTuple):
    """A class of another library and what it is here.

    Attributes:
        theirs: path of their class.
        ours: name of our class; empty where there is none.
        build: from their arguments, save those that all have; None where there is no class. Its docstring says in
            Markdown which argument becomes what.
        text: that docstring, or why there is no class.
    """

    theirs: str
    ours: str
    build: Builder | None
    text: str


COUNTERPARTS: dict[str, Counterpart] = {}
"""Every transform of audiomentations and torch-audiomentations, by the path of its class."""


def counterpart(theirs: str, ours: str) -> Callable[[B], B]:
    """Enter a function under the class that it converts."""

    def enter(build: B) -> B:
        COUNTERPARTS[theirs] = Counterpart(theirs, ours, build, " ".join((build.__doc__ or "").split()))
        return build

    return enter


def without_counterpart(library: str, reasons: dict[str, str]) -> None:
    """Enter classes that have none, with the reasons."""
    for name, reason in reasons.items():
        COUNTERPARTS[f"{library}.{name}"] = Counterpart(f"{library}.{name}", "", None, reason)


def bank(argument: str, path: Any, sample_rate: int) -> Bank:
    """Return the bank of a folder, given by its path or by a list of it or of all of its files."""
    if not isinstance(path, (str, Path)):
        path = _folder_of(argument, [Path(one) for one in path])
    if not Path(path).is_dir():
        raise FileNotFoundError(f"convert: {argument} must be an existing folder, got {str(path)!r}")
    return Bank(path, sample_rate=sample_rate)


def _folder_of(argument: str, paths: Sequence[Path]) -> Path:
    folder = Path(os.path.commonpath([one if one.is_dir() else one.parent for one in paths]))
    sounds = {file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES}
    if set(paths) not in ({folder}, sounds):
        raise NoCounterpart(f"`{argument}` names some of the files in {folder}, a `Bank` has all of a folder")
    return folder


def within(argument: str, found: Range, low: float, high: float) -> Range:
    """Return a range that has to lie within limits."""
    if not low <= found[0] <= found[1] <= high:
        raise NoCounterpart(f"`{argument}` lies within [{low:g}, {high:g}] here, got {found[0]:g} to {found[1]:g}")
    return found


def order_of(min_rolloff: float, max_rolloff: float) -> tuple[int, str]:
    """Return the order nearest to a range of slopes in dB per octave, and what is not the same."""
    order = min(ORDERS, key=lambda candidate: abs(6 * candidate - (min_rolloff + max_rolloff) / 2.0))
    exact = min_rolloff == max_rolloff == 6 * order
    return order, "" if exact else f"always {6 * order} dB per octave, not {min_rolloff:g} to {max_rolloff:g}"


def band(center_hz: Range, bandwidth_fraction: Range) -> tuple[Range, Range]:
    """Return the ranges of both cut-offs of a band-pass, for the mean of its bandwidths."""
    half = sum(bandwidth_fraction) / 4.0
    low, high = ((center_hz[0] * share, center_hz[1] * share) for share in (1.0 - half, 1.0 + half))
    if low[1] >= high[0]:
        raise NoCounterpart(f"cut-offs of {low[0]:g} to {low[1]:g} Hz and {high[0]:g} to {high[1]:g} Hz overlap")
    return low, high


def shift_ms(shift: Range, unit: str, rollover: bool, sample_rate: int) -> Range:
    """Return the range of a shift in time."""
    if rollover:
        raise NoCounterpart("what leaves at one end does not come back at the other: words would be torn")
    if unit == "fraction":
        raise NoCounterpart("shifts are in ms, not in fractions of the length")
    scale = 1_000.0 if unit == "seconds" else 1_000.0 / sample_rate
    return scale * shift[0], scale * shift[1]


def remarks(*found: str) -> str:
    """Join what is not the same."""
    return "; ".join(filter(None, found))
