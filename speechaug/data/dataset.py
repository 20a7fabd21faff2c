"""From planned rows to batches of samples, with every file looked at before training begins."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from speechaug import audio
from speechaug.data.manifest import Utterance
from speechaug.data.sampler import Batch
from speechaug.data.strings import Joined

Transport = Literal["int16", "float32"]
T = TypeVar("T")

_INTEGER = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW")
"""Encodings that hold no NaN, so that the header tells enough."""


@dataclass(frozen=True)
class Recording:
    """An utterance of a file that can be read.

    Args:
        utterance: with its duration filled in.
        info: what the header of the file says.
        samples: decoded audio as it is sent, when there was room to keep it.
    """

    utterance: Utterance
    info: audio.AudioInfo
    samples: npt.NDArray[Any] | None = None


class SpeechDataset(Dataset[dict[str, Any]]):
    """Batches of speech: an item is a whole batch, asked for by its planned rows.

    Several channels are mixed to their mean, other sample rates are resampled, rows are zero-padded at the end.
    ``dataset[rows]`` is a dict: ``waveform`` ``(B, T)`` int16 or float32, ``lengths`` int64 ``(B,)``, and the lists
    ``text``, ``id`` and ``speaker``. An integer asks for the one recording of that number.

    Args:
        recordings: what :func:`scan` returned.
        sample_rate: of the batches, in Hz.
        transport: ``"int16"`` halves what goes to workers and device and survives every precision; ``"float32"`` keeps
            what exceeds 16 bits.

    Raises:
        ValueError: on access, if a file has become unreadable since it was scanned.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/seven.wav"
        >>> _ = audio.write(path, 0.5 * np.ones(800), 8_000)
        >>> recordings, problems = scan([Utterance("u1", path, "seven")], sample_rate=8_000)
        >>> batch = SpeechDataset(recordings, sample_rate=8_000)[(Joined("u1+u1", (0, 0), (0.01,), 0.21),)]
        >>> batch["waveform"].shape, batch["waveform"].dtype, batch["lengths"].tolist(), batch["text"]
        (torch.Size([1, 1680]), torch.int16, [1680], ['seven seven'])
    """

    def __init__(self, recordings: Sequence[Recording], *, sample_rate: int, transport: Transport = "int16") -> None:
        """Move the kept audio into one tensor; see the class."""
        self.utterances = [recording.utterance for recording in recordings]
        self.sample_rate = sample_rate
        self.transport = transport
        kept = [np.zeros(0, _dtype(transport)) if r.samples is None else r.samples for r in recordings]
        # One tensor: a worker that is forked shares it, one that is spawned gets it through shared memory.
        self._cache = torch.from_numpy(np.concatenate([np.zeros(0, _dtype(transport)), *kept]))
        self._ends = np.cumsum([len(samples) for samples in kept], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.utterances)

    def __getitem__(self, rows: Batch | int) -> dict[str, Any]:
        """Read and join a batch."""
        if isinstance(rows, int):
            rows = (Joined(self.utterances[rows].id, (rows,), (), 0.0),)
        spoken = [self._row(row) for row in rows]
        waveform = np.zeros((len(rows), max(map(len, spoken), default=0)), _dtype(self.transport))
        for line, samples in zip(waveform, spoken, strict=True):
            line[: len(samples)] = samples
        return {
            "waveform": torch.from_numpy(waveform),
            "lengths": torch.tensor([len(samples) for samples in spoken], dtype=torch.int64),
            "text": [" ".join(self.utterances[part].text.strip() for part in row.parts) for row in rows],
            "id": [row.id for row in rows],
            "speaker": [self.utterances[row.parts[0]].speaker for row in rows],
        }

    def samples(self, index: int) -> npt.NDArray[Any]:
        """Return one recording, from memory or from its file."""
        end = int(self._ends[index])
        begin = int(self._ends[index - 1]) if index else 0
        if end > begin:
            kept: npt.NDArray[Any] = self._cache[begin:end].numpy()
            return kept
        return _decode(self.utterances[index], self.sample_rate, self.transport)

    def _row(self, row: Joined) -> npt.NDArray[Any]:
        pieces: list[npt.NDArray[Any]] = []
        for part, gap_s in zip(row.parts, (*row.gaps_s, 0.0), strict=True):
            pieces += [self.samples(part), np.zeros(round(gap_s * self.sample_rate), _dtype(self.transport))]
        return np.concatenate(pieces)


def scan(
    utterances: Sequence[Utterance], *, sample_rate: int, transport: Transport = "int16", cache_bytes: int = 0
) -> tuple[list[Recording], list[str]]:
    """Look at every file before training: which can be read, how long they are, and decode as many as may be kept.

    Headers of all files are read. Files are decoded that fit into ``cache_bytes``, and those whose encoding could hold
    NaN. Nothing is raised: what is wrong is told, by name, and the rest is returned.

    Args:
        utterances: what to look at.
        sample_rate: of the batches, in Hz.
        transport: as in :class:`SpeechDataset`.
        cache_bytes: room for decoded audio.

    Returns:
        The readable recordings, in order, and a line about each other one.
    """
    headers = _attempt(_header, utterances)
    room = cache_bytes
    tasks: list[tuple[Recording, bool]] = []
    for recording in headers:
        if isinstance(recording, Recording):
            seconds = recording.utterance.duration or 0.0
            room -= math.ceil(seconds * sample_rate) * np.dtype(_dtype(transport)).itemsize
            tasks.append((recording, room >= 0))

    def finish(task: tuple[Recording, bool]) -> Recording:
        recording, keep = task
        if not keep and recording.info.subtype in _INTEGER:
            return recording
        samples = _decode(recording.utterance, sample_rate, transport)
        return replace(recording, samples=samples if keep else None)

    outcomes = _attempt(finish, tasks)
    problems = [outcome for outcome in (*headers, *outcomes) if isinstance(outcome, str)]
    return [outcome for outcome in outcomes if isinstance(outcome, Recording)], problems


def _attempt(work: Callable[[T], Recording], items: Sequence[T]) -> list[Recording | str]:
    """Do the work for each item, several at a time, and return what came of it or what was wrong."""

    def one(item: T) -> Recording | str:
        try:
            return work(item)
        except (ValueError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, items))


def _header(utterance: Utterance) -> Recording:
    info = audio.info(utterance.audio)
    left = info.duration_s - utterance.offset
    if left <= 0:
        raise ValueError(f"{utterance.audio}: ends at {info.duration_s:.3f} s, before offset {utterance.offset} s")
    return Recording(replace(utterance, duration=min(left, utterance.duration or left)), info)


def _decode(utterance: Utterance, sample_rate: int, transport: Transport) -> npt.NDArray[Any]:
    samples, rate = audio.read(utterance.audio, offset_s=utterance.offset, duration_s=utterance.duration)
    mono = audio.resample(samples.mean(axis=0, keepdims=True), rate, sample_rate)[0]
    return audio.to_int16(mono) if transport == "int16" else mono


def _dtype(transport: Transport) -> type[np.int16] | type[np.float32]:
    return np.int16 if transport == "int16" else np.float32
