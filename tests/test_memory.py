"""Memory neither grows with the steps nor multiplies with the workers."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
from small_runs import RATE, make_voices, recognizer, trainer, voices

import speechaug as sa
from speechaug import audio
from speechaug.callbacks import SpectrogramAugment
from speechaug.data import SpeechDataModule

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc"),
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
]


def megabytes(kind: str, process: int | str = "self") -> float:
    """Return ``Rss``, all that is mapped, or ``Private_Dirty``, what is nobody else's, of a process."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith(f"{kind}:"))


class Scale(pl.Callback):
    """Weighs the process every 25 steps."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step % 25 == 0:
            gc.collect()
            self.megabytes.append(megabytes("Rss"))


@pytest.mark.global_rng
def test_memory_is_flat_while_training(tmp_path: Path) -> None:
    scale, masks = Scale(), SpectrogramAugment(sa.presets.specaugment("small"))
    data = voices(make_voices(tmp_path), max_batch_s=1.0, views=2)
    trainer(tmp_path, scale, masks, max_epochs=-1, max_steps=400).fit(recognizer(), datamodule=data)
    settled = scale.megabytes[len(scale.megabytes) // 4 :]
    assert len(settled) == 12
    assert max(settled) - settled[0] < 0.015 * settled[0], scale.megabytes


def children() -> set[str]:
    """Return the numbers of this process's children."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split())


def test_workers_share_decoded_audio(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 60 * RATE)).astype(np.float32)
    for number in range(100):
        audio.write(tmp_path / f"{number}.wav", rows[number % 20], RATE)
    data = SpeechDataModule(
        tmp_path, pattern="{text}.wav", sample_rate=RATE, batch_size=1, num_workers=2, multiprocessing_context="fork"
    )
    others = children()
    gc.freeze()  # else each worker's collector writes to all that earlier tests left in this process
    loader = iter(data.train_dataloader())
    gc.unfreeze()
    for _ in range(50):
        next(loader)
    workers = children() - others
    private = [megabytes("Private_Dirty", worker) for worker in workers]
    assert len(private) == 2
    assert max(private) < 60, private  # of 96 MB of decoded audio
