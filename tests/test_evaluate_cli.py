"""speechaug evaluate, corrupt and report: files, tables, help, and errors in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from trainings import recognizer

import speechaug as sa
from speechaug.__main__ import main
from speechaug.cli.run import run
from speechaug.data import Utterance, read_manifest
from speechaug.policy_file import save_policy
from speechaug.robustness.corrupt import corrupt
from speechaug.robustness.evaluate import evaluate
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.report import write_report

pytestmark = pytest.mark.global_rng

RATE = 8_000
PATTERN = "{text}_{speaker}_{take}.wav"
SUITE = "[white:3,white:5]"
LOUD = """
import sys, soundfile
samples, rate = soundfile.read(sys.argv[1])
print("one" if samples.std() > float(sys.argv[2]) else "two")
"""


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Two words by two speakers; one of them is loud."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for speaker in ("ann", "theo"):
        for text, level in (("one", 0.4), ("two", 0.1)):
            for take in range(2):
                tone = level * np.sin(np.arange(1_500 + 90 * take) / (3 + len(speaker)))
                soundfile.write(folder / f"{text}_{speaker}_{take}.wav", tone, RATE)
    return folder


@pytest.fixture
def command(tmp_path: Path) -> str:
    """Return a recognizer that goes by the level."""
    path = tmp_path / "loud.py"
    path.write_text(LOUD)
    return f"{sys.executable} {path} {{wav}} 0.15"


def shown(capsys, *given: str) -> str:
    assert run(list(given)) == 0
    return capsys.readouterr().out


def fails(monkeypatch, capsys, *given: str, code: int = 1) -> str:
    """Run ``main`` and return the first line it wrote to stderr."""
    monkeypatch.setattr(sys, "argv", ["speechaug", *given])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == code  # wrong usage has a tip, too
    assert lines[0].startswith("speechaug: error: ")
    return lines[0].removeprefix("speechaug: error: ")


def checkpoint(path: Path) -> Path:
    import lightning.pytorch as pl

    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    trainer.strategy.connect(recognizer())
    trainer.save_checkpoint(path)
    return path


def test_evaluate_a_command_and_compare(digits, command, tmp_path, capsys):
    def arguments(threshold, name, *more):
        data = ["--data", str(digits), "--pattern", PATTERN, "--suite", SUITE, "--output", str(tmp_path / name)]
        given = ["--command", command.replace("0.15", threshold), "--sample_rate", str(RATE), "--name", name]
        return ["evaluate", *data, *given, *more]

    text = shown(capsys, *arguments("0.15", "good"))
    good = Evaluation.load(tmp_path / "good")
    assert "good" in text and "white" in text
    assert {(r["condition"], r["reference"] == r["hypothesis"]) for r in good.records} == {
        ("clean", True),
        ("white:3", True),
        ("white:5", True),
    }
    again = {path.name: path.read_bytes() for path in (tmp_path / "good").iterdir()}
    assert {"results.jsonl", "evaluation.json", "transcripts.jsonl", "report.html", "report.json"} <= set(again)

    text = shown(capsys, *arguments("0.0", "poor", "--baseline", str(tmp_path / "good"), "--limit", "8"))
    assert "good" in text and "poor" in text
    page = (tmp_path / "poor" / "report.html").read_text()
    assert page.count("<audio") >= 2 and "good" in page  # the worst, before and after
    shown(capsys, *arguments("0.15", "good"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "good").iterdir()} == again


def test_evaluate_is_what_python_does(digits, tmp_path, capsys):
    model = checkpoint(tmp_path / "model.ckpt")
    data = ["--data", str(digits), "--pattern", PATTERN, "--suite", "tiny", "--draws", "2", "--seed", "3"]
    more = ["--output", str(tmp_path / "out"), "--groups", "{ann: north}", "--normaliser", "text", "--examples", "0"]
    shown(capsys, "evaluate", *data, *more, "--checkpoint", str(model), "--workers", "0")
    options = {"pattern": PATTERN, "suite": "tiny", "draws": 2, "seed": 3, "normaliser": "text"}
    evaluation = evaluate(model, str(digits), **options, groups={"ann": "north"}, output=tmp_path / "python")
    for name in ("results.jsonl", "evaluation.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "python" / name).read_bytes()
    assert {record["group"] for record in evaluation.records} == {"north", None}


def test_corrupt_then_evaluate(digits, command, tmp_path, capsys):
    noisy = tmp_path / "noisy"
    text = shown(capsys, "corrupt", str(digits), str(noisy), "--pattern", PATTERN, "--suite", SUITE)
    assert text == f"Wrote 24 files, 3 conditions, to {noisy}\n"
    assert len(list((noisy / "white" / "5").glob("*.flac"))) == 8
    text = shown(capsys, "corrupt", str(digits), str(noisy), "--pattern", PATTERN, "--suite", SUITE)
    assert text == f"Wrote 24 files, 0 of them new, 3 conditions, to {noisy}\n"
    given = ["--data", str(noisy), "--command", command, "--sample_rate", str(RATE), "--output", str(tmp_path / "out")]
    shown(capsys, "evaluate", *given)
    assert Evaluation.load(tmp_path / "out").conditions == ("clean", "white:3", "white:5")


def test_report_recomputes_from_the_records(digits, tmp_path, capsys):
    for name, word in (("one", "one"), ("two", "two"), ("both", "one two")):
        evaluate(
            lambda waves, word=word: [word] * len(waves),
            str(digits),
            pattern=PATTERN,
            suite=["white:3"],
            sample_rate=RATE,
            name=name,
            output=tmp_path / name,
        )
    folders = [str(tmp_path / name) for name in ("one", "both")]
    page = tmp_path / "page" / "report.html"
    text = shown(capsys, "report", *folders, "--baseline", "one", "--output", str(page))
    assert "one" in text and "both" in text and str(page) in text
    told = json.loads(page.with_suffix(".json").read_text())
    assert told
    records = [json.loads(line) for line in (tmp_path / "one" / "results.jsonl").read_text().splitlines()]
    for record in records:  # all wrong now
        record.update(hypothesis="", substitutions=0, insertions=0, deletions=record["words"])
    lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
    (tmp_path / "one" / "results.jsonl").write_text(lines)
    before = page.with_suffix(".csv").read_text()
    shown(capsys, "report", *folders, "--output", str(page))
    assert page.with_suffix(".csv").read_text() != before


def test_help_shows_options_and_examples(capsys):
    for name, expected in {
        "evaluate": ["--checkpoint", "--command", "--baseline", "--draws", "examples:", "'my_asr --beam 8 {wav}'"],
        "corrupt": ["src dst", "--suite", "examples:", "speechaug corrupt test.jsonl noisy/"],
        "report": ["runs [runs ...]", "--baseline", "speechaug report runs/before runs/after"],
    }.items():
        with pytest.raises(SystemExit) as exit_:
            run([name, "--help"])
        assert exit_.value.code == 0
        text = capsys.readouterr().out
        assert all(part in text for part in expected), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "exactly one of --checkpoint, --model, --bundle, --command must be given, got none"),
        (["--checkpoint", "a", "--model", "b"], "must be given, got --checkpoint and --model"),
        (["--draws", "many"], "draws"),
    ],
)
def test_wrong_usage(monkeypatch, capsys, given, message):
    assert message in fails(monkeypatch, capsys, "evaluate", "--data", "x.jsonl", *given, code=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--checkpoint", "absent.ckpt"], "absent.ckpt: no such checkpoint"),
        (["--model", "absent"], "model must be a folder with config.json, got 'absent'"),
        (["--command", "absent-program {wav}"], "must begin with a program that can be run, got 'absent-program'"),
        (["--command", "cat"], "command must hold {wav} after the program, got 'cat'"),
        (["--command", "cat {wav}", "--suite", "huge"], "subset must be tiny, standard, full or srb, got 'huge'"),
        (["--command", "false {wav}", "--suite", SUITE], "the recognizer fails on all of the first 8: RuntimeError"),
    ],
)
def test_errors_are_one_line(digits, tmp_path, monkeypatch, capsys, given, message):
    data = ["--data", str(digits), "--pattern", PATTERN, "--output", str(tmp_path / "out")]
    assert message in fails(monkeypatch, capsys, "evaluate", *data, *given)


def test_a_command_that_prints_nothing_is_told_of(digits, tmp_path, capsys):
    data = ["--data", str(digits), "--pattern", PATTERN, "--suite", SUITE, "--output", str(tmp_path / "out")]
    with pytest.warns(UserWarning, match=r"gave no text for any utterance \(a command must print it on stdout\)"):
        shown(capsys, "evaluate", *data, "--command", "true {wav}", "--workers", "0")


def test_a_missing_baseline_is_told_before_anything_is_heard(digits, tmp_path, monkeypatch, capsys):
    data = ["--data", str(digits), "--pattern", PATTERN, "--command", "cat {wav}", "--output", str(tmp_path / "out")]
    assert "absent: holds no evaluation" in fails(monkeypatch, capsys, "evaluate", *data, "--baseline", "absent")
    assert not (tmp_path / "out").exists()


def test_other_commands_fail_in_one_line(digits, tmp_path, monkeypatch, capsys):
    assert "no such" in fails(monkeypatch, capsys, "evaluate", "--data", "absent.jsonl", "--command", "cat {wav}")
    within = ["corrupt", str(digits), str(digits / "noisy"), "--pattern", PATTERN]
    assert "dst must lie outside src" in fails(monkeypatch, capsys, *within)
    assert "absent" in fails(monkeypatch, capsys, "report", str(tmp_path / "absent"))


@pytest.mark.slow
def test_output_over_a_pipe(digits, command, tmp_path):
    given = ["--data", str(digits), "--pattern", PATTERN, "--suite", SUITE, "--output", str(tmp_path / "out")]
    words = [sys.executable, "-m", "speechaug", "evaluate", *given, "--command", command]
    whole = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert whole.returncode == 0 and whole.stderr == ""
    assert "\x1b" not in whole.stdout and max(map(len, whole.stdout.splitlines()[:5])) <= 80
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # nobody reads
        assert process.stderr.read() == ""
        assert process.wait(120) == 1


def test_train_on_the_suite_is_evaluate_on_its_checkpoint(digits, tmp_path, capsys):
    given = f"--data.train {digits} --data.pattern {PATTERN} --data.sample_rate {RATE} --data.test_speakers [theo]"
    model = f"--data.test_suite {SUITE} --model.unit word --model.size xs --steps 2 --output {tmp_path / 'train'}"
    shown(capsys, "train", *given.split(), *model.split())
    lines = (tmp_path / "train" / "results.jsonl").read_text().splitlines()
    tested = {(r["condition"], r["id"]): r["hypothesis"] for r in map(json.loads, lines)}
    assert {name for name, _ in tested} == {"clean", "white:3", "white:5"}
    utterances = [u for u in read_manifest(str(digits), PATTERN) if u.speaker == "theo"]
    suite = SUITE.strip("[]").split(",")
    evaluation = evaluate(tmp_path / "train" / "model.ckpt", utterances, suite=suite, normaliser="text")
    assert {(r["condition"], r["id"]): r["hypothesis"] for r in evaluation.records} == tested
    everyone = read_manifest(str(digits), PATTERN)
    trained = sorted({u.speaker for u in everyone} - {"theo"})
    told = f"train was trained on speakers of these names, {len(trained)} of {len(trained) + 1}: {', '.join(trained)};"
    again = r"train was trained on 4 of these 8 recordings: one_ann_0, one_ann_1, two_ann_0, two_ann_1;"
    with pytest.warns(UserWarning, match=told), pytest.warns(UserWarning, match=again):
        evaluate(tmp_path / "train" / "model.ckpt", everyone, suite=["white:3"])
    shown(capsys, "train", "--config", str(tmp_path / "train" / "config.yaml"))
    assert (tmp_path / "train" / "results.jsonl").read_text().splitlines() == lines


def test_a_checkpoint_knows_what_it_was_trained_on(digits, tmp_path, capsys):
    """Recordings under whatever name and in another format, speakers, and the families of the policy."""
    policy = tmp_path / "policy.yaml"
    save_policy(sa.AddColoredNoise(exponent=(0.0, 0.0)), policy)
    given = f"--data.train {digits} --data.pattern {PATTERN} --data.sample_rate {RATE} --data.test_speakers [theo]"
    model = f"--data.policy {policy} --model.unit word --model.size xs --steps 1 --output {tmp_path / 'train'}"
    shown(capsys, "train", *given.split(), *model.split())
    checkpoint = tmp_path / "train" / "model.ckpt"
    samples, _ = soundfile.read(digits / "one_ann_1.wav")
    soundfile.write(tmp_path / "copy.flac", samples, RATE)
    soundfile.write(tmp_path / "cut.wav", samples[:-1], RATE)
    paths = {"copy": "copy.flac", "cut": "cut.wav", "new": "digits/one_theo_1.wav"}
    rows = [Utterance(name, str(tmp_path / path), "one", speaker="eve") for name, path in paths.items()]
    told = r"train was trained on 1 of these 3 recordings: copy; the scores say nothing about others"
    corrupt(rows, tmp_path / "noisy", suite=["white:3", "brown:3"])
    for data in (rows, tmp_path / "noisy"):
        with pytest.warns(UserWarning, match=told):
            evaluation = evaluate(checkpoint, data, suite=["white:3", "brown:3"] if data is rows else "standard")
        assert evaluation.meta["trained_on"] == {"recordings": ["copy"]}
        trained = {condition["name"]: condition["trained"] for condition in evaluation.meta["conditions"]}
        assert trained == {"clean": False, "white:3": True, "brown:3": False}
    page = write_report(tmp_path / "report.html", evaluation).read_text(encoding="utf-8")
    assert "<dt>recordings that train was trained on</dt><dd>1 (copy)</dd>" in page
    assert "trained_on" not in evaluate(checkpoint, rows[1:], suite=["white:3"]).meta


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(digits, tmp_path):
    """A real signal to all processes, once something was heard."""
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(0.2); print('one')")
    given = ["--data", str(digits), "--pattern", PATTERN, "--output", str(tmp_path / "out"), "--workers", "1"]
    command = ["--command", f"{sys.executable} {slow} {{wav}}", "--sample_rate", str(RATE), "--batch_size", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "speechaug", "evaluate", *given, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background shells hand down an ignored one
    ) as process:
        kept = tmp_path / "out" / "transcripts.jsonl"
        deadline = time.monotonic() + 100
        while not (kept.exists() and kept.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == f"speechaug: stopped; the same command goes on with what is in {tmp_path / 'out'}\n"
    assert len(kept.read_text().splitlines()) >= 8
