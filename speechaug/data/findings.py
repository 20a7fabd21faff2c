"""What is the matter with recordings: counted by kind, the first of each named, in one summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from speechaug.data.manifest import shorten

KINDS = {
    "missing": "missing",
    "empty": "empty",
    "unreadable": "unreadable",
    "not_finite": "with NaN or infinite samples",
    "beyond_end": "not within their file",
    "too_short": "too short",
    "too_long": "too long",
    "other_rate": "of another sample rate",
    "resampled": "resampled",
}
"""What each kind is called in the summary, in this order. Only ``resampled`` recordings are used all the same."""


class Finding(NamedTuple):
    """Something that is the matter with a recording.

    Attributes:
        kind: one of ``KINDS``.
        text: which recording, and what it is.
    """

    kind: str
    text: str


def count_left_out(findings: Sequence[Finding]) -> int:
    """Count the recordings that cannot be used.

    Args:
        findings: one for a recording.

    Example:
        >>> count_left_out([Finding("empty", "a.wav: is empty"), Finding("resampled", "b.wav (8000 Hz)")])
        1
    """
    return sum(finding.kind != "resampled" for finding in findings)


def summarize(findings: Sequence[Finding], total: int) -> str:
    """Tell what was found: how many of each kind, and the first ten of them; of those resampled, which are used, three.

    Args:
        findings: one for a recording.
        total: number of recordings looked at.

    Example:
        >>> print(summarize([Finding("too_short", "u7 (0.02 s)"), Finding("empty", "a.wav: is empty (0 bytes)")], 40))
        2 of 40 recordings are left out:
          1 empty: a.wav: is empty (0 bytes)
          1 too short: u7 (0.02 s)
    """
    gone = count_left_out(findings)
    counts = [f"{gone} of {total} recordings are left out"] if gone else []
    if len(findings) > gone:
        counts.append(f"{len(findings) - gone} of {total} recordings are resampled")
    lines = [", ".join(counts) + ":"]
    for kind, name in KINDS.items():
        texts = [finding.text for finding in findings if finding.kind == kind]
        if texts:
            most = 3 if kind == "resampled" else 10
            lines.append(f"  {len(texts)} {name}: {shorten(texts, '; ', most)}")
    return "\n".join(lines)
