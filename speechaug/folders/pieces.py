"""Long recordings in pieces, each an example of its own, so that memory has a bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from speechaug.audio import FloatArray, to_int16

LONGEST_S = 40.0
"""A recording that is no longer is one piece."""

CUT_S = (20.0, 30.0)
"""A longer one is cut where it is quietest between these, until no more than the longest is left."""

_FRAME_S = 0.020


def cut(blocks: Iterable[FloatArray], sample_rate: int) -> Iterator[FloatArray]:
    """Cut a recording into pieces; where it is cut depends on its samples alone, not on how they come.

    Args:
        blocks: of the recording, one after the other.
        sample_rate: in Hz.

    Shape: ``(C, T)`` each.    Length: 20 to 30 s, the last 10 to 40 s; a recording of at most 40 s is one piece.

    Example:
        >>> ramp = np.arange(100, 0, -1, dtype=np.float32)[None].repeat(100, axis=1) / 100.0
        >>> [piece.shape[1] for piece in cut([ramp[:, :7_000], ramp[:, 7_000:]], sample_rate=100)]
        [2901, 2999, 2901, 1199]
    """
    longest = round(LONGEST_S * sample_rate)
    held: FloatArray | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        while held.shape[1] > longest:
            at = _quietest(held, sample_rate)
            yield held[:, :at]
            held = held[:, at:]
    if held is not None:
        yield held


def _quietest(samples: FloatArray, sample_rate: int) -> int:
    """Return the middle of the quietest frame, by sums of integers, which are the same on every machine."""
    first, end = (round(seconds * sample_rate) for seconds in CUT_S)
    frame = max(1, round(_FRAME_S * sample_rate))
    count = (end - first) // frame
    window = to_int16(samples[:, first : first + count * frame]).astype(np.int64)
    energies = (window**2).reshape(len(samples), count, frame).sum(axis=(0, 2))
    return first + int(energies.argmin()) * frame + frame // 2
