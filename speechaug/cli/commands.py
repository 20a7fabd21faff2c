"""The commands: what each does, the function behind it, and the examples its help ends with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Last(NamedTuple):
    """The last argument that is given by its place.

    Attributes:
        name: of the argument.
        nargs: how many words it takes: ``?`` or ``+``.
        help: what it is.
    """

    name: str
    nargs: str
    help: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of ``speechaug``.

    Args:
        summary: its line in the list of commands.
        function: ``module:name`` of the typed function whose arguments are the options, imported when it is needed.
            What it returns is the exit code if it is a whole number.
        places: its arguments that are given by their place.
        last: an argument after these that takes none or one (``?``), or one or more (``+``).
        examples: what its help ends with.
    """

    summary: str
    function: str
    places: tuple[str, ...] = ()
    last: Last | None = None
    examples: str

    def load(self) -> Callable[..., Any]:
        """Import the function.

        Example:
            >>> COMMANDS["transforms"].load().__name__
            'print_transforms'
        """
        module, _, name = self.function.partition(":")
        loaded: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return loaded


COMMANDS = {
    "demo": Command(
        summary="train without and with augmentation, write a report",
        function="speechaug.demo:demo",
        examples="""
  speechaug demo
  speechaug demo --steps 100 --output runs/short       a first look""",
    ),
    "train": Command(
        summary="train and test a recognizer on your data",
        function="speechaug.recipe:train",
        examples=r"""
  speechaug train --data.train digits/ \
      --data.pattern '{text}_{speaker}_{take}.wav' \
      --data.test_speakers '[theo]' --data.noise noise/train \
      --data.test_noise noise/test --data.policy small_sample \
      --steps 3000 --output runs/digits
  speechaug train --data.train train.jsonl --data.test test.jsonl
  speechaug train --print_config > train.yaml
  speechaug train --config train.yaml --steps 6000
  speechaug train --config runs/digits/config.yaml     a run again""",
    ),
    "evaluate": Command(
        summary="measure how robust any recognizer is",
        function="speechaug.robustness.commands:run_evaluate",
        examples=r"""
  speechaug evaluate --data test.jsonl --checkpoint runs/train/model.ckpt
  speechaug evaluate --data digits/ --pattern '{text}_{speaker}_{take}.wav' \
      --model whisper-tiny/ --suite full
  speechaug evaluate --data LibriSpeech/test-clean --limit 200 --draws 3 \
      --bundle WAV2VEC2_ASR_BASE_960H
  speechaug evaluate --data test.tsv --command 'my_asr --beam 8 {wav}' \
      --noise noise/test --rooms rir/test
  speechaug evaluate --data noisy/ --checkpoint model.ckpt
                                              what speechaug corrupt wrote
  speechaug evaluate --data test.jsonl --checkpoint new.ckpt \
      --output runs/new --baseline runs/old

Exactly one of --checkpoint, --model, --bundle and --command says what
recognizes. A run that was stopped goes on where it was; two runs give the same
bytes.""",
    ),
    "corrupt": Command(
        summary="write noisy test sets",
        function="speechaug.robustness.commands:run_corrupt",
        places=("src", "dst"),
        examples=r"""
  speechaug corrupt test.jsonl noisy/
  speechaug corrupt digits/ noisy/ --pattern '{text}_{speaker}_{take}.wav' \
      --suite full --limit 100
  speechaug corrupt test.jsonl noisy/ --suite '[white:1,white:3,white:5]' \
      --noise noise/test
  cd noisy && sha256sum --check checksums.sha256""",
    ),
    "report": Command(
        summary="compare evaluations: tables and a page",
        function="speechaug.robustness.report:report",
        last=Last("runs", "+", "folders of evaluations or trainings; one name: training seeds"),
        examples=r"""
  speechaug report runs/mine
  speechaug report runs/before runs/after --baseline before \
      --output runs/report.html
  speechaug report runs/seed0 runs/seed1 runs/old --data test.jsonl
                                              with sounds""",
    ),
    "augment": Command(
        summary="write augmented copies of folders, tables, shards",
        function="speechaug.cli.augment:run_augment",
        places=("src", "dst"),
        examples=r"""
  speechaug augment digits/ more/ --policy policy.yaml --copies 5
  speechaug augment digits/ more/ --policy small_sample --noise noise/ \
      --rooms rir/ --dry-run
  speechaug augment train.jsonl more/ --policy policy.yaml --format wav
  speechaug augment data/train more/ --policy policy.yaml        Kaldi
  speechaug augment 'train-{000..127}.tar' more/ --policy policy.yaml
  speechaug augment digits/ more/ --policy policy.yaml --engine ray
                                              on the cluster of RAY_ADDRESS

The same command goes on after Ctrl-C, and gives the same bytes with any number
of workers, on one machine or many. The exit code is 1 when some recordings
could not be used: they are listed at the end, and all others are done.""",
    ),
    "preview": Command(
        summary="hear and see what a policy does to recordings",
        function="speechaug.cli.preview:run_preview",
        last=Last("files", "+", "recordings, or a folder, of which a few are taken"),
        examples=r"""
  speechaug preview digits/ --policy policy.yaml
  speechaug preview one.wav --policy small_sample --draws 4 --output one.html
  speechaug preview digits/ --policy small_sample --noise noise/ --rooms rir/
  speechaug preview digits/ --policy specaugment:LD
  speechaug preview digits/ --policy policy.yaml --serve --browse
                                              with buttons for fresh draws""",
    ),
    "convert": Command(
        summary="turn a configuration of audiomentations into a policy",
        function="speechaug.convert:convert_file",
        places=("src",),
        last=Last("dst", "?", "the policy file to write; without it, the policy is printed"),
        examples=r"""
  speechaug convert audiomentations.yaml policy.yaml
  speechaug convert torch_audiomentations.yaml > policy.yaml
  speechaug convert train.py:augment policy.yaml --exact""",
    ),
    "transforms": Command(
        summary="list every transform",
        function="speechaug.catalog:print_transforms",
        examples="""
  speechaug transforms
  speechaug transforms --markdown_table > transforms.md""",
    ),
    "doctor": Command(
        summary="check the installation",
        function="speechaug.doctor:main",
        examples="""
  speechaug doctor

The exit code is 1 when something in the core is broken.""",
    ),
    "completion": Command(
        summary="print a script that completes commands in your shell",
        function="speechaug.cli.completion:print_completion",
        places=("shell",),
        examples=r"""
  speechaug completion bash > \
      ~/.local/share/bash-completion/completions/speechaug
  speechaug completion zsh > ~/.zfunc/_speechaug
  speechaug completion fish > ~/.config/fish/completions/speechaug.fish

The script is made once and holds all it needs: nothing is started when you
press Tab. zsh looks where fpath says: fpath=(~/.zfunc $fpath) in .zshrc, before
compinit. Make it again after an update.""",
    ),
}
"""By name, in the order of ``--help``."""

OVERVIEW = r"""examples:
  speechaug demo                       what augmentation does, in four minutes
  speechaug train --data.train digits/ --data.policy small_sample \
      --data.pattern '{text}_{speaker}_{take}.wav' --data.noise noise/train
  speechaug evaluate --data test.jsonl --checkpoint runs/train/model.ckpt
  speechaug evaluate --data test.jsonl --command 'my_asr {wav}' --suite tiny
  speechaug corrupt test.jsonl noisy/  noisy test sets for any recognizer
  speechaug report runs/before runs/after
  speechaug augment digits/ more/ --policy policy.yaml --copies 5
  speechaug preview digits/ --policy policy.yaml --serve
  speechaug convert audiomentations.yaml policy.yaml
  speechaug transforms                 every transform, its parameters and units
  speechaug doctor                     is the installation sound?

speechaug COMMAND --help lists the options of a command, with examples.
Most commands take their options from a file, too: --config options.yaml; and
--print_config writes one. --sample-rate is --sample_rate, and a switch such as
--overwrite needs no value.
An error is one line; with --debug, anywhere, its traceback comes before it.

exit codes: 0 done, 1 failed (augment: some files did, all others are done),
2 wrong usage, 130 stopped by Ctrl-C"""
"""What ``speechaug --help`` ends with."""
