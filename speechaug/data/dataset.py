"""From planned rows to batches of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from speechaug import audio
from speechaug.data.batches import Batch
from speechaug.data.manifest import Utterance
from speechaug.data.strings import Joined

Transport = Literal["int16", "float32"]


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
    ``text``, ``id`` and ``speaker``. An integer asks for the one recording of that number. A part of a long file is
    read by going there; no file stays open, so that workers may be forked or spawned.

    Args:
        recordings: what :func:`speechaug.data.scan` returned.
        sample_rate: of the batches, in Hz.
        transport: ``"int16"`` halves what goes to workers and device and survives every precision; ``"float32"`` keeps
            what exceeds 16 bits.

    Raises:
        ValueError: on access, if a file has become unreadable since it was scanned.

    Example:
        >>> import tempfile
        >>> from speechaug.data import scan
        >>> path = tempfile.mkdtemp() + "/seven.wav"
        >>> _ = audio.write(path, 0.5 * np.ones(800), 8_000)
        >>> recordings, findings = scan([Utterance("u1", path, "seven")], sample_rate=8_000)
        >>> batch = SpeechDataset(recordings, sample_rate=8_000)[(Joined("u1+u1", (0, 0), (0.01,), 0.21),)]
        >>> batch["waveform"].shape, batch["waveform"].dtype, batch["lengths"].tolist(), batch["text"]
        (torch.Size([1, 1680]), torch.int16, [1680], ['seven seven'])
    """

    def __init__(self, recordings: Sequence[Recording], *, sample_rate: int, transport: Transport = "int16") -> None:
        """Move the kept audio into one tensor; see the class."""
        self.utterances = [recording.utterance for recording in recordings]
        self.sample_rate = sample_rate
        self.transport = transport
        kept = [np.zeros(0, dtype_of(transport)) if r.samples is None else r.samples for r in recordings]
        # One tensor: a worker that is forked shares it, one that is spawned gets it through shared memory.
        self._cache = torch.from_numpy(np.concatenate([np.zeros(0, dtype_of(transport)), *kept]))
        self._ends = np.cumsum([len(samples) for samples in kept], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.utterances)

    def __getitem__(self, rows: Batch | int) -> dict[str, Any]:
        """Read and join a batch."""
        if isinstance(rows, int):
            rows = (Joined(self.utterances[rows].id, (rows,), (), 0.0),)
        spoken = [self._row(row) for row in rows]
        waveform = np.zeros((len(rows), max(map(len, spoken), default=0)), dtype_of(self.transport))
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
        return decode(self.utterances[index], self.sample_rate, self.transport)

    def _row(self, row: Joined) -> npt.NDArray[Any]:
        pieces: list[npt.NDArray[Any]] = []
        for part, gap_s in zip(row.parts, (*row.gaps_s, 0.0), strict=True):
            pieces += [self.samples(part), np.zeros(round(gap_s * self.sample_rate), dtype_of(self.transport))]
        return np.concatenate(pieces)


def decode(utterance: Utterance, sample_rate: int, transport: Transport) -> npt.NDArray[Any]:
    """Read an utterance, and nothing else of its file, as it is sent: one channel, at the rate of the batches.

    Args:
        utterance: what to read.
        sample_rate: of the batches, in Hz.
        transport: as in :class:`SpeechDataset`.

    Shape: ``(T,)``.
    """
    samples, rate = audio.read(utterance.audio, offset_s=utterance.offset, duration_s=utterance.duration)
    mono = audio.resample(samples.mean(axis=0, keepdims=True), rate, sample_rate)[0]
    return audio.to_int16(mono) if transport == "int16" else mono


def dtype_of(transport: Transport) -> type[np.int16] | type[np.float32]:
    """Return the type of the samples as they are sent."""
    return np.int16 if transport == "int16" else np.float32
