"""Evaluations of invented recognizers, word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from speechaug.robustness import Evaluation, get_normaliser
from speechaug.robustness.records import make_record

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def condition(name: str, **facts: Any) -> dict[str, Any]:
    """A condition as an evaluation keeps it; ``white:3`` is severity 3 of white noise."""
    corruption, _, severity = name.partition(":")
    known = {
        "name": name,
        "corruption": corruption,
        "family": "clean" if name == "clean" else "noise",
        "severity": int(severity or name != "clean"),
        "nominal": {},
        "hash": f"hash of {name}",
        "held_out": False,
        "trained": False,
    }
    return {**known, **facts}


def evaluation(
    heard: Mapping[str, Sequence[tuple[str, str]]],
    *,
    name: str = "mine",
    speakers: Sequence[str] = ("ann",),
    conditions: Sequence[Mapping[str, Any]] | None = None,
    normaliser: str = "basic",
    draws: int = 1,
    facts: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Pairs of what was said and what was heard, by condition; utterances are named by their place.

    With several draws each condition but clean holds the pairs of one draw after the other.
    """
    listed = [dict(each) for each in conditions or map(condition, heard)]
    rule = get_normaliser(normaliser)
    records = []
    for each in listed:
        pairs = heard[each["name"]]
        size = len(pairs) // (draws if each["severity"] else 1)
        for place, (said, text) in enumerate(pairs):
            place, draw = place % size, place // size
            settings = {"speaker": speakers[place % len(speakers)], "duration_s": 2.0, "draw": draw, **(facts or {})}
            kind = SimpleNamespace(**each)
            records.append(
                make_record(kind, id=f"u{place:03d}", reference=said, hypothesis=text, normaliser=rule, **settings)
            )
    meta = {
        "suite": {"name": "invented", "version": 1, "subset": "tiny", "hash": "0123", "sample_rate": 16_000},
        "conditions": listed,
        "seed": 0,
        "draws": draws,
        "normaliser": rule.to_dict(),
    }
    return Evaluation(name, meta, records)


def misheard(rates: Mapping[str, float], seed: int, *, count: int = 80) -> dict[str, list[tuple[str, str]]]:
    """Random utterances, the same for every seed, of which a share of the words is replaced or lost."""
    texts = [" ".join(np.random.default_rng([7, place]).choice(WORDS, 1 + place % 6)) for place in range(count)]
    rng = np.random.default_rng(seed)
    return {name: [(text, _mishear(text, rate, rng)) for text in texts] for name, rate in rates.items()}


def _mishear(text: str, rate: float, rng: np.random.Generator) -> str:
    words = [str(rng.choice(WORDS)) if rng.random() < rate / 2 else word for word in text.split()]
    return " ".join(word for word in words if rng.random() > rate / 2)
