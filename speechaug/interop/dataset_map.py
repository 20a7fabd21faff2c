"""Augmentation as a function for ``Dataset.map`` of Hugging Face."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechaug import audio
from speechaug._open import Encoded
from speechaug._threads import one_thread
from speechaug.transform import Transform

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DatasetMap:
    """Augments rows of a ``datasets.Dataset``: ``dataset.map(DatasetMap(policy), with_indices=True)``.

    What a row gets depends on the seed, its id and its copy: not on ``num_proc``, ``batched`` or ``batch_size``, and is
    what :func:`speechaug.augment_manifest` makes of it. The id is in the column ``id``, without which it is the number
    of the row. Banks are brought to the rate of each row. Sound is taken as it is stored, so that no decoder of
    ``datasets`` is needed: ``cast_column("audio", Audio(decode=False))``. It becomes FLAC, 16 bits.

    Args:
        policy: waveform policy.
        seed: another seed, other draws.
        copies: of each row, a text in its ``id`` followed by ``_aug1``, ``_aug2`` and so on; more than one needs
            ``batched=True``.
        column: of the sound.

    Raises:
        ValueError: if the policy is none for single waveforms or ``copies`` is less than 1, or on a call, if a row
            holds no sound or several copies are asked for without ``batched``.

    Example:
        ``dataset.map(DatasetMap(policy, copies=3), with_indices=True, batched=True, batch_size=16, num_proc=4)``
    """

    policy: Transform
    seed: int = 0
    copies: int = 1
    column: str = "audio"

    def __post_init__(self) -> None:
        """Check the configuration."""
        from speechaug.folders.policies import resolve  # not at the top: the core imports this package

        resolve(self.policy)
        if self.copies < 1:
            raise ValueError(f"DatasetMap: copies must be at least 1, got {self.copies!r}")

    def __call__(self, rows: Row | Mapping[str, Sequence[Any]], index: int | Sequence[int]) -> dict[str, Any]:
        """Augment a row, or the rows of a batch."""
        if isinstance(index, int):
            if self.copies > 1:
                raise ValueError(f"DatasetMap: copies must be 1 unless map is batched, got {self.copies}")
            return self._copy(rows, index, 1)
        single = [(number, {name: values[at] for name, values in rows.items()}) for at, number in enumerate(index)]
        made = [self._copy(row, number, copy) for number, row in single for copy in range(1, self.copies + 1)]
        return {name: [row[name] for row in made] for name in rows}

    def _copy(self, row: Row, index: int, copy: int) -> dict[str, Any]:
        from speechaug.folders.pieces import cut
        from speechaug.folders.policies import at_rate
        from speechaug.folders.together import augment_pieces

        name = str(row.get("id", index))
        samples, rate = _sound(row[self.column], name)
        policy, pieces = at_rate(self.policy, rate), cut([samples], rate)
        with one_thread():
            done = augment_pieces(policy, pieces, rate, seed=self.seed, id=name, copy=copy)
            y = np.concatenate([one.samples for one in done], axis=1)
        told = {"id": f"{name}_aug{copy}"} if isinstance(row.get("id"), str) else {}
        return {**row, **told, self.column: {"bytes": _flac(y, rate), "path": f"{name}_aug{copy}.flac"}}


def _sound(held: Any, name: str) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int]:
    """Return the samples of a row, stored or decoded."""
    if isinstance(held, Mapping) and held.get("array") is not None:
        return np.atleast_2d(np.asarray(held["array"], np.float32)), int(held["sampling_rate"])
    if isinstance(held, Mapping) and held.get("bytes") is not None:
        return audio.read(Encoded(held["bytes"], f"row {name}"))
    if isinstance(held, Mapping) and held.get("path"):
        return audio.read(held["path"])
    raise ValueError(f"DatasetMap: row {name} must hold sound, such as Audio(decode=False) gives, got {held!r:.80}")


def _flac(samples: np.ndarray[Any, Any], rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, audio.to_int16(samples).T, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
