"""A finished evaluation: every utterance in every condition, and what is needed to run it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechaug.robustness.records import Record

if TYPE_CHECKING:
    from speechaug.robustness.scores import Scores

RECORDS_FILE, META_FILE = "results.jsonl", "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """What a recognizer heard in each condition; equal evaluations are equal bytes on disk.

    Args:
        name: of the recognizer, as tables call it.
        meta: plain data: ``suite`` (name, version, subset, hash, sample_rate), ``conditions`` (a list, clean first, of
            name, corruption, family, severity, nominal, hash, held_out, trained), ``data`` (hash of ids and
            transcripts), ``seed``, ``draws``, ``normaliser`` (name, version), ``recognizer`` (kind, fingerprint),
            ``versions``, ``failed``. No times and no paths.
        records: one per utterance, condition and draw; see :data:`speechaug.robustness.records.FIELDS`. They are put
            in the order of condition, draw and id.

    Raises:
        ValueError: if a record lacks a field, is there twice, or is of a condition that ``meta`` does not name.
    """

    name: str
    meta: dict[str, Any]
    records: list[Record]

    @classmethod
    def from_results(cls, name: str, results: Iterable[Mapping[str, Any]]) -> Evaluation:
        """Take the rows of ``recognizer.test_results``, whose conditions are names such as ``noise_10db``."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: str | Path) -> Evaluation:
        """Read what :meth:`save` wrote."""
        raise NotImplementedError

    def save(self, folder: str | Path) -> Path:
        """Write ``results.jsonl`` and ``evaluation.json`` into a folder, the same bytes for the same evaluation."""
        raise NotImplementedError

    def scores(self, baseline: Evaluation | None = None) -> Scores:
        """Compute everything that a report shows; see :class:`speechaug.robustness.scores.Scores`.

        Args:
            baseline: another recognizer on the same data and suite, which corruption errors are relative to.
        """
        raise NotImplementedError
