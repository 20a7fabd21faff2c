"""Every precision, gradient accumulation and ``torch.compile`` train what plain float32 trains."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import soundfile
import torch
from small_runs import RATE, Seen, make_voices, recognizer, trainer, voices

import speechaug as sa
from speechaug.asr import SpeechRecognizer
from speechaug.callbacks import SpectrogramAugment
from speechaug.data import SpeechDataModule

pytestmark = [
    pytest.mark.global_rng,
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_voices(tmp_path_factory.mktemp("voices"))


class Losses(pl.Callback):
    """Keeps the loss of each step and the type of the samples it had."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.dtypes: set[torch.dtype] = set()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))
        self.dtypes.add(batch["waveform"].dtype)


def train(model: SpeechRecognizer, folder: Path, tmp_path: Path, **options: Any) -> tuple[Losses, pl.Trainer]:
    losses, masks = Losses(), SpectrogramAugment(sa.presets.specaugment("small"))
    run = trainer(tmp_path, losses, masks, **options)
    run.fit(model, datamodule=voices(folder, val_takes=1))
    return losses, run


@pytest.fixture(scope="module")
def in_float32(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    place = tmp_path_factory.mktemp("float32")
    return {
        architecture: train(recognizer(architecture=architecture, dropout=0.0), folder, place)[0].losses
        for architecture in ("quartznet", "conformer")
    }


def check_training(
    precision: str, architecture: str, expected: list[float], folder: Path, tmp_path: Path, **options: Any
) -> pl.Trainer:
    model = recognizer(architecture=architecture, dropout=0.0)
    losses, run = train(model, folder, tmp_path, precision=precision, **options)
    assert losses.dtypes == {torch.float32}
    assert losses.losses[0] == pytest.approx(expected[0], rel=5e-3)  # bfloat16 has 8 bits
    assert np.mean(losses.losses[-3:]) == pytest.approx(np.mean(expected[-3:]), rel=0.1)
    assert all(weight.isfinite().all() for weight in model.state_dict().values())
    assert np.isfinite(float(run.callback_metrics["val_loss"]))
    assert 0 <= float(run.callback_metrics["val_wer"]) < 10
    run.save_checkpoint(tmp_path / "last.ckpt")
    loaded = SpeechRecognizer.load_from_checkpoint(tmp_path / "last.ckpt", map_location="cpu").eval()
    (text,) = loaded.transcribe([np.zeros(RATE, np.float32)], RATE)
    assert isinstance(text, str)
    return run


@pytest.mark.parametrize("architecture", ["quartznet", "conformer"])
@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true"])
def test_precisions(
    precision: str, architecture: str, in_float32: dict[str, list[float]], folder: Path, tmp_path: Path
) -> None:
    check_training(precision, architecture, in_float32[architecture], folder, tmp_path)


def test_16_mixed_is_bf16_mixed_on_a_cpu(in_float32: dict[str, list[float]], folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="AMP with fp16 is not supported on CPU"), warnings.catch_warnings():
        run = check_training("16-mixed", "quartznet", in_float32["quartznet"], folder, tmp_path)
    assert run.precision == "bf16-mixed"


# Transport


class Keep(pl.LightningModule):
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen: dict[str, torch.Tensor] = {}

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        for name, x, length in zip(batch["id"], batch["waveform"], batch["lengths"], strict=True):
            self.seen[name] = x[:length].clone()
        return self.weight * batch["waveform"].square().mean().to(self.weight.dtype)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.parametrize(
    ("precision", "transport", "least_db", "most_db"),
    [
        ("32-true", "float32", 140, np.inf),
        ("32-true", "int16", 90, 105),
        ("bf16-true", "int16", 90, 105),
        ("bf16-true", "float32", 40, 65),  # why int16 is the default: Lightning rounds floats before any hook
    ],
)
def test_int16_survives_half_precision(
    precision: str, transport: Any, least_db: float, most_db: float, tmp_path: Path
) -> None:
    time_s = np.arange(4_000) / RATE
    x = 0.9 * np.sin(2 * np.pi * 440.0 * time_s + 0.1)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", x, RATE, subtype="DOUBLE")
    model = Keep()
    data = SpeechDataModule(tmp_path, pattern="{text}.wav", sample_rate=RATE, batch_size=1, transport=transport)
    trainer(tmp_path, precision=precision, max_epochs=1).fit(model, datamodule=data)
    for got in model.seen.values():
        assert got.dtype == (torch.bfloat16 if least_db == 40 else torch.float32)
        error = got.double().numpy() - x
        assert least_db < 10 * np.log10((x**2).sum() / (error**2).sum()) < most_db


# Accumulation


class Mean(pl.LightningModule):
    """The loss is a mean over utterances, each of which is computed alone."""

    def __init__(self) -> None:
        super().__init__()
        self.features = sa.LogMel(RATE, 20, normalisation="none")
        self.head = torch.nn.Linear(20, 1)
        torch.nn.init.constant_(self.head.weight, 0.1)
        torch.nn.init.zeros_(self.head.bias)

    def loss(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        spec, frames = self.features(x, lengths)
        return (self.head(spec.sum(-1) / frames[:, None]) - 1.0).square().mean()

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        return self.loss(batch["waveform"], batch["lengths"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def test_two_accumulated_batches_are_one_of_double_size(folder: Path, tmp_path: Path) -> None:
    model, seen = Mean(), Seen()
    data = voices(folder, batch_size=5)
    trainer(tmp_path, seen, accumulate_grad_batches=2).fit(model, datamodule=data)
    expected = Mean()
    optimizer = torch.optim.SGD(expected.parameters(), lr=1e-3)
    for step in range(6):  # a plain loop over pairs of the same batches
        epoch = step // 3
        rows = [seen.samples[epoch, 0, name] for names in seen.batches[2 * step : 2 * step + 2] for name in names]
        assert len(rows) == 10
        optimizer.zero_grad()
        x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        expected.loss(x, torch.tensor([len(row) for row in rows])).backward()
        optimizer.step()
    assert not torch.allclose(expected.head.weight, Mean().head.weight)
    torch.testing.assert_close(model.head.weight, expected.head.weight, rtol=1e-5, atol=1e-6)


# torch.compile


def check_compiled(backend: str, architecture: str, steps: int, folder: Path, tmp_path: Path) -> None:
    start, plain, fast = (recognizer(architecture=architecture, dropout=0.0) for _ in range(3))
    fast.model.compile(backend=backend, dynamic=steps > 1)
    losses = []
    for model in (plain, fast):
        kept = Losses()
        trainer(tmp_path, kept, max_epochs=1, limit_train_batches=steps).fit(model, datamodule=voices(folder))
        losses.append(kept.losses)
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    assert fast.state_dict().keys() == plain.state_dict().keys()  # so checkpoints are the same
    # Adam turns a gradient that is nothing but rounding into a whole step of either sign, so weights are compared
    # together: by how far they went, not one by one.
    before, after, compiled = (
        torch.cat([weight.detach().flatten() for weight in model.parameters()]) for model in (start, plain, fast)
    )
    assert (compiled - after).norm() < 0.05 * (after - before).norm()
    torch.compiler.reset()


def test_compiled_network_trains_the_same(folder: Path, tmp_path: Path) -> None:
    check_compiled("aot_eager", "quartznet", 1, folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["quartznet", "conformer"])
def test_compiled_network_takes_batches_of_any_shape(architecture: str, folder: Path, tmp_path: Path) -> None:
    check_compiled("aot_eager", architecture, 3, folder, tmp_path)


@pytest.mark.slow
def test_network_compiled_to_machine_code_trains_the_same(folder: Path, tmp_path: Path) -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:  # torch has its own type for it, elsewhere in each version
        pytest.skip(f"no C++ compiler: {error}")
    check_compiled("inductor", "quartznet", 1, folder, tmp_path)
