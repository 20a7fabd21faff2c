"""Rendering, recognizing and keeping, chunk by chunk: audio streams, and a recognizer's faults stop nobody."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from speechaug import audio
from speechaug.audio import FloatArray
from speechaug.robustness.recognizers import Recognizer, Transcribe
from speechaug.robustness.render import render
from speechaug.robustness.spoken import Spoken
from speechaug.robustness.suite import Condition
from speechaug.robustness.transcripts import Heard, Transcripts, transcript_key

POOL = 8
"""Batches whose utterances are sorted by length together."""

_FEW = 64  # renderings that are done before worker processes have started
_MOST_WORKERS = 8
_LONGEST_ERROR = 200

Rendering = tuple[FloatArray, dict[str, float]]
"""What a recognizer hears, at its rate, and what was measured back."""


@dataclass(frozen=True)
class Part:
    """All utterances in one condition and draw.

    Args:
        condition: what is done.
        draw: number of the draw.
        spoken: the utterances.
        measured: what was measured back of those of a noisy test set, by id; None where they are still to be rendered.
    """

    condition: Condition
    draw: int
    spoken: Spoken
    measured: Mapping[str, Mapping[str, float]] | None = None

    def heard_as(self, row: int, seed: int, sample_rate: int) -> Rendering:
        """Return what the recognizer hears of a row, and what was measured back."""
        samples, rate, name = self.spoken.samples(row), self.spoken.dataset.sample_rate, self.spoken.rows[row].id
        if self.measured is not None:
            return samples, dict(self.measured.get(name, {}))
        rendered = render(self.condition, samples, rate, id=name, seed=seed, draw=self.draw)
        return audio.resample(rendered.samples[None], rate, sample_rate)[0], dict(rendered.realised)


class _Chunk(NamedTuple):
    """Rows of a part that are rendered together; batches are made within, so that they never depend on the cache."""

    part: int
    rows: range


class _Renderings(Dataset[Rendering]):
    """What is heard of a part and row, made where it is asked for: in a worker, if there are any."""

    def __init__(self, parts: Sequence[Part], seed: int, sample_rate: int) -> None:
        self.parts, self.seed, self.sample_rate = parts, seed, sample_rate

    def __getitem__(self, task: tuple[int, int]) -> Rendering:
        part, row = task
        return self.parts[part].heard_as(row, self.seed, self.sample_rate)


class Listening:
    """Renders, recognizes and keeps, chunk by chunk; what is known already is neither rendered nor recognized.

    Args:
        recognizer: what listens.
        parts: what it hears, in order.
        kept: what was heard before; failures are not kept but tried again.
        seed: of the corruptions.
        batch_size: most waveforms the recognizer is given at once.
        workers: processes that render; None chooses.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        parts: Sequence[Part],
        kept: Transcripts,
        *,
        seed: int = 0,
        batch_size: int = 16,
        workers: int | None = None,
    ) -> None:
        """Begin nothing yet; see the class."""
        self.recognizer, self.parts, self.kept = recognizer, parts, kept
        self.seed, self.batch_size, self.workers = seed, batch_size, workers

    def results(self) -> Iterator[tuple[Part, int, Heard]]:
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
                    if chunk is chunks[0]:
                        _refuse_total_failure(heard)
                    found = zip(self._keys(chunk), heard, strict=True)
                    self.kept.add({key: each for key, each in found if each.error is None})
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

    def _render(self, tasks: Sequence[tuple[int, int]]) -> Iterator[Rendering]:
        workers = self.workers
        if workers is None:
            workers = min(_MOST_WORKERS, os.cpu_count() or 1) if len(tasks) > _FEW else 0
        loader = DataLoader(
            _Renderings(self.parts, self.seed, self.recognizer.sample_rate),
            batch_size=None,
            sampler=tasks,
            num_workers=workers if tasks else 0,
            prefetch_factor=max(2, POOL * self.batch_size // workers) if tasks and workers else None,
            collate_fn=_as_it_is,
            generator=torch.Generator().manual_seed(0),  # otherwise torch's global one is drawn from
        )
        return iter(loader)

    def _recognize(
        self, renderings: Sequence[Rendering], threads: ThreadPoolExecutor
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
        texts: dict[int, tuple[str, str | None]] = {}
        for device, heard in enumerate(dealt):
            numbers = [number for batch in batches[device :: len(copies)] for number in batch]
            texts |= dict(zip(numbers, heard, strict=True))
        rate = self.recognizer.sample_rate
        return [
            Heard(*texts[number], duration_s=round(len(x) / rate, 6), realised=_measured(realised))
            for number, (x, realised) in enumerate(renderings)
        ]


def _measured(realised: Mapping[str, float]) -> dict[str, float]:
    """Return what could be measured, in the order in which it comes back from the cache."""
    return {name: float(value) for name, value in sorted(realised.items()) if math.isfinite(value)}


def _hear(transcribe: Transcribe, waves: list[FloatArray]) -> list[tuple[str, str | None]]:
    """Return text and error of each waveform; a batch that goes wrong is tried again one by one."""
    try:
        said = _as_list(transcribe(waves))
        problem = None if len(said) == len(waves) else f"returned {len(said)} texts for {len(waves)}"
    except _NoTexts as error:
        problem = str(error)
    except Exception as error:
        problem = _describe(error)
    if problem is None:
        return [_text(one) for one in said]
    return [("", problem)] if len(waves) == 1 else [_hear(transcribe, [wave])[0] for wave in waves]


class _NoTexts(Exception):
    """What was returned is no list of texts."""


def _as_list(said: object) -> list[Any]:
    if isinstance(said, str) or not isinstance(said, Iterable):
        raise _NoTexts(f"returned {_kind(said)}, not a list of texts")
    return list(said)


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


def _refuse_total_failure(heard: Sequence[Heard]) -> None:
    """Stop where hours of work would only tell that nothing works."""
    if all(each.error is not None for each in heard):
        raise ValueError(f"evaluate: the recognizer fails on all of the first {len(heard)}: {heard[0].error}")
