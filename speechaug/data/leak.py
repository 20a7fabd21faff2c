"""What is tested on must not have been trained on: comparison of decoded audio, whatever the files are called."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from speechaug import audio
from speechaug.banks import Bank
from speechaug.data.dataset import Recording
from speechaug.data.manifest import shorten


def check_recordings(train: Sequence[Recording], test: Sequence[Recording]) -> None:
    """Refuse recordings that are on both sides.

    Only those of equal rate, channels and length can be the same, so few files are decoded. Digital silence tells
    nothing and may be on both sides. A copy that was resampled, cut or compressed is not recognised.

    Args:
        train: to train and validate on.
        test: to test on.

    Raises:
        ValueError: naming the recordings.
    """
    possible = {_shape(recording) for recording in train} & {_shape(recording) for recording in test}
    known = _hashes(train, possible)
    shared = [f"{known[h]} = {name}" for h, name in _hashes(test, possible).items() if h in known]
    if shared:
        raise ValueError(f"leak: {len(shared)} test recordings are trained on (train = test): {shorten(shared)}")


def check_banks(train: Iterable[Bank], test: Iterable[Bank]) -> None:
    """Refuse noise or room responses that are on both sides.

    Args:
        train: banks of the training policy.
        test: banks of the test conditions.

    Raises:
        ValueError: naming the clips.
    """
    train, test = list(train), list(test)
    if not train or not test:
        return  # nothing to compare, so nothing to load
    known = {h: name for bank in train for h, name in zip(bank.hashes, bank.names, strict=True)}
    found = {h: name for bank in test for h, name in zip(bank.hashes, bank.names, strict=True)}
    shared = [f"{known[h]} = {name}" for h, name in found.items() if h in known]
    if shared:
        raise ValueError(f"leak: {len(shared)} clips are in banks of both sides (train = test): {shorten(shared)}")


def banks_of(value: Any) -> list[Bank]:
    """Find every bank in a policy, however deep.

    Args:
        value: a transform, a policy, or anything in their fields.

    Example:
        >>> import numpy as np, speechaug as sa
        >>> bank = Bank.from_arrays([np.ones(80)], sample_rate=8_000)
        >>> len(banks_of(sa.Compose([sa.Gain(), sa.OneOf([sa.AddNoise(bank=bank), sa.Reverb(bank=bank)])])))
        2
    """
    if isinstance(value, Bank):
        return [value]
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, (list, tuple)):
        return [bank for item in value for bank in banks_of(item)]
    return []


def _shape(recording: Recording) -> tuple[int, int, int]:
    rate = recording.info.sample_rate
    return rate, recording.info.channels, round((recording.utterance.duration or 0.0) * rate)


def _hashes(recordings: Sequence[Recording], possible: set[tuple[int, int, int]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for recording in recordings:
        if _shape(recording) in possible:
            said = recording.utterance
            samples, rate = audio.read(said.audio, offset_s=said.offset, duration_s=said.duration)
            if samples.any():
                found[audio.pcm_hash(samples, rate)] = said.id
    return found
