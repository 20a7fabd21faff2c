"""Augmentation in a data collator, for frameworks whose collator serves training and evaluation alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from speechaug.interop.single import check_single
from speechaug.rng import Rng
from speechaug.transform import Transform

Row = Mapping[str, Any]

EPOCH = "epoch"
"""The key that tells a training row from one to evaluate on."""


class EpochDataset(Dataset[dict[str, Any]]):
    """Training rows that say in which epoch they are read.

    The epoch lies in shared memory: DataLoader workers see it, also those that outlive an epoch.

    Args:
        rows: a map-style dataset whose rows are dictionaries.

    Raises:
        ValueError: if the dataset has no length or, when a row is read, no epoch was set yet.

    Example:
        >>> train = EpochDataset([{"id": "utt-1"}])
        >>> train.set_epoch(3)
        >>> train[0]
        {'id': 'utt-1', 'epoch': 3}
    """

    def __init__(self, rows: Any) -> None:
        """Keep the rows; see the class."""
        if not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")):
            raise ValueError(f"EpochDataset: rows must be a dataset with a length, got {type(rows).__name__}")
        self.rows = rows
        self._epoch = torch.tensor(-1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0; call it before the DataLoader is iterated."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a row and its epoch."""
        epoch = int(self._epoch)
        if epoch < 0:
            raise ValueError(
                "EpochDataset: set_epoch must be called before each epoch, or all would be augmented alike"
            )
        return {**self.rows[index], EPOCH: epoch}


class AugmentingCollator:
    """Augment the raw audio of training rows on the CPU, then collate as before.

    Rows with an ``epoch`` (see :class:`EpochDataset`) are augmented, the others left alone: so one collator serves
    training and evaluation. Each row is computed alone, and its draws depend on the seed, its epoch and its id:
    neither the batch nor the worker that makes it changes a bit of it.

    Args:
        collate: your collator; it gets rows as the dataset has them, with the audio augmented.
        policy: a waveform policy. Transcripts stay as they are, lengths may change.
        sample_rate: of the audio, in Hz.
        seed: of the draws.
        audio_key: where a row has its samples: ``(T,)`` or ``(C, T)``, floating; or a dictionary of them as ``array``
            and their ``sampling_rate``; or what Hugging Face datasets decode an ``Audio`` column to, which becomes such
            a dictionary. The samples come back as a NumPy array.
        id_key: where it has its id.

    Raises:
        ValueError: if the policy is for spectrograms or mixes rows; on use, if a key is missing, a rate differs or
            samples are none.

    Example:
        >>> import numpy as np, speechaug as sa
        >>> collate = AugmentingCollator(list, sa.Speed(factor=(1.25, 1.25)), sample_rate=16_000)
        >>> row = {"id": "utt-1", "audio": np.ones(1_000, np.float32)}
        >>> [len(row["audio"]) for row in collate([row, {**row, "epoch": 0}])]
        [1000, 800]
    """

    def __init__(
        self,
        collate: Callable[[list[Row]], Any],
        policy: Transform,
        *,
        sample_rate: int,
        seed: int = 0,
        audio_key: str = "audio",
        id_key: str = "id",
    ) -> None:
        """Keep the configuration; see the class."""
        check_single("AugmentingCollator", policy)
        self.collate = collate
        self.policy = policy
        self.sample_rate = sample_rate
        self.seed = seed
        self.audio_key = audio_key
        self.id_key = id_key

    def __call__(self, rows: Sequence[Row]) -> Any:
        """Collate rows, those of the training augmented."""
        return self.collate([self._augmented(row) if EPOCH in row else row for row in rows])

    def _augmented(self, row: Row) -> Row:
        for key in (self.audio_key, self.id_key):
            if key not in row:
                raise ValueError(f"AugmentingCollator: row must have the key {key!r}, got {sorted(row)}")
        audio = row[self.audio_key]
        rest = {key: value for key, value in row.items() if key != EPOCH}
        rng = Rng.from_ids(seed=self.seed, epoch=row[EPOCH], ids=[row[self.id_key]])
        if hasattr(audio, "get_all_samples"):  # how datasets hands out an Audio column, decoded by torchcodec
            audio = {key: audio[key] for key in ("array", "sampling_rate")}
        if not isinstance(audio, Mapping):
            return {**rest, self.audio_key: self._apply(audio, rng)}
        if not {"array", "sampling_rate"} <= set(audio):
            raise ValueError(
                f"AugmentingCollator: {self.audio_key} must hold array and sampling_rate, got {sorted(audio)}; "
                "decode it, as speechaug.audio.read does"
            )
        if audio["sampling_rate"] != self.sample_rate:
            raise ValueError(
                f"AugmentingCollator: sampling_rate must be {self.sample_rate}, got {audio['sampling_rate']}"
            )
        return {**rest, self.audio_key: {**audio, "array": self._apply(audio["array"], rng)}}

    def _apply(self, samples: Any, rng: Rng) -> NDArray[Any]:
        array = np.require(samples, requirements=["C", "W"])  # Arrow's are read-only
        if array.dtype.kind != "f" or array.ndim not in (1, 2):
            raise ValueError(
                "AugmentingCollator: samples must be floating, (T,) or (C, T), "
                f"got {array.dtype} of shape {array.shape}"
            )
        x = torch.from_numpy(array).unsqueeze(0)
        y, lengths = self.policy(x, None, self.policy.sample(rng), sample_rate=self.sample_rate)
        out: NDArray[Any] = y[0, ..., : int(lengths[0])].numpy()
        return out
