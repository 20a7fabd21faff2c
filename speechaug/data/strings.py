"""Connected strings: recordings of one speaker in a row, planned anew each epoch from (seed, epoch) alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechaug.data.manifest import Utterance
from speechaug.rng import Floats, Rng


class Joined(NamedTuple):
    """One row of a batch to come: which recordings, in which order, with which gaps.

    Attributes:
        id: ids of the recordings joined by ``+``, with ``#k`` at the end in pass ``k`` of several.
        parts: places of the recordings in the data set.
        gaps_s: silence after each recording but the last, in seconds.
        duration_s: length of the whole, in seconds.
    """

    id: str
    parts: tuple[int, ...]
    gaps_s: tuple[float, ...]
    duration_s: float


def plan_strings(
    utterances: Sequence[Utterance],
    *,
    concat: tuple[int, int] = (1, 1),
    gap_s: tuple[float, float] = (0.05, 0.3),
    passes: int = 1,
    seed: int = 0,
    epoch: int = 0,
) -> list[Joined]:
    """Join recordings of one speaker so that each is used exactly once in every pass.

    In each pass a speaker's recordings are shuffled and cut into strings of ``concat[0]`` to ``concat[1]``. How many
    strings come out is the same in every epoch, so that epochs have equally many batches. Strings stay within
    ``concat`` unless a speaker has too few recordings for that.

    Args:
        utterances: what to join, with durations.
        concat: least and most recordings in a string; (1, 1) joins nothing.
        gap_s: range of the silence between two recordings, in seconds.
        passes: how many times each recording is used.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        The strings in random order.

    Raises:
        ValueError: if recordings are to be joined and a speaker is unknown.

    Example:
        >>> digits = [Utterance(id=d, audio="", text=d, speaker="ann", duration=0.5) for d in "0123456"]
        >>> strings = plan_strings(digits, concat=(2, 3), seed=7)
        >>> sorted(len(s.parts) for s in strings), sorted("".join(s.id for s in strings).replace("+", ""))
        ([2, 2, 3], ['0', '1', '2', '3', '4', '5', '6'])
    """
    speakers: dict[str, list[int]] = {}
    for index, utterance in enumerate(utterances):
        speakers.setdefault(utterance.speaker, []).append(index)
    if concat[1] > 1 and "" in speakers:
        raise ValueError(
            f"concat: needs to know who speaks, got {len(speakers[''])} utterances without a speaker, "
            f"such as {utterances[speakers[''][0]].id!r}"
        )
    rng = Rng.from_ids(seed=seed, epoch=epoch, ids=[utterance.id for utterance in utterances])
    strings = []
    for number in range(1, passes + 1):
        drawn = rng.fork(f"pass-{number}")
        order, size, gap = drawn.uniform(), drawn.uniform(), drawn.uniform(*gap_s)
        suffix = f"#{number}" if passes > 1 else ""
        for members in speakers.values():
            shuffled = np.asarray(members)[np.argsort(order[members], kind="stable")]
            for parts in _cut(shuffled.tolist(), size, concat):
                strings.append(_join(utterances, parts, gap, suffix))
    shuffle = Rng.from_ids(seed=seed, epoch=epoch, ids=[string.id for string in strings]).fork("order")
    return [strings[index] for index in np.argsort(shuffle.uniform(), kind="stable")]


def _cut(shuffled: list[int], size: Floats, concat: tuple[int, int]) -> list[list[int]]:
    """Cut a speaker's recordings into a number of groups that depends on nothing but how many there are."""
    total, (least, most) = len(shuffled), concat
    fewest = math.ceil(total / most)
    count = min(max(round(2 * total / (least + most)), fewest), max(total // least, fewest))
    least = min(least, total // count)
    sizes = [least + int(size[index] * (most - least + 1)) for index in shuffled[:count]]
    missing = total - sum(sizes)
    # Random sizes rarely add up: lengthen or shorten strings by one, as often as it takes.
    while missing:
        step = 1 if missing > 0 else -1
        for place in range(count):
            if missing and least <= sizes[place] + step <= most:
                sizes[place] += step
                missing -= step
    ends = np.cumsum(sizes).tolist()
    return [shuffled[end - length : end] for end, length in zip(ends, sizes, strict=True)]


def _join(utterances: Sequence[Utterance], parts: list[int], gap: Floats, suffix: str) -> Joined:
    gaps = tuple(float(gap[index]) for index in parts[:-1])
    spoken = sum(utterances[index].duration or 0.0 for index in parts)
    name = "+".join(utterances[index].id for index in parts) + suffix
    return Joined(name, tuple(parts), gaps, spoken + sum(gaps))
