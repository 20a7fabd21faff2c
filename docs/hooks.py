"""What MkDocs calls while it builds: adds the pages made from the code, and the README's tables where a page asks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from generator import command_line, reference, suite, transforms
from generator.families import FAMILIES
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

_README = re.compile(r"<!-- README: (\w+) -->")
_FIGURE = re.compile(r"<!-- figure: (\w+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the transforms and of the reference, and what they show."""
    media = _media()[1] if config.extra["media"] else {}
    pages = {"transforms/index.md": transforms.overview(_link)}
    for family in FAMILIES:
        pages[f"transforms/{family.slug}.md"] = transforms.page(family, _link)
    for topic in reference.TOPICS:
        things = reference.contents()[topic.slug]
        pages[f"reference/{topic.slug}.md"] = reference.page(topic, things, _link)
    pages["reference/suite.md"] = suite.page(_link)
    pages["reference/command-line.md"] = command_line.page()
    pages["changelog.md"] = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for name, data in media.items():
        files.append(File.generated(config, f"media/{name}", content=data))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Put in what stands between two markers of the README, so that a figure is written in one place."""
    return _README.sub(lambda marker: _from_readme(marker[1]), markdown)


def on_page_content(html: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Put in what is seen and heard, where the page has a place for it."""
    figures = _media()[0] if config.extra["media"] else {}
    upwards = "../" * page.file.src_uri.count("/")
    return _FIGURE.sub(lambda place: figures.get(place[1], "").replace('src="', f'src="{upwards}'), html)


def _from_readme(name: str) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pattern = rf"<!-- {name}(?::start)? -->\n(.*?)<!-- (?:/{name}|{name}:end) -->"
    found = re.search(r"^(    speechaug/\n.*?\n)\n" if name == "tree" else pattern, text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"docs: README.md must hold the marker {name!r}")
    return found[1]


@cache  # `mkdocs serve` builds again and again
def _media() -> tuple[dict[str, str], dict[str, bytes]]:
    """Return HTML by name of a transform, ``gallery`` for the first page, and the files it shows."""
    from generator.figures import conditions, figure, gallery

    figures = {cls.__name__: figure(cls) for family in FAMILIES for cls in family.transforms}
    figures["gallery"] = gallery()
    figures |= {f"suite_{family}": conditions(corruptions) for family, corruptions in suite.families().items()}
    files = {name: data for each in figures.values() for name, data in each.files.items()}
    return {name: each.html for name, each in figures.items()}, files


@cache
def _places() -> dict[str, str]:
    """Return where each class, function and method is documented, by its name and its last parts."""
    places = {cls.__name__: f"transforms/{family.slug}.md" for family in FAMILIES for cls in family.transforms}
    for slug, things in reference.contents().items():
        for name, thing in things:
            places[name] = f"reference/{slug}.md"
            if isinstance(thing, type):
                places |= {f"{name}.{key}": f"reference/{slug}.md" for key, _ in reference.methods(thing)}
    return places


def _link(name: str) -> str:
    """Return a link to what is documented, for a page in a folder of the site."""
    parts = name.split(".")
    for known in (".".join(parts[-2:]), parts[-1]):
        if known in _places():
            return f"[`{known}`](../{_places()[known]}#{known})"
    return f"`{parts[-1]}`"
