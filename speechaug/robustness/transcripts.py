"""What was heard is kept on disk as it comes, so that an evaluation that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Heard(NamedTuple):
    """What a recognizer made of one utterance in one condition.

    Attributes:
        text: as it was returned; empty where it failed.
        error: what went wrong, or None.
        duration_s: length of the audio it heard, in seconds.
        realised: what was measured back of the corruption.
    """

    text: str
    error: str | None
    duration_s: float
    realised: dict[str, float]


class Transcripts:
    """A file to which lines are only ever added: one JSON object for each utterance that was heard.

    What a killed process left half written is cut off, and a line that is no such object is as if it were not there;
    of two lines for the same audio the later counts.

    Args:
        path: of the file, made if missing; None keeps nothing.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "transcripts.jsonl")
        >>> Transcripts(path).add({"k1": Heard("seven", None, 0.5, {})})
        >>> Transcripts(path).get("k1")
        Heard(text='seven', error=None, duration_s=0.5, realised={})
    """

    def __init__(self, path: str | Path | None) -> None:
        """Read what is there."""
        self._path = None if path is None else Path(path)
        self._known: dict[str, Heard] = {}
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
            _cut_torn_line(self._path)
            with self._path.open(encoding="utf-8", errors="replace") as lines:
                self._known = dict(pair for line in lines if (pair := _parse(line)) is not None)

    def get(self, key: str) -> Heard | None:
        """Return what is known under a key of :func:`transcript_key`, or None."""
        return self._known.get(key)

    def add(self, heard: Mapping[str, Heard]) -> None:
        """Write down, in one piece, whatever is not known so already.

        Args:
            heard: by key.
        """
        new = {key: value for key, value in heard.items() if self._known.get(key) != value}
        if self._path is None or not new:
            return
        rows = [{"key": key, **value._asdict()} for key, value in new.items()]
        lines = "".join(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows)
        with self._path.open("ab") as file:
            file.write(lines.encode())
        self._known |= new


def transcript_key(*parts: object) -> str:
    """Identify what was heard by whom: condition, audio, id, draw, seed and recognizer.

    Example:
        >>> transcript_key("a", 1) == transcript_key("a", 1) != transcript_key("a1")
        True
    """
    return hashlib.blake2b(json.dumps([str(part) for part in parts]).encode(), digest_size=16).hexdigest()


def _cut_torn_line(path: Path) -> None:
    with path.open("r+b") as file:
        written = file.read()
        if not written.endswith(b"\n"):
            file.truncate(written.rfind(b"\n") + 1)


def _parse(line: str) -> tuple[str, Heard] | None:
    try:
        row: Any = json.loads(line)
        return str(row.pop("key")), Heard(**row)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
