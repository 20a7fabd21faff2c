"""The command line as a program: errors and warnings are one line each, and the exit code says how it went."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from typing import TextIO

from speechaug.cli.run import run

EXPECTED = ("ValueError", "OSError", "MisconfigurationException", "YAMLError")
"""Names of the errors whose message says all; by name, so that nothing heavy is imported for them."""

IN_THE_SHELL = {
    "overwrite=True": "--overwrite",
    "the same call": "the same command",
    "an existing folder or a bank": "an existing folder",
    "a folder with audio or a bank": "a folder with audio",
    'to use another, load_policy(path, banks={"AddNoise": "folder/"}) with the member\'s name': (
        "to use another, change folder in the YAML file of the policy"
    ),
    ", under bank, and load_policy(path, banks=...) gives it others": ", under bank",
}
"""What messages say to who calls a function, and what they say here."""


def main() -> None:
    """Run the command line; errors and warnings are one line each."""
    given = [word for word in sys.argv[1:] if word != "--debug"]
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = run(given)
            print(end="", flush=True)  # what nobody listens to any more is noticed here
        except BrokenPipeError:  # who reads has seen enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except KeyboardInterrupt as stop:
            print("; ".join(["speechaug: stopped", *map(_in_the_shell, stop.args)]), file=sys.stderr)
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
    text = _in_the_shell(text)
    if {kind.__name__ for kind in type(error).__mro__}.intersection(EXPECTED):
        return text
    return f"{name}: {text} (--debug shows where)"


def _in_the_shell(text: object) -> str:
    """Write a message in one line, in the words of the command line."""
    told = " ".join(str(text).split())
    for words, ours in IN_THE_SHELL.items():
        told = told.replace(words, ours)
    return told


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning):
        print(f"speechaug: warning: {_in_the_shell(message)}", file=sys.stderr)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


if __name__ == "__main__":
    main()
