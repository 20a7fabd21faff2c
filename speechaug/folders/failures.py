"""Why something could not be made, in a line."""

from __future__ import annotations

import errno

from speechaug.folders.items import Item, Made


def failed(item: Item, error: Exception) -> Made:
    """Say that an item could not be made, and why."""
    return Made(item, None, explain(error), is_full(error))


def is_full(error: Exception) -> bool:
    """Say whether an error is that there is no more room to write."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def explain(error: Exception) -> str:
    """Say in a line what went wrong."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"
