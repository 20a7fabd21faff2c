"""The command line: ``speechaug demo``, ``train``, ``transforms``, ``doctor``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

EPILOG = """examples:
  speechaug demo                       what augmentation does, in five minutes
  speechaug train --data.train digits/ --data.pattern '{text}_{speaker}_{take}.wav' \\
      --data.test_speakers '[theo]' --data.noise noise/train --data.test_noise noise/test \\
      --data.policy small_sample --steps 3000
  speechaug train --print_config > train.yaml; speechaug train --config train.yaml
  speechaug transforms                 every transform, its parameters and units
  speechaug doctor                     is the installation sound?

exit codes: 0 done, 1 failed, 2 wrong usage"""


def build_parser() -> Any:
    """Return the parser: every option from the signatures of the functions and classes behind it."""
    from jsonargparse import ArgumentParser

    from speechaug.asr import SpeechRecognizer
    from speechaug.catalog import print_transforms
    from speechaug.data import SpeechDataModule
    from speechaug.demo import demo
    from speechaug.recipe import train

    parser = ArgumentParser(prog="speechaug", description="Speech recognizers that survive noise, from little data.")
    parser.epilog = EPILOG
    commands = parser.add_subcommands(required=True, dest="command")
    demo_parser = ArgumentParser()
    demo_parser.add_function_arguments(demo, as_group=False)
    train_parser = ArgumentParser()
    train_parser.add_argument("--config", action="config", help="YAML file with any of these options")
    train_parser.add_function_arguments(train, as_group=False, skip={"data", "model"})
    train_parser.add_class_arguments(SpeechDataModule, "data")
    train_parser.add_class_arguments(SpeechRecognizer, "model", skip={"vocabulary", "sample_rate"}, instantiate=False)
    commands.add_subcommand("demo", demo_parser, help="train without and with augmentation, write a report")
    commands.add_subcommand("train", train_parser, help="train and test a recognizer on your data")
    list_parser = ArgumentParser()
    list_parser.add_function_arguments(print_transforms, as_group=False)
    commands.add_subcommand("transforms", list_parser, help="list every transform")
    commands.add_subcommand("doctor", ArgumentParser(), help="check the installation")
    return parser


def run(arguments: Sequence[str] | None = None) -> int:
    """Parse and do; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["doctor"]:  # before anything is imported that may be what is broken
        from speechaug.doctor import main as doctor

        return doctor()
    parser = build_parser()
    parsed = parser.parse_args(given)
    options = parsed[parsed.command]
    if parsed.command == "transforms":
        from speechaug.catalog import print_transforms

        print_transforms(**vars(options))
    elif parsed.command == "demo":
        from speechaug.demo import demo

        demo(**vars(options))
    else:
        from speechaug.recipe import train

        built = parser.instantiate(parsed)["train"]
        rest = {key: value for key, value in vars(built).items() if key not in ("config", "data", "model")}
        train(built.data, model=vars(options.model), **rest)
    return 0


def main() -> None:
    """Run the command line; errors are one line."""
    try:
        sys.exit(run())
    except KeyboardInterrupt:
        print("speechaug: stopped", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        print(f"speechaug: error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
