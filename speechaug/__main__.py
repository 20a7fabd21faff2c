"""The command line: ``speechaug demo``, ``train``, ``evaluate`` and the others of ``COMMANDS``."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

COMMANDS = {
    "demo": "train without and with augmentation, write a report",
    "train": "train and test a recognizer on your data",
    "evaluate": "measure how robust any recognizer is",
    "corrupt": "write noisy test sets",
    "report": "compare evaluations: tables and a page",
    "transforms": "list every transform",
    "doctor": "check the installation",
}

EPILOG = """examples:
  speechaug demo                       what augmentation does, in five minutes
  speechaug train --data.train digits/ --data.pattern '{text}_{speaker}_{take}.wav' \\
      --data.test_speakers '[theo]' --data.noise noise/train --data.test_noise noise/test \\
      --data.policy small_sample --steps 3000
  speechaug train --print_config > train.yaml; speechaug train --config train.yaml
  speechaug train --config runs/train/config.yaml   do a run again
  speechaug evaluate --data test.jsonl --checkpoint runs/train/model.ckpt
  speechaug evaluate --data test.jsonl --command 'my_asr {wav}' --suite tiny --output runs/mine
  speechaug corrupt test.jsonl noisy/  noisy test sets for any recognizer
  speechaug report runs/before runs/after
  speechaug transforms                 every transform, its parameters and units
  speechaug doctor                     is the installation sound?

speechaug COMMAND --help lists the options of a command, with examples.
An error is one line; with --debug, anywhere in the command, its traceback comes before it.

exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C"""

EXAMPLES = {
    "evaluate": """examples:
  speechaug evaluate --data test.jsonl --checkpoint runs/train/model.ckpt --output runs/mine
  speechaug evaluate --data digits/ --pattern '{text}_{speaker}_{take}.wav' --model whisper-tiny/ --suite full
  speechaug evaluate --data LibriSpeech/test-clean --bundle WAV2VEC2_ASR_BASE_960H --limit 200 --draws 3
  speechaug evaluate --data test.tsv --command 'my_asr --beam 8 {wav}' --noise noise/test --rooms rir/test
  speechaug evaluate --data noisy/ --checkpoint model.ckpt        what speechaug corrupt wrote
  speechaug evaluate --data test.jsonl --checkpoint new.ckpt --output runs/new --baseline runs/old

Exactly one of --checkpoint, --model, --bundle and --command says what recognizes. A run that was stopped goes on where
it was; two runs give the same bytes.""",
    "corrupt": """examples:
  speechaug corrupt test.jsonl noisy/
  speechaug corrupt digits/ noisy/ --pattern '{text}_{speaker}_{take}.wav' --suite full --limit 100
  speechaug corrupt test.jsonl noisy/ --suite '[white:1,white:3,white:5]' --noise noise/test
  cd noisy && sha256sum --check checksums.sha256""",
    "report": """examples:
  speechaug report runs/mine
  speechaug report runs/before runs/after --baseline before --output runs/report.html
  speechaug report runs/seed0 runs/seed1 runs/old --data test.jsonl     with sounds""",
}
"""What ``--help`` of a command ends with."""

EXPECTED = ("ValueError", "OSError", "MisconfigurationException", "YAMLError")
"""Names of the errors whose message says all; by name, so that nothing heavy is imported for them."""


def build_parser(command: str | None = None) -> Any:
    """Return the parser: every option from the signatures of the functions and classes behind it.

    Args:
        command: the one whose options are wanted; the others, slow to collect, get none.
    """
    parser = _empty_parser(prog="speechaug", description="Speech recognizers that survive noise, from little data.")
    parser.epilog = EPILOG
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subcommands(required=True, dest="command")
    for name, text in COMMANDS.items():
        commands.add_subcommand(name, _command_parser(name if name == command else None), help=text)
    return parser


def _empty_parser(**options: Any) -> Any:
    from argparse import RawDescriptionHelpFormatter

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Keeps the lines of the examples."""

    class Parser(ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            """Say what is wrong in one line: forty lines of options would hide it."""
            if not self.exit_on_error:
                super().error(message, ex)
            asked = (getattr(ex, "subcommand_parser", None) or self).prog.replace(" [options]", "")
            self.exit(2, f"speechaug: error: {' '.join(message.split())}\ntip: {asked} --help lists the options\n")

    return Parser(formatter_class=Formatter, **options)


def _command_parser(command: str | None) -> Any:
    parser = _empty_parser()
    if command == "demo":
        from speechaug.demo import demo

        parser.add_function_arguments(demo, as_group=False)
    elif command == "train":
        from speechaug.asr import SpeechRecognizer
        from speechaug.data import SpeechDataModule
        from speechaug.recipe import train

        parser.add_argument("--config", action="config", help="YAML file with any of these options")
        parser.add_function_arguments(train, as_group=False, skip={"data", "model", "config"})
        parser.add_class_arguments(SpeechDataModule, "data")
        parser.add_class_arguments(SpeechRecognizer, "model", skip={"vocabulary", "sample_rate"}, instantiate=False)
    elif command == "transforms":
        from speechaug.catalog import print_transforms

        parser.add_function_arguments(print_transforms, as_group=False)
    elif command in EXAMPLES:
        _add_robustness_arguments(parser, command)
    return parser


def _add_robustness_arguments(parser: Any, command: str) -> None:
    from speechaug.robustness.commands import run_corrupt, run_evaluate
    from speechaug.robustness.report import report

    parser.epilog = EXAMPLES[command]
    if command == "evaluate":
        parser.add_function_arguments(run_evaluate, as_group=False)
    elif command == "corrupt":
        parser.add_argument("src", help="table, folder, tar or list of recordings with transcripts")
        parser.add_argument("dst", help="folder to write to, outside src")
        parser.add_function_arguments(run_corrupt, as_group=False, skip={"src", "dst"})
    else:
        parser.add_argument("runs", nargs="+", help="folders of evaluations or trainings; one name: training seeds")
        parser.add_function_arguments(report, as_group=False, skip={"runs"})


def run(arguments: Sequence[str] | None = None) -> int:
    """Parse and do; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["doctor"]:  # before anything is imported that may be what is broken
        from speechaug.doctor import main as doctor

        return doctor()
    parser = build_parser(next((word for word in given if word in COMMANDS), None))
    parsed = parser.parse_args(given)
    options = parsed[parsed.command]
    if parsed.command == "transforms":
        from speechaug.catalog import print_transforms

        print_transforms(**vars(options))
    elif parsed.command == "demo":
        from speechaug.demo import demo

        demo(**vars(options))
    elif parsed.command == "train":
        _train(parser, parsed)
    else:
        _robustness(parser, parsed.command, vars(options))
    return 0


def _robustness(parser: Any, command: str, options: dict[str, Any]) -> None:
    from speechaug.robustness import commands
    from speechaug.robustness.report import report

    if command == "report":
        report(options.pop("runs"), **options)
    elif command == "corrupt":
        commands.run_corrupt(**options)
    else:
        given = [name for name in commands.RECOGNIZERS if options[name] is not None]
        if len(given) != 1:
            ways = ", ".join(f"--{name}" for name in commands.RECOGNIZERS)
            found = " and ".join(f"--{name}" for name in given) or "none"
            parser.prog += f" {command}"  # whose --help the tip is to name
            parser.error(f"evaluate: exactly one of {ways} must be given, got {found}")
        commands.run_evaluate(**options)


def _train(parser: Any, parsed: Any) -> None:
    import yaml

    from speechaug.recipe import train

    config = yaml.safe_load(parser.dump(parsed, skip_unset=False))["train"]
    built = parser.instantiate(parsed)["train"]
    rest = {key: value for key, value in vars(built).items() if key not in ("config", "data", "model")}
    train(built.data, model=vars(parsed.train.model), config=config, **rest)


def main() -> None:
    """Run the command line; errors and warnings are one line each."""
    given = [word for word in sys.argv[1:] if word != "--debug"]
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = run(given)
            sys.stdout.flush()
        except BrokenPipeError:  # who reads has seen enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except KeyboardInterrupt as stop:
            print("; ".join(["speechaug: stopped", *map(str, stop.args)]), file=sys.stderr)
            code = 130
        except Exception as error:
            if "--debug" in sys.argv[1:]:
                traceback.print_exc()
            print(f"speechaug: error: {_line(error)}", file=sys.stderr)
            code = 1
    sys.exit(code)


def _line(error: Exception) -> str:
    """Return what to tell of an error in one line."""
    text = str(error)
    name = type(error).__name__
    if text.startswith("Caught ") and " in DataLoader worker process" in text:  # the worker's traceback follows
        text = text.strip().splitlines()[-1].removeprefix(f"{name}: ")
    text = " ".join(text.split())
    if {kind.__name__ for kind in type(error).__mro__}.intersection(EXPECTED):
        return text
    return f"{name}: {text} (--debug shows where)"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning):
        print(f"speechaug: warning: {' '.join(str(message).split())}", file=sys.stderr)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


if __name__ == "__main__":
    main()
