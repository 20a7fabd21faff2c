"""The command line as people meet it: help, completion in real shells, switches, pipes, exit codes, jobs on files."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

import speechaug as sa
from speechaug.__main__ import main
from speechaug.cli.commands import COMMANDS
from speechaug.cli.parser import build_parser, spell
from speechaug.cli.run import run

pytestmark = pytest.mark.global_rng

RATE = 8_000
POLICY = sa.Compose([sa.Speed(), sa.AddColoredNoise(), sa.Gain()])
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def speech(tmp_path: Path, monkeypatch) -> Path:
    """Write three recordings of two speakers and a policy, and go to their folder."""
    for number, name in enumerate(("ann/one_ann.wav", "ann/two_ann.wav", "ben/one_ben.wav")):
        path = tmp_path / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).uniform(-0.3, 0.3, 2_000), RATE)
    sa.save_policy(POLICY, tmp_path / "policy.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "speech"


def started(*given: str, **options) -> subprocess.Popen[str]:
    """Start the program itself, Ctrl-C enabled, which background shells hand down disabled."""
    return subprocess.Popen(
        [sys.executable, "-m", "speechaug", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(monkeypatch, capsys, *given: str) -> tuple[int, str, str]:
    """Run ``main``; returns exit code, output and errors."""
    monkeypatch.setattr(sys, "argv", ["speechaug", *given])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code, *capsys.readouterr()


# Help and usage.


def test_the_commands_are_those_of_the_readme(monkeypatch, capsys):
    code, text, _ = told(monkeypatch, capsys, "--help")
    assert code == 0
    jobs = {"demo", "train", "evaluate", "corrupt", "report", "augment", "preview", "convert"}
    assert set(COMMANDS) == jobs | {"transforms", "doctor", "completion"}
    assert all(f"\n    {name} " in text for name in COMMANDS)
    assert "exit codes: 0 done, 1 failed" in text


def test_help_fits_80_columns_and_has_examples(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parser = build_parser(*COMMANDS)
    for name, each in {"": parser, **parser.commands}.items():
        text = each.format_help()
        assert max(map(len, text.splitlines())) <= 80, name
        assert f"speechaug {name}".strip() in text.partition("examples:")[2], name
        assert "``" not in text and "\x1b" not in text


def test_every_example_can_be_parsed(monkeypatch):
    """What follows a command in its help is a command line of it; files are not looked for."""
    parser = build_parser(*COMMANDS)
    for name, command in COMMANDS.items():
        lines = re.sub(r"\s*\\\n\s*", " ", command.examples).splitlines()
        examples = [re.split(r"  |>|;", line.strip())[0] for line in lines if line.startswith("  speechaug ")]
        assert examples, name
        for words in map(shlex.split, examples):
            if not {"--print_config", "--config", "doctor"}.intersection(words):
                assert parser.parse_args(spell(words[1:], parser.commands[name])).command == name


def test_version_and_nothing(monkeypatch, capsys):
    assert told(monkeypatch, capsys, "--version")[:2] == (0, f"speechaug {sa.__version__}\n")
    code, text, _ = told(monkeypatch, capsys)
    assert code == 2 and text.startswith("usage: speechaug ")


@pytest.mark.parametrize(
    ("given", "message", "asked"),
    [
        (["agument", "a", "b"], "got 'agument'; did you mean augment?", "speechaug"),
        (["augment", "a"], "--policy, dst must be given", "speechaug augment"),
        (["preview", "a", "--policy", "p", "--draws", "many"], ": --draws must be int, got many", "speechaug preview"),
        (["augment", "--workers", "None"], ": --workers must be int or null, got None", "speechaug augment"),
        (["augment", "--dry-run=maybe"], ": --dry_run must be bool, got maybe", "speechaug augment"),
        (["completion", "tcsh"], ": shell must be one of 'bash', 'zsh', 'fish', got tcsh", "speechaug completion"),
        (["train", "--data.takes", "[1]"], ": --data.takes must be int or null, got [1]", "speechaug train"),
        (["train", "--data.test_speakers", "theo"], "or null, such as '[one, two]', got theo", "speechaug train"),
        (["transforms", "--markdown-tabel"], "tabel; did you mean --markdown_table?", "speechaug transforms"),
    ],
)
def test_wrong_usage_names_the_remedy(monkeypatch, capsys, given, message, asked):
    code, _, text = told(monkeypatch, capsys, *given)
    error, tip = text.splitlines()
    assert code == 2 and error.startswith("speechaug: error: ") and message in error
    assert tip == f"tip: {asked} --help lists the options"


# Completion.


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> dict[str, Path]:
    """Write the scripts of completion."""
    from contextlib import redirect_stdout

    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        with (folder / shell).open("w") as file, redirect_stdout(file):
            assert run(["completion", shell]) == 0
    return {shell: folder / shell for shell in SHELLS}


def completed(script: Path, line: str, folder: Path) -> set[str]:
    """Complete a line in a real bash, by the function that the script registers."""
    program = """
source "$1"
complete_with=$(complete -p speechaug | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
read -r -a COMP_WORDS <<< "$2"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"$complete_with" speechaug 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
    given = ["bash", "--norc", "-c", program, "bash", str(script), line]
    return set(subprocess.run(given, cwd=folder, capture_output=True, text=True, check=True).stdout.split("\n")[:-1])


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("speechaug ", set(COMMANDS)),
        ("speechaug co", {"corrupt", "convert", "completion"}),
        ("speechaug --ver", {"--version"}),
        ("speechaug augment --wo", {"--workers"}),
        ("speechaug augment speech more --dry", {"--dry_run"}),
        ("speechaug augment sp", {"speech"}),
        ("speechaug augment speech/a", {"speech/ann"}),
        ("speechaug augment speech more --policy pol", {"policy.yaml"}),
        ("speechaug train --data.test_n", {"--data.test_noise", "--data.test_noise.help"}),
        ("speechaug evaluate --progress ", {"true", "false", "null"}),
        ("speechaug completion ", set(SHELLS)),
    ],
)
def test_bash_completes(scripts, speech, line, expected):
    assert completed(scripts["bash"], line, speech.parent) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes(scripts, speech):
    def words(line: str) -> set[str]:
        given = ["fish", "--no-config", "-c", f"source {scripts['fish']}; complete -C {shlex.quote(line)}"]
        done = subprocess.run(given, cwd=speech.parent, capture_output=True, text=True, check=True)
        return {each.partition("\t")[0] for each in done.stdout.splitlines()}

    assert words("speechaug co") == {"corrupt", "convert", "completion"}
    assert "--workers" in words("speechaug augment --wo")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_finds_the_script(scripts, tmp_path):
    shutil.copy(scripts["zsh"], tmp_path / "_speechaug")
    program = "fpath+=($1); autoload -Uz compinit; compinit -u -D; zsh -n $1/_speechaug && print $_comps[speechaug]"
    given = ["zsh", "-f", "-c", program, "zsh", str(tmp_path)]
    done = subprocess.run(given, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("_speechaug\n", "")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes(scripts, speech, tmp_path):
    """Typed at a terminal: what zsh would insert, and the list it shows."""
    shutil.copy(scripts["zsh"], tmp_path / "_speechaug")
    start = f"PROMPT='ready> '; fpath+=({tmp_path}); autoload -Uz compinit; compinit -u -D\n"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f"], {**os.environ, "TERM": "xterm"})

    def typed(keys: str, shown: str) -> None:
        os.write(terminal, keys.encode())
        text, deadline = "", time.monotonic() + 20
        while shown not in text:
            assert select.select([terminal], [], [], deadline - time.monotonic())[0], text
            text += re.sub(r"\x1b\[[\d;?]*[A-Za-z]|\r|\x08", "", os.read(terminal, 4_096).decode(errors="replace"))

    try:
        typed(start, "ready> ")
        typed("\x15speechaug augment --wo\t", "augment --workers ")
        typed("\x15speechaug augment speech more --policy pol\t", "policy.yaml ")
        typed("\x15speechaug co\t", "corrupt     -- write noisy test sets")
        typed("\x15speechaug evaluate --progress \t", "false  null   true")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)


# Jobs on files.


def test_augment_a_folder(speech, monkeypatch, capsys):
    given = ["augment", "speech", "more", "--policy", "policy.yaml", "--copies", "2", "--workers", "0"]
    code, text, error = told(monkeypatch, capsys, *given, "--dry-run")
    assert code == 0 and error == "" and not Path("more").exists()
    assert "Nothing is written" in text and "6 files" in text
    code, text, error = told(monkeypatch, capsys, *given)
    assert code == 0 and error == "" and text.startswith("6 files in ")
    sa.augment_folder("speech", "python", POLICY, copies=2, workers=0)
    assert contents(Path("more")) == contents(Path("python"))
    code, text, error = told(monkeypatch, capsys, *given, "--seed", "1")
    assert code == 1 and error.endswith("made with another seed; --overwrite makes them anew\n")
    assert told(monkeypatch, capsys, *given, "--seed", "1", "--overwrite")[0] == 0


@pytest.mark.parametrize("switch", ["--dry", "--over", "--cop=2"])
def test_an_option_must_be_written_out(speech, monkeypatch, capsys, switch):
    """A part of --dry-run that is taken for it, or for nothing, would write what was only to be told."""
    code, _, error = told(monkeypatch, capsys, "augment", "speech", "more", "--policy", "policy.yaml", switch)
    assert code == 2 and "did you mean --" in error and not Path("more").exists()


def test_some_files_failed_is_exit_code_1(speech, monkeypatch, capsys):
    (speech / "bad.wav").write_text("no audio")
    code, text, error = told(monkeypatch, capsys, "augment", "speech", "more", "--policy", "policy.yaml", "--workers=0")
    assert code == 1 and error == ""
    assert "3 files in " in text and "bad.wav" in text.splitlines()[-1] and "not an audio file" in text
    given = ["augment", "speech", "rest", "--policy", "policy.yaml", "--workers=0", "--exclude", "bad*"]
    assert told(monkeypatch, capsys, *given)[0] == 0


def test_augment_with_transcripts(speech, monkeypatch, capsys):
    given = ["--policy", "policy.yaml", "--workers", "0", "--pattern", "{text}_{speaker}.wav"]
    assert told(monkeypatch, capsys, "augment", "speech/ann", "more", *given)[0] == 0
    assert {said.text for said in sa.read_manifest("more/manifest.jsonl")} == {"one", "two"}
    sa.write_manifest("train.jsonl", sa.read_manifest("speech/ben", "{text}_{speaker}.wav"))
    assert told(monkeypatch, capsys, "augment", "train.jsonl", "table", *given[:4])[0] == 0
    assert [said.speaker for said in sa.read_manifest("table/train.jsonl")] == ["ben"]


def test_augment_and_preview_with_voices(speech, monkeypatch, capsys):
    given = ["--policy", "small_sample", "--voices", "speech"]
    assert told(monkeypatch, capsys, "augment", "speech", "more", *given, "--workers", "0")[0] == 0
    assert all("AddBabble" in line for line in Path("more/manifest.jsonl").read_text().splitlines())
    assert told(monkeypatch, capsys, "preview", "speech", *given, "--limit", "1", "--draws", "1")[0] == 0
    assert "AddBabble" in Path("preview.html").read_text()
    code, _, error = told(monkeypatch, capsys, "augment", "speech", "more", *given[:3], "absent")
    assert (code, error) == (1, "speechaug: error: augment: voices must be a folder with audio, got 'absent'\n")


def test_options_from_a_file(speech, monkeypatch, capsys):
    given = ["augment", "speech", "more", "--policy", "policy.yaml", "--copies", "3", "--format", "wav"]
    code, text, _ = told(monkeypatch, capsys, *given, "--print_config")
    config = yaml.safe_load(text)
    assert code == 0 and (config["src"], config["copies"], config["format"]) == ("speech", 3, "wav")
    Path("augment.yaml").write_text(yaml.safe_dump({**config, "workers": 0}))
    assert told(monkeypatch, capsys, "augment", "--config", "augment.yaml", "--copies", "1")[0] == 0
    assert len(list(Path("more").rglob("*.wav"))) == 3


def test_preview_and_convert(speech, monkeypatch, capsys):
    given = ["preview", "speech/ann/one_ann.wav", "speech/ben/one_ben.wav", "--policy", "policy.yaml", "--draws", "1"]
    code, text, _ = told(monkeypatch, capsys, *given, "--output", "one.html")
    assert code == 0 and "one.html" in text and Path("one.html").stat().st_size > 10_000
    Path("theirs.py").write_text("import audiomentations\naugment = audiomentations.Gain(-3.0, 3.0, p=1.0)\n")
    assert told(monkeypatch, capsys, "convert", "theirs.py", "ours.yaml")[0] == 0
    assert sa.load_policy("ours.yaml") == sa.Gain(gain_db=(-3.0, 3.0))
    code, text, _ = told(monkeypatch, capsys, "convert", "theirs.py:augment")
    assert code == 0 and text == Path("ours.yaml").read_text()


def test_over_a_pipe_without_colour(speech):
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80"}
    (speech / "bad.wav").write_text("no audio")
    given = ["augment", "speech", "more", "--policy", "policy.yaml", "--workers", "1"]
    with started(*given, env=environment) as process:
        text, error = process.communicate(timeout=200)
    assert process.returncode == 1 and error == ""
    assert "\x1b" not in text and "\r" not in text


def test_who_reads_may_stop(speech):
    with started("transforms") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # as head does
        assert process.stderr.read() == ""
        assert process.wait(100) == 1


def test_nobody_need_read(speech):
    """As ``speechaug transforms >&-`` starts it."""
    given = [sys.executable, "-m", "speechaug", "transforms"]
    done = subprocess.run(given, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_ctrl_c_in_a_job_says_how_to_go_on(speech, tmp_path):
    for number in range(60):
        soundfile.write(speech / f"{number}.wav", np.random.default_rng(number).uniform(-0.3, 0.3, 80_000), RATE)
    given = ["augment", "speech", "more", "--policy", "policy.yaml", "--copies", "9", "--workers", "2"]
    with started(*given, start_new_session=True) as process:
        deadline = time.monotonic() + 100
        while not list(tmp_path.glob("more/*.flac")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.startswith("speechaug: stopped; ") and "the same command goes on" in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("*.tmp"))
