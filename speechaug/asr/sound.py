"""What a recognizer is given to hear: a waveform or a file of any rate, read a few seconds at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from speechaug import audio
from speechaug.audio import AudioError, AudioSource, FloatArray

Input = NDArray[np.floating[Any]] | Tensor | AudioSource
"""A waveform ``(T,)`` in floating point, or the path of a sound file."""

_MARGIN_S = 1  # decoded on both sides of a part and cut off again, so that resampling sees what lies beyond the cut


@dataclass(frozen=True)
class Sound:
    """One channel at the recognizer's rate, of which parts can be read.

    Args:
        name: what to call it in a message.
        sample_rate: samples per second of what is read.
        duration_s: length.
        read: gives the samples from one whole second to another, ``None`` for the end; parts laid end to end are
            what reading all at once gives.
    """

    name: str
    sample_rate: int
    duration_s: float
    read: Callable[[int, int | None], FloatArray]


def listen(source: Input, sample_rate: int, *, array_rate: int | None, name: str) -> Sound:
    """Prepare to read a waveform or a file; of a file only the header is read here.

    Args:
        source: a waveform ``(T,)`` in floating point, or what ``speechaug.audio.read`` reads; of several channels the
            mean is taken.
        sample_rate: rate wanted, in Hz.
        array_rate: rate of waveforms, in Hz; files know theirs.
        name: what to call a waveform in a message; a file is called by its path.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, or a waveform has no rate, another shape or type, or samples that are not
            finite.

    Example:
        >>> sound = listen(np.ones(4_000), 16_000, array_rate=8_000, name="waveform 0")
        >>> sound.duration_s, sound.read(0, None).shape
        (0.5, (8000,))
    """
    if isinstance(source, (np.ndarray, Tensor)):
        return _from_array(source, sample_rate, array_rate, name)
    if not isinstance(source, (str, Path)) and not hasattr(source, "open"):
        raise ValueError(f"{name}: must be an array, a tensor or a sound file, got {type(source).__name__}")
    return _from_file(source, sample_rate)


def check_inputs(owner: str, inputs: Iterable[Input]) -> None:
    """Refuse a single waveform or file, which would pass for a list of samples or letters.

    Args:
        owner: who was given them, for the message.
        inputs: waveforms and files.

    Raises: ValueError: if they are one.
    """
    if isinstance(inputs, (str, Path, np.ndarray, Tensor)):
        raise ValueError(f"{owner}: inputs must be a list of waveforms and files, got one {type(inputs).__name__}")


def _from_array(source: NDArray[Any] | Tensor, sample_rate: int, array_rate: int | None, name: str) -> Sound:
    x = source.detach().cpu() if isinstance(source, Tensor) else source
    kind = str(x.dtype).removeprefix("torch.")
    if x.ndim != 1 or "float" not in kind:
        raise ValueError(f"{name}: must be floating point (T,), got {kind} {tuple(x.shape)}")
    if not isinstance(array_rate, (int, float, np.number)) or array_rate <= 0 or array_rate % 1:
        raise ValueError(f"{name}: sample_rate must be given with waveforms, in whole Hz, got {array_rate!r}")
    samples: FloatArray = x.float().numpy() if isinstance(x, Tensor) else np.ascontiguousarray(x, np.float32)
    finite = np.isfinite(samples)
    if not finite.all():
        raise AudioError(f"{name}: holds non-finite samples, the first at sample {int(finite.argmin())}", "not_finite")
    duration_s = len(samples) / array_rate
    if array_rate != sample_rate and len(samples):
        samples = audio.resample(samples[None], int(array_rate), sample_rate)[0]

    def read(start: int, stop: int | None) -> FloatArray:
        return samples[start * sample_rate : None if stop is None else stop * sample_rate]

    return Sound(name, sample_rate, duration_s, read)


def _from_file(source: AudioSource, sample_rate: int) -> Sound:
    duration_s = audio.info(source).duration_s

    def read(start: int, stop: int | None) -> FloatArray:
        first = max(0, start - _MARGIN_S)
        if start >= duration_s:
            return np.zeros(0, np.float32)
        wanted = None if stop is None else stop + _MARGIN_S - first
        channels, _ = audio.read(source, sample_rate=sample_rate, offset_s=first, duration_s=wanted)
        samples: FloatArray = channels.mean(0, dtype=np.float32)
        return samples[(start - first) * sample_rate : None if stop is None else (stop - first) * sample_rate]

    return Sound(str(source), sample_rate, duration_s, read)
