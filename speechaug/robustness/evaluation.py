"""A finished evaluation: every utterance in every condition, and what is needed to run it again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechaug._lines import write_text
from speechaug.robustness.condition_names import conditions_of
from speechaug.robustness.records import FIELDS, Record, complete_record

if TYPE_CHECKING:
    from speechaug.robustness.scores import Scores

RECORDS_FILE, META_FILE = "results.jsonl", "evaluation.json"

_CONDITION_KEYS = ("name", "corruption", "family", "severity", "nominal", "hash", "held_out", "trained")


@dataclass(frozen=True)
class Evaluation:
    """What a recognizer heard in each condition; equal evaluations are equal bytes on disk.

    Args:
        name: of the recognizer, as tables call it.
        meta: plain data: ``suite`` (name, version, subset, hash, sample_rate), ``conditions`` (a list, clean first, of
            name, corruption, family, severity, nominal, hash, held_out, trained), ``seed``, ``draws``, ``normaliser``
            (name, version), ``recognizer`` (kind, fingerprint), ``versions``, ``left_out`` (conditions that need a
            higher sample rate), ``failed``. No times and no paths.
        records: one per utterance, condition and draw; see :data:`speechaug.robustness.records.FIELDS`. They are put
            in the order of condition, draw, id and speaker, however they come in.

    Raises:
        ValueError: if there is no record, one lacks a field, is there twice, or is of a condition that ``meta`` does
            not name.

    Example:
        >>> row = dict(condition="clean", id="a", speaker="ann", reference="one two", hypothesis="one")
        >>> edits = dict(substitutions=0, deletions=1, insertions=0, words=2)
        >>> Evaluation.from_results("mine", [row | edits]).scores().clean.wer.value
        0.5
    """

    name: str
    meta: dict[str, Any]
    records: list[Record]

    def __post_init__(self) -> None:
        _check_meta(self.meta)
        place = {condition["name"]: index for index, condition in enumerate(self.meta["conditions"])}
        _check_records(self.records, place)
        ordered = sorted(self.records, key=lambda r: (place[r["condition"]], r["draw"], r["id"], r["speaker"]))
        object.__setattr__(self, "records", ordered)

    @classmethod
    def from_results(cls, name: str, results: Iterable[Mapping[str, Any]]) -> Evaluation:
        """Take the rows of ``recognizer.test_results``.

        Conditions are in the order they come in. Those named ``noise_10db`` are severities of the corruption
        ``noise``, the loudest the highest; ``white:3`` is severity 3 of ``white``; ``clean`` is clean, and each other
        name is a corruption of its own.

        Args:
            name: of the recognizer.
            results: mappings with ``condition``, ``id``, ``speaker``, ``substitutions``, ``deletions``,
                ``insertions`` and ``words``; with ``reference`` and ``hypothesis`` there are characters too.

        Raises:
            ValueError: as the class.
        """
        rows = list(results)
        conditions = conditions_of(dict.fromkeys(str(row["condition"]) for row in rows))
        known = {condition["name"]: condition for condition in conditions}
        names = "\n".join(known)
        meta = {
            "suite": {
                "name": "test conditions",
                "version": 1,
                "subset": "",
                "hash": hashlib.sha256(names.encode()).hexdigest()[:16],
                "sample_rate": None,
            },
            "conditions": conditions,
            "normaliser": {"name": "text", "version": "1"},
            "draws": 1,
            "seed": 0,
        }
        return cls(name, meta, [complete_record(row, known[str(row["condition"])]) for row in rows])

    @classmethod
    def load(cls, folder: str | Path) -> Evaluation:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: if the folder holds no evaluation.
            ValueError: if a file is damaged, or as the class.
        """
        path = Path(folder, META_FILE)
        if not path.is_file():
            raise FileNotFoundError(f"{folder}: holds no evaluation, no {META_FILE}")
        meta = _read_object(path.read_text(encoding="utf-8"), str(path))
        if "name" not in meta:
            raise ValueError(f"Evaluation: {path} must hold 'name', got {sorted(meta)}")
        return cls(meta.pop("name"), meta, list(read_lines(path.with_name(RECORDS_FILE))))

    def save(self, folder: str | Path) -> Path:
        """Write ``results.jsonl`` and ``evaluation.json`` into a folder, the same bytes for the same evaluation.

        Returns:
            The folder; it is made if it is missing.
        """
        folder = Path(folder)
        write_text(folder / RECORDS_FILE, "".join(f"{_dumps(record)}\n" for record in self.records))
        write_text(folder / META_FILE, _dumps({"name": self.name, **self.meta}, sort_keys=True, indent=2) + "\n")
        return folder

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in order."""
        return tuple(condition["name"] for condition in self.meta["conditions"])

    def only(self, conditions: Sequence[str]) -> Evaluation:
        """Keep some conditions, in the order given.

        Raises:
            ValueError: if one of them is missing.
        """
        known = {condition["name"]: condition for condition in self.meta["conditions"]}
        missing = [name for name in conditions if name not in known]
        if missing:
            raise ValueError(
                f"Evaluation: {self.name!r} must hold the condition {missing[0]!r}, got {sorted(known)}"
            )
        records = [record for record in self.records if record["condition"] in set(conditions)]
        return replace(self, meta={**self.meta, "conditions": [known[name] for name in conditions]}, records=records)

    def scores(self, baseline: Evaluation | None = None) -> Scores:
        """Compute everything that a report shows; see :class:`speechaug.robustness.scores.Scores`.

        Args:
            baseline: another recognizer on the same data and suite, which corruption errors are relative to.

        Raises:
            ValueError: if the baseline was run on other data, conditions or draws, or normalised otherwise.
        """
        from speechaug.robustness.scorer import score

        return score(self, baseline)


def check_comparable(first: Evaluation, other: Evaluation) -> None:
    """Refuse to compare evaluations of different tests.

    Raises:
        ValueError: naming what differs: suite, conditions, normaliser, seed, draws, or the utterances.
    """
    pair = f"evaluations {first.name!r} and {other.name!r} must"
    missing = [name for name in first.conditions if name not in other.conditions]
    if missing:
        held = sorted(other.conditions)
        raise ValueError(f"compare: {other.name!r} must hold the condition {missing[0]!r}, got {held}")
    hashes = [{c["name"]: c["hash"] for c in each.meta["conditions"]} for each in (first, other)]
    for what, one, two in (
        ("suite", first.meta["suite"]["hash"], other.meta["suite"]["hash"]),
        ("conditions", *hashes),
        ("normaliser", first.meta["normaliser"], other.meta["normaliser"]),
        ("seed", first.meta["seed"], other.meta["seed"]),
        ("draws", first.meta["draws"], other.meta["draws"]),
    ):
        if one != two:
            raise ValueError(f"compare: {pair} have the same {what}, got {one!r} and {two!r}")
    tested, retested = ({_place(r): (r["words"], r["reference"]) for r in each.records} for each in (first, other))
    differing = sorted(place for place in {*tested, *retested} if not _same(tested.get(place), retested.get(place)))
    if differing:
        condition, name = differing[0][0], differing[0][2]
        raise ValueError(
            f"compare: {pair} be tested on the same utterances, those of {condition!r} differ, first in {name!r}"
        )


def _same(one: tuple[int, str | None] | None, other: tuple[int, str | None] | None) -> bool:
    """Compare words and reference of an utterance that both were tested on; a text may be unknown."""
    if one is None or other is None:
        return False
    return one[0] == other[0] and (one[1] == other[1] or None in (one[1], other[1]))


def _place(record: Record) -> tuple[str, int, str, str]:
    return record["condition"], record["draw"], record["id"], record["speaker"]


def _check_meta(meta: Mapping[str, Any]) -> None:
    missing = {"suite", "conditions", "normaliser", "seed", "draws"} - set(meta)
    if missing:
        raise ValueError(f"Evaluation: meta must hold {sorted(missing)[0]!r}, got {sorted(meta)}")
    for condition in meta["conditions"]:
        if missing := set(_CONDITION_KEYS) - set(condition):
            raise ValueError(f"Evaluation: conditions must hold {sorted(missing)[0]!r}, got {condition!r}")
    names = [condition["name"] for condition in meta["conditions"]]
    if len(set(names)) < len(names):
        raise ValueError(f"Evaluation: conditions must have different names, got {names}")


def _check_records(records: Sequence[Record], known: Mapping[str, int]) -> None:
    if not records:
        raise ValueError("Evaluation: records must hold at least one utterance, got none")
    for record in records:
        if missing := set(FIELDS) - set(record):
            raise ValueError(f"Evaluation: records must hold {sorted(missing)[0]!r}, got {sorted(record)}")
        if record["condition"] not in known:
            raise ValueError(f"Evaluation: condition must be one of {sorted(known)}, got {record['condition']!r}")
    place, count = Counter(map(_place, records)).most_common(1)[0]
    if count > 1:
        name, _, id, _ = place
        raise ValueError(f"Evaluation: ids must be unique in a condition, got {id!r} {count} times in {name!r}")
    tested = {record["condition"] for record in records}
    if len(tested) < len(known):
        untested = next(name for name in known if name not in tested)
        raise ValueError(f"Evaluation: each condition must hold an utterance, got none in {untested!r}")


def read_lines(path: Path) -> Iterator[Record]:
    """Read a file of records, one JSON object a line.

    Raises:
        ValueError: naming a line that is none.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            yield _read_object(line, f"line {number} of {path}")


def _read_object(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"Evaluation: what is read must be a JSON object, got {where}")
    return found


def _dumps(value: Any, **settings: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, **settings)
