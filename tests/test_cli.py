"""The command line: the main job on a tiny folder, its files, its errors in one line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException

import speechaug as sa
from speechaug.__main__ import main
from speechaug.cli.run import run

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
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("speechaug: warning: ")]
    assert len(lines) == 1
    assert lines[0].startswith("speechaug: error: ")
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
    written = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert written == config


def test_help_names_every_option(capsys):
    for command, expected in (("train", ["--data.concat", "--model.size", "--steps", "in Hz"]), ("demo", ["--steps"])):
        with pytest.raises(SystemExit) as exit_:
            run([command, "--help"])
        assert exit_.value.code == 0
        text = capsys.readouterr().out
        assert all(option in text for option in expected)
        assert text.replace("\n", "").isprintable()
    with pytest.raises(SystemExit):
        run(["--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "      --data.pattern '{text}_{speaker}_{take}.wav' --data.noise noise/train\n" in text


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


@pytest.mark.parametrize(
    ("config", "given", "message"),
    [
        ("", ["--stepps", "3"], "--stepps"),
        ("", ["--steps", "many"], "many"),
        ("steps: [1\n x: : y", [], "config"),
        ("nothing: 3", [], "nothing"),
    ],
)
def test_wrong_usage_is_one_line_and_a_tip(tmp_path, capsys, config, given, message):
    (tmp_path / "train.yaml").write_text(config or "steps: 2")
    with pytest.raises(SystemExit) as exit_:
        run(["train", "--config", str(tmp_path / "train.yaml"), *given])
    assert exit_.value.code == 2
    error, tip = capsys.readouterr().err.splitlines()
    assert error.startswith("speechaug: error: ") and message in error
    assert tip == "tip: speechaug train --help lists the options"


def exits(monkeypatch, capsys, do, *given: str) -> tuple[int, str]:
    """Run ``main`` with something else behind it; returns the exit code and what it wrote to stderr."""
    monkeypatch.setattr("speechaug.__main__.run", do)
    monkeypatch.setattr(sys, "argv", ["speechaug", *given])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code, capsys.readouterr().err


def raises(error: BaseException):
    """Return a function that raises it."""

    def do(_):
        raise error

    return do


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a: b\n  c"), "a: b c"),
        (MisconfigurationException("No supported gpu backend found!"), "No supported gpu backend found!"),
        (
            ValueError(
                "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
                '  File "x.py", line 1, in f\nValueError: a.wav: cannot be read\n'
            ),
            "a.wav: cannot be read",
        ),
        (RuntimeError("odd"), "RuntimeError: odd (--debug shows where)"),
    ],
)
def test_errors_are_one_line(monkeypatch, capsys, error, line):
    assert exits(monkeypatch, capsys, raises(error), "train") == (1, f"speechaug: error: {line}\n")


def test_debug_shows_the_traceback(monkeypatch, capsys):
    code, shown = exits(monkeypatch, capsys, raises(ValueError("bad")), "train", "--debug")
    assert code == 1
    assert shown.startswith("Traceback") and shown.endswith("\nspeechaug: error: bad\n")


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line_in_main_only(monkeypatch, capsys):
    def do(_):
        warnings.warn("5 of 9\nare left out", UserWarning, stacklevel=2)
        return 0

    before = warnings.showwarning
    assert exits(monkeypatch, capsys, do) == (0, "speechaug: warning: 5 of 9 are left out\n")
    assert warnings.showwarning is before


def test_ctrl_c_keeps_the_weights(digits):
    """A real signal to a real process, once it trains."""
    given = arguments(digits, "--steps", "100000")
    process = subprocess.Popen(
        [sys.executable, "-m", "speechaug", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a background shell hands down an ignored SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("trained: step 1/100000, ") and "loss " in first
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=60)
    finally:
        process.kill()
    weights = digits.parent / "out" / "interrupted.ckpt"
    assert process.returncode == 130
    assert re.fullmatch(rf"speechaug: stopped; the weights after step \d+ are in {re.escape(str(weights))}\n", shown)
    assert sa.SpeechRecognizer.load_from_checkpoint(weights, weights_only=True).tokenizer.vocabulary == ("one", "two")
    assert not weights.with_name("model.ckpt").exists()


def test_the_module_runs():
    shown = subprocess.run([sys.executable, "-m", "speechaug", "--help"], capture_output=True, text=True, check=True)
    assert "demo" in shown.stdout


@pytest.mark.slow
def test_demo_learns(tmp_path, capsys):
    """A shorter demonstration: augmentation must already help in noise."""
    from speechaug.demo import demo
    from speechaug.robustness import compare

    runs = demo(steps=600, output=str(tmp_path))
    noisy = compare({name: run.evaluation for name, run in runs.items()}).overall
    assert noisy is not None
    assert noisy.scores["small_sample"].wer.value < noisy.scores["no augmentation"].wer.value
    assert (tmp_path / "report.html").exists()


def test_demo_first_steps(tmp_path, capsys):
    assert run(["demo", "--steps", "2", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 50_000
    assert "small_sample" in capsys.readouterr().out
