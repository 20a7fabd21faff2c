"""Scores and comparisons as JSON, CSV and Markdown: the same input gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speechaug._lines import write_text
from speechaug.robustness.cells import to_csv
from speechaug.robustness.comparison import Comparison
from speechaug.robustness.markdown import to_markdown
from speechaug.robustness.plain import plain
from speechaug.robustness.scores import Scores

__all__ = ["to_csv", "to_dict", "to_json", "to_markdown", "write_table"]


def to_dict(result: Scores | Comparison) -> dict[str, Any]:
    """Return scores or a comparison as plain data, fit for JSON; rates are fractions.

    An estimate is a mapping of ``value``, ``low`` and ``high``, the latter two None without an interval.
    """
    found: dict[str, Any] = plain(result)
    return found


def to_json(result: Scores | Comparison) -> str:
    """Return scores or a comparison as JSON with sorted keys; numbers have twelve significant digits."""
    return json.dumps(to_dict(result), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_table(path: str | Path, result: Scores | Comparison) -> Path:
    """Write a table in the format that the ending states.

    Args:
        path: ending in ``.json``, ``.csv`` or ``.md``; folders are made.
        result: scores or a comparison.

    Returns:
        The path written.

    Raises:
        ValueError: for another ending.
    """
    target = Path(path)
    formats = {".json": to_json, ".csv": to_csv, ".md": to_markdown}
    if target.suffix not in formats:
        raise ValueError(f"write_table: path must end in {', '.join(formats)}, got {str(path)!r}")
    write_text(target, formats[target.suffix](result))
    return target
