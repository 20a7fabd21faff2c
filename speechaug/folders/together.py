"""Recordings augmented together: one call for many, with the same result for each as alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechaug.audio import FloatArray
from speechaug.draws import Draws
from speechaug.rng import Floats, Rng
from speechaug.transform import Transform

_DIGITS = 3  # of a measured ratio


class Part(NamedTuple):
    """What is augmented as one example: a recording, or a piece of a long one.

    Attributes:
        name: all randomness is keyed by it.
        copy: its number, from 1.
        samples: ``(C, T)``.
        first: where it begins in the recording, in samples.
    """

    name: str
    copy: int
    samples: FloatArray
    first: int = 0


class Changed(NamedTuple):
    """A part that was augmented.

    Attributes:
        part: which.
        samples: what it became, ``(C, T)``.
        transforms: what was drawn, as plain data.
        snr_db: the ratio of speech to noise that came of it; None where no noise was added.
        draws: what was drawn for all that were augmented together.
        row: which of them it was.
    """

    part: Part
    samples: FloatArray
    transforms: dict[str, Any]
    snr_db: float | None
    draws: Draws
    row: int


def augment_together(policy: Transform, parts: Sequence[Part], sample_rate: int, seed: int) -> list[Changed]:
    """Augment parts in one batch; what becomes of each does not depend on the others.

    Args:
        policy: waveform policy, with banks of the rate.
        parts: at least one, all with as many channels.
        sample_rate: in Hz.
        seed: of the draws.
    """
    names, epochs = [part.name for part in parts], [part.copy - 1 for part in parts]
    draws = policy.sample(Rng.from_ids(seed=seed, epoch=epochs, ids=names))
    x, lengths = _padded([part.samples for part in parts])
    with torch.inference_mode():
        out = policy.run(x, lengths, draws, sample_rate=sample_rate)
    samples = [y[:, :length] for y, length in zip(out.x.numpy(), out.lengths.tolist(), strict=True)]
    told = zip(parts, samples, draws.to_rows(), _snr_db(out.extras, len(parts)), strict=True)
    return [
        Changed(part, _not_empty(y), drawn, snr_db if part.samples.any() else None, draws, row)
        for row, (part, y, drawn, snr_db) in enumerate(told)
    ]


def augment_pieces(
    policy: Transform, pieces: Iterable[FloatArray], sample_rate: int, *, seed: int, id: str, copy: int
) -> Iterator[Changed]:
    """Augment the pieces of a recording one by one, so that memory has a bound; the first has the id of the recording.

    Args:
        policy: waveform policy, with banks of the rate.
        pieces: ``(C, T)`` each.
        sample_rate: in Hz.
        seed: of the draws.
        id: of the recording.
        copy: its number, from 1.
    """
    first = 0
    for number, samples in enumerate(pieces):
        part = Part(f"{id}#{number}" if number else id, copy, samples, first)
        yield from augment_together(policy, [part], sample_rate, seed)
        first += samples.shape[1]


def _padded(samples: Sequence[FloatArray]) -> tuple[Tensor, Tensor]:
    """Lay samples into a batch, zeros behind the shorter ones."""
    lengths = torch.tensor([one.shape[1] for one in samples])
    if len(samples) == 1:
        return torch.from_numpy(samples[0])[None], lengths
    batch = np.zeros((len(samples), len(samples[0]), int(lengths.max())), np.float32)
    for row, one in zip(batch, samples, strict=True):
        row[:, : one.shape[1]] = one
    return torch.from_numpy(batch), lengths


def _not_empty(y: FloatArray) -> FloatArray:
    """Return a sample of silence for nothing: what a sample becomes that is played faster."""
    return y if y.shape[1] else np.zeros((len(y), 1), np.float32)


def _snr_db(extras: Mapping[str, Tensor], rows: int) -> list[float | None]:
    """Return each row's ratio of the speech to all noise that was added, as the transforms measured it."""
    found = [values.double().numpy() for name, values in extras.items() if name.rpartition(".")[2] == "snr_db"]
    return [_sum_db([values[row] for values in found]) for row in range(rows)]


def _sum_db(ratios: Sequence[Floats]) -> float | None:
    """Return the ratio to a sum of noises from the ratio to each; NaN is none."""
    noise = math.fsum(10.0 ** (-float(ratio) / 10.0) for ratio in ratios if math.isfinite(ratio))
    return round(-10.0 * math.log10(noise), _DIGITS) if noise > 0.0 else None
