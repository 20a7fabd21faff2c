"""The whole plug-in from the YAML of a LightningCLI: model, data, policies and every callback."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lightning.pytorch.cli import LightningCLI

import speechaug as sa
from speechaug import audio, callbacks

pytestmark = pytest.mark.global_rng

RATE = 8_000
GAIN = {"class_path": "speechaug.Gain", "init_args": {"gain_db": [-3.0, 3.0]}}
POLICY = {
    "class_path": "speechaug.Compose",
    "init_args": {
        "members": [GAIN, {"class_path": "speechaug.Speed", "init_args": {"factor": [0.9, 1.1], "p": 0.5}}],
        "range_policy": "rescale",
    },
}
MASK = {"class_path": "speechaug.FrequencyMask", "init_args": {"width_bins": [0.0, 8.0]}}
CALLBACKS: dict[str, dict[str, Any]] = {
    "Augment": {"policy": POLICY, "sample_rate": RATE},
    "AugmentationLog": {"path": "draws.jsonl"},
    "Listen": {"rows": 1, "seconds": 0.5},
    "OverAugmentationGuard": {"every_n_steps": 1, "warmup_steps": 0},
    "RobustnessEvaluation": {"conditions": {"soft": GAIN}, "sample_rate": RATE},
    "SpectrogramAugment": {"policy": MASK},
    "StepProgress": {"label": "yaml"},
    "StrengthSchedule": {"points": {0: 0.5, 2: 1.0}, "unit": "step", "domain": "both"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight recordings of two words; tests run beside them."""
    generator = np.random.default_rng(0)
    for take in range(8):
        samples = generator.standard_normal(RATE // 2).astype(np.float32) * 0.1
        audio.write(tmp_path / "digits" / f"{'ab'[take % 2]}_ann_{take}.wav", samples, RATE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # of how Lightning uses it
    monkeypatch.setattr("sys.argv", ["train.py"])  # LightningCLI warns where it is given arguments and finds others
    return tmp_path


def config(names: list[str], *, classifier: bool = False, **data: Any) -> dict[str, Any]:
    """Return what a user's YAML holds."""
    model: dict[str, Any] = {"size": "xs", "sample_rate": RATE}
    model |= {"labels": ["a", "b"]} if classifier else {"vocabulary": ["a", "b"], "unit": "word"}
    source = {"train": "digits", "pattern": "{text}_{speaker}_{take}.wav", "val_takes": 1}
    return {
        "seed_everything": 1,
        "model": {
            "class_path": f"speechaug.{'SpeechClassifier' if classifier else 'SpeechRecognizer'}",
            "init_args": model,
        },
        "data": {
            "class_path": "speechaug.SpeechDataModule",
            "init_args": {**source, "sample_rate": RATE, "batch_size": 3, **data},
        },
        "trainer": {
            "max_steps": 2,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "log", "name": "", "version": ""}},
            "callbacks": [
                {"class_path": f"speechaug.callbacks.{name}", "init_args": CALLBACKS[name]} for name in names
            ],
        },
    }


def cli(command: str, settings: dict[str, Any], *more: str, run: bool = True) -> LightningCLI:
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    return LightningCLI(
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_kwargs={"overwrite": True},
        args=[*([command] if run else []), "--config", "config.yaml", *more],
        run=run,
    )


def test_every_callback_is_covered() -> None:
    assert sorted(CALLBACKS) == sorted(callbacks.__all__)


@pytest.mark.parametrize("name", sorted(CALLBACKS))
def test_a_callback_is_what_the_yaml_says_and_survives_print_config(folder: Path, name: str) -> None:
    settings = config([name], policy=None if name == "Augment" else POLICY)
    built = cli("fit", settings, run=False)
    (callback,) = [each for each in built.trainer.callbacks if type(each).__name__ == name]  # type: ignore[attr-defined]
    assert isinstance(callback, getattr(callbacks, name))
    printed = io.StringIO()
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(printed):
        cli("fit", settings, "--print_config", run=False)
    assert stop.value.code in (0, None)
    again = yaml.safe_load(printed.getvalue())
    (entry,) = again["trainer"]["callbacks"]
    assert entry["class_path"] == f"speechaug.callbacks.{name}"
    given = {key: value for key, value in CALLBACKS[name].items() if key not in ("policy", "conditions")}
    if "points" in given:  # keys of a mapping are texts in what is printed, and numbers again in what is built
        given["points"] = {str(step): strength for step, strength in given["points"].items()}
    assert {key: entry["init_args"][key] for key in given} == given
    rebuilt = cli("fit", again, run=False)
    if name != "Augment":
        assert rebuilt.datamodule.policy == built.datamodule.policy == sa.from_dict(POLICY)
    else:
        (same,) = [each for each in rebuilt.trainer.callbacks if isinstance(each, callbacks.Augment)]  # type: ignore[attr-defined]
        assert same.augmenter.policy == sa.from_dict(POLICY)


@pytest.mark.parametrize("classifier", [False, True])
def test_all_callbacks_train_together(folder: Path, classifier: bool, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in sorted(CALLBACKS) if name != "Augment"]
    trained = cli("fit", config(names, classifier=classifier, policy=POLICY))
    assert trained.trainer.global_step == 2
    plain = type(trained.model)(["a", "b"], **({} if classifier else {"unit": "word"}), size="xs", sample_rate=RATE)
    assert set(trained.model.state_dict()) == set(plain.state_dict())
    with open("log/metrics.csv", encoding="utf-8") as file:
        logged = {name for row in csv.DictReader(file) for name, value in row.items() if value}
    measure = "accuracy" if classifier else "wer"
    expected = {"augment_strength", "augment_share", "augment/Gain_share", f"val_{measure}/soft", "train_loss"}
    expected |= {"guard/clean_loss", "guard/gap"}
    assert expected <= logged
    assert list(Path("log").rglob("*.png"))
    assert Path("draws.jsonl").read_text().count("\n") >= 2


def test_a_policy_can_be_a_file_or_a_name(folder: Path) -> None:
    sa.save_policy(sa.from_dict(POLICY), "policy.yaml")
    assert cli("fit", config([], policy="policy.yaml"), run=False).datamodule.policy == sa.from_dict(POLICY)
    assert cli("fit", config([], policy="small_sample"), run=False).datamodule.policy == sa.presets.small_sample()


def test_help_tells_what_a_callback_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli("fit", config([]), "--trainer.callbacks.help", "speechaug.callbacks.StrengthSchedule")
    told = capsys.readouterr().out
    assert "strength by step or epoch" in told
