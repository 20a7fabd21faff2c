"""What is tested on must not have been trained on: comparison of decoded audio, whatever the files are called."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from speechaug import audio
from speechaug.augmenter import leaves
from speechaug.banks import Bank
from speechaug.data.dataset import Recording
from speechaug.data.manifest import Utterance, shorten
from speechaug.transform import Transform

_TELL_NOTHING = frozenset({"Gain", "Polarity", "Rescale", "TimeShift"})
"""Transforms that are in many policies for other reasons than what a corruption does."""

_SAME = {"PercentileClipping": "Clipping"}
"""Transforms that do what others do, by another measure."""

_ESC = re.compile(r"\d+-(\d+)-[A-Z]+(-\d+)?", re.IGNORECASE)
"""Names of ESC-50 clips: fold, recording at Freesound, which clip of it, class."""

_MIDDLE_S = 1.0  # what tells recordings apart
_TELLING = 4  # letters from which on a name tells a source


class Shared(NamedTuple):
    """A clip of training that is heard in a test, too.

    Attributes:
        trained: its name in a bank of training.
        tested: its name in a bank of the test.
        same: ``audio``, or ``source`` where the names say that both are of one recording.
    """

    trained: str
    tested: str
    same: str


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


def check_voices(voices: Bank, test: Sequence[Recording]) -> None:
    """Refuse voices that are tested on.

    Args:
        voices: bank of talkers for training.
        test: to test on; all of them are decoded.

    Raises:
        ValueError: naming the recordings.
    """
    known = dict(zip(voices.hashes, voices.names, strict=True))
    found = _hashes(test, {_shape(recording) for recording in test})
    shared = [f"{known[h]} = {name}" for h, name in found.items() if h in known]
    if shared:
        raise ValueError(f"leak: {len(shared)} test recordings are among the voices (voice = test): {shorten(shared)}")


def recording_hashes(recordings: Iterable[Utterance]) -> dict[str, str]:
    """Identify recordings by the second in their middle, so that little of long ones is decoded.

    A copy that was resampled, cut or compressed is another one. What is silent there, or cannot be read, has no hash.

    Args:
        recordings: with their durations.

    Returns:
        Ids by hash, of 16 hexadecimal digits.
    """

    def middle(said: Utterance) -> str:
        whole_s = said.duration or 0.0
        part_s = min(_MIDDLE_S, whole_s)
        try:
            samples, rate = audio.read(said.audio, offset_s=said.offset + (whole_s - part_s) / 2, duration_s=part_s)
        except (ValueError, OSError):
            return ""
        return audio.pcm_hash(samples, rate)[:16] if samples.any() else ""

    said = list(recordings)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = zip(pool.map(middle, said), said, strict=True)
        return {label: one.id for label, one in found if label}


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


def shared_clips(train: Iterable[Bank], test: Iterable[Bank]) -> list[Shared]:
    """Find clips that are in banks of both sides: the same audio, or cut from the same recording.

    Audio is compared by its decoded samples. A source is told by the name of the file without its folders and ending,
    if it is more than a number or three letters, and for ESC-50 clips (``3-68630-A-40``) by the recording that they
    were cut from. Clips that were given as arrays have no source.

    Args:
        train: banks of the training policy.
        test: banks of the test conditions.

    Example:
        >>> import numpy as np
        >>> rain = Bank.from_arrays([np.ones(9)], sample_rate=8_000, names=["rain.wav"])
        >>> shared_clips([rain], [rain])
        [Shared(trained='rain.wav', tested='rain.wav', same='audio')]
    """
    train = list(train)
    audio_of = {h: name for bank in train for h, name in zip(bank.hashes, bank.names, strict=True)}
    source_of = {source: name for bank in train for name in bank.names if (source := _source(bank, name))}
    found = []
    for bank in test:
        for label, name in zip(bank.hashes, bank.names, strict=True):
            source = _source(bank, name)
            if label in audio_of:
                found.append(Shared(audio_of[label], name, "audio"))
            elif source in source_of:
                found.append(Shared(source_of[source], name, "source"))
    return list(dict.fromkeys(found))


def trained_with(policies: Iterable[Transform | None], tested: Transform, marks: Sequence[str] = ()) -> bool:
    """Say whether what a test does was done in training, too, at whatever strength.

    A transform counts as the same one if it can turn to the same side: a training that only slows down does not know
    what is faster. Noise of a colour is known to a training with that colour, and clipping is clipping, whether by the
    peak or by a share of samples.

    Args:
        policies: of the training.
        tested: what is done in the test.
        marks: names of the transforms that tell it; empty for all of its own.

    Example:
        >>> import speechaug as sa
        >>> policy = sa.Compose([sa.Speed(factor=(0.8, 1.0)), sa.Gain()])
        >>> [trained_with([policy], sa.Speed(factor=(f, f))) for f in (0.9, 1.1)]
        [True, False]
    """
    known = [leaf for policy in policies if policy is not None for _, leaf in leaves(policy) if leaf.p > 0.0]
    telling = [leaf for _, leaf in leaves(tested) if type(leaf).__name__ not in _TELL_NOTHING]
    telling = [leaf for leaf in telling if not marks or type(leaf).__name__ in marks]
    return any(_effect(one) == _effect(other) and _alike(one, other) for one in known for other in telling)


def _effect(transform: Transform) -> str:
    name = type(transform).__name__
    return _SAME.get(name, name)


def _alike(trained: Transform, tested: Transform) -> bool:
    """Say whether two transforms of one effect can do the same, their strength aside."""
    if type(trained) is not type(tested):
        return True
    spans = type(trained)._spans()
    for field in dataclasses.fields(tested):
        one, other = getattr(trained, field.name), getattr(tested, field.name)
        if field.name in spans:
            neutral, (low, high) = spans[field.name].neutral, spans[field.name].limit
            two_sided = low < neutral < high
            if two_sided and (one[1] <= neutral < other[0] or other[1] < neutral <= one[0]):
                return False
        elif field.name == "exponent" and (one[1] < other[0] or other[1] < one[0]):
            return False
    return True


def _source(bank: Bank, name: str) -> str | None:
    """Return what a clip's name says of where it is from, if anything."""
    stem = PurePosixPath(name).stem.casefold()
    if bank.folder is None or len(stem) < _TELLING or stem.isdecimal():
        return None
    found = _ESC.fullmatch(stem)
    return f"esc {found[1]}" if found else stem


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
