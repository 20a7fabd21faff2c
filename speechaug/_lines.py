"""Lines of JSON, and files that appear under their names only when they are complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False).encode


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a file, and the file its own when all was well; an existing one is replaced.

    Args:
        path: of the file; its folder must be there.
    """
    # Short, because the name of the file may be as long as names can be.
    temporary = path.with_name(f".{os.urandom(16).hex()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file of text; folders on the way are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as temporary:
        temporary.write_bytes(encoded(text))


def line(row: Mapping[str, Any]) -> str:
    """Return a row as a line of JSON."""
    return _encode(row) + "\n"


def encoded(text: str) -> bytes:
    """Encode JSON; bytes of a file name that are no UTF-8 as the escapes that JSON has for them."""
    return text.encode("utf-8", "backslashreplace")


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file whose last line may have been cut off."""
    with path.open("rb") as file:
        for text in file:
            try:
                yield json.loads(text)
            except ValueError:
                continue
