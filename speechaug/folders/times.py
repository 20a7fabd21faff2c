"""Where moments of a recording are in its augmented copy, and what becomes of the words spoken there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechaug.draws import Draws
from speechaug.rng import Floats
from speechaug.transform import Transform

Move = Callable[[Floats], Floats]
"""From moments of a source, in seconds, to where they are in its copy; what was cut off lies at the nearest end."""

DIGITS = 6
"""Decimals of seconds that are kept."""

_HALF_A_MOMENT_S = 0.0005


class Piece(NamedTuple):
    """A stretch of a recording that was augmented by itself.

    Attributes:
        first: where it begins in the recording, in samples at the rate of the work.
        length: its samples.
        out_length: samples of what it became.
        draws: what it was augmented with, one row.
    """

    first: int
    length: int
    out_length: int
    draws: Draws


class Word(NamedTuple):
    """A word and when it was said, in seconds.

    Attributes:
        word: as it is written.
        start: where it begins.
        end: where it ends.
    """

    word: str
    start: float
    end: float


def timeline(policy: Transform, pieces: Sequence[Piece], sample_rate: int) -> Move:
    """Return where moments of a recording are in its copy, which is made of augmented pieces, one after another.

    Args:
        policy: that made the copy.
        pieces: in their order, at least one; what lies before the first or beyond the last was cut off.
        sample_rate: of the work, in Hz.

    Example:
        >>> import speechaug as sa
        >>> policy = sa.Speed(factor=(2.0, 2.0))
        >>> draws = policy.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=["u1"]))
        >>> move = timeline(policy, [Piece(8_000, 8_000, 4_000, draws), Piece(16_000, 8_000, 4_000, draws)], 16_000)
        >>> move(np.array([0.2, 0.5, 0.7, 1.3, 9.0])).round(3).tolist()
        [0.0, 0.0, 0.1, 0.4, 0.5]
    """
    starts = np.array([piece.first for piece in pieces]) / sample_rate
    lengths = np.array([piece.length for piece in pieces]) / sample_rate
    before = np.cumsum([0, *(piece.out_length for piece in pieces[:-1])]) / sample_rate

    def move(times_s: Floats) -> Floats:
        which = np.clip(np.searchsorted(starts, times_s, "right") - 1, 0, None)
        within = np.clip(times_s - starts[which], 0.0, lengths[which])
        moved = np.empty_like(within)
        for number in np.unique(which):
            piece, mine = pieces[number], which == number
            warped = policy.warp_times(within[None, mine], [piece.length], piece.draws, sample_rate=sample_rate)
            moved[mine] = before[number] + warped[0].numpy()
        return moved

    return move


def move_spans(spans: Sequence[tuple[float, float]], move: Move) -> tuple[list[tuple[float, float]], list[bool]]:
    """Move spans with the audio, and say of which any is left.

    Args:
        spans: begin and end of each, in seconds; a moment has both at once.
        move: where moments go.

    Returns:
        The spans moved, and whether each is still there, in part at least.

    Example:
        >>> move_spans([(0.0, 0.2), (0.2, 0.4), (0.4, 0.4)], lambda times: np.clip(times - 0.3, 0.0, None))
        ([(0.0, 0.0), (0.0, 0.1), (0.1, 0.1)], [False, True, True])
    """
    ends = np.array(spans, np.float64).reshape(-1, 2)
    moved = _rounded(ends, move)
    is_moment = ends[:, 0] == ends[:, 1]
    around = _rounded(ends + np.array([-_HALF_A_MOMENT_S, _HALF_A_MOMENT_S]), move)
    wide = np.where(is_moment[:, None], around, moved)
    return [(float(start), float(end)) for start, end in moved], (wide[:, 1] > wide[:, 0]).tolist()


def move_rows(rows: Sequence[Mapping[str, Any]], move: Move, where: object) -> list[dict[str, Any]]:
    """Move words in plain data with the audio, whatever else is told of each; those that were cut off are left out.

    Args:
        rows: objects as :func:`read_words` reads them.
        move: where moments go.
        where: for messages.

    Raises:
        ValueError: as :func:`read_words`.
    """
    spans, left = move_spans([word[1:] for word in read_words(rows, where)], move)
    told = zip(rows, spans, left, strict=True)
    return [{**row, "start": start, "end": end} for row, (start, end), stays in told if stays]


def are_timed(value: Any) -> bool:
    """Say whether what stands under ``words`` is meant to have times: a list of objects, not one of texts."""
    return isinstance(value, Sequence) and len(value) > 0 and isinstance(value[0], Mapping)


def read_words(rows: Sequence[Any], where: object) -> list[Word]:
    """Read words with their times from plain data.

    Args:
        rows: objects with ``word`` (or ``text``), ``start`` and ``end`` in seconds.
        where: for messages.

    Raises:
        ValueError: if one is anything else.

    Example:
        >>> read_words([{"word": "seven", "start": 0.25, "end": 0.5, "probability": 0.9}], "u1.json")
        [Word(word='seven', start=0.25, end=0.5)]
    """
    return [_word(row, where) for row in rows]


def _word(row: Any, where: object) -> Word:
    try:
        word = Word(str(row["word"] if "word" in row else row["text"]), float(row["start"]), float(row["end"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: words must have word, start and end in seconds, got {row!r:.80}") from error
    check_span(word.start, word.end, where)
    return word


def check_span(start: float, end: float, where: object) -> None:
    """Refuse times that no recording has; a start barely before 0 is one."""
    if not -1.0 < start <= end < 1e9:  # so that NaN is refused, too
        raise ValueError(f"{where}: must have 0 <= start <= end in seconds, got {start!r} and {end!r}")


def plain_words(words: Sequence[Word]) -> list[Mapping[str, Any]]:
    """Return words as plain data, for a line of a manifest."""
    return [word._asdict() for word in words]


def _rounded(ends: Floats, move: Move) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = np.round(move(ends.reshape(-1)).reshape(-1, 2), DIGITS)
    return moved
