"""Praat TextGrids: read in the long and the short form, moved with the audio, written in the long form."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from speechaug.folders.times import Move, Word, check_span, move_spans

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?[\d.]+(?:[eE][-+]?\d+)?)(?!\S)|<exists>|![^\n]*')
"""What Praat reads of a text file; anything else in it is a comment for people."""

_SILENCE = frozenset({"", "sil", "sp", "<eps>", "<sil>", "<p:>"})
"""Labels under which aligners write that nothing is said."""


class Label(NamedTuple):
    """A label of a tier.

    Attributes:
        start: where it begins, in seconds.
        end: where it ends; for a point the same.
        text: what it says.
    """

    start: float
    end: float
    text: str


class Tier(NamedTuple):
    """A tier of a TextGrid.

    Attributes:
        name: of the tier.
        labels: in their order.
        points: whether its labels are moments.
    """

    name: str
    labels: Sequence[Label]
    points: bool = False


def read_textgrid(content: bytes, where: object) -> list[Tier]:
    """Read the tiers of a TextGrid.

    Both forms hold the same numbers and quoted texts in the same order, and what stands between is not read, as in
    Praat.

    Args:
        content: of the file: UTF-8, or UTF-16 with its mark.
        where: for messages.

    Raises:
        ValueError: if it is no TextGrid, or ends too early.

    Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html

    Example:
        >>> short = b'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "words" 0 1 1 0 1 "seven"'
        >>> read_textgrid(short, "u1.TextGrid")
        [Tier(name='words', labels=[Label(start=0.0, end=1.0, text='seven')], points=False)]
    """
    encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        tokens = _tokens(content.decode(encoding))
        if [next(tokens), next(tokens)] != ["ooTextFile", "TextGrid"]:
            raise ValueError("its first lines do not say so")
        _floats(tokens, 2)
        return [_tier(tokens) for _ in range(_count(tokens))]
    except StopIteration:
        raise ValueError(f"{where}: is not a whole TextGrid, it ends too early") from None
    except (ValueError, OverflowError) as error:  # UnicodeDecodeError, and endlessly many tiers, too
        raise ValueError(f"{where}: is not a TextGrid ({error})") from error


def words_of(tiers: Sequence[Tier]) -> list[Word]:
    """Return the words of a TextGrid: the labels of the tier ``words``, or of its only tier of intervals.

    Args:
        tiers: of the TextGrid; a name may have the speaker in front, as in ``ann - words``.

    Returns:
        What is said, without silences; nothing where it cannot be told which tier that is.
    """
    intervals = [tier for tier in tiers if not tier.points]
    named = [tier for tier in intervals if tier.name.lower().rpartition(" ")[2] in ("word", "words")]
    chosen = named[:1] or (intervals if len(intervals) == 1 else [])
    labels = [label for tier in chosen for label in tier.labels]
    return [Word(text, start, end) for start, end, text in labels if text.strip().lower() not in _SILENCE]


def move_tiers(tiers: Sequence[Tier], move: Move, duration_s: float) -> list[Tier]:
    """Move every label with the audio; those that were cut off are left out, and gaps are filled with empty ones.

    Args:
        tiers: of the source.
        move: where moments go.
        duration_s: of the copy.
    """
    return [_moved(tier, move, duration_s) for tier in tiers]


def write_textgrid(tiers: Sequence[Tier], duration_s: float) -> bytes:
    """Write a TextGrid in the long form, UTF-8.

    Args:
        tiers: whose intervals follow one another from 0 to the end.
        duration_s: of the recording.
    """
    header = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {duration_s!r}"]
    lines = [*header, "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, tier in enumerate(tiers, start=1):
        kind, labels = ("TextTier", "points") if tier.points else ("IntervalTier", "intervals")
        lines += [f"    item [{number}]:", f'        class = "{kind}"', f"        name = {_quoted(tier.name)}"]
        lines += ["        xmin = 0", f"        xmax = {duration_s!r}", f"        {labels}: size = {len(tier.labels)}"]
        for place, (start, end, text) in enumerate(tier.labels, start=1):
            lines.append(f"        {labels} [{place}]:")
            times = [f"number = {start!r}"] if tier.points else [f"xmin = {start!r}", f"xmax = {end!r}"]
            mark = "mark" if tier.points else "text"
            lines += [f"            {line}" for line in (*times, f"{mark} = {_quoted(text)}")]
    return ("\n".join(lines) + "\n").encode()


def _tokens(text: str) -> Iterator[str | float]:
    for found in _TOKEN.finditer(text):
        quoted, number = found.groups()
        if quoted is not None:
            yield quoted.replace('""', '"')
        elif number is not None:
            yield float(number)


def _tier(tokens: Iterator[str | float]) -> Tier:
    kind, name = next(tokens), next(tokens)
    if kind not in ("IntervalTier", "TextTier") or not isinstance(name, str):
        raise ValueError(f"tiers must be IntervalTier or TextTier, got {kind!r}")
    _floats(tokens, 2)
    points = kind == "TextTier"
    return Tier(name, [_label(tokens, points) for _ in range(_count(tokens))], points)


def _label(tokens: Iterator[str | float], points: bool) -> Label:
    times = _floats(tokens, 1 if points else 2)
    text = next(tokens)
    if not isinstance(text, str):
        raise ValueError(f"a label must be a text, got {text!r}")
    check_span(times[0], times[-1], f"label {text!r}")
    return Label(times[0], times[-1], text)


def _floats(tokens: Iterator[str | float], count: int) -> list[float]:
    found = [next(tokens) for _ in range(count)]
    numbers = [number for number in found if isinstance(number, float)]
    if len(numbers) < count:
        raise ValueError(f"a time must be a number, got {found}")
    return numbers


def _count(tokens: Iterator[str | float]) -> int:
    return int(_floats(tokens, 1)[0])


def _moved(tier: Tier, move: Move, duration_s: float) -> Tier:
    spans, left = move_spans([label[:2] for label in tier.labels], move)
    kept = [
        Label(start, min(end, duration_s), label.text)
        for label, (start, end), stays in zip(tier.labels, spans, left, strict=True)
        if stays
    ]
    return tier._replace(labels=kept if tier.points else list(_filled(kept, duration_s)))


def _filled(labels: Sequence[Label], duration_s: float) -> Iterator[Label]:
    """Yield the labels of intervals with empty ones in the gaps: Praat wants every moment to lie in one."""
    ends = [Label(0.0, 0.0, ""), *labels, Label(duration_s, duration_s, "")]
    for before, label in pairwise(ends):
        if label.start > before.end:
            yield Label(before.end, label.start, "")
        if label.end > label.start:
            yield label


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
