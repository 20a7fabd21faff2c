"""What is wrong with a command line, in the words of who typed it."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

_MISSING = re.compile(r".*arguments are required: (.*)")
_WRONG = re.compile(
    r'Parser key "(?P<name>.+?)": (?:Expected an? (?P<one>.+)\. Got value: (?P<it>.*)'
    r"|Does not validate against any of the Union subtypes Subtypes: \[(?P<any>.*)\] "
    r"Errors: .* Given value: (?P<this>.*))"
)
_UNKNOWN = re.compile(r"unrecognized arguments: (-\S+).*")
_KINDS = (
    (re.compile(r"<class 'NoneType'>"), "null"),
    (re.compile(r"<class '(?:[\w.]*\.)?(\w+)'>"), r"\1"),
    (re.compile(r"typing\.Literal\[(.*?)\]"), r"one of \1"),
)


def worded(message: str, options: Collection[str]) -> str:
    """Write what the parser says of a command line in its own words, with the remedy where there is one.

    Args:
        message: of the parser.
        options: of the command.

    Example:
        >>> worded('Parser key "copies": Expected a <class \\'int\\'>. Got value: many', ["--copies"])
        '--copies must be int, got many'
        >>> worded("unrecognized arguments: --dry", ["--dry_run", "--seed"])
        'unrecognized arguments: --dry; did you mean --dry_run?'
    """
    text = " ".join(message.split())
    if missing := _MISSING.fullmatch(text):  # such as augment.src, augment.policy
        names = [_spelled(name.partition(".")[2], options) for name in missing[1].split(", ")]
        return f"{', '.join(names)} must be given"
    if wrong := _WRONG.fullmatch(text):
        kinds = wrong["one"] or wrong["any"].replace(", <", " or <")
        for pattern, ours in _KINDS:
            kinds = pattern.sub(ours, kinds)
        example = ", such as '[one, two]'" if "list" in kinds else ""
        return f"{_spelled(wrong['name'], options)} must be {kinds}{example}, got {wrong['it'] or wrong['this']}"
    unknown = _UNKNOWN.fullmatch(text)
    return text + (meant(unknown[1].partition("=")[0], options) if unknown else "")


def meant(word: str, known: Collection[str]) -> str:
    """Ask whether a word that is close to another one was meant for it; empty where none is.

    Args:
        word: that is not known.
        known: that are.
    """
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _spelled(name: str, options: Collection[str]) -> str:
    """Write an argument of a command as it is given, as an option or by its place."""
    return f"--{name}" if f"--{name}" in options else name
