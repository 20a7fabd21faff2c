"""The report in a browser: what is clicked, what is pressed, what is seen, wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, find_chromium
from simulated import evaluation

from speechaug.robustness import compare, write_report

EXECUTABLE = find_chromium()
pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="needs Chromium or Chrome on the path, or $CHROMIUM")

NAMES = ("white", "competing_talker", "reverb", "clipping")
SIZES = {"desktop": (1280, 900), "phone": (375, 700)}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of two recognizers, with sounds."""

    def sounds(condition: str, utterance: str) -> tuple[np.ndarray, np.ndarray, int]:
        speech = np.sin(2 * np.pi * np.cumsum(np.linspace(200, 2_000, 8_000)) / 16_000) * 0.2
        return speech, speech + np.random.default_rng(0).normal(0, 0.02, 8_000), 16_000

    runs = [
        evaluation("none", names=NAMES),
        evaluation("small_sample", names=NAMES, skill=1.5, seed=1, trained=frozenset({"noise"})),
    ]
    return write_report(tmp_path_factory.mktemp("browser") / "report.html", *runs, sounds=sounds, examples=2)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    assert EXECUTABLE is not None
    browser = Browser(EXECUTABLE)
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Iterator[Browser]:
    """Return the browser with the page freshly loaded; the page must ask for nothing and throw nothing."""
    chromium.requests.clear()
    chromium.errors.clear()
    chromium.open(page)
    chromium.run("localStorage.clear()")
    chromium.open(page)
    yield chromium
    assert {url for url in chromium.requests if not url.startswith("data:")} == {page.resolve().as_uri()}
    assert chromium.errors == []


def column(browser: Browser, section: str, place: int) -> list[str]:
    """Texts of a column of a section's table."""
    rows = f'[...document.querySelectorAll(\'[aria-labelledby="{section}"] tbody tr\')]'
    values = f"((cell) => cell.dataset.value ?? cell.textContent)(row.cells[{place}])"
    cells = browser.run(f"{rows}.map((row) => {values})")
    return [cell.strip() for cell in cells]


def heading(section: str, place: int) -> str:
    return f'[aria-labelledby="{section}"] th:nth-child({place + 1})'


def test_a_click_on_a_heading_sorts_and_another_turns_round(browser: Browser):
    names, numbers = 0, 2
    first = column(browser, "ranking", names)
    assert browser.run(f"document.querySelector('{heading('ranking', numbers)}').ariaSort") == "none"
    browser.click(f"{heading('ranking', numbers)} button")
    worst_first = [float(value) for value in column(browser, "ranking", numbers)]
    assert worst_first == sorted(worst_first, reverse=True)
    assert browser.run(f"document.querySelector('{heading('ranking', numbers)}').ariaSort") == "descending"
    browser.click(f"{heading('ranking', numbers)} button")
    assert [float(value) for value in column(browser, "ranking", numbers)] == worst_first[::-1]
    assert browser.run(f"document.querySelector('{heading('ranking', numbers)}').ariaSort") == "ascending"
    browser.click(f"{heading('ranking', names)} button")
    assert column(browser, "ranking", names) == sorted(first)
    assert browser.run("document.querySelectorAll('[aria-labelledby=ranking] [aria-sort=ascending]').length") == 1


def test_sorting_works_from_the_keyboard_and_keeps_the_mean_last(browser: Browser):
    browser.run(f"document.querySelector('{heading('scores', 4)} button').focus()")
    browser.press("Enter")
    *values, mean = (float(value) for value in column(browser, "scores", 4))
    assert values == sorted(values, reverse=True)
    assert column(browser, "scores", 0)[-1] == "all corrupted"
    assert values[-1] < mean < values[0]
    browser.press(" ")
    assert [float(value) for value in column(browser, "scores", 4)][:-1] == sorted(values)


def test_what_is_not_known_is_sorted_last(browser: Browser):
    for _ in range(2):
        browser.click(f"{heading('models', 3)} button")
        assert column(browser, "models", 3)[-1] == ""


def ground(browser: Browser) -> str:
    return browser.run("getComputedStyle(document.body).backgroundColor")


def test_theme_follows_the_system_until_the_button_is_pressed(browser: Browser, page: Path):
    light = ground(browser)
    browser.open(page, scheme="dark")
    dark = ground(browser)
    assert light != dark
    browser.click(".theme")
    assert ground(browser) == light
    browser.open(page, scheme="dark")
    assert ground(browser) == light  # the choice is kept
    browser.click(".theme")
    assert ground(browser) == dark


def detail(browser: Browser) -> str:
    return browser.run("document.querySelector('.detail').innerText")


def test_a_cell_tells_what_is_behind_it(browser: Browser):
    assert detail(browser).startswith("competing talker, severity 5")  # the worst is chosen to begin with
    browser.click("#map-0 [title^='white, severity 3']")
    said = detail(browser)
    for part in ("white, severity 3", "words wrong", "substituted + missing + invented", "SNR 10 dB"):
        assert part in said
    score = evaluation("none", names=NAMES).scores().conditions["white:3"]
    assert f"{100 * score.wer.value:.1f}" in said
    assert browser.run("document.querySelectorAll('#map-0 [aria-pressed=true]').length") == 1


def test_arrows_walk_through_the_map_and_tab_stops_once(browser: Browser):
    browser.click("#map-0 [title^='white, severity 3']")
    for key, expected in (
        ("ArrowRight", "white, severity 4"),
        ("ArrowDown", "competing talker, severity 4"),
        ("ArrowDown", "reverb, severity 4"),
        ("ArrowUp", "competing talker, severity 4"),
        ("ArrowLeft", "competing talker, severity 3"),
        ("ArrowUp", "white, severity 3"),
        ("ArrowUp", "clean speech"),
        ("ArrowUp", "clean speech"),
    ):
        browser.press(key)
        assert detail(browser).startswith(expected)
        assert browser.run("document.activeElement.title").startswith(expected)
    stops = "[...document.querySelectorAll('#map-0 td button')].filter((each) => each.tabIndex === 0)"
    assert browser.run(f"{stops}.length") == 1


def test_the_map_of_differences_is_shown_when_chosen(browser: Browser):
    shown = "[...document.querySelectorAll('.map')].map((map) => map.checkVisibility())"
    assert browser.run(shown) == [True, False, False]
    browser.click("[data-shows=map-2]")
    assert browser.run(shown) == [False, False, True]
    browser.click("#map-2 [title^='reverb, mean']")
    better = evaluation("small_sample", names=NAMES, skill=1.5, seed=1)
    comparison = compare({"none": evaluation("none", names=NAMES), "small_sample": better})
    change = comparison.corruptions["reverb"].changes["small_sample"]
    assert f"−{-100 * change.difference.value:.1f} points" in detail(browser)
    assert "probability of improvement" in detail(browser)


def test_sounds_play_one_at_a_time(browser: Browser):
    assert browser.run("document.querySelectorAll('audio[controls]').length") == 4
    browser.wait("[...document.querySelectorAll('audio')].every((sound) => sound.readyState >= 1)")
    lengths = browser.run("[...document.querySelectorAll('audio')].map((sound) => sound.duration)")
    assert lengths == pytest.approx([0.5] * 4, abs=1e-3)
    browser.run("document.querySelectorAll('audio').forEach((sound) => { sound.muted = true; sound.loop = true; })")
    browser.run("document.querySelectorAll('audio')[0].play()")
    browser.run("document.querySelectorAll('audio')[1].play()")
    browser.wait("document.querySelectorAll('audio')[0].paused")
    assert not browser.run("document.querySelectorAll('audio')[1].paused")


def test_spectrograms_are_drawn(browser: Browser):
    sizes = browser.run("[...document.images].map((image) => [image.naturalWidth, image.naturalHeight])")
    assert sizes == [[50, 128]] * 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_page_is_readable_at_every_size_and_in_every_light(
    browser: Browser, page: Path, tmp_path: Path, size: str, scheme: str
):
    width, height = SIZES[size]
    browser.open(page, width=width, height=height, scheme=scheme)
    assert browser.run("innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth") == width  # only tables scroll sideways
    seen = "[...document.querySelectorAll('main *')].filter((each) => each.checkVisibility())"
    assert browser.run(f"Math.min(...{seen}.map((each) => parseFloat(getComputedStyle(each).fontSize)))") >= 11
    assert browser.run(LOW_CONTRAST) == []
    picture = browser.screenshot(tmp_path / f"{size}-{scheme}.png", whole=True)
    assert picture.stat().st_size > 50_000


LOW_CONTRAST = """(() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const channels = (...colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const grounds = (element) =>
    element ? [...grounds(element.parentElement), getComputedStyle(element).backgroundColor] : [];
  const holds = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  return [...document.querySelectorAll("main *:not(svg *)")]
    .filter((element) => holds(element) && element.checkVisibility())
    .map((element) => {
      const all = grounds(element);
      const pair = [luminance(channels(...all)), luminance(channels(...all, getComputedStyle(element).color))];
      return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), element.outerHTML.slice(0, 100)];
    })
    .filter(([ratio]) => ratio < 4.5);
})()"""


def test_page_without_scripts_shows_everything(chromium: Browser, page: Path):
    chromium.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(page)
        assert chromium.run("[...document.querySelectorAll('.map')].every((map) => map.checkVisibility())")
        assert not chromium.run("document.querySelector('.theme').checkVisibility()")
    finally:
        chromium.send("Emulation.setScriptExecutionDisabled", value=False)
