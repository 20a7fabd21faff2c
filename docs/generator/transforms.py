"""A page per family of transforms, from their docstrings and fields."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from speechaug import Transform
from speechaug.page.words import MINUS, NBSP, split_unit
from speechaug.transform import Span

from .docstrings import Docstring, Link, body, example, parse, prose, table
from .families import FAMILIES, Family


def overview(link: Link) -> str:
    """Return the page that lists them all."""
    parts = ["# Transforms", INTRODUCTION]
    for family in FAMILIES:
        parts.append(f"## [{family.title}]({family.slug}.md)")
        rows = [(link(cls.__name__), prose(parse(cls).summary, link)) for cls in family.transforms]
        parts.append(table(("transform", "what it does"), rows))
    return "\n\n".join(parts)


INTRODUCTION = """\
Ranges are `(low, high)`; a value is drawn from them for each example, with a probability `p` of its own. A name's
ending is its unit: `_db`, `_hz`, `_ms`, `_s`. The sounds are one utterance of a synthetic voice, each transform at the
strong end of its default ranges; what was drawn stands below.

**Strength** is one axis for all of them: `policy.scaled(0.5)` moves every range half-way to *no effect*, and
`sa.Gain.at(0.5)` lies half-way between *no effect* and *the most* of its table. `speechaug transforms` prints this
list."""


def page(family: Family, link: Link) -> str:
    """Return the page of a family, with a place for the figure of each transform."""
    parts = [f"# {family.title}", family.about]
    parts += [_section(cls, link) for cls in family.transforms]
    return "\n\n".join(parts)


def _section(cls: type[Transform], link: Link) -> str:
    text, name = parse(cls), cls.__name__
    parts = [f"## {name} {{ #{name} }}", f"**{prose(text.summary, link)}**", f"<!-- figure: {name} -->"]
    return "\n\n".join([*parts, _table(cls, text, link), body(text, link), example(text)])


def _table(cls: type[Transform], text: Docstring, link: Link) -> str:
    said = text.items("Args")
    fields = {entry.name: entry for entry in dataclasses.fields(cls)}
    ranges = any("span" in entry.metadata for entry in fields.values())
    head = ("parameter", "default", *["no effect → the most"] * ranges, "meaning")
    rows = [
        (f"`{name}`", _default(fields[name]), *[_reach(fields[name])] * ranges, prose(what, link))
        for name, what in said.items()
    ]
    return table(head, rows)


def _default(entry: dataclasses.Field[Any]) -> str:
    value = entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
    if value is dataclasses.MISSING or entry.name == "members":
        return "needed"
    unit = split_unit(entry.name)[1]
    return f"{_ends(value)}{NBSP}{unit}".rstrip() if isinstance(value, (tuple, float, int)) else f"`{value!r}`"


def _reach(entry: dataclasses.Field[Any]) -> str:
    spread = entry.metadata.get("span")
    if not isinstance(spread, Span):
        return ""
    ends = f"{_number(spread.neutral)} → {_ends(spread.limit)} {split_unit(entry.name)[1]}"
    return ends.rstrip().replace(" ", NBSP)


def _ends(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{NBSP}to{NBSP}".join(dict.fromkeys(map(_number, value))) or "`()`"
    return _number(value)


def _number(value: Any) -> str:
    if isinstance(value, (bool, str)) or not math.isfinite(value):
        return f"`{value!r}`"
    return f"{value:,g}".replace("-", MINUS) if abs(value) < 1e6 else f"{value:g}"
