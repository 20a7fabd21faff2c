"""Docstrings of this package as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

_BLOCK = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Shape|By-products|Source|Example):(?: (.*))?")
_FACT = re.compile(r"\b(Shape|Length|Gradient|Silence(?: \([^)]*\))?|By-products): ")
_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data):`~?(?P<name>[\w.]+)`")
_MARKED = re.compile(r"(``.+?``|:[a-z]+:`.+?`)", re.DOTALL)
_ITEM = re.compile(r"(\*{0,2}\w+): ")

Link = Callable[[str], str]
"""From the name of a class or function to Markdown that links to it."""


@dataclass
class Docstring:
    """A docstring in its parts.

    Args:
        summary: its first line.
        paragraphs: what is said before, between and after the sections.
        sections: text of the sections, by heading.
    """

    summary: str
    paragraphs: list[str] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)

    def items(self, heading: str) -> dict[str, str]:
        """Return what a section such as ``Args`` lists: names and what is said of them."""
        found: dict[str, list[str]] = {}
        for line in self.sections.get(heading, "").splitlines():
            begins = None if line.startswith(" ") else _ITEM.match(line)
            if begins:
                found[begins[1]] = [line[begins.end() :]]
            elif found:
                found[next(reversed(found))].append(line.strip())
        return {name: " ".join(lines) for name, lines in found.items()}


def parse(thing: Any) -> Docstring:
    """Take the docstring of a class or function apart.

    Example:
        >>> import speechaug as sa
        >>> parse(sa.Gain).items("Args")["gain_db"]
        'range of the gain, in dB.'
    """
    lines = inspect.cleandoc(thing.__doc__ or "").splitlines()
    text = Docstring(lines[0] if lines else "")
    place = 1
    while place < len(lines):
        begins = _BLOCK.fullmatch(lines[place])
        is_list = begins is not None and not begins[2]
        end = _end_of_block(lines, place + 1) if is_list else _end_of_paragraph(lines, place)
        block = lines[place:end]
        if begins is not None:
            said = [begins[2] or "", *block[1:]]
            text.sections[begins[1]] = inspect.cleandoc("\n".join(said))
        elif any(block):
            text.paragraphs.append("\n".join(block))
        place = max(end, place + 1)
    return text


def _end_of_block(lines: list[str], place: int) -> int:
    while place < len(lines) and (not lines[place] or lines[place].startswith(" ")):
        place += 1
    return place


def _end_of_paragraph(lines: list[str], place: int) -> int:
    while place < len(lines) and lines[place]:
        place += 1
    return place


def prose(text: str, link: Link) -> str:
    """Turn the marks of a docstring's sentences into Markdown's.

    Example:
        >>> prose("Length: kept. See :func:`gain`, ``x`` and 3 * 2.", lambda name: f"[{name}]")
        '**Length:** kept. See [gain], `x` and 3 \\\\* 2.'
    """
    return "".join(_marked(part, link) for part in _MARKED.split(text))


def _marked(part: str, link: Link) -> str:
    """Return one code, one role or the plain text between them."""
    if role := _ROLE.fullmatch(part):
        return link(role["name"])
    return f"`{part[2:-2]}`" if part.startswith("``") else _plain(part)


def _plain(text: str) -> str:
    return _FACT.sub(r"**\1:** ", re.sub(r"([*_<|\[\]])", r"\\\1", text))


def body(text: Docstring, link: Link) -> str:
    """Return what is said outside of the list of arguments and the example."""
    parts = [prose(paragraph, link) for paragraph in text.paragraphs]
    for heading in ("Shape", "By-products", "Returns", "Yields", "Source"):
        if heading in text.sections:
            parts.append(f"**{heading}:** {prose(text.sections[heading], link)}")
    for kind, when in text.items("Raises").items():
        parts.append(f"**Raises** `{kind}` {prose(when, link)}")
    return "\n\n".join(parts)


def example(text: Docstring) -> str:
    """Return the example as a block of code; nothing where there is none."""
    code = text.sections.get("Example", "")
    kind = "pycon" if code.startswith(">>>") else "python"
    return f"```{kind}\n{code}\n```" if code else ""


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", re.sub(r"\s*\n\s*", " ", text))
