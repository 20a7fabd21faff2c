"""Any recognizer on any speech in every condition of the suite, streamed, kept on disk, and the same each time."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import speechaug
from speechaug import audio
from speechaug._progress import progress_bar
from speechaug.audio import FloatArray
from speechaug.data.conditions import BankSource, PolicySource, SuiteSource, resolve_policy, resolve_suite
from speechaug.data.findings import summarize
from speechaug.data.leak import banks_of, check_banks, shared_clips
from speechaug.data.manifest import shorten
from speechaug.data.sources import Source
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.normalise import Normaliser, get_normaliser
from speechaug.robustness.recognizers import Devices, Recognizer, Transcribe, as_recognizer
from speechaug.robustness.records import Record, make_record
from speechaug.robustness.render import render
from speechaug.robustness.sets import NoisySets, is_noisy_sets, read_noisy_sets
from speechaug.robustness.spoken import Spoken, read_spoken
from speechaug.robustness.suite import Condition, Suite, trained_marks
from speechaug.robustness.transcripts import Heard, Transcripts, transcript_key
from speechaug.transform import Transform

POOL = 8
"""Batches whose utterances are sorted by length together."""

TRANSCRIPTS_FILE = "transcripts.jsonl"
"""Name of the cache in the output folder."""

_FEW = 64  # renderings that are done before worker processes have started
_MOST_WORKERS = 8
_LONGEST_ERROR = 200


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
        policy: that the recognizer was trained with: its families are marked, and a clip of its banks refused.
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
        plan = _from_disk(read_noisy_sets(data, pattern), recognizer.sample_rate, limit)
    else:
        chosen = resolve_suite(suite, recognizer.sample_rate, noise, rooms)
        spoken = read_spoken(data, chosen.sample_rate, pattern=pattern, limit=limit)
        plan = _to_render(chosen, spoken, seed, draws)
    trained = _trained(plan.suite, resolve_policy(policy))
    folder = None if output is None else Path(output)
    kept = Transcripts(folder / TRANSCRIPTS_FILE if cache is None and folder is not None else cache)
    work = _Work(recognizer, plan, kept, batch_size=batch_size, workers=workers)
    records: list[Record] = []
    with progress_bar("evaluating", progress, sum(len(part.spoken) for part in plan.parts)) as advance:
        for part, row, heard in work.results():
            records.append(_record(part, row, heard, texts, groups or {}))
            advance(1)
    _warn_of_errors(records)
    meta = {
        **_meta(plan, trained),
        "normaliser": texts.to_dict(),
        "recognizer": {"kind": recognizer.kind, "fingerprint": recognizer.fingerprint},
        "failed": _failed(plan.parts, records),
    }
    evaluation = Evaluation(name or recognizer.name, meta, records)
    if folder is not None:
        evaluation.save(folder)
    return evaluation


# What there is to do.


@dataclass(frozen=True)
class _Part:
    """All utterances in one condition and draw; those of a noisy test set bring what was measured of them."""

    condition: Condition
    draw: int
    spoken: Spoken
    measured: Mapping[str, Mapping[str, float]] | None = None

    def heard_as(self, row: int, seed: int, sample_rate: int) -> tuple[FloatArray, dict[str, float]]:
        """Return what the recognizer hears of a row, and what was measured back."""
        samples, rate, name = self.spoken.samples(row), self.spoken.dataset.sample_rate, self.spoken.rows[row].id
        if self.measured is not None:
            return samples, dict(self.measured.get(name, {}))
        rendered = render(self.condition, samples, rate, id=name, seed=seed, draw=self.draw)
        return audio.resample(rendered.samples[None], rate, sample_rate)[0], dict(rendered.realised)


class _Plan(NamedTuple):
    """Everything that is heard, in order."""

    suite: Suite
    parts: list[_Part]
    seed: int
    draws: int


def _to_render(suite: Suite, spoken: Spoken, seed: int, draws: int) -> _Plan:
    _warn_of_lost(spoken)
    times = [(condition, draws if condition.policy is not None else 1) for condition in suite.conditions]
    return _Plan(suite, [_Part(condition, draw, spoken) for condition, n in times for draw in range(n)], seed, draws)


def _from_disk(noisy: NoisySets, sample_rate: int, limit: int | None) -> _Plan:
    parts = []
    for each in noisy.sets:
        spoken = read_spoken(each.utterances, sample_rate, limit=limit)
        _warn_of_lost(spoken)
        parts.append(_Part(each.condition, noisy.draw, spoken, each.realised))
    return _Plan(noisy.suite, parts, noisy.seed, 1)


def _trained(suite: Suite, policy: Transform | None) -> dict[str, bool]:
    """Say which conditions training knew, refuse clips that it knew, and tell of those cut from the same recording."""
    if policy is None:
        return {}
    banks = banks_of(policy), banks_of([condition.policy for condition in suite.conditions])
    check_banks(*banks)
    related = [f"{clip.trained} = {clip.tested}" for clip in shared_clips(*banks)]
    if related:
        warnings.warn(
            f"evaluate: {len(related)} clips of the test are named like clips of the training (train = test): "
            f"{shorten(related)}",
            UserWarning,
            stacklevel=3,
        )
    return trained_marks(suite, [policy])


# Doing it.


class _Chunk(NamedTuple):
    """Rows of a part that are rendered together; batches are made within, so that they never depend on the cache."""

    part: _Part
    rows: range


class _Renderings(Dataset[tuple[FloatArray, dict[str, float]]]):
    """What is heard of a part and row, made where it is asked for: in a worker, if there are any."""

    def __init__(self, parts: Sequence[_Part], seed: int, sample_rate: int) -> None:
        self.parts, self.seed, self.sample_rate = parts, seed, sample_rate

    def __getitem__(self, task: tuple[int, int]) -> tuple[FloatArray, dict[str, float]]:
        part, row = task
        return self.parts[part].heard_as(row, self.seed, self.sample_rate)


class _Work:
    """Renders, recognizes and keeps, chunk by chunk; what is known already is neither rendered nor recognized."""

    def __init__(
        self, recognizer: Recognizer, plan: _Plan, kept: Transcripts, *, batch_size: int, workers: int | None
    ) -> None:
        self.recognizer, self.parts, self.seed, self.kept = recognizer, plan.parts, plan.seed, kept
        self.batch_size, self.workers = batch_size, workers

    def results(self) -> Iterator[tuple[_Part, int, Heard]]:
        """Yield what was heard of each part and row, in order."""
        size = POOL * self.batch_size
        chunks = [
            _Chunk(number, range(first, min(first + size, len(part.spoken))))
            for number, part in enumerate(self.parts)
            for first in range(0, len(part.spoken), size)
        ]
        waiting = [chunk for chunk in chunks if self._known(chunk) is None]
        renderings = self._render([(chunk.part, row) for chunk in waiting for row in chunk.rows])
        with ThreadPoolExecutor(max_workers=len(self.recognizer.copies)) as threads:
            for chunk in chunks:
                heard = self._known(chunk)
                if heard is None:
                    heard = self._recognize([next(renderings) for _ in chunk.rows], threads)
                    if chunk is waiting[0]:
                        _refuse_total_failure(heard)
                    self.kept.add(dict(zip(self._keys(chunk), heard, strict=True)))
                yield from ((self.parts[chunk.part], row, each) for row, each in zip(chunk.rows, heard, strict=True))

    def _known(self, chunk: _Chunk) -> list[Heard] | None:
        """Return what is known of a chunk, if all of it is: batches must not depend on what is."""
        found = [self.kept.get(key) for key in self._keys(chunk)]
        known = [heard for heard in found if heard is not None]
        return known if len(known) == len(found) else None

    def _keys(self, chunk: _Chunk) -> list[str]:
        part = self.parts[chunk.part]
        said, common = part.spoken, (part.condition.hash, part.draw, self.seed, self.recognizer.fingerprint)
        return [transcript_key(*common, said.rows[row].id, said.hashes[row]) for row in chunk.rows]

    def _render(self, tasks: Sequence[tuple[int, int]]) -> Iterator[tuple[FloatArray, dict[str, float]]]:
        workers = self.workers
        if workers is None:
            workers = min(_MOST_WORKERS, os.cpu_count() or 1) if len(tasks) > _FEW else 0
        loader = DataLoader(
            _Renderings(self.parts, self.seed, self.recognizer.sample_rate),
            batch_size=None,
            sampler=tasks,  # type: ignore[arg-type]
            num_workers=workers if tasks else 0,
            prefetch_factor=max(2, POOL * self.batch_size // workers) if tasks and workers else None,
            collate_fn=_as_it_is,
            generator=torch.Generator().manual_seed(0),  # otherwise torch's global one is drawn from
        )
        return iter(loader)

    def _recognize(
        self, renderings: Sequence[tuple[FloatArray, dict[str, float]]], threads: ThreadPoolExecutor
    ) -> list[Heard]:
        """Make batches of similar length, deal them to the devices, and put the results back in order."""
        order = sorted(range(len(renderings)), key=lambda number: len(renderings[number][0]))
        batches = [order[first : first + self.batch_size] for first in range(0, len(order), self.batch_size)]
        copies = self.recognizer.copies

        def hear(device: int) -> list[tuple[str, str | None]]:
            mine = batches[device :: len(copies)]
            return [each for batch in mine for each in _hear(copies[device], [renderings[n][0] for n in batch])]

        if len(copies) == 1:
            dealt = [hear(0)]  # in the caller's thread, as the recognizer's owner expects
        else:
            dealt = list(threads.map(hear, range(len(copies))))
        texts = {}
        for device, heard in enumerate(dealt):
            numbers = [number for batch in batches[device :: len(copies)] for number in batch]
            texts |= dict(zip(numbers, heard, strict=True))
        rate = self.recognizer.sample_rate
        return [Heard(*texts[n], round(len(x) / rate, 6), _known(found)) for n, (x, found) in enumerate(renderings)]


def _known(realised: Mapping[str, float]) -> dict[str, float]:
    """Return what could be measured, in the order in which it comes back from the cache."""
    return {name: float(value) for name, value in sorted(realised.items()) if math.isfinite(value)}


def _hear(transcribe: Transcribe, waves: list[FloatArray]) -> list[tuple[str, str | None]]:
    """Return text and error of each waveform; a batch that goes wrong is tried again one by one."""
    try:
        said = transcribe(waves)
        if isinstance(said, str) or not isinstance(said, Iterable):
            said, problem = [], f"returned {_kind(said)}, not a list of texts"
        else:
            said = list(said)
            problem = None if len(said) == len(waves) else f"returned {len(said)} texts for {len(waves)}"
    except Exception as error:
        said, problem = [], _describe(error)
    if problem is None:
        return [_text(one) for one in said]
    return [("", problem)] if len(waves) == 1 else [_hear(transcribe, [wave])[0] for wave in waves]


def _text(said: Any) -> tuple[str, str | None]:
    if isinstance(said, str):
        return said.encode("utf-8", "replace").decode(), None  # half a surrogate pair cannot be written down
    return "", _describe(said) if isinstance(said, Exception) else f"returned {_kind(said)}, not a text"


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _describe(error: Exception) -> str:
    """Return an error in one line that is the same in the next run: no addresses."""
    text = re.sub(r"0x[0-9a-f]+", "0x", " ".join(str(error).split()))[:_LONGEST_ERROR]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _as_it_is(item: Any) -> Any:
    return item


# What is told about it.


def _record(part: _Part, row: int, heard: Heard, normaliser: Normaliser, groups: Mapping[str, str]) -> Record:
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


def _meta(plan: _Plan, trained: Mapping[str, bool]) -> dict[str, Any]:
    """Return what is known before anything is heard."""
    return {
        "suite": {key: getattr(plan.suite, key) for key in ("name", "version", "subset", "hash", "sample_rate")},
        "conditions": [_condition_meta(condition, trained) for condition in plan.suite.conditions],
        "data": _data_hash(plan.parts[0].spoken),
        "seed": plan.seed,
        "draws": plan.draws,
        "versions": {"speechaug": speechaug.__version__, "torch": torch.__version__, "numpy": np.__version__},
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


def _failed(parts: Sequence[_Part], records: Sequence[Record]) -> dict[str, Any]:
    """Count what went wrong: recordings by what is the matter with them, records by the kind of error."""
    every = {id(part.spoken): part.spoken for part in parts}.values()
    findings = Counter(found.kind for spoken in every for found in spoken.findings if found.kind != "resampled")
    errors = Counter(_error_kind(record["error"]) for record in records if record["error"] is not None)
    lost = sorted({name for spoken in every for name in spoken.lost})
    return {"recordings": dict(sorted(findings.items())), "ids": lost, "recognizer": dict(sorted(errors.items()))}


def _error_kind(error: str) -> str:
    return error.partition(":")[0]


def _warn_of_lost(spoken: Spoken) -> None:
    if spoken.lost:
        total = len(spoken) + len(spoken.lost)
        warnings.warn(f"evaluate: {summarize(list(spoken.findings), total)}", UserWarning, stacklevel=4)


def _warn_of_errors(records: Sequence[Record]) -> None:
    wrong = [record for record in records if record["error"] is not None]
    if wrong:
        counts = Counter(_error_kind(record["error"]) for record in wrong)
        kinds = ", ".join(f"{kind} ({count})" for kind, count in counts.most_common())
        first = wrong[0]
        warnings.warn(
            f"evaluate: the recognizer failed on {len(wrong)} of {len(records)}: {kinds}; they count as nothing heard; "
            f"the first is {first['id']} in {first['condition']}: {first['error']}",
            UserWarning,
            stacklevel=3,
        )


def _refuse_total_failure(heard: Sequence[Heard]) -> None:
    """Stop where hours of work would only tell that nothing works."""
    if all(each.error is not None for each in heard):
        raise ValueError(f"evaluate: the recognizer fails on all of the first {len(heard)}: {heard[0].error}")


def _check(**bounds: tuple[int | None, int]) -> None:
    for name, (value, least) in bounds.items():
        optional = name in ("workers", "limit")
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not whole and not (optional and value is None):
            wanted = f"a whole number >= {least}{' or None' if optional else ''}"
            raise ValueError(f"evaluate: {name} must be {wanted}, got {value!r}")
