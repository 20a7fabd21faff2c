"""What a checkpoint needs: neither the noise nor the recordings it was trained with."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug.callbacks import SpectrogramAugment
from speechaug.data.leak import banks_of

pytestmark = pytest.mark.global_rng
RATE = 8_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings, noises and rooms."""
    generator = np.random.default_rng(0)
    for name in ("digits/a_ann_1", "digits/b_ann_1", "noise/hum", "rooms/hall"):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        decay = np.exp(-np.arange(RATE) / 400) if "rooms" in name else 1.0
        sa.audio.write(path, (generator.standard_normal(RATE) * decay * 0.1).astype(np.float32), RATE)
    return tmp_path


def fit(folder: Path) -> tuple[sa.SpeechRecognizer, Path]:
    data = sa.SpeechDataModule(
        train=folder / "digits",
        pattern="{text}_{speaker}_{take}.wav",
        sample_rate=RATE,
        policy="small_sample",
        noise=folder / "noise",
        rooms=folder / "rooms",
    )
    recognizer = sa.SpeechRecognizer(["a", "b"], "word", size="xs", sample_rate=RATE)
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[SpectrogramAugment(sa.presets.specaugment("small"))],
    )
    trainer.fit(recognizer, datamodule=data)
    trainer.save_checkpoint(folder / "model.ckpt")
    return recognizer, folder / "model.ckpt"


def test_it_loads_where_noise_and_recordings_are_absent(folder: Path) -> None:
    recognizer, path = fit(folder)
    samples = [np.random.default_rng(1).standard_normal(RATE).astype(np.float32)]
    said = recognizer.transcribe(samples, RATE)
    for name in ("digits", "noise", "rooms"):
        shutil.rmtree(folder / name)
    loaded = sa.SpeechRecognizer.load_from_checkpoint(path, map_location="cpu")
    assert loaded.transcribe(samples, RATE) == said
    for name, weights in recognizer.state_dict().items():
        assert torch.equal(weights, loaded.state_dict()[name])
    data = sa.SpeechDataModule.load_from_checkpoint(path, map_location="cpu")
    assert [Path(bank.folder).name for bank in banks_of([data.policy])] == ["rooms", "noise"]
    with pytest.raises((ValueError, FileNotFoundError), match="noise"):
        data.setup("fit")


def test_it_holds_plain_data_and_weights_only(folder: Path) -> None:
    """Nothing of the augmentation is in the weights, and nothing in the file needs code to be unpickled."""
    _, path = fit(folder)
    kept = torch.load(path, map_location="cpu", weights_only=True)
    plain = sa.SpeechRecognizer(["a", "b"], "word", size="xs", sample_rate=RATE)
    assert set(kept["state_dict"]) == set(plain.state_dict())
    assert kept["datamodule_hyper_parameters"]["policy"]["class_path"].endswith("Compose")
