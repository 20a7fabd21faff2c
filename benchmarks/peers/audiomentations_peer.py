"""audiomentations: NumPy, one example at a time, on one core whatever the number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.batch import RATE, Batch
from benchmarks.peers import peer

NAME = "audiomentations"


def _loop(batch: Batch, transform: Any) -> Callable[[], object]:
    return lambda: [transform(clip, sample_rate=RATE) for clip in batch.clips]


@peer("white-noise", NAME)
def _white_noise(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.AddGaussianSNR(5.0, 30.0, p=1.0))


@peer("AddColoredNoise", NAME)
def _coloured_noise(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.AddColorNoise(5.0, 30.0, p=1.0))


@peer("background-noise", NAME, note="reads files at each call")
def _background_noise(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.AddBackgroundNoise(str(batch.noise_folder), 5.0, 30.0, p=1.0))


@peer("reverb", NAME, note="files kept in memory")
def _reverb(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.ApplyImpulseResponse(str(batch.room_folder), p=1.0))


@peer("low-pass", NAME)
def _low_pass(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.LowPassFilter(300.0, 7_000.0, 12, 12, p=1.0))


@peer("HighPass", NAME)
def _high_pass(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.HighPassFilter(50.0, 600.0, 12, 12, p=1.0))


@peer("BandPass", NAME)
def _band_pass(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.BandPassFilter(1_500.0, 2_000.0, 1.6, 1.8, 12, 12, p=1.0))


@peer("pitch-shift", NAME, note="Signalsmith")
@peer("pitch-shift-high", NAME, note="Signalsmith")
def _pitch_shift(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.PitchShift(-4.0, 4.0, p=1.0))


@peer("time-stretch", NAME, note="Signalsmith")
@peer("time-stretch-high", NAME, note="Signalsmith")
def _time_stretch(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.TimeStretch(0.8, 1.25, leave_length_unchanged=False, p=1.0))


@peer("speed-any-high", NAME, note="to whole Hz, soxr HQ")
def _speed(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.Resample(14_545, 17_777, p=1.0))


@peer("Gain", NAME)
def _gain(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.Gain(-6.0, 6.0, p=1.0))


@peer("Polarity", NAME)
def _polarity(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.PolarityInversion(p=1.0))


@peer("Clipping", NAME)
def _clipping(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.ClippingDistortion(0, 40, p=1.0))


@peer("TanhDistortion", NAME, note="keeps the RMS")
def _tanh(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.TanhDistortion(p=1.0))


@peer("Quantization", NAME)
def _quantization(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.BitCrush(6, 12, p=1.0))


@peer("Equalizer", NAME, note="seven bands")
def _equalizer(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.SevenBandParametricEQ(-6.0, 6.0, p=1.0))


@peer("AirAbsorption", NAME)
def _air(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.AirAbsorption(10.0, 20.0, 30.0, 90.0, 5.0, 50.0, p=1.0))


@peer("TimeShift", NAME)
def _time_shift(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    return _loop(batch, am.Shift(-0.1, 0.1, "seconds", rollover=False, fade_duration=0.0, p=1.0))


@peer("policy", NAME, note="Signalsmith pitch shift")
def _policy(batch: Batch) -> Callable[[], object]:
    import audiomentations as am

    chain = [
        am.AddGaussianSNR(5.0, 30.0, p=0.5),
        am.Gain(-18.0, 6.0, p=1.0),
        am.ApplyImpulseResponse(str(batch.room_folder), p=0.3),
        am.LowPassFilter(300.0, 7_000.0, 12, 12, p=0.3),
        am.PitchShift(-4.0, 4.0, p=0.3),
        am.Resample(14_545, 17_777, p=0.5),
    ]
    return _loop(batch, am.Compose(chain))
