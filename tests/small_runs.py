"""Small trainings that tests compare with one another.

``python small_runs.py FOLDER RANKS`` trains, resumes and tests on the voices in ``FOLDER``, in so many processes, and
leaves what each of them saw as ``FOLDER/RANKS-<rank>.pt``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import speechaug as sa
from speechaug import audio
from speechaug.asr import SpeechRecognizer
from speechaug.augmenter import Applied, BatchAugmenter, augmenters
from speechaug.callbacks import SpectrogramAugment
from speechaug.data import SpeechDataModule

RATE = 8_000
SUITE = ["white:3", "telephone:3"]
WORDS = {"la": 400.0, "mi": 900.0, "so": 1_600.0}


def make_voices(folder: Path) -> Path:
    """Write tones that stand for words, by three speakers, and noise; returns the folder."""
    generator = np.random.default_rng(0)
    for place, speaker in enumerate(("ann", "ben", "cem")):
        for word, pitch_hz in WORDS.items():
            for take in range(5):
                time_s = np.arange(int(generator.uniform(1_600, 3_200))) / RATE
                tone = 0.3 * np.sin(2 * np.pi * pitch_hz * (1 + 0.05 * place) * time_s)
                x = tone + 0.01 * generator.standard_normal(len(time_s))
                audio.write(folder / "voices" / f"{word}_{speaker}_{take}.wav", x.astype(np.float32), RATE)
    for side in ("train", "test"):
        x = 0.1 * generator.standard_normal(6_000)
        audio.write(folder / "noise" / side / "hiss.wav", x.astype(np.float32), RATE)
    return folder


def voices(folder: Path, **arguments: Any) -> SpeechDataModule:
    """Return a DataModule of 30 training and 15 test utterances, with a policy that moves time and mixes in noise."""
    noise = sa.Bank.from_folder(folder / "noise" / "train", sample_rate=RATE)
    policy = sa.Compose([sa.Speed(factor=(0.9, 1.1)), sa.AddNoise(bank=noise), sa.Gain(gain_db=(-6.0, 6.0))])
    defaults = {"pattern": "{text}_{speaker}_{take}.wav", "sample_rate": RATE, "test_speakers": ["cem"]}
    return SpeechDataModule(folder / "voices", **{**defaults, "batch_size": 4, "policy": policy, **arguments})


def recognizer(**options: Any) -> SpeechRecognizer:
    """Return a small recognizer of the words, with the same weights each time and with dropout."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(1)
        return SpeechRecognizer(list(WORDS), **{"unit": "word", "size": "xs", "sample_rate": RATE, **options})


def trainer(folder: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    """Return a Trainer that is silent and on the CPU."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    checkpoints = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    settings = {**quiet, "enable_checkpointing": checkpoints, "num_sanity_val_steps": 0, "max_epochs": 2, **options}
    return pl.Trainer(default_root_dir=folder, callbacks=list(callbacks), **settings)


class Seen(pl.Callback):
    """Keeps the training batches and what was drawn for each of their rows.

    ``batches`` are lists of ids in order; ``samples`` and ``draws`` are by epoch, view and id.
    """

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.samples: dict[tuple[int, int, str], torch.Tensor] = {}
        self.draws: dict[tuple[str, int, int, str], str] = {}
        self._drawn: dict[str, sa.Draws] = {}

    def began(self, augmenter: BatchAugmenter) -> None:
        """Do nothing; observers of augmenters have this."""

    def done(self, augmenter: BatchAugmenter, applied: Applied) -> None:
        """Keep the draws of a batch until its ids are known."""
        self._drawn[augmenter.policy.domain] = applied.draws

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Observe whatever augments."""
        for augmenter in augmenters(trainer).values():
            augmenter.observers.append(self)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        """Keep the batch as it is before the step."""
        self.batches.append(list(batch["id"]))
        self._batch = {**batch, "waveform": batch["waveform"].clone()}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Sort what was seen by utterance."""
        data, batch = trainer.datamodule, self._batch
        views = batch.get("view", [0] * len(batch["id"]))
        for row, (name, view) in enumerate(zip(batch["id"], views, strict=True)):
            key = (data.epoch, view, name)
            assert key not in self.samples, f"{key} came twice"
            self.samples[key] = batch["waveform"][row, : batch["lengths"][row]].clone()
            for domain, draws in self._drawn.items():
                self.draws[(domain, *key)] = repr(draws.row(row))


def same_weights(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Return whether two state dicts are the same, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def main(folder: Path, ranks: int) -> None:
    """Train for two epochs, once more from a checkpoint within the second, then test."""
    place = {"strategy": "ddp", "devices": ranks} if ranks > 1 else {}
    seen, masks = Seen(), SpectrogramAugment(sa.presets.specaugment("small"))
    keep = ModelCheckpoint(folder / f"{ranks}-ranks", "{step}", every_n_train_steps=1, save_top_k=-1)
    whole, data = recognizer(), voices(folder, test_noise=str(folder / "noise" / "test"))
    first = trainer(folder, masks, seen, keep, **place)
    first.fit(whole, datamodule=data)

    rest, again = Seen(), recognizer()
    resumed = trainer(folder, SpectrogramAugment(sa.presets.specaugment("small")), rest, **place)
    middle = folder / f"{ranks}-ranks" / f"step={first.global_step * 3 // 4}.ckpt"
    resumed.fit(again, datamodule=voices(folder), ckpt_path=str(middle))
    again_same = same_weights(whole.state_dict(), again.state_dict())

    with torch.no_grad():
        whole.model.head.bias[0] -= 1.0  # fewer blanks, more words: all sorts of errors to count
    tested = trainer(folder, **place).test(whole, datamodule=data, verbose=False)
    results = whole.test_results
    suite = voices(folder, test_suite=SUITE)
    trainer(folder, **place).test(whole, datamodule=suite, verbose=False)
    told = {
        "batches": seen.batches,
        "samples": seen.samples,
        "draws": seen.draws,
        "resumed": rest.batches,
        "resumed_draws": rest.draws,
        "same_weights": again_same,
        "logged": tested,
        "results": results,
        "suite_results": whole.test_results,
        "weights": whole.state_dict(),
    }
    torch.save(told, folder / f"{ranks}-{first.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
