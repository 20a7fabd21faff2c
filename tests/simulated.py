"""Invented evaluations for tests of the report: recognizers whose errors follow a logistic curve over severity."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.normalise import get_normaliser
from speechaug.robustness.records import make_record

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SPEAKERS = 10

CORRUPTIONS: dict[str, tuple[str, str, tuple[float, ...], float]] = {
    # name: family, what is set, its five values, how hard it is (shift of the logistic curve, in severities)
    "white": ("noise", "snr_db", (20, 15, 10, 5, 0), 0.4),
    "babble": ("noise", "snr_db", (20, 15, 10, 5, 0), 0.9),
    "music": ("noise", "snr_db", (20, 15, 10, 5, 0), 0.0),
    "competing_talker": ("noise", "snr_db", (20, 15, 10, 5, 0), 1.4),
    "reverb": ("room", "t60_s", (0.2, 0.4, 0.6, 0.9, 1.3), 0.2),
    "far_field": ("room", "snr_db", (20, 15, 10, 5, 0), 1.2),
    "telephone": ("channel", "cutoff_hz", (7_000, 5_000, 4_000, 3_400, 2_800), -1.4),
    "mulaw": ("channel", "bits", (8, 7, 6, 5, 4), -0.8),
    "packet_loss": ("fault", "loss", (0.02, 0.05, 0.1, 0.2, 0.3), 0.3),
    "clipping": ("fault", "fraction", (0.05, 0.1, 0.2, 0.4, 0.6), -1.0),
    "pitch_up": ("speaker", "semitones", (1, 2, 4, 6, 9), 0.6),
    "bass": ("spectral", "gain_db", (6, 12, 18, 24, 30), -1.8),
    "street_call": ("compound", "snr_db", (20, 15, 10, 5, 0), 2.0),
}
HELD_OUT = frozenset({"competing_talker", "pitch_up"})


def conditions(names: tuple[str, ...], trained: frozenset[str]) -> list[dict[str, Any]]:
    """What an evaluation says of its conditions: clean, then five severities of each corruption."""
    said: list[dict[str, Any]] = [condition("clean", "clean", "clean", 0, {})]
    for name in names:
        family, what, values, _ = CORRUPTIONS[name]
        said += [condition(f"{name}:{s}", name, family, s, {what: float(v)}) for s, v in enumerate(values, start=1)]
    marked = {"held_out": HELD_OUT, "trained": {name for name in names if CORRUPTIONS[name][0] in trained}}
    return [each | {mark: each["corruption"] in which for mark, which in marked.items()} for each in said]


def condition(name: str, corruption: str, family: str, severity: int, nominal: dict[str, float]) -> dict[str, Any]:
    return {
        "name": name,
        "corruption": corruption,
        "family": family,
        "severity": severity,
        "nominal": nominal,
        "hash": f"{len(corruption):08x}{severity:08x}",
    }


def evaluation(
    name: str = "plain",
    *,
    names: tuple[str, ...] = tuple(CORRUPTIONS),
    skill: float = 0.0,
    utterances: int = 60,
    speakers: int = SPEAKERS,
    trained: frozenset[str] = frozenset(),
    failed: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Simulate an evaluation; ``skill`` moves the curve by so many severities.

    The same ``utterances`` are said by the same ``speakers`` whatever the name, the skill and the seed.
    """
    rng = np.random.default_rng(seed)
    said = conditions(names, trained)
    texts = [" ".join(np.random.default_rng(place).choice(DIGITS, size=6)) for place in range(utterances)]
    records = []
    for each in said:
        hard = CORRUPTIONS[each["corruption"]][3] if each["severity"] else 0.0
        for place, text in enumerate(texts):
            voice = 0.6 * np.sin(place % speakers)
            wrong = 1 / (1 + np.exp(-(0.9 * each["severity"] + 0.7 * hard + voice - skill - 3.4)))
            error = "RuntimeError: no" if len(records) < failed else None
            records.append(_record(each, place, speakers, text, "" if error else _heard(text, wrong, rng), error))
    errors = {"recordings": {}, "ids": [], "recognizer": {"RuntimeError": failed} if failed else {}}
    return Evaluation(name=name, meta=_meta(name, said) | {"failed": errors}, records=records)


def _heard(text: str, wrong: float, rng: np.random.Generator) -> str:
    words: list[str] = []
    for word in text.split():
        chance = rng.random()
        if chance < 0.45 * wrong:
            words.append(str(rng.choice(DIGITS)))
        elif chance >= 0.9 * wrong:
            words.append(word)
        if rng.random() < 0.1 * wrong:
            words.append(str(rng.choice(DIGITS)))
    return " ".join(words)


def _record(
    said: dict[str, Any], place: int, speakers: int, text: str, heard: str, error: str | None
) -> dict[str, Any]:
    return make_record(
        SimpleNamespace(**said),
        id=f"u{place:03d}",
        reference=text,
        hypothesis=heard,
        normaliser=get_normaliser("basic"),
        speaker=f"speaker-{place % speakers}-with-a-name-that-is-wider-than-a-phone",
        duration_s=2.4,
        realised={key: float(value + 0.01 * np.sin(place)) for key, value in said["nominal"].items()},
        error=error,
    )


def _meta(name: str, said: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "suite": {
            "name": "speechaug-C",
            "version": 1,
            "subset": "standard",
            "hash": "9f2c4e1a77b03d58",
            "sample_rate": 16_000,
        },
        "conditions": said,
        "seed": 0,
        "draws": 1,
        "normaliser": get_normaliser("basic").to_dict(),
        "recognizer": {"kind": "function", "fingerprint": name},
        "versions": {"speechaug": "0.1.0", "python": "3.11.2"},
    }
