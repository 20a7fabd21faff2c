"""Shell completion: a script made once from the parser, by shtab."""

from __future__ import annotations

from typing import Any, Literal

Shell = Literal["bash", "zsh", "fish"]


def print_completion(shell: Shell) -> None:
    """Print the script that completes commands, options and files in a shell.

    Args:
        shell: bash, zsh or fish.
    """
    import shtab

    from speechaug.cli.commands import COMMANDS
    from speechaug.cli.parser import build_parser

    parser = build_parser(*COMMANDS)
    for name, command in COMMANDS.items():  # zsh shows a line of it
        parser.commands[name].description = command.summary
    for each in (parser, *parser.commands.values()):
        for action in each._actions:
            _complete(action)
    print(shtab.complete(parser, shell))


def _complete(action: Any) -> None:
    """Say what completes the value of an argument: its choices, which the help shows in braces, or files."""
    import shtab

    shown = str(action.metavar)
    if shown.startswith("{") and shown.endswith("}"):
        action.choices = shown[1:-1].split(",")
    elif action.nargs != 0 and not action.choices:
        action.complete = shtab.FILE
