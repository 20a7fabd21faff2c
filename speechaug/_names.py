"""File names made of ids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

_LONGEST = 100


def file_names(ids: Iterable[str], *, folders: bool = False) -> Iterator[str]:
    """Make a file name of each id: readable, safe anywhere, and different where upper and lower case are the same.

    Args:
        ids: different from each other.
        folders: whether ``/`` in an id stands between folders.

    Example:
        >>> list(file_names(["u1", "ann/u 2"])), list(file_names(["ann/u2", "../u3"], folders=True))
        (['u1', 'ann_u_2-2f20ddd6'], ['ann/u2', 'u3-8cc263b3'])
    """
    taken: set[str] = set()
    for name in ids:
        parts = [_plain(part) for part in (name.split("/") if folders else [name])]
        plain = "/".join(filter(None, parts))
        if not plain or plain != name or plain.casefold() in taken:
            plain = f"{plain}-{hashlib.blake2b(name.encode(errors='surrogateescape'), digest_size=4).hexdigest()}"
        taken.add(plain.casefold())
        yield plain


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:_LONGEST]
