"""The documentation: it builds, its links lead somewhere, its snippets run, its commands exist, nothing is left out."""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import numpy as np
import pytest
import soundfile
import yaml
from browser import Browser, find_chromium
from snippets import can_run, commands, folders, python_blocks

import speechaug as sa
from speechaug.cli.commands import COMMANDS
from speechaug.cli.parser import command_parser, spell
from speechaug.robustness import load_suite

pytest.importorskip("mkdocs", reason="the documentation needs mkdocs-material")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
NAMES = [path.relative_to(DOCS).as_posix() for path in PAGES]

sys.path.insert(0, str(DOCS))
families = importlib.import_module("generator.families")
reference = importlib.import_module("generator.reference")
docstrings = importlib.import_module("generator.docstrings")


def build(folder: Path, *, media: bool) -> Path:
    """Build the site as ``make docs`` does: a warning is an error."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    config.extra["media"] = media
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("docs") / "site", media=False)


class Page(HTMLParser):
    """Links, anchors and what is loaded of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if "src" in given or (tag == "link" and given.get("rel") != "canonical"):
            self.loaded.append(given.get("src") or given["href"])
        elif "href" in given:
            self.links.append(given["href"])


def test_every_link_and_anchor_resolves(site):
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 30
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            target, anchor = urldefrag(link)
            if re.match(r"https?:|mailto:|data:", target) or path.name == "404.html":
                continue
            there = (path.parent / unquote(target)).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            if not there.exists() or (anchor and there in pages and anchor not in pages[there].anchors):
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(site):
    for path in site.rglob("*.html"):
        elsewhere = [url for url in Page(path.read_text(encoding="utf-8")).loaded if re.match(r"(https?:)?//", url)]
        assert not elsewhere, path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", path.read_text(encoding="utf-8")), path.name


def test_the_readme_links_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)):
        path, anchor = urldefrag(target)
        if not target.startswith("http"):
            assert not path or (ROOT / path).exists(), target
            assert not anchor or path or anchor in anchors, target


def test_every_transform_has_one_place():
    shown = [cls for family in families.FAMILIES for cls in family.transforms]
    ours = {cls for cls in sa.TRANSFORMS.values() if cls.__module__.startswith("speechaug.")}
    assert set(shown) == ours
    assert len(shown) == len(ours)


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.slug)
def test_a_transform_is_shown_with_all_it_has(site, family):
    html = (site / "transforms" / f"{family.slug}.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))
    for cls in family.transforms:
        assert f'id="{cls.__name__}"' in html
        _, _, section = html.partition(f'id="{cls.__name__}"')
        for field in inspect.signature(cls).parameters:
            assert f"<code>{field}</code>" in section.partition("<h2")[0], (cls.__name__, field)
        assert "&gt;&gt;&gt; " in section.partition("<h2")[0], cls.__name__
        summary = re.sub(r"[`*]", "", (cls.__doc__ or "").split("\n")[0])
        assert summary.replace("'", "&#39;") in text or summary in text, cls.__name__


@pytest.mark.global_rng  # importing Lightning draws, where nothing imported it before
def test_every_public_name_is_documented():
    documented = {id(thing) for things in reference.contents().values() for _, thing in things}
    documented |= {id(cls) for cls in sa.TRANSFORMS.values()}
    public = {name: getattr(sa, name) for name in sa.__all__}
    missing = [name for name, thing in public.items() if callable(thing) and id(thing) not in documented]
    assert not missing
    assert all(set(topic.first) <= {name for name, _ in reference.contents()[topic.slug]} for topic in reference.TOPICS)


def test_every_command_is_documented(site):
    page = Page((site / "reference" / "command-line.html").read_text(encoding="utf-8"))
    assert set(COMMANDS) <= page.anchors


def test_every_condition_is_documented(site):
    html = (site / "reference" / "suite.html").read_text(encoding="utf-8")
    corruptions = {condition.corruption for condition in load_suite("full").conditions[1:]}
    rows = re.findall(r"<tr>\s*<td><code>(\w+)</code></td>(.*?)</tr>", html, re.DOTALL)
    assert {name for name, _ in rows} == corruptions
    assert len(rows) == len(corruptions)
    assert "SNR 20, 15, 10, 5, 0 dB" in dict(rows)["white"]
    assert "42 corruptions and 12 compounds" in html


def test_a_docstring_is_taken_apart():
    assert doctest.testmod(docstrings).failed == 0

    def thing():
        """Do it.

        More, see :func:`speechaug.augment` and ``x|y``.

        Args:
            size: how much,
                in kg.
            p: chance.

        Length: kept. Gradient: none.

        Raises:
            ValueError: if not.

        Source: Someone, 1999;
            someone else.

        Example:
            >>> 1

            >>> 2
        """

    text = docstrings.parse(thing)
    assert text.items("Args") == {"size": "how much, in kg.", "p": "chance."}
    assert text.sections["Source"] == "Someone, 1999;\nsomeone else."
    assert docstrings.example(text) == "```pycon\n>>> 1\n\n>>> 2\n```"
    said = docstrings.body(text, lambda name: f"<{name}>")
    assert said.startswith("More, see <speechaug.augment> and `x|y`.\n\n**Length:** kept. **Gradient:** none.")
    assert said.endswith("**Raises** `ValueError` if not.")
    assert docstrings.table(("a",), [("`x|y`",)]) == "| a |\n| --- |\n| `x\\|y` |"


ELSEWHERE = ("migrate.md", "guides/frameworks.md")  # run by test_interop_out.py and test_frameworks.py


@pytest.mark.global_rng
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_the_snippets_run_as_written(name, tmp_path, monkeypatch):
    """All Python blocks of a page one after the other; one with a title is that file, and a test file is run."""
    folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    scope: dict[str, object] = {"__name__": "__main__"}
    for title, block in python_blocks((DOCS / name).read_text(encoding="utf-8")):
        if title:
            (tmp_path / title).write_text(block, encoding="utf-8")
        elif can_run(block):
            exec(compile(block, name, "exec"), scope)
    if any(tmp_path.glob("test_*.py")):
        assert pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]) == 0
    written = {path.stem for path in tmp_path.glob("*.py")}
    for module in written & set(sys.modules):
        del sys.modules[module]
    for transform in [name for name, cls in sa.TRANSFORMS.items() if cls.__module__ in written]:
        del sa.TRANSFORMS[transform]


@pytest.mark.parametrize("name", [*NAMES, "../README.md"])
def test_commands_and_options_exist(name):
    """Every command of a page is taken by the real parser; files that options name need not exist."""
    for command, *words in commands((DOCS / name).read_text(encoding="utf-8")):
        parser = command_parser(command)
        if "--config" in words:  # it would be read
            del words[words.index("--config") : words.index("--config") + 2]
        if words not in ([], ["--print_config"]):
            parser.parse_args(spell(words, parser))


def test_changelog_and_citation_name_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the schema requires
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert all(set(author) <= {"name", "given-names", "family-names"} for author in citation["authors"])
    assert citation["version"] == sa.__version__
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == sa.__version__


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("docs") / "whole", media=True)


@pytest.mark.slow
def test_every_transform_is_seen_and_heard(whole):
    for family in families.FAMILIES:
        html = (whole / "transforms" / f"{family.slug}.html").read_text(encoding="utf-8")
        for cls in family.transforms:
            assert html.count(f'src="../media/{cls.__name__}-before.png"') == 1
            assert html.count(f'src="../media/{cls.__name__}-after.png"') == 1
            if cls.domain != "spectrogram":
                sound, rate = soundfile.read(io.BytesIO((whole / "media" / f"{cls.__name__}-after.mp3").read_bytes()))
                assert 1.5 < len(sound) / rate < 7.0
                assert np.abs(sound).max() > 0.003
    files = list((whole / "media").iterdir())
    assert sum(path.stat().st_size for path in files) < 5e6
    assert max(path.stat().st_size for path in files) < 60e3
    links = {src for path in whole.rglob("*.html") for src in re.findall(r'media/([\w.-]+)"', path.read_text("utf-8"))}
    assert links == {path.name for path in files}


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome on the path, or $CHROMIUM")
def test_in_a_browser(whole):
    """From the disk: nothing fails, nothing comes from elsewhere, no page is wider than a phone; sounds and search."""
    browser = Browser(find_chromium())
    try:
        for path in sorted(set(whole.rglob("*.html")) - {whole / "404.html"}):  # that one needs a server
            browser.open(path, width=390, height=800)
            assert browser.run("document.documentElement.scrollWidth") <= 390, path
        browser.open(whole / "transforms" / "noise.html")
        browser.click(".side .play")
        browser.wait("document.querySelector('.side audio').currentTime > 0.1")
        assert browser.run("document.querySelectorAll('.playing').length") == 1
        browser.click(".side:nth-of-type(2) .play")
        browser.wait("document.querySelector('.side:nth-of-type(2)').classList.contains('playing')")
        assert browser.run("document.querySelectorAll('.playing').length") == 1
        browser.run("document.querySelector('.md-search__input').focus()")
        browser.send("Input.insertText", text="reverb")
        typed = "document.querySelector('.md-search__input').dispatchEvent(new Event('keyup'))"  # until it is heard
        browser.wait(f"{typed} && document.querySelectorAll('.md-search-result__item').length > 2")
        assert browser.errors == []
        assert not [url for url in browser.requests if not url.startswith(("file:", "data:"))]
    finally:
        browser.close()
