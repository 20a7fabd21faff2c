"""Plot, spectrograms and sound as text that fits into a page: inline SVG and data URIs, nothing to load."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechaug.robustness.summary import CLEAN, NOISY_MEAN, Row, Summary, snr_db

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

RUN_COLOURS = 4
WINDOW_S = 0.032
MAX_COLUMNS = 480
RANGE_DB = 70.0
FONT = "DejaVu Sans"  # ships with matplotlib, which measures text with it; the page shows its own

# Colours the page replaces by its own variables, so that one plot serves its light and its dark dress.
_TEXT, _LINE = "#010101", "#020202"
_RUN = tuple(f"#0{place}0303" for place in range(RUN_COLOURS))
_VARIABLES = {_TEXT: "var(--soft)", _LINE: "var(--line)"} | {c: f"var(--run-{i})" for i, c in enumerate(_RUN)}
_MARKERS = "osD^"
_NOTHING = "#e4e4e4"  # where there is no sound, which is not the same as silence


def wer_plot(summary: Summary) -> str:
    """Draw word error rate over signal-to-noise ratio as SVG, a line and a band of intervals per run.

    Clean speech stands left of the noisy conditions; conditions without a ratio, such as rooms, stand to their right.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "speechaug"}
    style |= {"font.size": 12.5, "font.family": FONT}
    with mpl.rc_context(style):
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for place, run in enumerate(summary.runs):
            _draw_run(axes, summary, run, place)
        _dress(axes, summary)
        page = io.StringIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None})
    return _inline(page.getvalue())


def _places(summary: Summary) -> list[tuple[float, Row]]:
    """Where each condition stands: ratios by their dB, quieter noise to the left; others beside them."""
    rows = [row for row in summary.rows if row.condition != NOISY_MEAN]
    ratios = {row.condition: ratio for row in rows if (ratio := snr_db(row.condition)) is not None}
    high, low = max(ratios.values(), default=0.0), min(ratios.values(), default=0.0)
    step = max(5.0, (high - low) / 4)
    places: list[tuple[float, Row]] = []
    right = -low if ratios else 0.0
    for row in rows:
        if row.condition in ratios:
            places.append((-ratios[row.condition], row))
        elif row.condition == CLEAN:
            places.append((-high - step, row))
        else:
            right += step
            places.append((right, row))
    return sorted(places, key=lambda item: item[0])


def _draw_run(axes: Axes, summary: Summary, run: str, place: int) -> None:
    colour, marker = _RUN[place % RUN_COLOURS], _MARKERS[place % len(_MARKERS)]
    points = [(x, row.condition, row.scores[run]) for x, row in _places(summary)]
    nudge = (place - (len(summary.runs) - 1) / 2) * 0.7
    for curve in (True, False):
        part = [(x, score) for x, name, score in points if (snr_db(name) is not None) is curve]
        if not part:
            continue
        x = np.array([x for x, _ in part]) + (0.0 if curve else nudge)
        wer, low, high = (
            100 * np.array(values)
            for values in zip(*((s.wer, s.interval.low, s.interval.high) for _, s in part), strict=True)
        )
        if summary.has_intervals and curve:
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
        elif summary.has_intervals:
            axes.vlines(x, low, high, color=colour, alpha=0.4, linewidth=4)
        axes.plot(x, wer, marker if not curve else f"{marker}-", color=colour, linewidth=2.4, markersize=7)
    axes.plot([], [], f"{marker}-", color=colour, linewidth=2.4, markersize=7, label=run)


def _dress(axes: Axes, summary: Summary) -> None:
    places = _places(summary)
    axes.set_xticks([x for x, _ in places], [_tick(row) for _, row in places])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("words wrong, %", color=_TEXT)
    axes.grid(axis="y", color=_LINE, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_TEXT, length=0, pad=6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.legend(frameon=False, labelcolor=_TEXT, loc="best", handlelength=1.8)


def _tick(row: Row) -> str:
    ratio = snr_db(row.condition)
    return row.label if ratio is None else f"{ratio:g} dB"


def _inline(svg: str) -> str:
    """Keep the ``<svg>`` element only, let the page size and colour it and choose the font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(f"'{FONT}'", "system-ui, sans-serif")
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg


def spectrogram_uris(before: tuple[ArrayLike, int], after: tuple[ArrayLike, int]) -> tuple[str, str]:
    """Draw two recordings with the same seconds per pixel and the same 70 dB of colours; PNG data URIs.

    Args:
        before: samples ``(T,)`` or ``(C, T)``, of which the first channel is shown, and their rate in Hz.
        after: the same of the other recording.
    """
    longest = max(seconds(before), seconds(after))
    hop_s = max(0.01, longest / MAX_COLUMNS)
    first, second = _power_db(*before, hop_s), _power_db(*after, hop_s)
    top = max(float(first.max()), float(second.max()))
    return _png_uri(first, top), _png_uri(second, top)


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
    power: NDArray[np.float64] = 10 * np.log10(np.abs(spectrum.T) ** 2 + 1e-10)
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
    low, high = np.percentile(pictures[0], (0.5, 99.5))  # a single odd value would leave no colours for the rest
    limits = float(low), float(high)
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
    from matplotlib.image import imsave

    levels = np.clip((power_db - top_db) / RANGE_DB + 1, 0, 1)
    page = io.BytesIO()
    # 48 colours look the same and halve the file
    imsave(page, np.round(levels * 47) / 47, vmin=0, vmax=1, cmap="magma", origin="lower", format="png")
    return _uri("image/png", page.getvalue())


def audio_uri(samples: ArrayLike, rate: int) -> str:
    """Write samples ``(T,)`` or ``(C, T)`` as a 16-bit WAV data URI; what exceeds full scale is clipped."""
    import soundfile

    page = io.BytesIO()
    channels = np.clip(np.atleast_2d(np.asarray(samples, dtype=np.float32)), -1.0, 1.0)
    soundfile.write(page, channels.T, rate, format="WAV", subtype="PCM_16")
    return _uri("audio/wav", page.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
