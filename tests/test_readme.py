"""The README's Python runs as written, its table is the registry's, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snippets import can_run, folders, python_blocks

from speechaug.catalog import markdown

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.global_rng
def test_the_snippets_run_as_written(tmp_path, monkeypatch):
    """All Python blocks one after the other, in one namespace, in a folder with digits/, noise/, rir/."""
    folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = [block for _, block in python_blocks(README)]
    assert len(blocks) >= 5
    scope: dict[str, object] = {}
    for block in filter(can_run, blocks):
        exec(compile(block, "README.md", "exec"), scope)
    assert len(list((tmp_path / "augmented").rglob("*.flac"))) == 24
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_table_is_the_registry():
    table = re.search(r"<!-- transforms -->\n(.*?)<!-- /transforms -->", README, re.DOTALL)
    assert table is not None
    assert table.group(1) == markdown()


def test_files_and_targets_named_exist():
    root = Path(__file__).parents[1]
    for name in re.findall(r"`make ([\w-]+)`", README):
        assert re.search(rf"^{name}:", (root / "Makefile").read_text(), re.MULTILINE), name
    listing = re.search(r"    speechaug/\n(.*?)\n\n", README, re.DOTALL)
    assert listing is not None
    for name in re.findall(r"\b(\w+\.py)\b", listing.group(1)):
        assert (root / "speechaug" / name).exists(), name
