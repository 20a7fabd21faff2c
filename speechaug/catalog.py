"""The list of transforms, made from the registry: for the command line and the README."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator

from speechaug import TRANSFORMS

_NAMES = 21  # columns
_WIDEST = 100
_SHARED = ("members", "range_policy", "max_growth", "fuse")


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield name, domain, parameters with their defaults, and the first sentence of the docstring."""
    for name, cls in sorted(TRANSFORMS.items(), key=lambda item: (item[1].__module__, item[0])):
        if cls.__module__.startswith("speechaug."):
            domain = cls.domain if isinstance(cls.domain, str) else "either"
            yield name, domain, ", ".join(_fields(cls)), (cls.__doc__ or "").split("\n")[0].rstrip(".")


def _fields(cls: type) -> Iterator[str]:
    for field in dataclasses.fields(cls):
        if field.name in _SHARED or (field.name == "p" and field.default == 1.0):
            continue
        yield field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default!r}"


def markdown() -> str:
    """Return the list as a Markdown table."""
    head = "| transform | acts on | parameters | effect |\n|---|---|---|---|\n"
    return head + "".join(f"| `{name}` | {domain} | `{fields}` | {text} |\n" for name, domain, fields, text in rows())


def print_transforms(*, markdown_table: bool = False) -> None:
    """List every transform with its parameters, their defaults and units (the names' endings).

    Args:
        markdown_table: print Markdown, as in the README.
    """
    if markdown_table:
        print(markdown(), end="")
        return
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    for wanted, heading in (("waveform", "waveforms"), ("spectrogram", "spectrograms"), ("either", "either")):
        print(f"acts on {heading}\n")
        for name, domain, fields, text in rows():
            if domain == wanted:
                print(_filled(f"{name:<{_NAMES}}{text}", width))
                print(_filled(" " * _NAMES + fields, width) + "\n" * bool(fields))


def _filled(line: str, width: int) -> str:
    return textwrap.fill(line, width, subsequent_indent=" " * _NAMES, break_on_hyphens=False)
