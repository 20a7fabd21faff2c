"""What is said in an evaluation: utterances that can be read, each known by the hash of its samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechaug import audio
from speechaug._open import AudioError
from speechaug.audio import FloatArray
from speechaug.data.dataset import SpeechDataset
from speechaug.data.findings import Finding
from speechaug.data.manifest import Utterance
from speechaug.data.scan import scan
from speechaug.data.sources import Source, read_manifest
from speechaug.data.strings import Joined


@dataclass(frozen=True)
class Spoken:
    """Rows of speech that can be read whenever they are needed; none of the audio is kept.

    Args:
        dataset: of the recordings, as float32.
        rows: what is heard at once: recordings, or strings of them.
        hashes: of the samples of each row at the rate of the data set.
        findings: what is the matter with recordings.
        lost: ids of the rows that cannot be read.
    """

    dataset: SpeechDataset
    rows: tuple[Joined, ...]
    hashes: tuple[str, ...]
    findings: tuple[Finding, ...]
    lost: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def text(self, row: int) -> str:
        """Return what is said in a row."""
        return " ".join(self.dataset.utterances[part].text.strip() for part in self.rows[row].parts)

    def speaker(self, row: int) -> str:
        """Return who says it."""
        return self.dataset.utterances[self.rows[row].parts[0]].speaker

    def samples(self, row: int) -> FloatArray:
        """Read a row, ``(T,)``."""
        return _samples(self.dataset, self.rows[row])


def read_spoken(data: Source, sample_rate: int, *, pattern: str | None = None, limit: int | None = None) -> Spoken:
    """Look at every recording: what can be read, and which samples it holds.

    Args:
        data: what :func:`speechaug.read_manifest` reads, or a ``SpeechDataModule``, of which the test side is taken as
            it is tested. Transcripts may be empty: nothing is said there.
        sample_rate: of the samples, in Hz.
        pattern: of file names, for folders.
        limit: how many rows to take, spread evenly over all; None for all.

    Raises:
        ValueError: if nothing can be read, or as ``read_manifest``.
    """
    utterances, rows = _plan(data, pattern)
    if limit is not None and limit < len(rows):
        rows = [rows[number * len(rows) // limit] for number in range(limit)]
    return _look(utterances, rows, sample_rate)


def _plan(data: Source, pattern: str | None) -> tuple[Sequence[Utterance], Sequence[Joined]]:
    """Return the utterances, and rows of them."""
    module: Any = data
    if hasattr(module, "test_rows"):
        return module.test_utterances, module.test_rows()
    folder = isinstance(data, (str, Path)) and Path(data).is_dir()
    utterances = read_manifest(data, pattern if folder else None)
    return utterances, [Joined(said.id, (place,), (), 0.0) for place, said in enumerate(utterances)]


def _look(utterances: Sequence[Utterance], rows: Sequence[Joined], sample_rate: int) -> Spoken:
    wanted = {part: utterances[part] for row in rows for part in row.parts}
    recordings, findings = scan(list(wanted.values()), sample_rate=sample_rate, transport="float32")
    place = {recording.utterance.id: number for number, recording in enumerate(recordings)}
    dataset = SpeechDataset(recordings, sample_rate=sample_rate, transport="float32")
    found = [row for row in rows if all(wanted[part].id in place for part in row.parts)]
    placed = [row._replace(parts=tuple(place[wanted[part].id] for part in row.parts)) for row in found]
    hashed = list(zip(placed, _hashes(dataset, placed), strict=True))
    good = {row: text for row, text in hashed if isinstance(text, str)}
    findings += [finding for _, finding in hashed if isinstance(finding, Finding)]
    kept = {row.id for row in good}
    if not good:
        reasons = "; ".join(finding.text for finding in findings[:3])
        raise ValueError(f"none of {len(rows)} recordings can be used: {reasons}")
    lost = tuple(row.id for row in rows if row.id not in kept)
    return Spoken(dataset, tuple(good), tuple(good.values()), tuple(findings), lost)


def _hashes(dataset: SpeechDataset, rows: Sequence[Joined]) -> Iterator[str | Finding]:
    def one(row: Joined) -> str | Finding:
        try:
            return audio.pcm_hash(_samples(dataset, row), dataset.sample_rate)
        except (ValueError, OSError) as error:
            kind = error.kind if isinstance(error, AudioError) else "unreadable"
            return Finding(kind, str(error))

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(one, rows)


def _samples(dataset: SpeechDataset, row: Joined) -> FloatArray:
    samples: FloatArray = dataset[(row,)]["waveform"][0].numpy()
    return samples
