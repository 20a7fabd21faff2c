"""Tiny folders in the layouts of published data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechaug import audio

RATE = 8_000


def sound(path: Path, seed: int = 0, samples: int = 800) -> None:
    audio.write(path, 0.1 * np.random.default_rng(seed).uniform(-1, 1, samples), RATE)


def librispeech(root: Path) -> Path:
    """Write two speakers, three chapters, six recordings."""
    seed = 0
    for speaker, chapter in (("84", "121123"), ("84", "121550"), ("174", "50561")):
        folder = root / speaker / chapter
        lines = []
        for number in range(2):
            seed += 1
            name = f"{speaker}-{chapter}-{number:04d}"
            sound(folder / f"{name}.flac", seed)
            lines.append(f"{name} WORD {number}")
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def commands(root: Path) -> Path:
    """Write two words by three speakers, background noise, and the two lists."""
    for seed, (word, speaker) in enumerate((w, s) for w in ("yes", "no") for s in ("0a7c", "1b2d", "c3d4")):
        sound(root / word / f"{speaker}_nohash_0.wav", seed)
        sound(root / word / f"{speaker}_nohash_1.wav", seed + 10)
    sound(root / "_background_noise_" / "white_noise.wav")
    (root / "README.md").write_text("words")
    (root / "validation_list.txt").write_text("yes/1b2d_nohash_0.wav\nno/1b2d_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("yes/c3d4_nohash_0.wav\nyes/c3d4_nohash_1.wav\n")
    return root
