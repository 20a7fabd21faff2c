"""Spectrograms and sound as data URIs for a page that loads nothing, and as figures."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechaug.audio import resample
from speechaug.functional.codec import MP3_RATES, coding_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WINDOW_S = 0.032
MAX_COLUMNS = 480
RANGE_DB = 70.0
_SILENT_DB = -100.0
PICTURE_ROWS, PICTURE_COLOURS = 128, 32  # as high as it is shown on the page; more colours are not seen
_NOTHING = "#e4e4e4"  # where there is no sound, which is not the same as silence


def spectrogram_uris(*recordings: tuple[ArrayLike, int]) -> tuple[str, ...]:
    """Draw recordings with the same seconds per pixel and the same 70 dB of colours; PNG data URIs.

    Args:
        recordings: samples ``(T,)`` or ``(C, T)``, of which the first channel is shown, and their rate in Hz.
    """
    hop_s = max(0.01, max(map(seconds, recordings)) / MAX_COLUMNS)
    pictures = [_power_db(*recording, hop_s) for recording in recordings]
    top = max(_SILENT_DB + RANGE_DB, *(float(picture.max()) for picture in pictures))
    return tuple(_png_uri(picture, top) for picture in pictures)


def feature_uris(*pictures: ArrayLike) -> tuple[str, ...]:
    """Draw features ``(F, T)`` with the same colours, those that the first one needs; PNG data URIs."""
    low, high = _limits(pictures[0])
    return tuple(_levels_uri((np.asarray(each)[::-1] - low) / ((high - low) or 1.0)) for each in pictures)


def _limits(features: ArrayLike) -> tuple[float, float]:
    """Ends of the colours: a single odd value would leave none for the rest."""
    low, high = np.percentile(np.asarray(features, dtype=np.float64), (0.5, 99.5))
    return float(low), float(high)


def seconds(recording: tuple[ArrayLike, int]) -> float:
    """Duration of samples ``(..., T)`` at a rate."""
    samples, rate = recording
    return float(np.shape(samples)[-1] / rate)


def _power_db(samples: ArrayLike, rate: int, hop_s: float) -> NDArray[np.float64]:
    """Power spectrogram in dB, ``(bins, frames)``, Hann window of 32 ms."""
    x = np.atleast_2d(np.asarray(samples, dtype=np.float64))[0]
    size, hop = max(2, round(WINDOW_S * rate)), max(1, round(hop_s * rate))
    frames = 1 + max(0, len(x) - 1) // hop
    padded = np.pad(x, (size // 2, size + hop))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:frames]
    spectrum = np.fft.rfft(windows * np.hanning(size), axis=1)
    power: NDArray[np.float64] = 10 * np.log10(np.abs(spectrum.T) ** 2 + 10 ** (_SILENT_DB / 10))
    return power


def before_after(before: tuple[ArrayLike, int], after: tuple[ArrayLike, int], *, title: str, done: str) -> Figure:
    """Draw two recordings one below the other, over the same seconds and with the same 70 dB of colours.

    Args:
        before: samples ``(T,)`` or ``(C, T)``, of which the first channel is shown, and their rate in Hz.
        after: the same of the other recording.
        title: whose sound it is.
        done: what was done to it, in words.

    Returns:
        The figure; it opens no window, and ``savefig`` writes it.
    """
    recordings = (before, after)
    hop_s = max(0.01, max(map(seconds, recordings)) / MAX_COLUMNS)
    pictures = [_power_db(*recording, hop_s) for recording in recordings]
    top = max(float(picture.max()) for picture in pictures)
    spans = []
    for picture, (_, rate) in zip(pictures, recordings, strict=True):
        hop = max(1, round(hop_s * rate)) / rate
        spans.append((-hop / 2, (picture.shape[1] - 0.5) * hop, 0.0, rate / 2_000))
    figure, image = _two_panels([picture - top for picture in pictures], spans, (-RANGE_DB, 0.0), title, done)
    figure.supylabel("frequency, kHz", fontsize=9)
    figure.supxlabel("time, s", fontsize=9)
    _colours(figure, image, "dB, the loudest is 0")
    return figure


def masks_before_after(before: ArrayLike, after: ArrayLike, *, title: str, done: str) -> Figure:
    """Draw features of a recording before and after masks, ``(F, T)`` each, with the same colours."""
    pictures = [np.asarray(picture, dtype=np.float64) for picture in (before, after)]
    limits = _limits(pictures[0])
    spans = [(0.0, float(picture.shape[1]), 0.0, float(picture.shape[0])) for picture in pictures]
    figure, image = _two_panels(pictures, spans, limits, title, done)
    figure.supylabel("feature band", fontsize=9)
    figure.supxlabel("frame", fontsize=9)
    _colours(figure, image, "feature")
    return figure


def _colours(figure: Figure, image: AxesImage, name: str) -> None:
    bar = figure.colorbar(image, ax=figure.axes, aspect=30, pad=0.015)
    bar.set_label(name, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _two_panels(
    pictures: Sequence[NDArray[np.float64]],
    spans: Sequence[tuple[float, float, float, float]],
    limits: tuple[float, float],
    title: str,
    done: str,
) -> tuple[Figure, AxesImage]:
    """Draw matrices over their ``(left, right, bottom, top)``, with common axes and colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.2), dpi=110, layout="constrained", facecolor="white")
    upper, lower = figure.subplots(2, sharex=True, sharey=True)
    for axes, picture, span in zip((upper, lower), pictures, spans, strict=True):
        axes.set_facecolor(_NOTHING)
        image = axes.imshow(
            picture, extent=span, vmin=limits[0], vmax=limits[1], cmap="magma", origin="lower", aspect="auto"
        )
        axes.tick_params(labelsize=8)
    upper.set_xlim(0.0, max(span[1] for span in spans))
    upper.set_ylim(0.0, max(span[3] for span in spans))
    said = shorten(done, 400, placeholder=" ...")
    upper.set_title("before", loc="left", fontsize=8.5)
    lower.set_title("\n".join(wrap(f"after: {said}", 105)), loc="left", fontsize=8.5, parse_math=False)
    figure.suptitle(shorten(title, 100, placeholder=" ...") or " ", fontsize=11, weight="bold", parse_math=False)
    return figure, image


def _png_uri(power_db: NDArray[np.float64], top_db: float) -> str:
    rows = min(PICTURE_ROWS, len(power_db) - 1)
    edges = np.linspace(0, len(power_db) - 1, rows + 1).round().astype(np.int64)
    thin = np.maximum.reduceat(power_db, edges[:-1], axis=0)[::-1]  # the loudest of the bins that share a row
    return _levels_uri((thin - top_db) / RANGE_DB + 1)


def _levels_uri(levels: NDArray[np.float64]) -> str:
    """Draw levels, of which 0 is the first colour and 1 the last."""
    return _uri("image/png", _png(np.round(np.clip(levels, 0, 1) * (PICTURE_COLOURS - 1)).astype(np.uint8)))


def _png(picture: NDArray[np.uint8]) -> bytes:
    """Write numbers of colours ``(rows, columns)`` as a PNG with a palette, the smallest that shows them."""
    from matplotlib import colormaps

    palette = np.round(255 * colormaps["magma"](np.linspace(0, 1, PICTURE_COLOURS))[:, :3]).astype(np.uint8)
    header = struct.pack(">IIBBBBB", picture.shape[1], picture.shape[0], 8, 3, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in picture)
    parts = {b"IHDR": header, b"PLTE": palette.tobytes(), b"IDAT": zlib.compress(lines, 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )


def audio_uri(samples: ArrayLike, rate: int) -> str:
    """Write samples ``(T,)`` or ``(C, T)`` as a FLAC data URI of 16 bits; what exceeds full scale is clipped."""
    return _uri("audio/flac", _encoded(samples, rate, format="FLAC", subtype="PCM_16"))


def small_audio_uri(samples: ArrayLike, rate: int) -> str:
    """Write samples ``(T,)`` or ``(C, T)`` as an MP3 data URI of a high variable bit rate; every browser plays it.

    MP3 has two channels at most: of more the first is heard. A rate that it does not have becomes the next higher one,
    at most 48 kHz. What exceeds full scale is clipped.
    """
    channels = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    heard = channels if len(channels) <= 2 else channels[:1]
    playable = coding_rate(rate, MP3_RATES)
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.0}
    return _uri("audio/mpeg", _encoded(resample(heard, rate, playable), playable, **options))


def _encoded(samples: ArrayLike, rate: int, **options: Any) -> bytes:
    import soundfile

    file = io.BytesIO()
    channels = np.clip(np.atleast_2d(np.asarray(samples, dtype=np.float32)), -1.0, 1.0)
    soundfile.write(file, channels.T, rate, **options)
    return file.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
