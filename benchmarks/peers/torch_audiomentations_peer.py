"""torch-audiomentations: batches ``(B, 1, T)`` on the device, parameters per example.

Its transforms that read files call ``torchaudio.info`` and ``torchaudio.load``, which torchaudio 2.9 removed (or gave
to TorchCodec); here they get readers of WAV files from the standard library, faster than any other, for each call.
Its PitchShift picks from the few ratios made of twos and fives. Any number of semitones by the library below it, or by
torchaudio's own pitch_shift, takes minutes per batch: their resampling kernel has as many values as the product of two
rates without a common divisor. That is why no row of theirs is here.
"""

from __future__ import annotations

import random
import wave
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.batch import RATE, Batch
from benchmarks.peers import BOTH, peer

NAME = "torch-audiomentations"
_KEPT: dict[str, Any] = {"p": 1.0, "sample_rate": RATE, "output_type": "dict"}


def _call(batch: Batch, transform: Any) -> Callable[[], Tensor]:
    rows, moved = batch.x[:, None], transform.to(batch.device)
    return lambda: moved(rows, sample_rate=RATE).samples


def _info(path: str) -> SimpleNamespace:
    with wave.open(str(path), "rb") as file:
        return SimpleNamespace(num_frames=file.getnframes(), sample_rate=file.getframerate())


def _load(path: str, frame_offset: int = 0, num_frames: int = -1) -> tuple[Tensor, int]:
    with wave.open(str(path), "rb") as file:
        file.setpos(frame_offset)
        data = file.readframes(num_frames if num_frames >= 0 else file.getnframes() - frame_offset)
        return torch.from_numpy(np.frombuffer(data, "<i2") / np.float32(32_768.0))[None], file.getframerate()


def _with_files(call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with mock.patch.multiple("torchaudio", info=_info, load=_load, create=True):
            return call()

    return run


@peer("white-noise", NAME, note="1 s of noise, repeated", devices=BOTH)
def _white_noise(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.AddColoredNoise(5.0, 30.0, 0.0, 0.0, **_KEPT))


@peer("AddColoredNoise", NAME, note="1 s of noise, repeated", devices=BOTH)
def _coloured_noise(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.AddColoredNoise(5.0, 30.0, -2.0, 2.0, **_KEPT))


@peer("background-noise", NAME, note="reads files at each call", devices=BOTH)
def _background_noise(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    with mock.patch.multiple("torchaudio", info=_info, load=_load, create=True):
        transform = ta.AddBackgroundNoise(str(batch.noise_folder), 5.0, 30.0, **_KEPT)
    return _with_files(_call(batch, transform))


@peer("reverb", f"{NAME} transform", note="reads files at each call", devices=BOTH)
def _reverb(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _with_files(_call(batch, ta.ApplyImpulseResponse(str(batch.room_folder), **_KEPT)))


@peer("reverb", f"{NAME} convolve", note="responses in memory", devices=BOTH)
def _convolve(batch: Batch) -> Callable[[], object]:
    from torch_audiomentations.utils.convolution import convolve

    rooms = torch.from_numpy(np.stack(batch.rooms)).to(batch.device)

    def run() -> Tensor:
        chosen = torch.randint(len(rooms), (batch.rows,), device=batch.device)
        wet: Tensor = convolve(batch.x[:, None], rooms[chosen][:, None])[..., : batch.samples]
        return wet

    return run


@peer("low-pass", NAME, devices=BOTH)
def _low_pass(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.LowPassFilter(300.0, 7_000.0, **_KEPT))


@peer("HighPass", NAME, devices=BOTH)
def _high_pass(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.HighPassFilter(50.0, 600.0, **_KEPT))


@peer("BandPass", NAME, devices=BOTH)
def _band_pass(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.BandPassFilter(1_500.0, 2_000.0, 1.6, 1.8, **_KEPT))


@peer("pitch-shift", NAME, note="few ratios", devices=BOTH)
def _pitch_shift(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.PitchShift(-4.0, 4.0, **_KEPT))


@peer("Gain", NAME, devices=BOTH)
def _gain(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.Gain(-6.0, 6.0, **_KEPT))


@peer("Polarity", NAME, devices=BOTH)
def _polarity(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.PolarityInversion(**_KEPT))


@peer("TimeShift", NAME, devices=BOTH)
def _time_shift(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta

    return _call(batch, ta.Shift(-0.1, 0.1, "seconds", rollover=False, **_KEPT))


@peer("policy", NAME, note="few pitch ratios; speed 0.9 or 1.1 by torchaudio", devices=BOTH)
def _policy(batch: Batch) -> Callable[[], object]:
    import torch_audiomentations as ta
    import torchaudio

    kept = {name: value for name, value in _KEPT.items() if name != "p"}
    chain = ta.Compose(
        [
            ta.AddColoredNoise(5.0, 30.0, 0.0, 0.0, p=0.5, **kept),
            ta.Gain(-18.0, 6.0, p=1.0, **kept),
            ta.ApplyImpulseResponse(str(batch.room_folder), p=0.3, **kept),
            ta.LowPassFilter(300.0, 7_000.0, p=0.3, **kept),
            ta.PitchShift(-4.0, 4.0, p=0.3, **kept),
        ],
        output_type="dict",
    )
    whole = _call(batch, chain)
    speeds = [torchaudio.transforms.Speed(RATE, factor).to(batch.device) for factor in (0.9, 1.1)]

    def run() -> list[Tensor]:
        return [random.choice(speeds)(row)[0] if random.random() < 0.5 else row for row in whole()]

    return _with_files(run)
