"""What a transform does, to see and to hear: waveform, spectrogram and sound before and after."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

import speechaug as sa
from speechaug.interop import External
from speechaug.page.pictures import spectrogram_uris
from speechaug.page.waveforms import HEIGHT, WIDTH, waveform_paths
from speechaug.page.words import ABBREVIATIONS, compact, split_unit, words_of
from speechaug.robustness import Condition, render
from speechaug.transform import Span

Floats = NDArray[np.float32]

FIXTURES = Path(sa.__file__).parent / "fixtures"
RATE = 16_000
SECONDS = 3.2
MEDIA = "media/"
"""Where the site keeps the files; the pages that are not at its root go up first."""


@dataclass
class Figure:
    """A piece of HTML and the files that it shows, by name."""

    html: str
    files: dict[str, bytes] = field(default_factory=dict)


@cache
def speech() -> Floats:
    """Return a voice that says some digits."""
    samples, _ = sa.audio.read(FIXTURES / "speech" / "flite_slt_1.flac", duration_s=SECONDS)
    louder: Floats = samples[0] * (0.5 / np.abs(samples).max())
    return louder


def example(cls: type[sa.Transform]) -> sa.Transform:
    """Return a transform at the strong end of its default ranges, always on, with what else it needs."""
    if issubclass(cls, (sa.Compose, sa.OneOf, sa.SomeOf)):
        return cls([_room(), sa.PitchShift(semitones=(3.0, 5.0)), sa.LowPass(cutoff_hz=(1_000.0, 1_500.0))])
    if cls is External:
        return cls("audiomentations.SevenBandParametricEQ")
    if cls is sa.Rescale:
        return sa.Compose([sa.Gain(gain_db=(12.0, 12.0)), cls()])
    ends: dict[str, Any] = {entry.name: _strong_end(entry) for entry in fields(cls) if "span" in entry.metadata}
    banks = {"AddBabble": "speech", "AddNoise": "noise/train/engine", "Reverb": "rir/train"}
    if cls.__name__ in banks:
        ends["bank"] = sa.Bank.from_folder(FIXTURES / banks[cls.__name__], sample_rate=RATE)
    elif cls is sa.Microphone:
        ends["bank"] = _loudspeaker()
    return cls(p=1.0, **ends)


def _strong_end(entry: Field[Any]) -> tuple[float, float]:
    """Return the end of a range's default that is further from no effect, twice."""
    spread: Span = entry.metadata["span"]
    low, high = cast(tuple[float, float], entry.default)
    scale = math.log if spread.scale == "log" else float
    end = max((high, low), key=lambda end: abs(scale(end) - scale(spread.neutral)))
    return end, end


def _room() -> sa.Transform:
    return sa.Reverb(bank=sa.Bank.from_folder(FIXTURES / "rir" / "train", sample_rate=RATE))


def _loudspeaker() -> sa.Bank:
    """Return the response of a small device: what a narrow band-pass makes of a click."""
    click = np.eye(1, 2_000, 200, dtype=np.float32)[0]
    narrow = sa.BandPass(low_hz=(500.0, 500.0), high_hz=(2_500.0, 2_500.0))
    return sa.Bank.from_arrays([sa.augment(click, RATE, narrow)], sample_rate=RATE)


def figure(cls: type[sa.Transform]) -> Figure:
    """Show one transform."""
    transform, name = example(cls), cls.__name__
    draws = transform.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=["docs"]))
    said = "; ".join(_in_words(place or name, drawn) for place, drawn in draws.row(0))
    said = repr(transform) if said == name else said  # nothing of its own was drawn
    if transform.domain == "spectrogram":
        return _of_features(transform, draws, name, said)
    x = torch.from_numpy(speech())[None]
    y, lengths = transform(x, None, draws, sample_rate=RATE)
    return _of_sounds(speech(), y[0, : int(lengths[0])].numpy(), name, said)


def _in_words(place: str, drawn: dict[str, Any]) -> str:
    """Say what was drawn of a transform's own parameters; which clip and which noise tells nobody anything."""
    ours = {entry.name for entry in fields(sa.TRANSFORMS[place.partition(".")[0]])}
    said = []
    for name in sorted(ours & set(drawn), key=list(drawn).index):
        stem, unit = split_unit(name)
        values = drawn[name] if isinstance(drawn[name], list) else [drawn[name]]
        shown = ", ".join(compact(value, unit) for value in values)
        said.append(f"{ABBREVIATIONS.get(stem, stem.replace('_', ' '))} {shown} {unit}".rstrip())
    return ", ".join([place, *said])


def _of_sounds(before: Floats, after: Floats, name: str, said: str) -> Figure:
    pictures = spectrogram_uris((before, RATE), (after, RATE))
    longest = max(len(before), len(after))
    first = _heard("before", before, pictures[0], f"{name}-before", longest)
    second = _heard("after", after, pictures[1], f"{name}-after", longest)
    return _pair([first, second], said)


def _heard(title: str, samples: Floats, picture: str, name: str, longest: int) -> Figure:
    """Show one sound: what it is, its waveform over its spectrogram, as wide as it is long."""
    image = f'<img src="{MEDIA}{name}.png" alt="" loading="lazy">'
    seen = f'<div class="seen" style="width:{100 * len(samples) / longest:.2f}%">{waveform(samples)}{image}</div>'
    sound = f'<audio controls preload="none" src="{MEDIA}{name}.mp3"></audio>'
    files = {f"{name}.png": base64.b64decode(picture.partition(",")[2]), f"{name}.mp3": mp3(samples)}
    return Figure(_side(title, seen + sound), files)


def _of_features(transform: sa.Transform, draws: sa.Draws, name: str, said: str) -> Figure:
    features, frames = sa.LogMel(RATE, n_mels=80)(torch.from_numpy(speech())[None], torch.tensor([len(speech())]))
    after, _ = transform(features, frames, draws)
    sides = []
    for side, matrix in (("before", features), ("after", after)):
        image = f'<img src="{MEDIA}{name}-{side}.png" alt="" loading="lazy">'
        html = _side(side, f'<div class="seen">{image}</div>')
        sides.append(Figure(html, {f"{name}-{side}.png": _features_png(matrix[0].numpy())}))
    return _pair(sides, said)


def _side(title: str, what: str) -> str:
    return f'<div class="side"><span class="which">{title}</span>{what}</div>'


def _pair(sides: list[Figure], said: str) -> Figure:
    joined = _joined(sides)
    caption = f"<figcaption>{escape(said)}</figcaption>"
    return Figure(f'<figure class="pair">{joined.html}{caption}</figure>', joined.files)


def _joined(figures: Iterable[Figure]) -> Figure:
    joined = Figure("")
    for each in figures:
        joined.html += each.html
        joined.files |= each.files
    return joined


def waveform(samples: Floats) -> str:
    """Return the outline of a waveform as SVG, full scale at its edges, in the colour of the text."""
    outline, _ = waveform_paths(samples.clip(-1, 1), WIDTH, 1.0)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    return f'<svg {size} aria-hidden="true"><path d="{outline}"/></svg>'


def mp3(samples: Floats) -> bytes:
    """Code a sound as a small MP3, which every browser plays; beyond full scale it is clipped."""
    file = io.BytesIO()
    soundfile.write(file, samples.clip(-1, 1), RATE, format="MP3", compression_level=0.7)
    return file.getvalue()


def _features_png(matrix: Floats) -> bytes:
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, matrix, cmap="magma", vmin=-2.5, vmax=2.5, origin="lower")
    return file.getvalue()


def gallery() -> Figure:
    """Show one utterance as recorded, and four others that a policy makes of it."""
    cafe = sa.Bank.from_folder(FIXTURES / "noise" / "test" / "cafe", sample_rate=RATE)
    line = [sa.BandPass(low_hz=(300.0, 300.0), high_hz=(3_400.0, 3_400.0)), sa.MuLaw(bits=(8.0, 8.0))]
    policies: dict[str, sa.Transform] = {
        "as recorded": sa.Gain(p=0.0),
        "in a café, 5 dB": sa.AddNoise(bank=cafe, snr_db=(5.0, 5.0)),
        "across a hall": _room(),
        "on the telephone": sa.Compose(line),
        "someone else, in a hurry": sa.Compose([sa.Speed(factor=(1.2, 1.2)), sa.Equalizer(gain_db=(6.0, 9.0))]),
    }
    sounds = {title: sa.augment(speech(), RATE, policy, seed=1) for title, policy in policies.items()}
    shown = _joined(
        _heard(title, after, spectrogram_uris((speech(), RATE), (after, RATE))[1], f"gallery-{number}", len(speech()))
        for number, (title, after) in enumerate(sounds.items())
    )
    return Figure(f'<div class="gallery">{shown.html}</div>', shown.files)


def conditions(corruptions: list[list[Condition]]) -> Figure:
    """Show corruptions of the suite at severity 3."""
    parts = []
    for steps in corruptions:
        condition = steps[2]
        after = render(condition, speech(), RATE, id="docs", seed=0).samples
        picture = spectrogram_uris((speech(), RATE), (after, RATE))[1]
        name = f"suite-{condition.corruption}"
        parts.append(_heard(words_of(condition.corruption), after, picture, name, max(len(speech()), len(after))))
    shown = _joined(parts)
    return Figure(f'<div class="conditions">{shown.html}</div>', shown.files)
