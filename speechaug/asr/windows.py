"""Log-probabilities of a recording of any length, in windows, so that memory does not grow with it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechaug.asr.sound import Sound
from speechaug.features import LogMel

if TYPE_CHECKING:
    from speechaug.asr.module import SpeechRecognizer

CONTEXT_S = 4.0
"""What the model sees of the neighbouring windows, on either side: more than any QuartzNet looks at."""


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode without gradients, and every part of it back into its own mode afterwards.

    Args:
        module: the module.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, training in modes:
            part.training = training


def batch_log_probs(recognizer: SpeechRecognizer, rows: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of some waveforms, and their lengths.

    Args:
        recognizer: in evaluation mode.
        rows: samples at its rate.

    Shape: ``(B, frames, tokens)`` and ``(B,)``.
    """
    lengths = torch.tensor([len(row) for row in rows])
    x = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    log_probs, frames = recognizer(x.to(recognizer.device), lengths.to(recognizer.device))
    return log_probs, frames


def windowed_log_probs(
    recognizer: SpeechRecognizer, sound: Sound, window_s: float, advance: Callable[[float], None] = lambda share: None
) -> Tensor:
    """Return the log-probabilities of a recording, computed window by window and laid end to end.

    The window is a matter of memory, not of meaning: levels and normalisation are those of the whole recording, and
    every window is computed with ``CONTEXT_S`` of its neighbours, so that a model that looks no further (a QuartzNet)
    gives what it gives for the whole; one that looks further (a Conformer) differs as far as it does look. Features go
    through a temporary file: 25 kB per second with 64 mel bands.

    Args:
        recognizer: in evaluation mode.
        sound: the recording.
        window_s: length of a window without its neighbours, in seconds.
        advance: called with the share of the work done since the last call.

    Shape: ``(frames, tokens)``, on the CPU.
    """
    stride = int(recognizer.model.subsampling)
    core, context = (_frames(recognizer.features, seconds, stride) for seconds in (window_s, CONTEXT_S))
    with TemporaryFile() as file:
        spool = _Spool(file, recognizer.features.n_mels)
        windows = max(1, math.ceil(sound.duration_s / window_s))
        for spec in _log_mel(recognizer.features, sound, max(1, round(window_s)), recognizer.device):
            spool.append(spec)
            advance(0.5 / windows)
        normalise = _normalisation(recognizer.features, spool, core)
        parts = []
        for start in range(0, spool.frames, core):
            left = max(0, start - context)
            spec = normalise(spool.read(left, start + core + context)).to(recognizer.device)
            log_probs, _ = recognizer.model(spec.T[None], torch.tensor([len(spec)], device=spec.device))
            parts.append(log_probs[0, (start - left) // stride :][: core // stride].cpu())
            advance(0.5 * core / spool.frames)
    return torch.cat(parts)


def _frames(features: LogMel, seconds: float, stride: int) -> int:
    return max(1, math.ceil(seconds * features.frame_rate / stride)) * stride


def _log_mel(features: LogMel, sound: Sound, step_s: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the features of a recording ``(frames, n_mels)`` without floor and normalisation, part by part."""
    plain = copy.copy(features)  # of what is computed from the whole utterance, nothing yet
    plain.normalisation, plain.dynamic_range_db = "none", math.inf
    hop, half = features.hop_length, features.n_fft // 2
    before = -(-half // hop)  # frames whose samples a frame shares
    kept, skipped = np.zeros(0, np.float32), 0
    for start in range(0, max(1, math.ceil(sound.duration_s)), step_s):
        x = np.concatenate([kept, sound.read(start, start + step_s)])
        spec = plain(torch.from_numpy(x)[None].to(device))[0][0].T
        if start + step_s >= sound.duration_s:
            yield spec[skipped:]
        else:
            done = (len(x) - half) // hop + 1  # frames all of whose samples are here
            yield spec[skipped:done]
            first = max(0, done - before)
            kept, skipped = x[first * hop :], done - first


@dataclass
class _Spool:
    """Frames of float32 in a file, appended and then read."""

    file: IO[bytes]
    n_mels: int
    frames: int = 0

    def append(self, spec: Tensor) -> None:
        self.file.write(spec.float().cpu().contiguous().numpy().tobytes())
        self.frames += len(spec)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        self.file.seek(start * self.n_mels * 4)
        data = self.file.read((min(stop, self.frames) - start) * self.n_mels * 4)
        return np.frombuffer(data, np.float32).reshape(-1, self.n_mels)

    def parts(self, size: int) -> Iterator[NDArray[np.float32]]:
        return (self.read(start, start + size) for start in range(0, self.frames, size))


def _normalisation(features: LogMel, spool: _Spool, size: int) -> Callable[[NDArray[np.float32]], Tensor]:
    """Return what LogMel does last, with the loudest band, the means and the deviations of the whole recording."""
    loudest = max((float(part.max()) for part in spool.parts(size)), default=0.0)
    floor = np.float32(loudest - features.dynamic_range_db * math.log(10.0) / 10.0)
    mean, scale = np.zeros(spool.n_mels), np.ones(spool.n_mels)
    if features.normalisation == "utterance":
        total = sum((np.maximum(part, floor).sum(0, dtype=np.float64) for part in spool.parts(size)), mean)
        mean = total / max(1, spool.frames)
        squares: Any = sum(np.square(np.maximum(part, floor) - mean).sum(0) for part in spool.parts(size))
        scale = 1.0 / np.sqrt(squares / max(1, spool.frames) + 1e-3)

    def normalise(part: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(((np.maximum(part, floor) - mean) * scale).astype(np.float32))

    return normalise
