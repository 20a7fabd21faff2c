"""The transforms of audiomentations as ours."""

from __future__ import annotations

import math
from typing import Any

from speechaug.functional.codec import LOWEST_RATE_FACTOR, MP3_KBPS
from speechaug.functional.filter import SHELF_Q
from speechaug.interop.counterpart import (
    Converted,
    NoCounterpart,
    band,
    bank,
    counterpart,
    order_of,
    remarks,
    shift_ms,
    within,
    without_counterpart,
)
from speechaug.transform import Range
from speechaug.waveform.air import AirAbsorption
from speechaug.waveform.codec import Downsample, Mp3
from speechaug.waveform.distortion import Quantization, TanhDistortion
from speechaug.waveform.equalize import Equalizer, HighShelf, LowShelf
from speechaug.waveform.fault import PercentileClipping
from speechaug.waveform.filter import BandPass, HighPass, LowPass
from speechaug.waveform.level import Gain, Polarity, Rescale
from speechaug.waveform.noise import AddColoredNoise, AddNoise
from speechaug.waveform.room import Reverb
from speechaug.waveform.time import Speed, TimeShift, TimeStretch
from speechaug.waveform.voice import PitchShift

SPEECH_DBFS = -26.0
"""The level of speech for which an absolute level of noise is turned into a ratio: nominal in ITU-T P.56."""

_PINK_DB = 10.0 * math.log10(2.0)  # per octave: what halving the power density with each octave is
_FASTEST = 4.0


@counterpart("audiomentations.AddBackgroundNoise", "AddNoise")
def add_background_noise(
    sounds_path: Any,
    min_snr_db: float = 3.0,
    max_snr_db: float = 30.0,
    noise_rms: str = "relative",
    min_absolute_rms_db: float = -45.0,
    max_absolute_rms_db: float = -15.0,
    noise_transform: Any = None,
    lru_cache_size: int | None = None,
    *,
    rate: int,
) -> Converted:
    """`bank` is the folder `sounds_path`; `snr_db` is `min_snr_db`, `max_snr_db`. Wrapped: `noise_rms="absolute"` with
    `min_absolute_rms_db` and `max_absolute_rms_db`, `noise_transform`, some files of a folder. Nothing is read from
    disk after the first batch: `lru_cache_size` has no use.
    """
    if noise_rms != "relative" or noise_transform is not None:
        raise NoCounterpart("noise is mixed at a ratio, as it was recorded")
    return Converted(AddNoise(bank=bank("sounds_path", sounds_path, rate), snr_db=(min_snr_db, max_snr_db)))


@counterpart("audiomentations.AddColorNoise", "AddColoredNoise")
def add_color_noise(
    min_snr_db: float = 5.0,
    max_snr_db: float = 40.0,
    min_f_decay: float = -6.0,
    max_f_decay: float = 6.0,
    p_apply_a_weighting: float = 0.0,
    n_fft: int = 128,
) -> Converted:
    """`snr_db` is `min_snr_db`, `max_snr_db`; `exponent` is `min_f_decay`, `max_f_decay` over 3.01 dB per octave,
    within [-2, 2]. Never A-weighted (`p_apply_a_weighting`); exact from 40 Hz on, where `n_fft` of 128 is flat below
    one bin, 125 Hz at 16 kHz.
    """
    exponent = within("exponent", (min_f_decay / _PINK_DB, max_f_decay / _PINK_DB), -2.0, 2.0)
    remark = "never A-weighted" if p_apply_a_weighting > 0.0 else ""
    return Converted(AddColoredNoise(snr_db=(min_snr_db, max_snr_db), exponent=exponent), remark)


@counterpart("audiomentations.AddGaussianNoise", "AddColoredNoise")
def add_gaussian_noise(min_amplitude: float = 0.001, max_amplitude: float = 0.015) -> Converted:
    """White, `exponent` (0, 0). `min_amplitude`, `max_amplitude` are RMS amplitudes whatever the speech; `snr_db` is
    what they are beside speech of -26 dB: 20 log10(0.05 / amplitude). Quiet recordings are no longer drowned.
    """
    quiet, loud = (round(SPEECH_DBFS - 20.0 * math.log10(amplitude), 2) for amplitude in (min_amplitude, max_amplitude))
    white = AddColoredNoise(snr_db=(loud, quiet), exponent=(0.0, 0.0))
    return Converted(white, f"an SNR, as beside speech of {SPEECH_DBFS:g} dBFS, not an amplitude")


@counterpart("audiomentations.AddGaussianSNR", "AddColoredNoise")
def add_gaussian_snr(min_snr_db: float = 5.0, max_snr_db: float = 40.0) -> Converted:
    """White, `exponent` (0, 0); `snr_db` is `min_snr_db`, `max_snr_db`."""
    return Converted(AddColoredNoise(snr_db=(min_snr_db, max_snr_db), exponent=(0.0, 0.0)))


@counterpart("audiomentations.AirAbsorption", "AirAbsorption")
def air_absorption(
    min_temperature: float = 10.0,
    max_temperature: float = 20.0,
    min_humidity: float = 30.0,
    max_humidity: float = 90.0,
    min_distance: float = 10.0,
    max_distance: float = 100.0,
) -> Converted:
    """`distance_m` is `min_distance`, `max_distance`; `temperature_c` is `min_temperature`, `max_temperature`;
    `humidity_percent` is `min_humidity`, `max_humidity`. By ISO 9613-1, any temperature; theirs absorbs 1.3 to 1.9
    times as many dB.
    """
    ours = AirAbsorption(
        distance_m=(min_distance, max_distance),
        temperature_c=(min_temperature, max_temperature),
        humidity_percent=(min_humidity, max_humidity),
    )
    return Converted(ours, "by ISO 9613-1: 1.3 to 1.9 times fewer dB")


@counterpart("audiomentations.Aliasing", "Downsample")
def aliasing(min_sample_rate: int = 8_000, max_sample_rate: int = 30_000, *, rate: int) -> Converted:
    """`aliased=True`; `factor` is `min_sample_rate`, `max_sample_rate` over the sample rate, at most 1. Samples are
    held, not joined by lines.
    """
    factor = (min(1.0, min_sample_rate / rate), min(1.0, max_sample_rate / rate))
    within("factor", factor, LOWEST_RATE_FACTOR, 1.0)
    return Converted(Downsample(factor=factor, aliased=True), "samples are held, not joined by lines")


@counterpart("audiomentations.ApplyImpulseResponse", "Reverb")
def apply_impulse_response(
    ir_path: Any, lru_cache_size: int = 128, leave_length_unchanged: bool = True, *, rate: int
) -> Converted:
    """`bank` is the folder `ir_path`. The level stays about the same, where theirs sets the peak to 0.5, and the direct
    path stays where it was, where theirs comes later by its delay. The tail is always cut (`leave_length_unchanged`);
    rooms are decoded once (`lru_cache_size`).
    """
    cut = "" if leave_length_unchanged else "the tail is cut"
    return Converted(Reverb(bank=bank("ir_path", ir_path, rate)), remarks("the level and the time of words stay", cut))


@counterpart("audiomentations.BandPassFilter", "BandPass")
def band_pass_filter(
    min_center_freq: float = 200.0,
    max_center_freq: float = 4_000.0,
    min_bandwidth_fraction: float = 0.5,
    max_bandwidth_fraction: float = 1.99,
    min_rolloff: int = 12,
    max_rolloff: int = 24,
    zero_phase: bool = False,
) -> Converted:
    """`low_hz` and `high_hz` are `min_center_freq`, `max_center_freq` less and plus half of the mean of
    `min_bandwidth_fraction`, `max_bandwidth_fraction`, drawn independently; wrapped where the two overlap, as with the
    defaults. `order` is `min_rolloff`, `max_rolloff` over 6 dB; never `zero_phase`.
    """
    low, high = band((min_center_freq, max_center_freq), (min_bandwidth_fraction, max_bandwidth_fraction))
    order, remark = order_of(min_rolloff, max_rolloff)
    ours = BandPass(low_hz=low, high_hz=high, order=order)
    return Converted(ours, remarks("a high-pass and a low-pass, drawn independently", remark, _phase(zero_phase)))


@counterpart("audiomentations.BitCrush", "Quantization")
def bit_crush(min_bit_depth: int = 5, max_bit_depth: int = 10) -> Converted:
    """`bits` is `min_bit_depth`, `max_bit_depth`, at least 2, drawn as real numbers. Full scale has 2^(bits-1) steps,
    theirs one more.
    """
    return Converted(Quantization(bits=within("bits", (min_bit_depth, max_bit_depth), 2.0, 32.0)))


@counterpart("audiomentations.ClippingDistortion", "PercentileClipping")
def clipping_distortion(min_percentile_threshold: int = 0, max_percentile_threshold: int = 40) -> Converted:
    """`fraction` is `min_percentile_threshold`, `max_percentile_threshold` over 100: a share of samples, by magnitude,
    where theirs takes half of it from above and half from below.
    """
    return Converted(PercentileClipping(fraction=(min_percentile_threshold / 100, max_percentile_threshold / 100)))


@counterpart("audiomentations.Gain", "Gain")
def gain(min_gain_db: float = -12.0, max_gain_db: float = 12.0) -> Converted:
    """`gain_db` is `min_gain_db`, `max_gain_db`."""
    return Converted(Gain(gain_db=(min_gain_db, max_gain_db)))


@counterpart("audiomentations.HighPassFilter", "HighPass")
def high_pass_filter(
    min_cutoff_freq: float = 20.0,
    max_cutoff_freq: float = 2_400.0,
    min_rolloff: int = 12,
    max_rolloff: int = 24,
    zero_phase: bool = False,
) -> Converted:
    """`cutoff_hz` is `min_cutoff_freq`, `max_cutoff_freq`; `order` is `min_rolloff`, `max_rolloff` over 6 dB: 2, 4, 6
    or 8, one for all. Never `zero_phase`, which has 6 dB less at the cut-off, not 3. Starts from rest.
    """
    return _pass(HighPass, (min_cutoff_freq, max_cutoff_freq), (min_rolloff, max_rolloff), zero_phase)


@counterpart("audiomentations.HighShelfFilter", "HighShelf")
def high_shelf_filter(
    min_center_freq: float = 300.0,
    max_center_freq: float = 7_500.0,
    min_gain_db: float = -18.0,
    max_gain_db: float = 18.0,
    min_q: float = 0.1,
    max_q: float = 0.999,
) -> Converted:
    """`gain_db` is `min_gain_db`, `max_gain_db`; `cutoff_hz` is `min_center_freq`, `max_center_freq`. `min_q`, `max_q`:
    always 0.71, the steepest shelf without a bump.
    """
    return _shelf(HighShelf, (min_gain_db, max_gain_db), (min_center_freq, max_center_freq), (min_q, max_q))


@counterpart("audiomentations.LowPassFilter", "LowPass")
def low_pass_filter(
    min_cutoff_freq: float = 150.0,
    max_cutoff_freq: float = 7_500.0,
    min_rolloff: int = 12,
    max_rolloff: int = 24,
    zero_phase: bool = False,
) -> Converted:
    """`cutoff_hz` is `min_cutoff_freq`, `max_cutoff_freq`; `min_rolloff`, `max_rolloff` and `zero_phase` as for the
    high-pass.
    """
    return _pass(LowPass, (min_cutoff_freq, max_cutoff_freq), (min_rolloff, max_rolloff), zero_phase)


@counterpart("audiomentations.LowShelfFilter", "LowShelf")
def low_shelf_filter(
    min_center_freq: float = 50.0,
    max_center_freq: float = 4_000.0,
    min_gain_db: float = -18.0,
    max_gain_db: float = 18.0,
    min_q: float = 0.1,
    max_q: float = 0.999,
) -> Converted:
    """`gain_db` is `min_gain_db`, `max_gain_db`; `cutoff_hz` is `min_center_freq`, `max_center_freq`; `min_q`, `max_q`
    as for the high shelf.
    """
    return _shelf(LowShelf, (min_gain_db, max_gain_db), (min_center_freq, max_center_freq), (min_q, max_q))


@counterpart("audiomentations.Mp3Compression", "Mp3")
def mp3_compression(
    min_bitrate: int = 8,
    max_bitrate: int = 64,
    backend: str = "fast-mp3-augment",
    preserve_delay: bool = False,
    quality: int = 7,
) -> Converted:
    """`bitrate_kbps` is `min_bitrate`, `max_bitrate`, within [8, 64], drawn on a logarithmic scale. The delay is always
    taken off (`preserve_delay`); the codec is libsndfile's LAME (`backend`, `quality`).
    """
    bitrate_kbps = within("bitrate_kbps", (min_bitrate, max_bitrate), *MP3_KBPS)
    return Converted(Mp3(bitrate_kbps=bitrate_kbps), "the delay is taken off" if preserve_delay else "")


@counterpart("audiomentations.Normalize", "Rescale")
def normalize(apply_to: str = "all") -> Converted:
    """`apply_to="only_too_loud_sounds"`; at the end of a policy, `range_policy="rescale"`. With `"all"` wrapped:
    features that are normalised do not see the level, and the others should meet many.
    """
    if apply_to != "only_too_loud_sounds":
        raise NoCounterpart("levels are varied here, not made equal")
    return Converted(Rescale())


@counterpart("audiomentations.PitchShift", "PitchShift")
def pitch_shift(
    min_semitones: float = -4.0, max_semitones: float = 4.0, method: str = "signalsmith_stretch"
) -> Converted:
    """`semitones` is `min_semitones`, `max_semitones`. `method`: see `quality`."""
    return Converted(PitchShift(semitones=(min_semitones, max_semitones)))


@counterpart("audiomentations.PolarityInversion", "Polarity")
def polarity_inversion() -> Converted:
    """The same."""
    return Converted(Polarity())


@counterpart("audiomentations.Resample", "Speed")
def resample(min_sample_rate: int = 8_000, max_sample_rate: int = 44_100, *, rate: int) -> Converted:
    """`factor` is the sample rate over `max_sample_rate`, `min_sample_rate`, within [0.25, 4]: what comes out goes on
    at the old rate, so it is played faster or slower. Who wants a lower bandwidth takes `Downsample`.
    """
    return Converted(Speed(factor=within("factor", (rate / max_sample_rate, rate / min_sample_rate), 0.25, _FASTEST)))


@counterpart("audiomentations.SevenBandParametricEQ", "Equalizer")
def seven_band_parametric_eq(min_gain_db: float = -12.0, max_gain_db: float = 12.0) -> Converted:
    """`gain_db` is `min_gain_db`, `max_gain_db`; `bands=7`, `frequency_hz=(42, 9486)`, `q=(0.5, 5)`: the same bands,
    next to each other instead of overlapping by a twentieth, with shelves of a Q of 0.71.
    """
    ours = Equalizer(gain_db=(min_gain_db, max_gain_db), bands=7, frequency_hz=(42.0, 9_486.0), q=(0.5, 5.0))
    return Converted(ours, "bands do not overlap, shelves have a Q of 0.71")


@counterpart("audiomentations.Shift", "TimeShift")
def shift(
    min_shift: float = -0.5,
    max_shift: float = 0.5,
    shift_unit: str = "fraction",
    rollover: bool = True,
    fade_duration: float = 0.005,
    *,
    rate: int,
) -> Converted:
    """`shift_ms` is `min_shift`, `max_shift`, where `shift_unit` is seconds or samples. Wrapped: fractions of the
    length, and `rollover=True`, which puts what leaves at one end before what is at the other. No fade
    (`fade_duration`).
    """
    ours = TimeShift(shift_ms=shift_ms((min_shift, max_shift), shift_unit, rollover, rate))
    return Converted(ours, "without a fade" if fade_duration else "")


@counterpart("audiomentations.TanhDistortion", "TanhDistortion")
def tanh_distortion(min_distortion: float = 0.01, max_distortion: float = 0.7) -> Converted:
    """`drive_db` goes by the peak, `min_distortion`, `max_distortion` by a percentile of the samples; converted for a
    Laplace distribution with a peak 11 times its mean, as speech has. The peak stays, where theirs keeps the RMS.
    """
    low, high = (round(20.0 * math.log10(_drive(amount)), 2) for amount in (min_distortion, max_distortion))
    return Converted(TanhDistortion(drive_db=(low, high)), "the drive fits speech, and its peak stays, not its RMS")


@counterpart("audiomentations.TimeStretch", "TimeStretch")
def time_stretch(
    min_rate: float = 0.8,
    max_rate: float = 1.25,
    leave_length_unchanged: bool = True,
    method: str = "signalsmith_stretch",
) -> Converted:
    """`rate` is `min_rate`, `max_rate`, within [0.25, 4]. The length changes, where `leave_length_unchanged` cuts words
    off or adds silence. `method`: see `quality`.
    """
    ours = TimeStretch(rate=within("rate", (min_rate, max_rate), 1.0 / _FASTEST, _FASTEST))
    return Converted(ours, "the length changes, nothing is cut" if leave_length_unchanged else "")


without_counterpart(
    "audiomentations",
    {
        "AddShortNoises": "Clips at random times. `AddNoise` adds one throughout, `AddImpulses` artificial ones.",
        "AdjustDuration": "A batch pads itself, and cutting would lose words of the transcript.",
        "BandStopFilter": "On features, `FrequencyMask`.",
        "Clip": '`range_policy="clip"` of the policy clips at full scale.',
        "GainTransition": "`GainSteps` changes the gain in steps, `Tremolo` to and fro.",
        "Lambda": "A transform of your own is a class of 20 lines.",
        "Limiter": "`Rescale` brings peaks down, `TanhDistortion` rounds them.",
        "LoudnessNormalization": "Levels are varied here (`Gain`, `LowLevel`), not made equal.",
        "Padding": "A batch pads itself.",
        "PeakingFilter": "`Equalizer` has several peaks at once.",
        "RepeatPart": "Words said twice are in no transcript.",
        "Reverse": "Speech backwards is no speech.",
        "RoomSimulator": "`Reverb` with a bank of rooms, simulated once.",
        "TimeMask": "On features, `TimeMask`; on waveforms, `Dropouts` and `PacketLoss`.",
        "Trim": "Silence is trimmed before training, once.",
    },
)


def _phase(zero_phase: bool) -> str:
    return "not of zero phase" if zero_phase else ""


def _pass(ours: type[HighPass | LowPass], cutoff_hz: Range, rolloff: Range, zero_phase: bool) -> Converted:
    order, remark = order_of(*rolloff)
    return Converted(ours(cutoff_hz=cutoff_hz, order=order), remarks(remark, _phase(zero_phase)))


def _shelf(ours: type[HighShelf | LowShelf], gain_db: Range, cutoff_hz: Range, q: Range) -> Converted:
    fits = all(abs(end - SHELF_Q) < 0.01 for end in q)
    remark = "" if fits else f"always a Q of {SHELF_Q:.2f}, not {q[0]:g} to {q[1]:g}"
    return Converted(ours(gain_db=gain_db, cutoff_hz=cutoff_hz), remark)


def _drive(distortion: float) -> float:
    """Return the gain in front of the hyperbolic tangent, relative to the peak, for an exponential distribution."""
    return 0.5 * 11.0 / -math.log(0.99 * max(distortion, 1e-6))
