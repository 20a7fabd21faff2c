"""librosa, soxr and pedalboard: NumPy arrays, one example at a time; and julius' kept resampler."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from benchmarks.batch import MELS, RATE, Batch, Clip
from benchmarks.peers import BOTH, peer


def _loop(batch: Batch, effect: Callable[[Clip], object]) -> Callable[[], object]:
    return lambda: [effect(clip) for clip in batch.clips]


@peer("pitch-shift", "librosa", note="n_fft 512")
@peer("pitch-shift-high", "librosa", note="n_fft 512")
def _librosa_pitch(batch: Batch) -> Callable[[], object]:
    from librosa.effects import pitch_shift

    return _loop(batch, lambda clip: pitch_shift(clip, sr=RATE, n_steps=random.uniform(-4.0, 4.0), n_fft=512))


@peer("time-stretch", "librosa", note="n_fft 512")
@peer("time-stretch-high", "librosa", note="n_fft 512")
def _librosa_stretch(batch: Batch) -> Callable[[], object]:
    from librosa.effects import time_stretch

    return _loop(batch, lambda clip: time_stretch(clip, rate=random.uniform(0.8, 1.25), n_fft=512))


@peer("log-mel", "librosa")
def _librosa_mel(batch: Batch) -> Callable[[], object]:
    from librosa.feature import melspectrogram

    def one(clip: Clip) -> object:
        mel = melspectrogram(y=clip, sr=RATE, n_fft=512, win_length=400, hop_length=160, n_mels=MELS)
        return np.log(mel + 1e-6)

    return _loop(batch, one)


@peer("speed-any-high", "soxr HQ", note="loop")
@peer("speed-any-fast", "soxr HQ", note="loop")
def _soxr_any(batch: Batch) -> Callable[[], object]:
    import soxr

    return _loop(batch, lambda clip: soxr.resample(clip, random.uniform(0.9, 1.1) * RATE, RATE, "HQ"))


@peer("speed-any-fast", "soxr QQ", note="loop; 15 dB")
def _soxr_any_quick(batch: Batch) -> Callable[[], object]:
    import soxr

    return _loop(batch, lambda clip: soxr.resample(clip, random.uniform(0.9, 1.1) * RATE, RATE, "QQ"))


@peer("speed-one", "soxr HQ", note="loop")
def _soxr_one(batch: Batch) -> Callable[[], object]:
    import soxr

    return _loop(batch, lambda clip: soxr.resample(clip, 9, 10, "HQ"))


@peer("speed-one", "julius", note="kernel kept; 65 dB", devices=BOTH)
def _julius_one(batch: Batch) -> Callable[[], object]:
    import julius

    kept = julius.ResampleFrac(9, 10).to(batch.device)
    return lambda: kept(batch.x)


@peer("pitch-shift", "pedalboard", note="Rubber Band")
@peer("pitch-shift-high", "pedalboard", note="Rubber Band")
def _pedalboard_pitch(batch: Batch) -> Callable[[], object]:
    import pedalboard

    return _loop(batch, lambda clip: pedalboard.PitchShift(random.uniform(-4.0, 4.0))(clip, RATE))


@peer("time-stretch", "pedalboard", note="Rubber Band, low quality")
def _pedalboard_stretch(batch: Batch) -> Callable[[], object]:
    import pedalboard

    options = {"high_quality": False, "transient_mode": "smooth"}
    return _loop(batch, lambda clip: pedalboard.time_stretch(clip, RATE, random.uniform(0.8, 1.25), **options))


@peer("time-stretch-high", "pedalboard", note="Rubber Band")
def _pedalboard_stretch_high(batch: Batch) -> Callable[[], object]:
    import pedalboard

    return _loop(batch, lambda clip: pedalboard.time_stretch(clip, RATE, random.uniform(0.8, 1.25)))


@peer("low-pass", "pedalboard", note="first order")
def _pedalboard_low_pass(batch: Batch) -> Callable[[], object]:
    import pedalboard

    return _loop(batch, lambda clip: pedalboard.LowpassFilter(random.uniform(300.0, 7_000.0))(clip, RATE))


@peer("HighPass", "pedalboard", note="first order")
def _pedalboard_high_pass(batch: Batch) -> Callable[[], object]:
    import pedalboard

    return _loop(batch, lambda clip: pedalboard.HighpassFilter(random.uniform(50.0, 600.0))(clip, RATE))


@peer("Gain", "pedalboard")
def _pedalboard_gain(batch: Batch) -> Callable[[], object]:
    import pedalboard

    return _loop(batch, lambda clip: pedalboard.Gain(random.uniform(-6.0, 6.0))(clip, RATE))


@peer("reverb", "pedalboard")
def _pedalboard_reverb(batch: Batch) -> Callable[[], object]:
    import pedalboard

    return _loop(batch, lambda clip: pedalboard.Convolution(random.choice(batch.rooms), 1.0, RATE)(clip, RATE))
