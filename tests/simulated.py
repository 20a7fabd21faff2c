"""Invented evaluations for tests of the report: recognizers whose errors follow a logistic curve over severity."""

from __future__ import annotations

from typing import Any

import numpy as np

from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.metrics import count_edits

DIGITS = "zero one two three four five six seven eight nine".split()
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


def conditions(names: tuple[str, ...] = tuple(CORRUPTIONS), trained: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """What an evaluation says of its conditions: clean, then five severities of each corruption."""
    said: list[dict[str, Any]] = [condition("clean", "clean", "clean", 0, {})]
    for name in names:
        family, what, values, _ = CORRUPTIONS[name]
        said += [condition(f"{name}:{s}", name, family, s, {what: float(v)}) for s, v in enumerate(values, start=1)]
    return [{**each, "held_out": each["corruption"] in HELD_OUT, "trained": each["family"] in trained} for each in said]


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
            heard = _heard(text, wrong, rng)
            records.append(_record(each, place, speakers, text, heard))
    for record in records[:failed]:
        record |= _record(said[0], int(record["id"][1:]), speakers, record["reference"], "") | {"error": "RuntimeError: no"}
    return Evaluation(name=name, meta=_meta(name, said, failed), records=records)


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


def _record(said: dict[str, Any], place: int, speakers: int, text: str, heard: str) -> dict[str, Any]:
    words, letters = count_edits(text, heard), count_edits(" ".join(text), " ".join(heard))
    realised = {key: value + 0.01 * np.sin(place) for key, value in said["nominal"].items()}
    return {
        **{key: said[key] for key in ("corruption", "family", "severity")},
        "condition": said["name"],
        "draw": 0,
        "id": f"u{place:03d}",
        "speaker": f"s{place % speakers}",
        "group": "",
        "duration_s": 2.4,
        "reference": text,
        "hypothesis": heard,
        "reference_raw": text,
        "hypothesis_raw": heard,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "words": words.words,
        "char_substitutions": letters.substitutions,
        "char_deletions": letters.deletions,
        "char_insertions": letters.insertions,
        "characters": letters.words,
        "realised": {key: float(value) for key, value in realised.items()},
        "error": None,
    }


def _meta(name: str, said: list[dict[str, Any]], failed: int) -> dict[str, Any]:
    return {
        "suite": {"name": "speechaug-C", "version": 1, "subset": "standard", "hash": "9f2c4e1a77b03d58", "sample_rate": 16_000},
        "conditions": said,
        "seed": 0,
        "draws": 1,
        "normaliser": {"name": "basic", "version": 1},
        "recognizer": {"kind": "function", "fingerprint": name},
        "versions": {"speechaug": "0.1.0", "python": "3.11.2"},
        "failures": failed,
    }
