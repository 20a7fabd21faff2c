"""Whole counts of an evaluation summed over blocks, which every rate is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechaug.robustness.bootstrap import Blocks, Estimate, Plan, make_blocks
from speechaug.robustness.metrics import Array, EditCounts, count_edits
from speechaug.robustness.records import Record

_FIELDS = (
    "utterances",
    "failed",
    "wrong",
    "substitutions",
    "deletions",
    "insertions",
    "words",
    "char_substitutions",
    "char_deletions",
    "char_insertions",
    "characters",
    "errors_raw",
    "words_raw",
)
_PLACE = {name: place for place, name in enumerate(_FIELDS)}


def blocks_of(records: Sequence[Record]) -> Blocks:
    """Group the utterances of records; the same name of another speaker is another utterance."""
    return make_blocks({utterance(record): record["speaker"] for record in records})


def utterance(record: Record) -> tuple[str, str]:
    """Return what tells utterances apart: speaker and id."""
    return record["speaker"], record["id"]


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of one arm: an evaluation per training seed.

    Args:
        counts: ``(fields, seeds, conditions, blocks)``, whole numbers.
        has_texts: whether texts are known, and with them characters and what was said before normalisation.
    """

    counts: Array
    has_texts: bool

    @classmethod
    def of(cls, seeds: Sequence[Sequence[Record]], conditions: Sequence[str], blocks: Blocks) -> Tally:
        """Sum the records of each training seed; those of other conditions are left out."""
        place = {name: index for index, name in enumerate(conditions)}
        counts = np.zeros((len(seeds), len(conditions), blocks.count, len(_FIELDS)))
        for seed, records in zip(counts, seeds, strict=True):
            kept = [record for record in records if record["condition"] in place]
            where = [place[record["condition"]] for record in kept], [blocks.index[utterance(r)] for r in kept]
            values = np.array([_counts(record) for record in kept], dtype=np.float64).reshape(-1, len(_FIELDS))
            np.add.at(seed, where, values)
        texts = all(record["characters"] is not None for records in seeds for record in records)
        return cls(np.moveaxis(counts, -1, 0), texts)

    def __getitem__(self, name: str) -> Array:
        values: Array = self.counts[_PLACE[name]]
        return values

    @property
    def errors(self) -> Array:
        """Word errors, ``(seeds, conditions, blocks)``."""
        return self["substitutions"] + self["deletions"] + self["insertions"]

    def rates_by_seed(self) -> Array:
        """Word error rate of each training seed and condition, ``(seeds, conditions)``."""
        rates: Array = self.errors.sum(2) / np.maximum(1.0, self["words"].sum(2))
        return rates

    def total(self, name: str) -> list[int]:
        """Sum over seeds and blocks: a whole number per condition."""
        return [int(value) for value in self[name].sum(axis=(0, 2))]

    def edits(self, kind: str = "") -> list[EditCounts]:
        """Sum the edits of each condition: of words, or with ``"char_"`` of characters."""
        names = [f"{kind}{name}" for name in ("substitutions", "deletions", "insertions")]
        columns = [self.total(name) for name in (*names, "characters" if kind else "words")]
        return [EditCounts(*values) for values in zip(*columns, strict=True)]


@dataclass(frozen=True, eq=False)
class Rated:
    """Rates in every resample, ``(rows, conditions)``, and an estimate per condition; CER and raw WER need texts."""

    wer: Array
    sentence_error: Array
    cer: Array | None
    estimates: dict[str, list[Estimate]]

    @classmethod
    def of(cls, tally: Tally, plan: Plan) -> Rated:
        """Divide the counts under a plan."""
        fractions = {"wer": (tally.errors, tally["words"]), "sentence_error": (tally["wrong"], tally["utterances"])}
        if tally.has_texts:
            characters = tally["char_substitutions"] + tally["char_deletions"] + tally["char_insertions"]
            fractions["cer"] = characters, tally["characters"]
            fractions["wer_raw"] = tally["errors_raw"], tally["words_raw"]
        most = {"sentence_error": 1.0}  # a share; insertions take the others beyond 1
        rates = {name: plan.rate(*each, most=most.get(name, math.inf)) for name, each in fractions.items()}
        arrays = {name: values for name, (values, _) in rates.items()}
        estimates = {name: each for name, (_, each) in rates.items()}
        return cls(arrays["wer"], arrays["sentence_error"], arrays.get("cer"), estimates)

    def estimate(self, name: str, place: int) -> Estimate | None:
        """Return an estimate of one condition; None where texts are missing."""
        return self.estimates[name][place] if name in self.estimates else None


def _counts(record: Record) -> list[Any]:
    edits = [record["substitutions"], record["deletions"], record["insertions"]]
    if record["characters"] is None:
        texts = [0] * 6
    else:
        raw = _raw_edits(record)
        characters = [record[f"char_{kind}"] for kind in ("substitutions", "deletions", "insertions")]
        texts = [*characters, record["characters"], raw.errors, raw.words]
    return [1, record["error"] is not None, sum(edits) > 0, *edits, record["words"], *texts]


def _raw_edits(record: Record) -> EditCounts:
    said, heard = record["reference_raw"], record["hypothesis_raw"]
    if (said, heard) == (record["reference"], record["hypothesis"]):
        return EditCounts(record["substitutions"], record["deletions"], record["insertions"], record["words"])
    return count_edits(said, heard)
