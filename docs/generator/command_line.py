"""The page of the command line: what ``--help`` says of each command."""

from __future__ import annotations

import os
from unittest.mock import patch

from speechaug.cli.commands import COMMANDS
from speechaug.cli.parser import build_parser, command_parser

_COLUMNS = "82"  # what a page shows without scrolling, whatever the terminal's width is


def page() -> str:
    """Return the page."""
    with patch.dict(os.environ, COLUMNS=_COLUMNS):
        parts = ["# Command line", f"```text\n{build_parser().format_help()}```"]
        for name, command in COMMANDS.items():
            parser = command_parser(name)
            parser.prog = f"speechaug {name}"
            parts += [f"## {name}", f"**{command.summary.capitalize()}**", f"```text\n{parser.format_help()}```"]
    return "\n\n".join(parts)
