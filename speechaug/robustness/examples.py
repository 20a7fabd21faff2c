"""The worst utterances to listen to: before and after, with what each arm heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from speechaug.page.pictures import audio_uri, seconds, spectrogram_uris
from speechaug.robustness.differences import align, worst_records
from speechaug.robustness.records import Record
from speechaug.robustness.results import Results
from speechaug.robustness.words import best_arm, clean_row, condition_label, quantities

Sounds = Callable[[str, str], tuple[ArrayLike, ArrayLike, int]]
"""Gives, for a condition and an utterance, clean samples, corrupted samples and their rate in Hz."""

Heard = Mapping[tuple[str, str], str]


def examples_of(results: Results, sounds: Sounds, count: int) -> Iterable[dict[str, Any]]:
    heard = {
        name: [{(r["condition"], r["id"]): r["hypothesis"] for r in each.records if not r["draw"]} for each in seeds]
        for name, seeds in results.arms.items()
    }
    for record in worst_records(results.arms[best_arm(results.comparison)], count):
        yield _example(record, list(_texts(results, heard, record)), sounds)


def _texts(results: Results, heard: Mapping[str, Sequence[Heard]], record: Record) -> Iterable[tuple[int, str, str]]:
    """What each arm heard, and one alone also without the corruption; training seeds that heard the same as one."""
    clean = clean_row(results.comparison)
    told = [(arm, arm, record["condition"]) for arm in results.comparison.arms]
    if clean and not results.several:
        told = [(told[0][0], "before", clean.name), (told[0][0], "after", record["condition"])]
    for arm, name, condition in told:
        seeds: dict[str, list[str]] = {}
        for number, texts in enumerate(heard[arm], 1):
            if (condition, record["id"]) in texts:
                seeds.setdefault(texts[condition, record["id"]], []).append(str(number))
        for text, numbers in seeds.items():
            which = f", seed{'s' * (len(numbers) > 1)} {', '.join(numbers)}" if len(heard[arm]) > 1 else ""
            yield results.place(arm), f"{name}{which}", text


def _example(record: Record, texts: Sequence[tuple[int, str, str]], sounds: Sounds) -> dict[str, Any]:
    before, after, rate = sounds(record["condition"], record["id"])
    sides = ((before, rate), (after, rate))
    longest = max(map(seconds, sides)) or 1.0
    pictures = spectrogram_uris(*sides)
    return {
        "title": condition_label(record["condition"], record["corruption"], record["severity"]),
        "realised": quantities(record["realised"]),
        "id": record["id"],
        "speaker": record["speaker"],
        "reference": record["reference"],
        "texts": [(place, name, align(record["reference"], text)) for place, name, text in texts],
        "sides": [
            {
                "name": name,
                "picture": picture,
                "audio": audio_uri(*side),
                "seconds": seconds(side),
                "width": 100 * seconds(side) / longest,
                "khz": rate / 2_000,
            }
            for name, picture, side in zip(("before", "after"), pictures, sides, strict=True)
        ],
    }
