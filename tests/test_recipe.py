"""The recipe: what is refused before the first step, what is written, what is told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import soundfile
import torch
import yaml

import speechaug as sa
from speechaug.callbacks import StepProgress
from speechaug.cli.parser import build_parser
from speechaug.data import SpeechDataModule
from speechaug.recipe import OUTPUTS, _count, _stoppable, sounds, train

pytestmark = pytest.mark.global_rng

RATE = 8_000
SMALL = {"unit": "word", "size": "xs"}


def record(folder: Path, *texts: str, takes: int = 3) -> Path:
    """Make noise as words by two speakers."""
    folder.mkdir(exist_ok=True)
    for speaker in ("ann", "theo"):
        for text in texts:
            for take in range(takes):
                name = f"{text}_{speaker}_{take}.wav"
                samples = np.random.default_rng(list(f"{folder.name}/{name}".encode())).uniform(-0.3, 0.3, 3_000)
                soundfile.write(folder / name, samples, RATE)
    return folder


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Return a folder of two words."""
    return record(tmp_path / "digits", "one", "two")


def words(train: Path | None, **options) -> SpeechDataModule:
    """Return the data of a folder, theo tested."""
    given = {"pattern": "{text}_{speaker}_{take}.wav", "sample_rate": RATE, "test_speakers": ["theo"]}
    return SpeechDataModule(train, **(given | options))


def test_characters_in_strings(digits, tmp_path):
    """The space between two words is no part of any single recording."""
    data = words(digits, concat=(1, 3), val_takes=1)
    run = train(data, model={"size": "xs"}, steps=2, val_every=3, accelerator="cpu", output=str(tmp_path / "out"))
    assert run.recognizer.tokenizer.vocabulary == (" ", *"enotw")
    assert run.details["recordings per string"] == "1 to 3"
    assert run.details["seed"] == 0 and run.details["test characters never trained"] == "none"


def test_what_is_written_and_told(digits, tmp_path):
    bank = record(tmp_path / "noise", "hum", takes=1)
    out = tmp_path / "out"
    out.mkdir()
    for name in OUTPUTS:
        (out / name).write_text("stale")
    test = record(tmp_path / "test", "one", "six")
    data = words(digits, test=test, concat=(1, 2), val_takes=1, policy="small_sample", noise=str(bank), batch_size=4)
    run = train(data, model=SMALL, steps=3, val_every=2, spec_policy="none", accelerator="cpu", output=str(out))
    assert {f.name for f in out.iterdir()} == set(OUTPUTS) - {"spec_policy.yaml", "interrupted.ckpt"}
    told = run.details
    assert told["training recordings"] == "8" and told["test recordings"] == "6" and told["device"] == "cpu"
    assert told["test words never trained"] == "1 ('six')"
    assert told["model size"] == "xs" and told["batch size"] == 4 and told["learning rate"] == 6e-3
    metrics = (out / "metrics.csv").read_text().splitlines()
    wer = metrics[0].split(",").index("val_wer")
    known = [line.split(",")[wer] for line in metrics[1:] if line.split(",")[wer]]
    assert len(known) == 2  # at step 2, and at the end
    assert told["validation word error rate"] == f"{float(known[-1]):.1%}"
    parser = build_parser("train")
    again = parser.instantiate(parser.parse_args(["train", "--config", str(out / "config.yaml")])).train
    assert again.data.policy == data.policy and again.data.concat == (1, 2) and again.data.test_speakers == ["theo"]
    assert again.steps == 3 and again.model.size == "xs" and again.model.unit == "word"


def refused(message: str, data: SpeechDataModule, tmp_path: Path, **options) -> None:
    """Check that a training is refused before anything of an earlier run is touched."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.ckpt").write_text("earlier")
    with pytest.raises(ValueError, match=message):
        train(data, model=SMALL, **({"steps": 2, "accelerator": "cpu", "output": str(out)} | options))
    assert [f.name for f in out.iterdir()] == ["model.ckpt"]


@pytest.mark.parametrize("option", ["steps", "val_every"])
def test_no_steps(digits, tmp_path, option):
    refused(f"{option} must be >= 1, got 0", words(digits), tmp_path, **{option: 0})


def test_nothing_to_train_or_test_on(digits, tmp_path):
    refused("data.train must", words(None, test=digits), tmp_path)


def test_nothing_to_test_on(digits, tmp_path):
    refused(r"data.test_speakers or data.test must", words(digits, test_speakers=None), tmp_path)


def test_validation_that_training_cannot_spell(digits, tmp_path):
    val = record(tmp_path / "val", "one", "six", takes=1)
    refused(
        r"val: 2 of 4 transcripts hold tokens that training lacks: .*six.*\('six'\)", words(digits, val=val), tmp_path
    )


@pytest.mark.parametrize("given", ["noise", "rooms"])
def test_a_bank_that_nothing_uses(digits, tmp_path, given):
    refused(f"{given} is given, but the policy adds none", words(digits, **{given: str(digits)}), tmp_path)


def test_recordings_that_could_not_be_read():
    data = SimpleNamespace(left_out={"test": 5})
    assert [_count(data, side, [None]) for side in ("train", "test")] == ["1", "1 (5 left out)"]


def test_sounds_start_from_unaltered_speech(digits):
    data = words(digits, test_conditions={"quiet": sa.Gain(gain_db=(-20.0, -20.0))})
    data.setup()
    batch = data.test_batch("quiet")
    for row, name in enumerate(batch["id"]):
        before, after, rate = sounds(data)("quiet", name)
        assert rate == RATE
        assert np.allclose(after, 0.1 * before, atol=1e-6)
        assert np.array_equal(after, batch["waveform"][row, : len(after)])


def test_stopped_while_training(tmp_path):
    """Lightning exits with 1; the recipe keeps the weights and hands the interruption on."""

    class Stops(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, batch_idx):
            if batch_idx == 2:
                raise KeyboardInterrupt
            return self.layer(batch).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_steps=9, accelerator="cpu", enable_model_summary=False, **quiet)
    with (
        pytest.raises(KeyboardInterrupt, match=r"after step 2 are in .*interrupted.ckpt"),
        _stoppable(trainer, tmp_path),
    ):
        trainer.fit(Stops(), torch.ones(9, 1, 1))
    assert torch.load(tmp_path / "interrupted.ckpt", weights_only=True)["global_step"] == 2
    with pytest.raises(SystemExit), _stoppable(pl.Trainer(accelerator="cpu", **quiet), tmp_path):
        raise SystemExit(3)


class Steps(SimpleNamespace):
    """As much of a trainer as the progress needs."""

    def __init__(self, total: float, gathered: int = 1):
        super().__init__(
            estimated_stepping_batches=total,
            accumulate_grad_batches=gathered,
            global_step=0,
            is_global_zero=True,
            callback_metrics={},
        )


@pytest.mark.parametrize(
    ("total", "steps", "places"), [(25, 25, ["1/25", "2/25", "25/25"]), (float("inf"), 200, ["1", "100", "200"])]
)
def test_progress(capsys, total, steps, places):
    trainer, progress = Steps(total, gathered=2), StepProgress("x")
    progress.on_train_start(trainer, None)
    for batch in range(2 * steps):
        trainer.global_step = (batch + 1) // 2
        progress.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.5)}, None, batch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2].rstrip(",") for line in lines if line.split()[2].rstrip(",") in places] == places
    assert all(line.endswith("loss 3.000") for line in lines)


def test_results_name_the_conditions(digits, tmp_path):
    data = words(digits, test_conditions={"plain": None})
    train(data, model=SMALL, steps=1, accelerator="cpu", output=str(tmp_path / "out"))
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["condition"] for line in lines} == {"plain"}
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["data"]["test_conditions"] == {"plain": None}
