"""Which words were heard otherwise: an alignment to look at, and the utterances that went wrong most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.records import Record
from speechaug.robustness.tally import utterance


class Word(NamedTuple):
    """A place of an alignment: ``kind`` is ``same``, ``subs``, ``dels`` or ``inss``; one of the words may be empty."""

    kind: str
    said: str
    heard: str


_KINDS = {"equal": "same", "substitute": "subs", "delete": "dels", "insert": "inss"}


def align(reference: str, hypothesis: str) -> list[Word]:
    """Align two texts word by word, with as few edits as possible.

    Source: Levenshtein (1966), as implemented by jiwer.

    Example:
        >>> [tuple(word) for word in align("one two three", "one too")]
        [('same', 'one', 'one'), ('subs', 'two', 'too'), ('dels', 'three', '')]
    """
    import jiwer

    aligned = jiwer.process_words(reference, hypothesis)
    said, heard = reference.split(), hypothesis.split()
    words = []
    for chunk in aligned.alignments[0]:
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        count = max(len(left), len(right))
        left, right = left + [""] * (count - len(left)), right + [""] * (count - len(right))
        words += [Word(_KINDS[chunk.type], *pair) for pair in zip(left, right, strict=True)]
    return words


def worst_records(seeds: Sequence[Evaluation], count: int) -> list[Record]:
    """Choose what to listen to: where half of the words are wrong at the lowest severity.

    Each utterance is chosen once, and the corruptions share the places evenly.

    Args:
        seeds: evaluations of one recognizer, one per training seed, whose errors count together.
        count: how many.

    Returns:
        Records of the first seed.
    """
    heard: dict[tuple[str, ...], list[Record]] = {}
    for record in chain.from_iterable(each.records for each in seeds):
        if record["severity"] and record["reference"] and not record["draw"]:
            heard.setdefault((record["condition"], *utterance(record)), []).append(record)
    wrong = [each for each in heard.values() if any(map(_errors, each)) and all(r["error"] is None for r in each)]
    records = [each[0] for each in sorted(wrong, key=_how_bad)]
    corruptions = {record["corruption"] for record in records}
    return list(_shared_evenly(records, count, -(-count // max(1, len(corruptions)))))


def _errors(record: Record) -> int:
    return int(record["substitutions"] + record["deletions"] + record["insertions"])


def _how_bad(heard: Sequence[Record]) -> tuple[bool, int, float, str, str]:
    first, rate = heard[0], min(1.0, sum(map(_errors, heard)) / sum(record["words"] for record in heard))
    return rate < 0.5, first["severity"] if rate >= 0.5 else 0, -rate, first["condition"], first["id"]


def _shared_evenly(records: Sequence[Record], count: int, most: int) -> Iterator[Record]:
    used: Counter[tuple[str, str]] = Counter()
    for record in records:
        corruption, utterance = ("corruption", record["corruption"]), ("id", record["id"])
        if used.total() < 2 * count and used[corruption] < most and not used[utterance]:
            used.update((corruption, utterance))
            yield record
