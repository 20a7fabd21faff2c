"""Noisy test sets on disk: where they are, and how they are read back, ours and those of others."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from speechaug import audio
from speechaug._lines import whole_lines
from speechaug.data.manifest import Utterance
from speechaug.data.sources import read_manifest
from speechaug.robustness.foreign import find_sets
from speechaug.robustness.suite import Condition, Suite

SUITE_FILE = "suite.json"
MANIFEST_FILE = "manifest.jsonl"
CHECKSUMS_FILE = "checksums.sha256"
JOURNAL_FILE = ".unfinished.jsonl"
"""Names of the files in a folder of noisy test sets; the last is there until all is done."""


class NoisySet(NamedTuple):
    """One noisy test set.

    Attributes:
        condition: what was done; without a policy.
        utterances: its recordings.
        realised: what was measured back, by the utterance's id; empty for sets of others.
    """

    condition: Condition
    utterances: list[Utterance]
    realised: dict[str, dict[str, float]]


class NoisySets(NamedTuple):
    """A folder of noisy test sets.

    Attributes:
        suite: the conditions; of sets of others its name is that of the folder, its version 0.
        sets: one for each condition, in order.
        seed: of the draws.
        draw: number of the draw.
    """

    suite: Suite
    sets: tuple[NoisySet, ...]
    seed: int = 0
    draw: int = 0


def is_noisy_sets(source: Any) -> bool:
    """Say whether a source is a folder that :func:`corrupt` wrote."""
    return isinstance(source, (str, Path)) and (Path(source) / SUITE_FILE).is_file()


def read_noisy_sets(folder: str | Path, pattern: str | None = None) -> NoisySets:
    """Read a folder of noisy test sets.

    One that :func:`corrupt` wrote is read as it was. In any other, each folder within that holds a table
    (``.jsonl``, ``.csv``, ``.tsv``), fits the pattern or has a layout that :func:`speechaug.read_manifest` knows is a
    condition, named as the folder: ``clean`` is speech as it is, ``white/3`` is severity 3 of ``white``, and of
    ``cafe_10dB`` and ``cafe_0dB`` the second is the severer. ``cafe/-5dB``, ``cafe_SNR-5`` and ``cafe_m5dB`` are at
    -5 dB; ``cafe-5dB`` is at 5 dB. What folders say twice counts once: ``cafe_0dB/0dB`` is ``cafe`` at 0 dB.

    Args:
        folder: which holds the sets.
        pattern: of file names, for sets without tables.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no set, or one that is not finished.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    return _read_ours(folder) if is_noisy_sets(folder) else _read_foreign(folder, pattern)


def folder_of(folder: Path, condition: Condition) -> Path:
    """Return where the set of a condition is."""
    return folder / condition.corruption / str(condition.severity)


def _read_ours(folder: Path) -> NoisySets:
    if (folder / JOURNAL_FILE).exists() or not (folder / CHECKSUMS_FILE).is_file():
        raise ValueError(f"{folder}: is not finished; run corrupt again with the same arguments")
    told = json.loads((folder / SUITE_FILE).read_text(encoding="utf-8"))
    sets = []
    for kept in told["conditions"]:
        saved = {key: value for key, value in kept.items() if key != "hash"}
        condition = Condition(**saved, policy=None, known_hash=kept["hash"])
        path = folder_of(folder, condition) / MANIFEST_FILE
        realised = {row["id"]: row["realised"] for row in whole_lines(path)}
        sets.append(NoisySet(condition, read_manifest(path), realised))
    named = {key: value for key, value in told["suite"].items() if key != "hash"}
    suite = Suite(**named, conditions=tuple(one.condition for one in sets), left_out=tuple(told["left_out"]))
    return NoisySets(suite, tuple(sets), told["seed"], told["draw"])


def _read_foreign(folder: Path, pattern: str | None) -> NoisySets:
    sets = [NoisySet(condition, utterances, {}) for condition, utterances in find_sets(folder, pattern)]
    rates = Counter(audio.info(one.utterances[0].audio).sample_rate for one in sets)
    conditions = tuple(one.condition for one in sets)
    return NoisySets(Suite(folder.resolve().name, 0, "foreign", max(rates), conditions), tuple(sets))
