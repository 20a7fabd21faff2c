"""From the words of a command line to what is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from speechaug.cli.commands import COMMANDS


def run(arguments: Sequence[str] | None = None) -> int:
    """Parse and do.

    Args:
        arguments: words of the command line; None for those this process was started with.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["doctor"]:  # before anything is imported that may be what is broken
        return int(COMMANDS["doctor"].load()())
    from speechaug.cli.parser import build_parser, check_name, spell

    name = next((word for word in given if word in COMMANDS), None)
    parser = build_parser(*filter(None, [name]))
    if not given:
        parser.print_help()
        return 2
    check_name(given, parser)
    parsed = parser.parse_args(given if name is None else spell(given, parser.commands[name]))
    if parsed.command == "train":
        _train(parser, parsed)
        return 0
    options = {key: value for key, value in vars(parsed[parsed.command]).items() if key != "config"}
    if parsed.command == "evaluate":
        _check_recognizer(parser, options)
    code = COMMANDS[parsed.command].load()(**options)
    return code if isinstance(code, int) else 0


def _check_recognizer(parser: Any, options: dict[str, Any]) -> None:
    from speechaug.robustness.commands import RECOGNIZERS

    given = [name for name in RECOGNIZERS if options[name] is not None]
    if len(given) != 1:
        ways = ", ".join(f"--{name}" for name in RECOGNIZERS)
        found = " and ".join(f"--{name}" for name in given) or "none"
        parser.commands["evaluate"].error(f"evaluate: exactly one of {ways} must be given, got {found}")


def _train(parser: Any, parsed: Any) -> None:
    import yaml

    from speechaug.recipe import train

    config = yaml.safe_load(parser.dump(parsed, skip_unset=False))["train"]
    built = parser.instantiate(parsed)["train"]
    rest = {key: value for key, value in vars(built).items() if key not in ("config", "data", "model")}
    train(built.data, model=vars(parsed.train.model), config=config, **rest)
