"""The parser: every option from the signatures of the functions and classes behind the commands."""

from __future__ import annotations

import inspect
import re
import textwrap
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

import speechaug
from speechaug.cli.commands import COMMANDS, OVERVIEW, Command
from speechaug.cli.usage import meant, worded


class Formatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the examples, and lists the commands with nothing over them."""

    def _format_action(self, action: Action) -> str:
        if action.dest != "command":
            return super()._format_action(action).replace(" \b", "")  # a space that only a terminal takes back
        return "".join(map(super()._format_action, self._iter_indented_subactions(action)))


class Parser(ArgumentParser):
    """A parser whose errors are one line: forty lines of options would hide them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: dict[str, Parser] = {}

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong and where help is; the exit code is 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        command = message.partition("arguments are required: ")[2].partition(".")[0]
        asked = getattr(ex, "subcommand_parser", None) or self.commands.get(command, self)
        told = worded(message, asked._option_string_actions)
        self.exit(2, f"speechaug: error: {told}\ntip: {asked.prog} --help lists the options\n")


def build_parser(*wanted: str) -> Parser:
    """Return the parser; ``commands`` are those of the commands.

    Args:
        wanted: commands whose options are wanted; the others, slow to collect, get none.
    """
    parser = _empty(
        prog="speechaug",
        description="Speech recognizers that survive noise, from little data.",
        epilog=OVERVIEW,
        version=speechaug.__version__,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subcommands(dest="command", title="commands", description=None, metavar="COMMAND")
    for name, command in COMMANDS.items():
        parser.commands[name] = command_parser(name) if name in wanted else _empty()
        commands.add_subcommand(name, parser.commands[name], help=command.summary)
        parser.commands[name].prog = f"speechaug {name}"  # without its [options]
    return parser


def command_parser(name: str) -> Parser:
    """Return the parser of one command.

    Args:
        name: of the command.
    """
    command = COMMANDS[name]
    parser = _empty(epilog=f"examples:{command.examples}")
    if name == "doctor":
        return parser
    parser.description = _description(command.load())
    if name not in ("transforms", "completion"):
        parser.add_argument("--config", action="config", help="YAML file with any of these options")
    if name == "train":
        _add_train(parser, command)
    else:
        _add_function(parser, command)
    for action in parser._actions:
        action.help = action.help and re.sub(r"\bNone\b", "null", _plain(action.help))
        if _is_switch(action):
            action.nargs = "?"  # in the help; spell() gives those without a value theirs
    return parser


def spell(words: Sequence[str], parser: Parser) -> list[str]:
    """Write options as the parser knows them: ``--dry-run`` is ``--dry_run``, and alone it is ``--dry_run=true``.

    Args:
        words: of the command line.
        parser: of the command.

    Example:
        >>> spell(["in/", "--markdown-table", "out/"], command_parser("transforms"))
        ['in/', '--markdown_table=true', 'out/']
    """
    switches = {option for action in parser._actions if _is_switch(action) for option in action.option_strings}
    return list(_spelled(words, switches))


def _spelled(words: Sequence[str], switches: set[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option.startswith("--"):
            option = "--" + option[2:].replace("-", "_")
            if option in switches and not equals and following not in ("true", "false", "null"):
                equals, value = "=", "true"
        yield option + equals + value


def check_name(words: Sequence[str], parser: Parser) -> None:
    """Refuse a command that does not exist, and name the one that was meant.

    Args:
        words: of the command line.
        parser: whose error it is.
    """
    name = next((word for word in words if not word.startswith("-")), None)
    if name is None or name in COMMANDS:
        return
    parser.error(f"the command must be one of {', '.join(COMMANDS)}, got {name!r}{meant(name, COMMANDS)}")


def _empty(**options: Any) -> Parser:
    return Parser(formatter_class=Formatter, allow_abbrev=False, **options)


def _description(function: Callable[..., Any]) -> str:
    """Return what a function's docstring says before its arguments, in lines of a terminal."""
    told = inspect.cleandoc(function.__doc__ or "").partition("\n\nArgs:")[0]
    return "\n\n".join(textwrap.fill(paragraph, 79) for paragraph in _plain(told).split("\n\n"))


def _plain(text: str) -> str:
    """Write what a docstring says without its markup."""
    return re.sub(r":\w+:`~?([^`]*)`|``", r"\1", text)


def _add_function(parser: Parser, command: Command) -> None:
    function, last = command.load(), command.last
    elsewhere = set() if last is None else {last.name}
    options = parser.add_function_arguments(function, as_group=False, skip={*command.places, *elsewhere})
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip={*options, *elsewhere})
    if last is not None:
        parser.add_argument(last.name, nargs=last.nargs, help=last.help)


def _add_train(parser: Parser, command: Command) -> None:
    from speechaug.asr import SpeechRecognizer
    from speechaug.data import SpeechDataModule

    parser.add_function_arguments(command.load(), as_group=False, skip={"data", "model", "config"})
    parser.add_class_arguments(SpeechDataModule, "data")
    parser.add_class_arguments(SpeechRecognizer, "model", skip={"vocabulary", "sample_rate"}, instantiate=False)
    groups = parser.groups or {}
    groups["data"].title = "what to train and test on, and how it is augmented"  # their own are longer than a line
    groups["model"].title = "the recognizer"


def _is_switch(action: Any) -> bool:
    """Say whether an option is true or false."""
    return str(action.metavar).startswith("{true,false")
