"""One row per utterance, condition and draw: what was said, what was heard, and the edits between them.

Rows are plain dictionaries, one JSON object a line, and everything a report says is computed from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from speechaug.robustness.metrics import count_characters, count_edits
from speechaug.robustness.normalise import Normaliser

Record = dict[str, Any]

FIELDS = (
    "condition",
    "corruption",
    "family",
    "severity",
    "draw",
    "id",
    "speaker",
    "group",
    "duration_s",
    "reference",
    "hypothesis",
    "reference_raw",
    "hypothesis_raw",
    "substitutions",
    "deletions",
    "insertions",
    "words",
    "char_substitutions",
    "char_deletions",
    "char_insertions",
    "characters",
    "realised",
    "error",
)
"""Keys of a record, in the order they are written."""


_FROM_CONDITION = {"condition": "name", "corruption": "corruption", "family": "family", "severity": "severity"}


class ConditionLike(Protocol):
    """What a record keeps of a condition; those of the suite have it."""

    @property
    def name(self) -> str: ...
    @property
    def corruption(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def severity(self) -> int: ...


def make_record(
    condition: ConditionLike,
    *,
    id: str,
    reference: str,
    hypothesis: str,
    normaliser: Normaliser,
    speaker: str = "",
    group: str | None = None,
    duration_s: float = 0.0,
    draw: int = 0,
    realised: Mapping[str, float] | None = None,
    error: str | None = None,
) -> Record:
    """Normalise both texts, count the edits and put everything known of one utterance into a record.

    Args:
        condition: what was done to the audio.
        id: the utterance.
        reference: what was said, as it was written; empty for an item without speech.
        hypothesis: what was recognized, as the recognizer gave it; empty where it failed.
        normaliser: applied to both texts.
        speaker: who said it.
        group: what the scores are broken down by, such as an accent; None for nothing.
        duration_s: length of the audio that was heard.
        draw: number of the draw of the corruption, from 0.
        realised: what was measured back, such as ``snr_db``.
        error: what went wrong, if the recognizer failed.

    Example:
        >>> from types import SimpleNamespace
        >>> from speechaug.robustness.normalise import get_normaliser
        >>> white = SimpleNamespace(name="white:3", corruption="white", family="noise", severity=3)
        >>> record = make_record(
        ...     white, id="a", reference="One, two!", hypothesis="one too", normaliser=get_normaliser("basic")
        ... )
        >>> record["reference"], record["substitutions"], record["words"], record["characters"]
        ('one two', 1, 2, 7)
    """
    said, heard = normaliser(reference), normaliser(hypothesis)
    words, characters = count_edits(said, heard), count_characters(said, heard)
    return {
        "condition": condition.name,
        "corruption": condition.corruption,
        "family": condition.family,
        "severity": condition.severity,
        "draw": draw,
        "id": id,
        "speaker": speaker,
        "group": group,
        "duration_s": duration_s,
        "reference": said,
        "hypothesis": heard,
        "reference_raw": reference,
        "hypothesis_raw": hypothesis,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "words": words.words,
        "char_substitutions": characters.substitutions,
        "char_deletions": characters.deletions,
        "char_insertions": characters.insertions,
        "characters": characters.words,
        "realised": dict(realised or {}),
        "error": error,
    }


def complete_record(row: Mapping[str, Any], condition: Mapping[str, Any]) -> Record:
    """Make a record of a row of ``recognizer.test_results``, which holds the normalised texts alone, or none.

    Args:
        row: condition, id, speaker, substitutions, deletions, insertions and words; perhaps reference and hypothesis,
            and any other field of a record.
        condition: name, corruption, family and severity.

    Raises:
        ValueError: if the row lacks one of the first.
    """
    needed = ("id", "speaker", "substitutions", "deletions", "insertions", "words")
    missing = [name for name in needed if name not in row]
    if missing:
        raise ValueError(f"Evaluation: results must hold {missing[0]!r}, got {sorted(row)}")
    said, heard = row.get("reference"), row.get("hypothesis")
    characters = None if said is None or heard is None else count_characters(said, heard)
    record = {
        **{name: condition[key] for name, key in _FROM_CONDITION.items()},
        "draw": 0,
        "group": None,
        "duration_s": 0.0,
        "reference": None,
        "hypothesis": None,
        "reference_raw": said,
        "hypothesis_raw": heard,
        "char_substitutions": characters and characters.substitutions,
        "char_deletions": characters and characters.deletions,
        "char_insertions": characters and characters.insertions,
        "characters": characters and characters.words,
        "realised": {},
        "error": None,
        **row,
    }
    return {name: record[name] for name in FIELDS}


def group(records: Iterable[Record], field: str) -> dict[Any, list[Record]]:
    """Part records by a field, in the order its values come, leaving out those that do not state it.

    Example:
        >>> group([{"id": "a", "group": "x"}, {"id": "b", "group": None}], "group")
        {'x': [{'id': 'a', 'group': 'x'}]}
    """
    parts: dict[Any, list[Record]] = {}
    for record in records:
        if record[field] not in (None, ""):
            parts.setdefault(record[field], []).append(record)
    return parts
