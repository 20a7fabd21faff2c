"""The transforms of torch-audiomentations as ours."""

from __future__ import annotations

from typing import Any

from speechaug.functional.filter import ORDERS
from speechaug.interop.counterpart import (
    Converted,
    band,
    bank,
    counterpart,
    remarks,
    shift_ms,
    within,
    without_counterpart,
)
from speechaug.interop.from_audiomentations import normalize, polarity_inversion
from speechaug.waveform.filter import BandPass, HighPass, LowPass
from speechaug.waveform.level import Gain
from speechaug.waveform.noise import AddColoredNoise, AddNoise
from speechaug.waveform.room import Reverb
from speechaug.waveform.time import TimeShift
from speechaug.waveform.voice import PitchShift

_STEEPEST = ORDERS[-1]
_SLOPE = f"{6 * _STEEPEST} dB per octave, not a cut within 1 % of the sample rate"


@counterpart("torch_audiomentations.AddBackgroundNoise", "AddNoise")
def add_background_noise(
    background_paths: Any, min_snr_in_db: float = 3.0, max_snr_in_db: float = 30.0, *, rate: int
) -> Converted:
    """`bank` is the folder `background_paths`, or that of all of its files; `snr_db` is `min_snr_in_db`,
    `max_snr_in_db`. A short clip starts again, where theirs goes on with another.
    """
    noises = bank("background_paths", background_paths, rate)
    return Converted(AddNoise(bank=noises, snr_db=(min_snr_in_db, max_snr_in_db)))


@counterpart("torch_audiomentations.AddColoredNoise", "AddColoredNoise")
def add_colored_noise(
    min_snr_in_db: float = 3.0, max_snr_in_db: float = 30.0, min_f_decay: float = -2.0, max_f_decay: float = 2.0
) -> Converted:
    """`snr_db` is `min_snr_in_db`, `max_snr_in_db`; `exponent` is `max_f_decay`, `min_f_decay` with the other sign, as
    documented there: 1 is pink. What theirs makes falls twice as steeply and repeats every second.
    """
    exponent = within("exponent", (-max_f_decay, -min_f_decay), -2.0, 2.0)
    noise = AddColoredNoise(snr_db=(min_snr_in_db, max_snr_in_db), exponent=exponent)
    coloured = (min_f_decay, max_f_decay) != (0.0, 0.0)
    return Converted(noise, "the colour that is documented, half as steep as theirs is" if coloured else "")


@counterpart("torch_audiomentations.ApplyImpulseResponse", "Reverb")
def apply_impulse_response(
    ir_paths: Any, convolve_mode: str = "full", compensate_for_propagation_delay: bool = False, *, rate: int
) -> Converted:
    """`bank` is the folder `ir_paths`. The response has unit energy, so the level stays about the same, and the direct
    path stays where it was, as with `compensate_for_propagation_delay=True`. The tail is cut (`convolve_mode`).
    """
    delay = "" if compensate_for_propagation_delay else "words stay where they were"
    return Converted(Reverb(bank=bank("ir_paths", ir_paths, rate)), remarks("the level stays", delay))


@counterpart("torch_audiomentations.BandPassFilter", "BandPass")
def band_pass_filter(
    min_center_frequency: float = 200,
    max_center_frequency: float = 4_000,
    min_bandwidth_fraction: float = 0.5,
    max_bandwidth_fraction: float = 1.99,
) -> Converted:
    """`low_hz` and `high_hz` are `min_center_frequency`, `max_center_frequency` less and plus half of the mean of
    `min_bandwidth_fraction`, `max_bandwidth_fraction`, drawn independently; wrapped where the two overlap, as with the
    defaults. Of order 8, where theirs is a windowed sinc.
    """
    low, high = band((min_center_frequency, max_center_frequency), (min_bandwidth_fraction, max_bandwidth_fraction))
    return Converted(BandPass(low_hz=low, high_hz=high, order=_STEEPEST), f"drawn independently; {_SLOPE}")


@counterpart("torch_audiomentations.Gain", "Gain")
def gain(min_gain_in_db: float = -18.0, max_gain_in_db: float = 6.0) -> Converted:
    """`gain_db` is `min_gain_in_db`, `max_gain_in_db`."""
    return Converted(Gain(gain_db=(min_gain_in_db, max_gain_in_db)))


@counterpart("torch_audiomentations.HighPassFilter", "HighPass")
def high_pass_filter(min_cutoff_freq: float = 20.0, max_cutoff_freq: float = 2_400.0) -> Converted:
    """`cutoff_hz` is `min_cutoff_freq`, `max_cutoff_freq`. Of order 8, where theirs is a windowed sinc."""
    return Converted(HighPass(cutoff_hz=(min_cutoff_freq, max_cutoff_freq), order=_STEEPEST), _SLOPE)


@counterpart("torch_audiomentations.Identity", "Gain")
def identity() -> Converted:
    """`gain_db=(0, 0)`, which keeps its chance within a `OneOf`; elsewhere leave it out."""
    return Converted(Gain(gain_db=(0.0, 0.0)))


@counterpart("torch_audiomentations.LowPassFilter", "LowPass")
def low_pass_filter(min_cutoff_freq: float = 150.0, max_cutoff_freq: float = 7_500.0) -> Converted:
    """`cutoff_hz` is `min_cutoff_freq`, `max_cutoff_freq`. Of order 8, where theirs is a windowed sinc."""
    return Converted(LowPass(cutoff_hz=(min_cutoff_freq, max_cutoff_freq), order=_STEEPEST), _SLOPE)


counterpart("torch_audiomentations.PeakNormalization", "Rescale")(normalize)


@counterpart("torch_audiomentations.PitchShift", "PitchShift")
def pitch_shift(min_transpose_semitones: float = -4.0, max_transpose_semitones: float = 4.0) -> Converted:
    """`semitones` is `min_transpose_semitones`, `max_transpose_semitones`: any value, where theirs has a few ratios
    that suit the sample rate.
    """
    return Converted(PitchShift(semitones=(min_transpose_semitones, max_transpose_semitones)))


counterpart("torch_audiomentations.PolarityInversion", "Polarity")(polarity_inversion)


@counterpart("torch_audiomentations.Shift", "TimeShift")
def shift(
    min_shift: float = -0.5, max_shift: float = 0.5, shift_unit: str = "fraction", rollover: bool = True, *, rate: int
) -> Converted:
    """`shift_ms` is `min_shift`, `max_shift`, where `shift_unit` is seconds or samples. Wrapped: fractions of the
    length, and `rollover=True`, which puts what leaves at one end before what is at the other.
    """
    return Converted(TimeShift(shift_ms=shift_ms((min_shift, max_shift), shift_unit, rollover, rate)))


without_counterpart(
    "torch_audiomentations",
    {
        "BandStopFilter": "On features, `FrequencyMask`.",
        "ShuffleChannels": "All channels get the same effect here, and keep their places.",
        "SpliceOut": "Cuts out pieces, and with them words of the transcript. On features, `TimeMask`.",
        "TimeInversion": "Speech backwards is no speech.",
        "augmentations.mix.Mix": "`AddBabble` mixes other talkers in. Wrapped, a row is alone: nothing is mixed.",
        "augmentations.padding.Padding": "A batch pads itself.",
        "augmentations.random_crop.RandomCrop": "Cutting would lose words of the transcript.",
    },
)
