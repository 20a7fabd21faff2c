"""Any recognizer on any speech in every condition of the suite, streamed, kept on disk, and the same each time."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speechaug._progress import progress_bar
from speechaug.data.conditions import BankSource, PolicySource, SuiteSource, resolve_policy, resolve_suite
from speechaug.data.findings import summarize
from speechaug.data.manifest import shorten
from speechaug.data.sources import Source
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.listening import Listening, Part
from speechaug.robustness.meta import error_kind, told_of_failures, told_of_test
from speechaug.robustness.normalise import Normaliser, get_normaliser
from speechaug.robustness.recognizers import Devices, as_recognizer
from speechaug.robustness.records import Record, make_record
from speechaug.robustness.sets import NoisySets, is_noisy_sets, read_noisy_sets
from speechaug.robustness.spoken import Spoken, read_spoken
from speechaug.robustness.suite import Suite
from speechaug.robustness.trained import check_clips, tell_known, trained_marks
from speechaug.robustness.transcripts import Heard, Transcripts

TRANSCRIPTS_FILE = "transcripts.jsonl"
"""Name of the cache in the output folder."""


def evaluate(
    transcribe: Any,
    data: Source,
    *,
    suite: SuiteSource | None = "standard",
    sample_rate: int | None = None,
    seed: int = 0,
    draws: int = 1,
    batch_size: int = 16,
    workers: int | None = None,
    noise: BankSource = None,
    rooms: BankSource = None,
    normaliser: str = "basic",
    output: str | Path | None = None,
    cache: str | Path | None = None,
    name: str | None = None,
    limit: int | None = None,
    policy: PolicySource = None,
    devices: Devices = "auto",
    progress: bool | None = None,
    pattern: str | None = None,
    groups: Mapping[str, str] | None = None,
) -> Evaluation:
    """Measure how robust a recognizer is: every utterance in every condition of a suite, and what was heard of it.

    Each utterance is corrupted alone, from (suite version, seed, id, condition), so that every recognizer, batch size
    and number of workers hears the same audio. Audio streams: memory does not grow with the data. With ``output`` or
    ``cache`` transcripts are kept as they come, and a run that was stopped goes on where it was, to the same bytes.

    What a recognizer cannot do is counted and does not stop it: where it raises on a batch, its utterances are tried
    one by one; where it returns something else than a text, or too many or too few, the hypothesis counts as empty and
    the record says why. Only if it fails on everything from the beginning, this is an error. Recordings that are
    missing, corrupt or hold NaN are left out, named in a warning and counted in ``meta["failed"]``.

    Args:
        transcribe: a function from a list of float32 waveforms ``(T,)`` to their texts, or any other recognizer, see
            :func:`speechaug.robustness.recognizers.as_recognizer`.
        data: what :func:`speechaug.read_manifest` reads; a ``SpeechDataModule``, whose test side is taken; or a folder
            of noisy test sets made by ``speechaug corrupt``. An utterance without a transcript is one in which nobody
            speaks: whatever is heard is invented.
        suite: ``tiny``, ``standard``, ``full``, ``srb``, names of conditions, or a suite; None if ``data`` is a folder
            whose folders are noisy test sets of other makers, one a condition.
        sample_rate: what a function hears, in Hz; None for its attribute ``sample_rate``, or 16,000.
        seed: of the corruptions.
        draws: how often each condition is drawn; clean speech is heard once.
        batch_size: most waveforms the recognizer is given at once.
        workers: processes that render; 0 renders in this one, None chooses.
        noise: folder or bank of noise instead of the suite's own.
        rooms: folder or bank of room responses instead of the suite's own.
        normaliser: of both texts, see :func:`speechaug.robustness.normalise.get_normaliser`.
        output: folder for ``results.jsonl``, ``evaluation.json`` and the cache; None writes nothing.
        cache: file of the transcripts; None for ``transcripts.jsonl`` in the output folder.
        name: of the recognizer, in tables; of a function also in the cache. None for its own.
        limit: how many utterances to take, spread evenly over the data; None for all.
        policy: that the recognizer was trained with: its families are marked, and a clip of its banks refused. None
            for that of a checkpoint, by which families are marked only.
        devices: ``auto`` or such as ``["cuda:0", "cuda:1"]``: each gets a copy of the model.
        progress: whether to show a bar on stderr; None shows it on a terminal, where the work takes long.
        pattern: of file names, if the data is a folder without a layout of its own.
        groups: what the scores are broken down by, such as an accent, for each speaker.

    Returns:
        The evaluation; ``scores()`` has the numbers.

    Raises:
        ValueError: if an argument is out of range, nothing can be read, the recognizer fails on everything, or noise
            or rooms were trained on.
        FileNotFoundError: if there is no such data.

    Example:
        >>> import numpy as np
        >>> from speechaug import audio
        >>> from speechaug.data import Utterance
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/seven.wav"
        >>> _ = audio.write(path, 0.1 * np.sin(np.arange(8_000)), 16_000)
        >>> heard = evaluate(lambda waves: ["seven"] * len(waves), [Utterance("u1", path, "seven")], suite=["white:3"])
        >>> [(record["condition"], record["hypothesis"]) for record in heard.records]
        [('clean', 'seven'), ('white:3', 'seven')]
    """
    _check(seed=(seed, 0), draws=(draws, 1), batch_size=(batch_size, 1), workers=(workers, 0), limit=(limit, 1))
    texts = get_normaliser(normaliser)
    recognizer = as_recognizer(transcribe, sample_rate=sample_rate, devices=devices, name=name)
    if suite is None or is_noisy_sets(data):
        noisy = read_noisy_sets(data, pattern)
        _check_made(noisy.suite, suite, draws, noise, rooms)
        plan = _from_disk(noisy, recognizer.sample_rate, limit)
    else:
        chosen = resolve_suite(suite, recognizer.sample_rate, noise, rooms)
        spoken = read_spoken(data, chosen.sample_rate, pattern=pattern, limit=limit)
        plan = _to_render(chosen, spoken, seed, draws)
    _check_groups(groups or {}, plan.parts)
    given = resolve_policy(policy)
    if given is not None:
        check_clips(plan.suite, given)
    marks = trained_marks(plan.suite, [given or recognizer.training.policy])
    known = tell_known(recognizer, plan.parts[0].spoken, _speakers(plan.parts))
    folder = None if output is None else Path(output)
    kept = Transcripts(folder / TRANSCRIPTS_FILE if cache is None and folder is not None else cache)
    work = Listening(recognizer, plan.parts, kept, seed=plan.seed, batch_size=batch_size, workers=workers)
    records: list[Record] = []
    with progress_bar("evaluating", progress, sum(len(part.spoken) for part in plan.parts)) as advance:
        for part, row, heard in work.results():
            records.append(_record(part, row, heard, texts, groups or {}))
            advance(1)
    _warn_of_errors(records)
    meta = {
        **told_of_test(plan.suite, plan.parts[0].spoken, marks),
        "seed": plan.seed,
        "draws": plan.draws,
        "normaliser": texts.to_dict(),
        "recognizer": {"kind": recognizer.kind, "fingerprint": recognizer.fingerprint},
        "failed": told_of_failures([part.spoken for part in plan.parts], records),
        **({"trained_on": known} if known else {}),
    }
    evaluation = Evaluation(name or recognizer.name, meta, records)
    if folder is not None:
        evaluation.save(folder)
    return evaluation


class _Plan(NamedTuple):
    """Everything that is heard, in order."""

    suite: Suite
    parts: list[Part]
    seed: int
    draws: int


def _to_render(suite: Suite, spoken: Spoken, seed: int, draws: int) -> _Plan:
    _warn_of_lost(spoken)
    times = [(condition, draws if condition.policy is not None else 1) for condition in suite.conditions]
    return _Plan(suite, [Part(condition, draw, spoken) for condition, n in times for draw in range(n)], seed, draws)


def _from_disk(noisy: NoisySets, sample_rate: int, limit: int | None) -> _Plan:
    parts = []
    for each in noisy.sets:
        spoken = read_spoken(each.utterances, sample_rate, limit=limit)
        _warn_of_lost(spoken)
        parts.append(Part(each.condition, noisy.draw, spoken, each.realised))
    return _Plan(noisy.suite, parts, noisy.seed, 1)


def _record(part: Part, row: int, heard: Heard, normaliser: Normaliser, groups: Mapping[str, str]) -> Record:
    speaker = part.spoken.speaker(row)
    return make_record(
        part.condition,
        id=part.spoken.rows[row].id,
        speaker=speaker,
        group=groups.get(speaker),
        duration_s=heard.duration_s,
        draw=part.draw,
        reference=part.spoken.text(row),
        hypothesis=heard.text,
        normaliser=normaliser,
        realised=heard.realised,
        error=heard.error,
    )


def _warn_of_lost(spoken: Spoken) -> None:
    if spoken.lost:
        total = len(spoken) + len(spoken.lost)
        warnings.warn(f"evaluate: {summarize(list(spoken.findings), total)}", UserWarning, stacklevel=4)


def _speakers(parts: Sequence[Part]) -> set[str]:
    return {part.spoken.speaker(row) for part in parts for row in range(len(part.spoken))}


def _warn_of_errors(records: Sequence[Record]) -> None:
    wrong = [record for record in records if record["error"] is not None]
    if wrong:
        counts = Counter(error_kind(record["error"]) for record in wrong)
        kinds = ", ".join(f"{kind} ({count})" for kind, count in counts.most_common())
        first = wrong[0]
        warnings.warn(
            f"evaluate: the recognizer failed on {len(wrong)} of {len(records)}: {kinds}; they count as nothing heard; "
            f"the first is {first['id']} in {first['condition']}: {first['error']}",
            UserWarning,
            stacklevel=3,
        )


def _check_made(made: Suite, suite: Any, draws: int, noise: BankSource, rooms: BankSource) -> None:
    """Refuse to ask noisy test sets for what they are not: they are there already."""
    if suite not in (None, "standard", made.subset):
        raise ValueError(f"evaluate: suite must be that of the noisy test sets, {made.subset!r}, got {suite!r}")
    if draws != 1 or noise is not None or rooms is not None:
        raise ValueError("evaluate: draws must be 1, noise and rooms None for noisy test sets, which are made already")


def _check_groups(groups: Mapping[str, str], parts: Sequence[Part]) -> None:
    speakers = _speakers(parts)
    if groups and speakers.isdisjoint(groups):
        raise ValueError(
            f"evaluate: groups must name speakers of the data, {shorten(sorted(speakers))}, got {shorten(list(groups))}"
        )


def _check(**bounds: tuple[int | None, int]) -> None:
    for name, (value, least) in bounds.items():
        optional = name in ("workers", "limit")
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not whole and not (optional and value is None):
            wanted = f"a whole number >= {least}{' or None' if optional else ''}"
            raise ValueError(f"evaluate: {name} must be {wanted}, got {value!r}")
