"""What every recognizer is made into: waveforms in, texts out, at its own rate and under a name that lasts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch

from speechaug.audio import FloatArray
from speechaug.robustness.fingerprints import function_fingerprint
from speechaug.transform import Transform

Transcribe = Callable[[list[FloatArray]], Sequence[Any]]
"""Makes a text of each waveform ``(T,)``; an exception in place of a text says that this one failed."""

Devices = Literal["auto"] | Sequence[str]
"""``"auto"``, or names such as ``["cuda:0", "cuda:1"]``, of which each gets a copy of the model."""

SAMPLE_RATE = 16_000
"""What a function or a command hears if it does not say otherwise, in Hz."""


class Training(NamedTuple):
    """What is known of how a recognizer was trained.

    Attributes:
        speakers: names of those who were trained on.
        recordings: that were trained or validated on, as :func:`speechaug.data.leak.recording_hashes` has them.
        policy: of the waveforms.
    """

    speakers: frozenset[str] = frozenset()
    recordings: frozenset[str] = frozenset()
    policy: Transform | None = None


@dataclass(frozen=True, kw_only=True)
class Recognizer:
    """What :func:`speechaug.robustness.evaluate` asks: make one with a function of this module.

    Args:
        kind: ``function``, ``checkpoint``, ``hugging_face``, ``torchaudio`` or ``command``.
        name: what tables call it.
        fingerprint: the same as long as the same is recognized: transcripts are kept under it.
        sample_rate: of the waveforms it hears, in Hz.
        copies: one or more that do the same, each on its device.
        training: what it was trained on, as far as its checkpoint tells.

    Example:
        >>> import numpy as np
        >>> hears = from_function(lambda waves: ["seven" for wave in waves], name="seven")
        >>> hears([np.zeros(800, np.float32)]), hears.fingerprint, hears.sample_rate
        (['seven'], 'seven', 16000)
    """

    kind: str
    name: str
    fingerprint: str
    sample_rate: int
    copies: tuple[Transcribe, ...]
    training: Training = Training()

    def __call__(self, waves: list[FloatArray]) -> Sequence[Any]:
        """Transcribe on the first device."""
        return self.copies[0](waves)


def from_function(transcribe: Transcribe, *, sample_rate: int | None = None, name: str | None = None) -> Recognizer:
    """Return a recognizer that calls a function; arguments as in :func:`as_recognizer`."""
    known = transcribe if hasattr(transcribe, "__qualname__") else type(transcribe)
    rate = sample_rate or getattr(transcribe, "sample_rate", None) or SAMPLE_RATE
    return Recognizer(
        kind="function",
        name=name or known.__name__,
        fingerprint=name or function_fingerprint(transcribe),
        sample_rate=int(rate),
        copies=(transcribe,),
    )


def places(devices: Devices) -> list[str]:
    """Name the devices that a model is put on.

    Raises:
        ValueError: if they are no list of names.
    """
    if devices == "auto":
        count = torch.cuda.device_count()
        return [f"cuda:{number}" for number in range(count)] or ["cpu"]
    if isinstance(devices, str) or not devices:
        raise ValueError(f"evaluate: devices must be 'auto' or a list such as ['cuda:0'], got {devices!r}")
    return list(devices)


def copies_of(model: Any, devices: Devices, loaded: bool) -> list[Any]:
    """Put a copy of a model on each device; one that was not loaded here stays where it is, if nothing is asked."""
    if devices == "auto" and not loaded:
        return [model]
    return [copy.deepcopy(model).to(place) for place in places(devices)]


def without_gradients(texts: Callable[..., list[str]], model: Any, how: Any, rate: int) -> Transcribe:
    """Return what calls ``texts(model, how, waves, rate)`` with the model in evaluation mode and no gradients."""
    def transcribe(waves: list[FloatArray]) -> list[str]:
        with torch.inference_mode():
            return texts(model.eval(), how, waves, rate)

    return transcribe
