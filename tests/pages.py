"""Pages read by a parser that is not ours."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
import soundfile
from matplotlib.image import imread


class Page(HTMLParser):
    """Every tag with its attributes, and whether what was opened was closed."""

    VOID = frozenset({"meta", "img", "br", "wbr", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def decoded(uri: str | None) -> io.BytesIO:
    """What a data URI holds."""
    return io.BytesIO(base64.b64decode((uri or "").partition("base64,")[2], validate=True))


def sound(uri: str | None) -> tuple[np.ndarray, int]:
    """Samples ``(T, C)`` of a data URI and their rate."""
    samples, rate = soundfile.read(decoded(uri), always_2d=True)
    return samples, rate


def picture(uri: str | None) -> np.ndarray:
    """Colours ``(rows, columns, 3)`` of a data URI, from 0 to 1."""
    return imread(decoded(uri), format="png")[..., :3]
