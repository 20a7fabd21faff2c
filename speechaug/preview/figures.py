"""Pictures and sounds of a recording before and after, all on the same axes and in the same colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechaug.audio import FloatArray
from speechaug.page.pictures import feature_uris, seconds, small_audio_uri, spectrogram_uris
from speechaug.page.waveforms import WIDTH, waveform_paths

_HOP_S = 0.01  # of the features


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What is seen and heard of one recording.

    Args:
        length: in words.
        width: of the axis, in percent.
        axis: marks on it: place in percent and text.
        top: what is at the upper edge of the picture.
        picture: spectrogram, a PNG data URI.
        wave: outline of the waveform and marks where it exceeds full scale, as SVG paths; none for features.
        sound: an MP3 data URI; none for features.
    """

    length: str
    width: float
    axis: Sequence[tuple[float, str]]
    top: str
    picture: str
    wave: tuple[str, str] | None = None
    sound: str | None = None


def sound_figures(recordings: Sequence[FloatArray], sample_rate: int) -> list[Figure]:
    """Show recordings ``(C, T)`` of one sample rate, in Hz."""
    longest = max(seconds((x, sample_rate)) for x in recordings) or 1.0
    top = max(float(np.abs(x).max(initial=0.0)) for x in recordings) or 1.0
    pictures = spectrogram_uris(*((x, sample_rate) for x in recordings))
    figures = []
    for x, picture in zip(recordings, pictures, strict=True):
        share = seconds((x, sample_rate)) / longest
        figures.append(
            Figure(
                length=f"{share * longest:.2f} s",
                width=100 * share,
                axis=_axis(longest, "s"),
                top=f"{sample_rate / 2_000:.3g} kHz",
                picture=picture,
                wave=waveform_paths(x, WIDTH * share, top),
                sound=small_audio_uri(x, sample_rate),
            )
        )
    return figures


def feature_figures(features: Sequence[FloatArray]) -> list[Figure]:
    """Show features ``(F, T)``, which have no sound."""
    longest = max(x.shape[1] for x in features)
    return [
        Figure(
            length=f"{x.shape[1]} frames",
            width=100 * x.shape[1] / longest,
            axis=_axis(longest * _HOP_S, "s"),
            top=f"{x.shape[0]} bands",
            picture=picture,
        )
        for x, picture in zip(features, feature_uris(*features), strict=True)
    ]


def _axis(longest: float, unit: str) -> list[tuple[float, str]]:
    """Choose marks of an axis from 0 to ``longest``: four to eight, at 1, 2 or 5 times a power of ten.

    Example:
        >>> _axis(2.5, "s")
        [(0.0, '0'), (20.0, '0.5'), (40.0, '1'), (60.0, '1.5'), (80.0, '2'), (100.0, '2.5 s')]
    """
    power = 10.0 ** math.floor(math.log10(longest / 4))
    step = next(factor * power for factor in (5, 2, 1) if factor * power <= longest / 4)
    marks = [place * step for place in range(int(longest / step * 1.000001) + 1)]
    texts = [f"{mark:.6g}" for mark in marks]
    texts[-1] += f" {unit}"
    return [(100 * mark / longest, text) for mark, text in zip(marks, texts, strict=True)]
