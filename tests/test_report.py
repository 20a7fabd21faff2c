"""The report page: complete, self-contained, safe against hostile text, the same bytes each time."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from rich.console import Console

import speechaug as sa
from speechaug.robustness import headline, print_table, summarise, write_report
from speechaug.robustness.pictures import audio_uri, spectrogram_uris, wer_plot
from speechaug.robustness.report import describe

CONDITIONS = {"clean": 0.1, "noise_10db": 0.3, "noise_-5db": 0.6, "room": 0.5}
HOSTILE = '<script>alert("x")</script> & \' [red]'


def results(factor: float, seed: int = 0, conditions: dict[str, float] = CONDITIONS) -> list[dict[str, Any]]:
    """Invented results of ten speakers, ten utterances of four words each, in every condition."""
    rng = np.random.default_rng(seed)
    rows = []
    for condition, rate in conditions.items():
        for place in range(100):
            edits = {"substitutions": int(rng.binomial(4, factor * rate)), "deletions": 0, "insertions": 0, "words": 4}
            rows.append({"condition": condition, "id": f"u{place}", "speaker": f"s{place % 10}", **edits})
    return rows


def tone(frequency_hz: float, seconds: float = 1.0, rate: int = 16_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)


def example(title: str = "digits in rain") -> dict[str, Any]:
    return {
        "title": title,
        "reference": "one two",
        "before": (tone(1_000.0), 16_000),
        "after": (tone(1_000.0, seconds=0.5), 16_000),
        "hypotheses": {"none": "", "small_sample": "one two"},
    }


class Page(HTMLParser):
    """Every tag with its attributes, and whether what was opened was closed."""

    VOID = frozenset({"meta", "img", "br", "wbr", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write(folder: Path, **changes: Any) -> str:
    runs = {"none": results(1.0), "small_sample": results(0.4, seed=1)}
    settings = {"runs": runs, "examples": [example()], **changes}
    return write_report(folder / "deep" / "report.html", settings.pop("runs"), **settings).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    policies = [sa.presets.small_sample().to_dict(), sa.presets.specaugment("small").to_dict()]
    return write(tmp_path_factory.mktemp("report"), title="A & B", policies=policies, details={"seed": 7, "torch": "2"})


def test_page_is_well_formed_and_loads_nothing(text: str):
    page = Page(text)
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("data:", "#")), (tag, name)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    known = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= known


def test_page_says_everything(text: str):
    for part in ("noise, 10 dB", "noise, -5 dB", "noisy mean", "A &amp; B", "seed", "How to read this", "as YAML"):
        assert part in text
    assert "AddColoredNoise on 30\xa0% of the utterances: snr 5 to 30 dB" in text
    assert "class_path: speechaug." in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    score = summarise({"none": results(1.0)}).rows[0].scores["none"]
    assert f"{100 * score.wer:.1f}" in text
    assert f"{100 * score.interval.low:.1f}–{100 * score.interval.high:.1f}" in text


def test_every_picture_and_sound_is_named(text: str):
    page = Page(text)
    names = [image["alt"] for image in page.all("img")]
    assert names == ["Spectrogram before: digits in rain", "Spectrogram after: digits in rain"]
    assert all(sound["aria-label"] for sound in page.all("audio"))
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_an_example_titled_by_its_condition_is_named_in_words(tmp_path: Path):
    assert "<h3>noise, 10 dB</h3>" in write(tmp_path, examples=[example("noise_10db")])


def test_the_shorter_recording_is_drawn_shorter(text: str):
    assert [image["style"] for image in Page(text).all("img")] == ["--width: 100.00%", "--width: 50.00%"]


def test_same_input_same_bytes(tmp_path: Path):
    assert write(tmp_path / "a") == write(tmp_path / "b")


def test_hostile_text_stays_text(tmp_path: Path):
    runs = {"none": results(1.0), HOSTILE: results(0.4)}
    runs["none"] = [dict(row, condition=row["condition"].replace("room", HOSTILE)) for row in runs["none"]]
    runs[HOSTILE] = [dict(row, condition=row["condition"].replace("room", HOSTILE)) for row in runs[HOSTILE]]
    sample = example(HOSTILE) | {"reference": HOSTILE, "hypotheses": {HOSTILE: HOSTILE}}
    policy = {"class_path": HOSTILE, "init_args": {"kind": HOSTILE}}
    text = write(tmp_path, runs=runs, title=HOSTILE, examples=[sample], policies=[policy], details={HOSTILE: HOSTILE})
    page = Page(text)
    assert page.all("script") == []
    assert page.open == []
    assert text.count("&lt;script&gt;") >= 10


def test_one_run_and_nothing_else_is_enough(tmp_path: Path):
    text = write(tmp_path, runs={"whisper": results(1.0, conditions={"clean": 0.2})}, examples=[])
    assert "Words wrong with whisper" in text
    assert "Listen" not in text
    assert "fewer errors</th>" not in text


def test_plot_is_svg_in_the_colours_of_the_page():
    svg = wer_plot(summarise({"none": results(1.0), "a": results(0.5), "b": results(0.3), "c": results(0.2)}))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    for colour in ("--run-0", "--run-1", "--run-2", "--run-3", "--soft", "--line"):
        assert f"var({colour})" in svg
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000"}
    shown = "".join(root.itertext())
    assert all(part in shown for part in ("10 dB", "-5 dB", "clean", "room", "none"))


@pytest.mark.parametrize("conditions", [{"clean": 0.2}, {"room": 0.2}, {"noise_5db": 0.2}, {"clean": 0.0, "hall": 0.0}])
def test_plot_of_few_conditions(conditions: dict[str, float]):
    ElementTree.fromstring(wer_plot(summarise({"none": results(1.0, conditions=conditions)})))


def decode(uri: str, kind: str) -> bytes:
    head, _, data = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(data, validate=True)


@pytest.mark.parametrize("shape", [(800,), (1, 800), (2, 800)])
def test_sound_is_what_was_given(shape: tuple[int, ...]):
    samples = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    read, rate = soundfile.read(io.BytesIO(decode(audio_uri(samples, 8_000), "audio/wav")), always_2d=True)
    assert rate == 8_000
    assert np.abs(read.T - np.atleast_2d(samples)).max() <= 1.01 / 2**15


def test_loud_sound_is_clipped_not_wrapped():
    read, _ = soundfile.read(io.BytesIO(decode(audio_uri(np.array([3.0, -3.0]), 8_000), "audio/wav")))
    assert read[0] > 0.99
    assert read[1] < -0.99


@pytest.mark.parametrize("frequency_hz", [500.0, 3_000.0, 7_000.0])
def test_spectrogram_shows_a_tone_at_its_height(frequency_hz: float):
    first, second = spectrogram_uris((tone(frequency_hz), 16_000), (tone(frequency_hz, 0.5), 16_000))
    picture, other = (imread(io.BytesIO(decode(uri, "image/png")))[..., :3].sum(axis=2) for uri in (first, second))
    brightest = np.argmax(picture[:, 20:-20].mean(axis=1))
    height = 1 - brightest / (len(picture) - 1)  # row 0 is the top, Nyquist
    assert height * 8_000 == pytest.approx(frequency_hz, abs=2 * 16_000 / 512)
    assert picture.shape[1] == 100
    assert other.shape[1] == 50


def test_spectrogram_of_a_long_recording_is_not_wider_than_a_screen():
    uri, _ = spectrogram_uris((tone(1_000.0, 60.0), 16_000), (tone(1_000.0), 16_000))
    assert imread(io.BytesIO(decode(uri, "image/png"))).shape[1] <= 481


@pytest.mark.parametrize("samples", [np.zeros(1_000), np.ones(1), np.zeros((2, 300)), np.zeros(0)])
def test_silence_and_single_samples_are_drawn(samples: np.ndarray):
    for uri in spectrogram_uris((samples, 8_000), (np.zeros(10), 8_000)):
        assert np.isfinite(imread(io.BytesIO(decode(uri, "image/png")))).all()


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (0.4, "Compared with no augmentation, small_sample makes 6"),
        (0.4, "% fewer errors in noise ("),
        (1.6, "% more errors in noise ("),
        (1.0, "about as many errors on clean speech ("),
    ],
)
def test_headline_says_what_happened(factor: float, said: str):
    rates = {"clean": 0.3, "noise_10db": 0.4, "noise_0db": 0.5}
    runs = {"none": results(1.0, conditions=rates), "small_sample": results(factor, seed=1, conditions=rates)}
    assert said in headline(summarise(runs))


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (["noise_20db", "noise_0db"], " in noise and "),
        (["noise_20db", "noise_0db", "room"], " in noise and rooms and "),
        (["noise_5db"], " in noise, 5 dB and "),
        (["telephone"], " in telephone and "),
        (["telephone", "noise_5db"], " in 2 altered conditions and "),
        (["room", "far_room", "hall"], " in 3 altered conditions and "),
    ],
)
def test_headline_names_what_was_altered(names: list[str], where: str):
    rates = dict.fromkeys(["clean", *names], 0.3)
    assert where in headline(summarise({"a": results(1.0, conditions=rates)}))


def test_one_utterance_has_no_interval(tmp_path: Path):
    runs = {"none": results(1.0), "small_sample": results(0.4, seed=1)}
    runs = {name: [row for row in rows if row["id"] == "u0"] for name, rows in runs.items()}
    page, table = write(tmp_path, runs=runs, examples=[]), printed(runs)
    assert '<p class="note">Too few utterances for an interval.</p>' in page
    assert "Too few utterances for an interval" in table
    assert 'class="spread"' not in page
    assert "(" not in table


def test_headline_without_clean_speech_or_noise():
    assert headline(summarise({"a": results(1.0, conditions={"room": 0.0})})) == "Words wrong with a: 0.0\xa0% in room."


def printed(runs: dict[str, Any], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(runs, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_table_fits_a_terminal():
    everything = dict.fromkeys(CONDITIONS, 1.0)
    runs = {"no augmentation": results(1.0, conditions=everything), "small_sample": results(1.0, conditions=everything)}
    text = printed(runs)
    row = summarise(runs).rows[1]
    lines = [line for line in text.splitlines() if "noise, 10 dB" in line]
    assert len(lines) == 1
    for score in row.scores.values():
        shown = f"{100 * score.wer:.1f} ({100 * score.interval.low:.1f}–{100 * score.interval.high:.1f})"
        assert shown in lines[0]
    assert "from 10 speakers" in text


def test_table_shows_names_as_they_are():
    assert "[red]a" in printed({"[red]a": results(1.0)})


def test_description_of_nested_policies():
    policy = sa.Compose(
        [
            sa.OneOf([sa.LowPass(cutoff_hz=(2_000.0, 7_500.0)), sa.HighPass(cutoff_hz=(50.0, 300.0))], p=0.2),
            sa.Gain(gain_db=(-6.0, 6.0), p=1.0),
        ]
    )
    lines = list(describe(policy.to_dict()))
    assert lines[0] == (0, "Compose: all of these, in order")
    assert lines[1] == (1, "OneOf on 20\xa0% of the utterances: one of these")
    assert any(depth == 2 and line.startswith("LowPass") and "cutoff 2000 to 7500 Hz" in line for depth, line in lines)
    assert lines[-1] == (1, "Gain: gain −6 to 6 dB")
