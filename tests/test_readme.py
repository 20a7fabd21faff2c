"""The README's Python runs as written, its table is the registry's, its commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechaug import _torchaudio
from speechaug.catalog import markdown

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _can_run(block: str) -> bool:
    """Say whether what a block needs beyond the package itself is here."""
    if "BeamSearch" in block:
        return importlib.util.find_spec("flashlight") is not None
    if "align(" in block:
        return _torchaudio.available()
    return "export_onnx" not in block or importlib.util.find_spec("onnxruntime") is not None


def _recordings(folder: Path) -> None:
    generator = np.random.default_rng(0)
    words = ("one", "two")
    for speaker in ("ann", "theo"):
        for number, text in enumerate(words):
            for take in range(3):
                tone = np.sin(2 * np.pi * (300 + 200 * number) * np.arange(6_000) / 16_000) * 0.3
                samples = tone + generator.uniform(-0.01, 0.01, 6_000)
                soundfile.write(folder / f"{text}_{speaker}_{take}.wav", samples, 16_000)


def _clips(folder: Path, seed: int, decay: float) -> None:
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, 16_000) * np.exp(-np.arange(16_000) / decay)
    soundfile.write(folder / "clip.wav", samples, 16_000)


@pytest.mark.global_rng
def test_the_snippets_run_as_written(tmp_path, monkeypatch):
    """All Python blocks one after the other, in one namespace, in a folder with digits/, noise/, rir/."""
    for name in ("digits", "noise", "rir", "test_noise"):
        (tmp_path / name).mkdir()
    _recordings(tmp_path / "digits")
    for seed, (name, decay) in enumerate((("noise", 1e9), ("rir", 800.0), ("test_noise", 1e9))):
        _clips(tmp_path / name, seed, decay)
    monkeypatch.chdir(tmp_path)
    here = re.sub(r"\n## Other training frameworks\n.*?(?=\n## )", "", README, flags=re.DOTALL)  # test_frameworks.py
    blocks = re.findall(r"```python\n(.*?)```", here, re.DOTALL)
    assert len(blocks) >= 5
    scope: dict[str, object] = {}
    for block in filter(_can_run, blocks):
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
