"""The whole plug-in from the YAML of a LightningCLI: model, data, policies and every callback."""

from __future__ import annotations

import contextlib
import csv
import inspect
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lightning.pytorch.cli import LightningCLI
from snippets import folders, python_blocks

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


@pytest.mark.parametrize("name", sorted(CALLBACKS))
def test_help_tells_every_argument_of_a_callback(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli("fit", config([]), f"--trainer.callbacks.help=speechaug.callbacks.{name}")
    told = " ".join(capsys.readouterr().out.split("Help for")[1].split())
    for argument in inspect.signature(getattr(callbacks, name)).parameters:
        (described,) = re.findall(rf"--trainer\.callbacks\.{argument} [A-Z_a-z{{}},|\[\]. ]*? ([^A-Z\s(].*?) \(", told)
        assert len(described.split()) >= 3, f"{name}.{argument}: {described}"


@pytest.mark.parametrize("name", sorted(CALLBACKS))
def test_each_callback_trains_alone_and_leaves_the_model_as_it_was(folder: Path, name: str) -> None:
    settings = config([name], policy=None if name == "Augment" else POLICY)
    trained = cli("fit", settings)
    assert trained.trainer.global_step == 2
    plain = sa.SpeechRecognizer(["a", "b"], "word", size="xs", sample_rate=RATE)
    assert list(trained.model.state_dict()) == list(plain.state_dict())


def test_figures_reach_two_loggers_and_monitors(folder: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = config([name for name in sorted(CALLBACKS) if name != "Augment"], policy=POLICY)
    board = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "board", "name": "", "version": ""}}
    settings["trainer"]["logger"] = [settings["trainer"]["logger"], board]
    keep = {"dirpath": "kept", "filename": "best", "monitor": "val_wer/mean_noisy"}
    settings["trainer"]["callbacks"].append({"class_path": "ModelCheckpoint", "init_args": keep})
    trained = cli("fit", settings)
    tags = EventAccumulator("board").Reload().Tags()
    with open("log/metrics.csv", encoding="utf-8") as file:
        header = set(next(csv.reader(file))) - {"epoch", "step"}
    assert header <= set(tags["scalars"])
    assert {"val_wer/soft", "val_wer/mean_noisy", "augment_share", "augment_strength", "guard/gap"} <= header
    assert len(tags["audio"]) == 2 and not list(folder.rglob("*.png"))
    again = sa.SpeechRecognizer.load_from_checkpoint("kept/best.ckpt")
    assert again.tokenizer == trained.model.tokenizer


def test_noise_in_folders_and_a_preset_by_its_name(folder: Path) -> None:
    for number, side in enumerate(("train", "dev")):
        samples = 0.1 * np.random.default_rng(100 + number).standard_normal(2 * RATE).astype(np.float32)
        audio.write(folder / "noise" / side / "fan.wav", samples, RATE)
    settings = config(["SpectrogramAugment", "RobustnessEvaluation"], policy="small_sample", noise="noise/train")
    masks, evaluation = settings["trainer"]["callbacks"]
    masks["init_args"] = {"policy": {"class_path": "speechaug.presets.specaugment", "init_args": {"policy": "small"}}}
    evaluation["init_args"] = {"noise": "noise/dev", "sample_rate": RATE}
    trained = cli("fit", settings)
    (used,) = [each for each in trained.trainer.callbacks if isinstance(each, callbacks.SpectrogramAugment)]  # type: ignore[attr-defined]
    assert used.augmenter.policy == sa.presets.specaugment("small")
    figures = trained.trainer.callback_metrics
    assert {f"val_wer/noise_{snr}db" for snr in (20, 10, 5, 0)} | {"val_wer/mean_noisy"} <= set(figures)
    evaluation["init_args"]["noise"] = "noise/train"
    settings["trainer"]["logger"] = False
    with pytest.raises(ValueError, match="leak: 1 clips are in banks of both sides"):
        cli("fit", settings)


class FromData(LightningCLI):
    """The ten lines with which the vocabulary comes from the transcripts."""

    def add_arguments_to_parser(self, parser: Any) -> None:
        def vocabulary(data: sa.SpeechDataModule) -> list[str]:
            return list(sa.Tokenizer.from_texts(data.texts, unit="word").vocabulary)

        parser.link_arguments("data", "model.vocabulary", compute_fn=vocabulary, apply_on="instantiate")
        parser.link_arguments("data.sample_rate", "model.sample_rate")


def test_the_vocabulary_can_come_from_the_data(folder: Path) -> None:
    settings = config(["Listen"], policy=POLICY)
    settings |= {part: settings[part]["init_args"] for part in ("model", "data")}
    del settings["model"]["vocabulary"], settings["model"]["sample_rate"]
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    trained = FromData(sa.SpeechRecognizer, sa.SpeechDataModule, args=["fit", "--config", "config.yaml"])
    assert trained.trainer.global_step == 2
    assert trained.model.tokenizer.vocabulary == ("a", "b")
    assert trained.model.features.sample_rate == RATE


def test_the_guide_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path)
    (tmp_path / "test_noise").rename(tmp_path / "val_noise")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # of how Lightning uses it
    monkeypatch.setattr("sys.argv", ["train.py"])
    guide = (Path(__file__).parents[1] / "docs" / "guides" / "lightning-cli.md").read_text(encoding="utf-8")
    (code,) = [block for title, block in python_blocks(guide) if title == "train.py"]
    scope: dict[str, Any] = {"__name__": "train"}
    exec(compile(code, "train.py", "exec"), scope)
    settings = re.search(r'```yaml title="train.yaml"\n(.*?)```', guide, re.DOTALL)
    assert settings is not None
    Path("train.yaml").write_text(settings[1], encoding="utf-8")
    brief = ["--trainer.max_steps=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    args = ["fit", "--config", "train.yaml", *brief, "--trainer.default_root_dir=runs"]
    trained = scope["CLI"](sa.SpeechRecognizer, sa.SpeechDataModule, args=args)
    assert trained.model.tokenizer.vocabulary == ("one", "two")
    assert "val_wer/mean_noisy" in trained.trainer.callback_metrics
