"""What an evaluation says beside its records: what was tested with what, and what went wrong."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

import speechaug
from speechaug.robustness.records import Record
from speechaug.robustness.spoken import Spoken
from speechaug.robustness.suite import Condition, Suite


def told_of_test(suite: Suite, spoken: Spoken, trained: Mapping[str, bool]) -> dict[str, Any]:
    """Return what is known before anything is heard: conditions, speech, and versions of what computes.

    Args:
        suite: that is tested.
        spoken: what is said.
        trained: which conditions training knew, by name.
    """
    return {
        "suite": {key: getattr(suite, key) for key in ("name", "version", "subset", "hash", "sample_rate")},
        "conditions": [_condition_meta(condition, trained) for condition in suite.conditions],
        "left_out": list(suite.left_out),
        "data": _data_hash(spoken),
        "versions": _versions(),
    }


def told_of_failures(spoken: Iterable[Spoken], records: Iterable[Record]) -> dict[str, Any]:
    """Count what went wrong: recordings by what is the matter with them, records by the kind of error.

    Args:
        spoken: what was heard, each once or more.
        records: of it.
    """
    every = {id(each): each for each in spoken}.values()
    findings = Counter(found.kind for each in every for found in each.findings if found.kind != "resampled")
    errors = Counter(error_kind(record["error"]) for record in records if record["error"] is not None)
    lost = sorted({name for each in every for name in each.lost})
    return {"recordings": dict(sorted(findings.items())), "ids": lost, "recognizer": dict(sorted(errors.items()))}


def error_kind(error: str) -> str:
    """Return the first word of an error, by which it is counted."""
    return error.partition(":")[0]


def _versions() -> dict[str, str]:
    """Return the versions of what computes: codecs and files are libsndfile's, other rates soxr's."""
    import soundfile
    import soxr

    return {
        "speechaug": speechaug.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
        "soxr": soxr.__version__,
    }


def _condition_meta(condition: Condition, trained: Mapping[str, bool]) -> dict[str, Any]:
    keys = ("name", "corruption", "family", "severity", "hash", "held_out")
    return {
        **{key: getattr(condition, key) for key in keys},
        "nominal": dict(condition.nominal),
        "trained": trained.get(condition.name, False),
    }


def _data_hash(spoken: Spoken) -> str:
    said = sorted((row.id, spoken.text(number)) for number, row in enumerate(spoken.rows))
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
