"""The preview in a browser: what is moved, pressed and heard, wide and narrow, light and dark; a file and served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import Browser, find_chromium

import speechaug as sa
from speechaug.preview import preview
from speechaug.preview.excerpts import read_excerpts
from speechaug.preview.gallery import Gallery
from speechaug.preview.policies import Source
from speechaug.preview.server import PreviewServer

EXECUTABLE = find_chromium()
pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="needs Chromium or Chrome on the path, or $CHROMIUM")

POLICY = sa.Compose([sa.Speed(factor=(0.8, 0.9)), sa.AddColoredNoise(snr_db=(0.0, 10.0)), sa.Polarity(p=0.0)])
SIZES = {"desktop": (1280, 900), "phone": (375, 700)}
SLIDER = ".strength input"
SEEN = "document.querySelector('.take:not([hidden])')"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "one.wav"
    soundfile.write(path, np.sin(2 * np.pi * np.cumsum(np.linspace(200, 2_000, 32_000)) / 16_000) * 0.2, 16_000)
    return path


@pytest.fixture(scope="module")
def page(recording: Path) -> Path:
    return preview(recording, POLICY, output=recording.parent / "page.html")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    assert EXECUTABLE is not None
    browser = Browser(EXECUTABLE)
    yield browser
    browser.close()


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Browser]:
    """Return the browser; what it opens must throw nothing."""
    chromium.requests.clear()
    chromium.errors.clear()
    yield chromium
    assert chromium.errors == []


@pytest.fixture
def browser(watched: Browser, page: Path) -> Iterator[Browser]:
    """Return the browser with the page freshly loaded; the page must ask for nothing."""
    watched.open(page)
    yield watched
    assert {url for url in watched.requests if not url.startswith("data:")} == {page.resolve().as_uri()}


@pytest.fixture
def server(recording: Path) -> Iterator[PreviewServer]:
    gallery = Gallery(read_excerpts([recording], 1, 10.0), Source.of(POLICY), [0, 1])
    with PreviewServer(gallery) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def seen(browser: Browser) -> dict[str, str]:
    """Picture, sound and words of the take that is shown in the first draw."""
    words = "document.querySelector('.told:not([hidden])').innerText"
    return browser.run(
        f"({{picture: {SEEN}.querySelector('img').src, sound: {SEEN}.querySelector('audio').src, words: {words}, "
        f"wave: {SEEN}.querySelector('path').getAttribute('d')}})"
    )


def to(browser: Browser, place: int) -> None:
    """Move the first slider."""
    browser.run(
        f"((slider) => {{ slider.value = {place}; slider.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
        f"(document.querySelector('{SLIDER}'))"
    )


def test_the_slider_changes_sound_picture_and_words(browser: Browser):
    found = []
    for place in range(5):
        to(browser, place)
        found.append(seen(browser))
    for part in ("picture", "sound", "wave", "words"):
        assert len({each[part] for each in found}) == 5, part
    before = browser.run("document.querySelector('.side img').src")
    assert found[0]["picture"] == before
    assert "off: Speed, AddColoredNoise, Polarity" in found[0]["words"]
    assert "off: Polarity" in found[2]["words"]


def test_the_slider_moves_by_keys_and_says_where_it_is(browser: Browser):
    browser.run(f"document.querySelector('{SLIDER}').focus()")
    said = f"document.querySelector('{SLIDER}').getAttribute('aria-valuetext')"
    assert browser.run(said) == "1: as the policy says"
    browser.press("ArrowRight")
    assert browser.run(said) == "1.5: half as strong again"
    assert browser.run("document.querySelector('output').textContent") == "half as strong again"
    for _ in range(4):
        browser.press("ArrowLeft")
    assert browser.run(said) == "0: the recording itself"


def test_a_sound_goes_on_at_another_strength(browser: Browser):
    """In the middle of a word stays in the middle of that word, however fast it is spoken."""
    audio = f"{SEEN}.querySelector('audio')"
    browser.wait(f"{audio}.readyState >= 2")
    longer = browser.run(f"{audio}.duration")
    browser.run(f"{audio}.currentTime = {longer} / 2; {audio}.play()")
    to(browser, 0)
    assert browser.run(f"{audio}.duration") < longer - 0.1
    browser.wait(f"!{audio}.paused && !{audio}.seeking")
    share = browser.run(f"{audio}.currentTime / {audio}.duration")
    assert 0.48 <= share < 0.8  # a browser may go back to where an MP3 frame begins
    assert browser.run("[...document.querySelectorAll('audio')].filter((each) => !each.paused).length") == 1
    assert not browser.run("document.querySelector('.take:not([hidden]) .head').hidden")


def test_a_click_into_a_picture_plays_from_there(browser: Browser):
    browser.wait("document.querySelector('.side audio').readyState >= 1")
    browser.click(".side .stage")
    browser.wait("!document.querySelector('.side audio').paused")
    share = browser.run("(({currentTime, duration}) => currentTime / duration)(document.querySelector('.side audio'))")
    width = browser.run("document.querySelector('.shown').offsetWidth / document.querySelector('.stage').offsetWidth")
    assert 0.5 / width - 0.02 <= share < 0.5 / width + 0.3


def test_a_fresh_draw_where_the_page_is_served(watched: Browser, server: PreviewServer):
    watched.open(server.address)
    to(watched, 3)
    first = seen(watched)
    assert "Speed" in first["words"]
    watched.click(".fresh")
    watched.wait("document.querySelector('.draw').dataset.seed === '2'")
    fresh = seen(watched)
    assert all(fresh[part] != first[part] for part in ("picture", "sound", "words"))
    assert watched.run("document.querySelector('output').textContent") == "half as strong again"
    assert watched.run("document.activeElement.className") == "fresh"
    watched.press("Enter")
    watched.wait("document.querySelector('.draw').dataset.seed === '3'")
    asked = {url for url in watched.requests if not url.startswith("data:")}
    assert asked == {server.address, *(f"{server.address}draw?recording=0&seed={seed}" for seed in (2, 3))}


def test_a_server_that_has_ended_is_told(chromium: Browser, server: PreviewServer):
    chromium.open(server.address)
    server.token = "another"
    chromium.click(".fresh")
    chromium.wait("document.querySelector('.fresh').textContent.startsWith('No answer')")
    assert chromium.run("document.querySelector('.draw').dataset.seed") == "0"


def test_theme_follows_the_system_and_the_button(browser: Browser, page: Path):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(ground)
    browser.open(page, scheme="dark")
    dark = browser.run(ground)
    assert light != dark
    browser.click(".theme")
    assert browser.run(ground) == light
    browser.run("localStorage.clear()")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(browser: Browser, page: Path, size: str, scheme: str):
    width, height = SIZES[size]
    browser.open(page, width=width, height=height, scheme=scheme)
    assert browser.run("document.documentElement.scrollWidth") <= width
    tight = "[...document.querySelectorAll('input, button, summary, audio')].filter((each) => each.checkVisibility())"
    assert browser.run(f"Math.min(...{tight}.map((each) => each.getBoundingClientRect().height))") >= 24


def test_everything_usable_has_a_name(browser: Browser):
    browser.send("Accessibility.enable")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    browser.send("Accessibility.disable")
    used = [node for node in nodes if node.get("role", {}).get("value") in ("slider", "button", "image", "Audio")]
    own = [node for node in used if not node["ignored"]]
    assert {"slider", "button", "image"} <= {node["role"]["value"] for node in own}
    assert [node for node in own if not node.get("name", {}).get("value")] == []


def test_without_scripts_the_policy_itself_is_shown(watched: Browser, page: Path):
    watched.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        watched.open(page)
        assert watched.run(f"{SEEN}.dataset.strength") == "1"
        assert not watched.run(f"document.querySelector('{SLIDER}').checkVisibility()")
    finally:
        watched.send("Emulation.setScriptExecutionDisabled", value=False)
