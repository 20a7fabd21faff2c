"""The command line: the main job on a tiny folder, its files, its errors in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

import speechaug as sa
from speechaug.__main__ import main, run

pytestmark = pytest.mark.global_rng

PATTERN = "{text}_{speaker}_{take}.wav"


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Make tones as words: two speakers, two words, three takes."""
    folder = tmp_path / "digits"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for speaker in ("ann", "theo"):
        for number, text in enumerate(("one", "two")):
            for take in range(3):
                tone = np.sin(2 * np.pi * (300 + 200 * number) * np.arange(3_000) / 8_000) * 0.3
                noise = generator.uniform(-0.01, 0.01, 3_000)
                soundfile.write(folder / f"{text}_{speaker}_{take}.wav", tone + noise, 8_000)
    return folder


def arguments(digits: Path, *more: str) -> list[str]:
    """Return a training of two steps."""
    given = f"--data.train {digits} --data.pattern {PATTERN} --data.sample_rate 8000 --data.test_speakers [theo]"
    model = "--model.unit word --model.size xs --data.val_takes 1 --data.concat [1,2]"
    return ["train", *given.split(), *model.split(), "--steps", "2", "--output", str(digits.parent / "out"), *more]


def fails(monkeypatch, capsys, *given: str) -> str:
    """Run ``main`` and return its one line of error."""
    monkeypatch.setattr(sys, "argv", ["speechaug", *given])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("speechaug: error: ")]
    assert len(lines) == 1
    return lines[0]


def test_train_writes_everything(digits, noise_folder, capsys):
    noise_test = digits.parent / "unseen"
    noise_test.mkdir()
    soundfile.write(noise_test / "a.wav", np.random.default_rng(77).uniform(-0.2, 0.2, 8_000), 8_000)
    more = ["--data.noise", str(noise_folder), "--data.test_noise", str(noise_test), "--data.policy", "small_sample"]
    assert run(arguments(digits, *more)) == 0
    out = digits.parent / "out"
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert {r["condition"] for r in results} == {"clean", "noise_20db", "noise_10db", "noise_5db", "noise_0db"}
    assert {r["speaker"] for r in results} == {"theo"}
    assert sum(r["words"] for r in results if r["condition"] == "clean") == 6
    policy = sa.load_policy(out / "policy.yaml")
    assert policy == sa.presets.small_sample(sa.Bank(str(noise_folder), sample_rate=8_000))
    page = (out / "report.html").read_text()
    assert page.count("<audio") >= 2
    assert not re.search(r"(src|href)=\"https?://", page)
    again = sa.SpeechRecognizer.load_from_checkpoint(out / "model.ckpt", weights_only=True)
    assert isinstance(again.transcribe([np.zeros(4_000, np.float32)], 8_000)[0], str)
    assert (out / "metrics.csv").exists()
    shown = capsys.readouterr().out
    assert "noise, 10 dB" in shown
    assert "report.html" in shown


def test_the_same_command_gives_the_same_results(digits, noise_folder):
    more = ["--data.noise", str(noise_folder), "--data.policy", "small_sample"]
    texts = []
    for _ in range(2):
        run(arguments(digits, *more))
        state = torch.load(digits.parent / "out" / "model.ckpt", weights_only=True)["state_dict"]
        texts.append(((digits.parent / "out" / "results.jsonl").read_text(), state))
    assert texts[0][0] == texts[1][0]
    assert all(torch.equal(value, texts[1][1][name]) for name, value in texts[0][1].items())


def test_print_config_is_a_config(digits, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run(arguments(digits, "--print_config"))
    text = capsys.readouterr().out
    config = yaml.safe_load(text)
    assert config["data"]["test_speakers"] == ["theo"]
    assert config["steps"] == 2
    (tmp_path / "train.yaml").write_text(text)
    assert run(["train", "--config", str(tmp_path / "train.yaml")]) == 0


def test_help_names_every_option(capsys):
    for command, expected in (("train", ["--data.concat", "--model.size", "--steps", "in Hz"]), ("demo", ["--steps"])):
        with pytest.raises(SystemExit) as exit_:
            run([command, "--help"])
        assert exit_.value.code == 0
        text = capsys.readouterr().out
        assert all(option in text for option in expected)
    with pytest.raises(SystemExit):
        run(["--help"])
    assert "examples:" in capsys.readouterr().out


def test_transforms_are_listed(capsys):
    assert run(["transforms", "--markdown_table", "true"]) == 0
    text = capsys.readouterr().out
    assert all(f"| `{name}` |" in text for name in ("Gain", "PitchShift", "TimeMask", "Compose"))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda d: [f.unlink() for f in d.iterdir()], "folder"),
        (lambda d: [f.write_text("no audio") for f in d.iterdir()], "can be used"),
        (lambda d: [f.rename(d / f"plain{i}.wav") for i, f in enumerate(sorted(d.iterdir()))], "pattern"),
        (lambda d: [f.rename(d / f.name.replace("theo", "bob")) for f in d.glob("*theo*")], "bob"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*recordings are left out:UserWarning")
def test_bad_folders_are_one_line(digits, monkeypatch, capsys, prepare, message):
    prepare(digits)
    assert message in fails(monkeypatch, capsys, *arguments(digits))


def test_noise_in_training_and_test_is_an_error(digits, noise_folder, monkeypatch, capsys):
    more = ["--data.noise", str(noise_folder), "--data.test_noise", str(noise_folder), "--data.policy", "small_sample"]
    line = fails(monkeypatch, capsys, *arguments(digits, *more))
    assert "kind/0.wav" in line


def test_a_bad_option_is_wrong_usage(digits, monkeypatch):
    with pytest.raises(SystemExit) as exit_:
        run(arguments(digits, "--stepps", "3"))
    assert exit_.value.code == 2


def test_the_module_runs():
    shown = subprocess.run([sys.executable, "-m", "speechaug", "--help"], capture_output=True, text=True, check=True)
    assert "demo" in shown.stdout


@pytest.mark.slow
def test_demo_learns(tmp_path, capsys):
    """A shorter demonstration: augmentation must already help in noise."""
    from speechaug.demo import demo
    from speechaug.robustness import summarise

    runs = demo(steps=250, output=str(tmp_path))
    summary = summarise({name: run.results for name, run in runs.items()})
    row = summary.row("noisy mean")
    assert row is not None
    assert row.scores["small_sample"].wer < row.scores["no augmentation"].wer
    assert (tmp_path / "report.html").exists()


def test_demo_first_steps(tmp_path, capsys):
    assert run(["demo", "--steps", "2", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 50_000
    assert "small_sample" in capsys.readouterr().out
