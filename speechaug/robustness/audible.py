"""What was heard in an evaluation, to be heard again: rendered anew, or read from noisy test sets."""

from __future__ import annotations

from typing import Any

from speechaug import audio
from speechaug.audio import FloatArray
from speechaug.data.conditions import resolve_suite
from speechaug.data.manifest import Utterance
from speechaug.data.sources import Source
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.examples import Sounds
from speechaug.robustness.render import render
from speechaug.robustness.results import Results
from speechaug.robustness.sets import is_noisy_sets, read_noisy_sets
from speechaug.robustness.spoken import read_spoken
from speechaug.robustness.suite import NAME


def sounds_of(
    results: Results, data: Source, noise: str | None = None, rooms: str | None = None, pattern: str | None = None
) -> Sounds | None:
    """Return what gives the sounds of an evaluation, before and after.

    Args:
        results: whose baseline tells what was heard.
        data: what was evaluated: recordings, or noisy test sets.
        noise: folder that was used instead of the suite's own noise.
        rooms: folder that was used instead of the suite's own rooms.
        pattern: of file names, for folders.

    Returns:
        The sounds; None for noisy test sets without all the clean speech, of the same names.

    Raises:
        ValueError: if these are not the sounds that were heard.
    """
    evaluation = results.arms[results.comparison.baseline][0]
    if is_noisy_sets(data) or evaluation.meta["suite"]["subset"] == "foreign":
        return _of_sets(evaluation, data, pattern)
    return _rendered(evaluation, data, noise, rooms, pattern)


def _of_sets(evaluation: Evaluation, folder: Any, pattern: str | None) -> Sounds | None:
    noisy, said = read_noisy_sets(folder, pattern), evaluation.meta["suite"]
    if noisy.suite.hash != said["hash"]:
        raise ValueError(
            f"report: data must be the noisy test sets of the evaluation, whose suite has the hash {said['hash']}, "
            f"got {noisy.suite.hash}"
        )
    sets = {each.condition.name: {one.id: one for one in each.utterances} for each in noisy.sets}
    clean, rate = sets.get("clean", {}), noisy.suite.sample_rate
    heard = {record["id"] for record in evaluation.records if record["condition"] == "clean"}
    if not heard.issuperset(record["id"] for record in evaluation.records):
        return None

    def before_and_after(condition: str, utterance: str) -> tuple[FloatArray, FloatArray, int]:
        before, after = (_read(each[utterance], rate) for each in (clean, sets[condition]))
        return before, after, rate

    return before_and_after


def _read(said: Utterance, rate: int) -> FloatArray:
    return audio.read(said.audio, sample_rate=rate, offset_s=said.offset, duration_s=said.duration)[0]


def _rendered(
    evaluation: Evaluation, data: Source, noise: str | None, rooms: str | None, pattern: str | None
) -> Sounds:
    said, seed = evaluation.meta["suite"], evaluation.meta["seed"]
    if said["name"] != NAME:
        raise ValueError(f"report: data must be None where conditions are not those of {NAME}, got {data!r}")
    rate, names = int(said["sample_rate"]), evaluation.conditions
    suite = resolve_suite(names if said["subset"] == "chosen" else said["subset"], rate, noise, rooms)
    if suite.hash != said["hash"]:
        raise ValueError(
            "report: noise and rooms must be those of the evaluation, whose suite has the hash "
            f"{said['hash']}, got {suite.hash}"
        )
    spoken = read_spoken(data, rate, pattern=pattern)
    places = {row.id: place for place, row in enumerate(spoken.rows)}

    def before_and_after(condition: str, utterance: str) -> tuple[Any, Any, int]:
        if utterance not in places:
            raise ValueError(f"report: data must hold the utterance {utterance!r} that was evaluated, got {data!r}")
        before = spoken.samples(places[utterance])
        return before, render(suite[condition], before, rate, id=utterance, seed=seed).samples, rate

    return before_and_after
