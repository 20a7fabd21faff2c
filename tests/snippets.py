"""What the snippets of the README and of the documentation need to run: recordings, clips, optional packages."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from speechaug import _torchaudio


def can_run(block: str) -> bool:
    """Say whether what a block needs beyond the package itself is here."""
    if "BeamSearch" in block:
        return importlib.util.find_spec("flashlight") is not None
    if "align(" in block:
        return _torchaudio.available()
    return "export_onnx" not in block or importlib.util.find_spec("onnxruntime") is not None


def folders(place: Path) -> None:
    """Make digits/, noise/, rir/ and test_noise/: two speakers, two words, three takes; a clip each."""
    for name in ("digits", "noise", "rir", "test_noise"):
        (place / name).mkdir()
    _recordings(place / "digits")
    for seed, (name, decay) in enumerate((("noise", 1e9), ("rir", 800.0), ("test_noise", 1e9))):
        _clips(place / name, seed, decay)


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


def python_blocks(page: str) -> list[tuple[str, str]]:
    """Return the Python blocks of a page: file name, where one is given as title, and code."""
    return re.findall(r'```python(?: title="([^"]+)")?\n(.*?)```', page, re.DOTALL)


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of every ``speechaug`` command in the shell blocks of a page."""
    for language, block in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        lines = block.replace("\\\n", " ").splitlines() if language in ("", "sh") else []
        for line in lines:
            for part in line.split("; "):
                words = shlex.split(part, comments=True)
                if words[:1] == ["speechaug"]:
                    yield words[1 : words.index(">")] if ">" in words else words[1:]
