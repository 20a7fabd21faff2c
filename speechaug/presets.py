"""Policies with a name."""

from __future__ import annotations

import dataclasses

from speechaug.banks import Bank
from speechaug.compose import Compose, OneOf
from speechaug.spectrogram.mask import FrequencyMask, TimeMask
from speechaug.spectrogram.warp import TimeWarp
from speechaug.transform import Transform
from speechaug.waveform.codec import MuLaw
from speechaug.waveform.equalize import Equalizer
from speechaug.waveform.filter import BandPass, HighPass, LowPass
from speechaug.waveform.interference import AddBabble
from speechaug.waveform.level import Gain
from speechaug.waveform.noise import AddColoredNoise, AddNoise
from speechaug.waveform.room import Reverb
from speechaug.waveform.time import Speed, TimeStretch

_SPECAUGMENT = {
    "LB": (80, 27, 1, 100, 1.0, 1),
    "LD": (80, 27, 2, 100, 1.0, 2),
    "SM": (40, 15, 2, 70, 0.2, 2),
    "SS": (40, 27, 2, 70, 0.2, 2),
}
"""W, F, m_F, T, p, m_T of Table 1 of Park et al. 2019."""


def specaugment(policy: str = "LD") -> Compose:
    """Return a SpecAugment policy for log-mel spectrograms ``(B, F, T)`` of 80 bands, 100 frames per second.

    Args:
        policy: ``"LB"``, ``"LD"`` (LibriSpeech basic and double), ``"SM"``, ``"SS"`` (Switchboard mild and strong),
            ``"adaptive"`` (number and width of time masks in proportion to the utterance), or ``"small"``, for
            recognizers of under a million parameters and short utterances: two masks of at most 8 bands and of at
            most 15 frames, no warp.

    Raises:
        ValueError: if ``policy`` is not one of these.

    Source: Park et al., "SpecAugment", Interspeech 2019, Table 1; Park et al., "SpecAugment on large scale datasets",
    ICASSP 2020 (adaptive: p_M = p_S = 0.04, at most 20 masks).

    Example:
        >>> [type(member).__name__ for member in specaugment("LD").members]
        ['TimeWarp', 'FrequencyMask', 'TimeMask']
    """
    if policy == "small":
        return Compose([FrequencyMask(width_bins=(0, 8), count=2), TimeMask(width_frames=(0, 15), count=2)])
    if policy == "adaptive":
        adaptive = TimeMask(count_fraction=0.04, width_fraction=0.04)
        return Compose([TimeWarp(shift_frames=(-80, 80)), FrequencyMask(width_bins=(0, 27), count=2), adaptive])
    if policy not in _SPECAUGMENT:
        raise ValueError(f"specaugment: policy must be LB, LD, SM, SS, adaptive or small, got {policy!r}")
    warp, width_f, count_f, width_t, fraction, count_t = _SPECAUGMENT[policy]
    return Compose(
        [
            TimeWarp(shift_frames=(-warp, warp)),
            FrequencyMask(width_bins=(0, width_f), count=count_f),
            TimeMask(width_frames=(0, width_t), count=count_t, max_fraction=fraction),
        ]
    )


def small_sample(noises: Bank | None = None, rooms: Bank | None = None, voices: Bank | None = None) -> Compose:
    """Return the waveform policy for little data: other speakers' pace and pitch, rooms, noise, lines, level.

    About one example in ten keeps its sound and changes in level and pace alone. Nothing in it is of the suite's
    held-out family (clipping, lost packets, drop-outs, levels), so that tests under those say what it is worth beyond
    what it trains. Use it alone for small recognizers: ``specaugment("small")`` on the features beside it cost more
    than it gave, up to 6,000 steps.

    Args:
        noises: recorded noise; without it only coloured noise is added.
        rooms: room responses; without them no reverberation is added.
        voices: recordings of single talkers, such as those that are trained on, never those that are tested: babble.

    Example:
        >>> [type(member).__name__ for member in small_sample().members]
        ['OneOf', 'AddColoredNoise', 'OneOf', 'Gain']
    """
    pace = [Speed(factor=(0.75, 1.65)), TimeStretch(rate=(0.55, 1.25))]
    members: list[Transform] = [OneOf(pace, weights=(3.0, 1.0), p=0.75)]
    if rooms is not None:
        members.append(Reverb(bank=rooms, wet=(0.5, 2.0), p=0.35))
    members += _added(noises, voices)
    members += [AddColoredNoise(snr_db=(0.0, 30.0), p=0.3), _line(p=0.45), Gain(gain_db=(-6.0, 6.0))]
    return Compose(members)


def _added(noises: Bank | None, voices: Bank | None) -> list[Transform]:
    """Return what adds recordings: noise three times as often as babble."""
    if voices is None:
        return [] if noises is None else [AddNoise(bank=noises, snr_db=(-5.0, 20.0), p=0.6)]
    babble = AddBabble(bank=voices, talkers=(1, 6), snr_db=(-3.0, 20.0))
    if noises is None:
        return [dataclasses.replace(babble, p=0.2)]
    return [OneOf([AddNoise(bank=noises, snr_db=(-5.0, 20.0)), babble], weights=(3.0, 1.0), p=0.7)]


def _line(p: float) -> OneOf:
    """Return what microphones, lines and codecs do, one of it at a time; the filters of lines are steep."""
    kinds = [
        LowPass(cutoff_hz=(600.0, 4_000.0), order=8),
        HighPass(cutoff_hz=(100.0, 2_000.0)),
        BandPass(low_hz=(200.0, 700.0), high_hz=(1_500.0, 3_600.0), order=8),
        Equalizer(gain_db=(-12.0, 12.0)),
        MuLaw(bits=(2.0, 8.0)),
    ]
    return OneOf(kinds, weights=(5.0, 3.0, 7.0, 3.0, 7.0), p=p)
