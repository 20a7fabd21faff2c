"""CTM files of NIST: a line for each word, with its recording, channel, begin and duration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from speechaug.folders.times import Move, Word, check_span, move_spans

_DECIMALS = 4


class Line(NamedTuple):
    """A line of a CTM file.

    Attributes:
        name: of the recording or utterance.
        channel: of it.
        word: and when it was said.
        rest: what else the line says, such as a confidence.
    """

    name: str
    channel: str
    word: Word
    rest: str = ""


def read_ctm(content: bytes, where: object) -> list[Line]:
    """Read the lines of a CTM file; comments (``;;``) are left out.

    Args:
        content: of the file, UTF-8.
        where: for messages.

    Raises:
        ValueError: if a line is malformed, named with its number.

    Source: NIST, ``sctk``, description of the ctm format.

    Example:
        >>> read_ctm(b"u1 1 0.25 0.5 seven 0.93", "u1.ctm")
        [Line(name='u1', channel='1', word=Word(word='seven', start=0.25, end=0.75), rest='0.93')]
    """
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    numbered = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    return [_line(line, f"{where}:{number}") for number, line in numbered if line and not line.startswith(";;")]


def move_lines(lines: Sequence[Line], move: Move, name: str) -> list[Line]:
    """Move the words of one recording with its audio; those that were cut off are left out.

    Args:
        lines: of the recording.
        move: where moments go.
        name: of the copy.
    """
    spans, left = move_spans([line.word[1:] for line in lines], move)
    return [
        line._replace(name=name, word=Word(line.word.word, *span))
        for line, span, stays in zip(lines, spans, left, strict=True)
        if stays
    ]


def write_ctm(lines: Iterable[Line]) -> bytes:
    """Write a CTM file, UTF-8."""
    return "".join(f"{_cells(line)}\n" for line in lines).encode()


def words_of(lines: Sequence[Line]) -> list[Word]:
    """Return the words of a recording, without ``<eps>``, which stands for silence."""
    return [line.word for line in lines if line.word.word != "<eps>"]


def _cells(line: Line) -> str:
    word, start, end = line.word
    times = f"{start:.{_DECIMALS}f} {end - start:.{_DECIMALS}f}"
    return " ".join(filter(None, (line.name, line.channel, times, word, line.rest)))


def _line(text: str, where: str) -> Line:
    cells = text.split(maxsplit=5)
    try:
        name, channel, begin, duration, word = cells[:5]
        start, length = float(begin), float(duration)
    except ValueError as error:
        raise ValueError(f"{where}: must be recording, channel, begin, duration and word, got {text!r:.80}") from error
    check_span(start, start + length, where)
    return Line(name, channel, Word(word, start, start + length), "".join(cells[5:]))
