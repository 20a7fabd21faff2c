"""The command line: ``speechaug demo``, ``train``, ``transforms``, ``doctor``."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

COMMANDS = {
    "demo": "train without and with augmentation, write a report",
    "train": "train and test a recognizer on your data",
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
  speechaug transforms                 every transform, its parameters and units
  speechaug doctor                     is the installation sound?

An error is one line; with --debug, anywhere in the command, its traceback comes before it.

exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C"""

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
    return parser


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
    else:
        _train(parser, parsed)
    return 0


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
