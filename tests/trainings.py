"""A few tiny recordings, a tiny recognizer and Trainers, for the tests of callbacks."""

from __future__ import annotations

import csv
import logging
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import lightning.pytorch as pl
import numpy as np
import yaml
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger

import speechaug as sa
from speechaug import audio

RATE = 8_000
PATTERN = "{text}_{speaker}_{take}.wav"
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "limit_val_batches": 0,
}
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def write_tree(folder: Path) -> Path:
    """Write 24 recordings, three seconds in all: two speakers say two words six times."""
    tones = {"one": 400.0, "two": 900.0}
    for speaker in ("ann", "ben"):
        for word, tone in tones.items():
            for take in range(6):
                rng = np.random.default_rng([len(word + speaker), int(tone), take])
                time = np.arange(900 + 50 * take) / RATE
                samples = 0.1 * np.sin(2 * np.pi * tone * time) + 0.01 * rng.standard_normal(len(time))
                audio.write(folder / f"{word}_{speaker}_{take}.wav", samples.astype(np.float32), RATE)
    return folder


def speech(folder: Path, policy: Any = None, **arguments: Any) -> sa.SpeechDataModule:
    """Return the recordings in six batches of four."""
    settings = {"pattern": PATTERN, "sample_rate": RATE, "batch_size": 4, "policy": policy, **arguments}
    return sa.SpeechDataModule(str(folder), **settings)


def recognizer(**arguments: Any) -> sa.SpeechRecognizer:
    """Return the same recognizer each time."""
    pl.seed_everything(1, verbose=False)
    return sa.SpeechRecognizer(["one", "two"], "word", size="xs", sample_rate=RATE, **arguments)


def trainer(folder: Path, callbacks: list[pl.Callback], **arguments: Any) -> pl.Trainer:
    """Return a Trainer that logs every second step to CSV."""
    settings = {"logger": CSVLogger(folder, name="", version=""), "log_every_n_steps": 2, "max_epochs": 1, **QUIET}
    return pl.Trainer(**{**settings, "enable_checkpointing": False, "callbacks": callbacks, **arguments})


class Save(Checkpoint):
    """Writes a checkpoint after each step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


def logged(folder: Path, name: str) -> dict[int, float]:
    """Return a figure by step from the CSV."""
    with next(folder.rglob("metrics.csv")).open(encoding="utf-8") as lines:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(lines) if row.get(name)}


def command_line(folder: Path, tree: Path, callbacks: list[dict[str, Any]], command: str = "fit") -> LightningCLI:
    """Run LightningCLI from a YAML file with these callbacks; ``print_config`` prints what it read instead."""
    config = {
        "seed_everything": 1,
        "trainer": {
            **QUIET,
            "max_steps": 4,
            "log_every_n_steps": 2,
            "enable_checkpointing": False,
            "default_root_dir": str(folder),
            "logger": {
                "class_path": "lightning.pytorch.loggers.CSVLogger",
                "init_args": {"save_dir": str(folder / "log"), "name": "", "version": ""},
            },
            "callbacks": callbacks,
        },
        "model": {
            "vocabulary": ["one", "two"],
            "unit": "word",
            "size": "xs",
            "sample_rate": RATE,
        },
        "data": {
            "train": str(tree),
            "pattern": PATTERN,
            "sample_rate": RATE,
            "batch_size": 4,
            "policy": {"class_path": "speechaug.Gain", "init_args": {"gain_db": [-6.0, 6.0]}},
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = ["fit", "--config", str(path)] + (["--print_config"] if command == "print_config" else [])
    quiet = {"JSONARGPARSE_DEPRECATION_WARNINGS": "off"}  # of how Lightning uses it
    with mock.patch.object(sys, "argv", ["train.py", *arguments]), mock.patch.dict(os.environ, quiet):
        return LightningCLI(sa.SpeechRecognizer, sa.SpeechDataModule, save_config_callback=None)
