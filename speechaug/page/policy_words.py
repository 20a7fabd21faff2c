"""A policy in words, for people who did not write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from speechaug.page.words import ABBREVIATIONS, MINUS, NBSP, split_unit, words_of
from speechaug.policy_file import VERSION

_MEMBERS = {"Compose": "all of these, in order", "OneOf": "one of these", "SomeOf": "some of these"}
_NOT_SAID = ("p", "bank", "members", "range_policy", "max_growth", "fuse")


def describe(policy: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, str]]:
    """Put a policy, as ``to_dict()`` gives it, into words: pairs of depth and line.

    Example:
        >>> noise = {"class_path": "speechaug.AddNoise", "init_args": {"snr_db": [0.0, 20.0], "p": 0.8}}
        >>> list(describe(noise))
        [(0, 'AddNoise on 80\\xa0% of the utterances: SNR 0 to 20 dB')]
    """
    arguments = policy.get("init_args", {})
    name = str(policy["class_path"]).rpartition(".")[2]
    chance = arguments.get("p", 1.0)
    share = "" if chance == 1.0 else f" on {100 * chance:g}{NBSP}% of the utterances"
    given = {key: value for key, value in arguments.items() if key not in _NOT_SAID and value not in (None, [], (), {})}
    said = [_argument(key, value) for key, value in given.items()]
    said = [_MEMBERS[name], *said] if name in _MEMBERS else said
    yield depth, f"{name}{share}" + (f": {', '.join(said)}" if said else "")
    for member in arguments.get("members", ()):
        yield from describe(member, depth + 1)


def as_yaml(policy: Mapping[str, Any]) -> str:
    """Write a policy, as ``to_dict()`` gives it, as the YAML that ``load_policy`` reads."""
    import yaml

    text: str = yaml.safe_dump({"version": VERSION, **policy}, sort_keys=False, allow_unicode=True)
    return text


def _argument(name: str, value: object) -> str:
    stem, unit = split_unit(name)
    ends = dict.fromkeys(map(_said, value if isinstance(value, (list, tuple)) else [value]))  # one value is said once
    return f"{ABBREVIATIONS.get(stem, words_of(stem))} {' to '.join(ends)} {unit}".strip()


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items())
    return f"{value:g}".replace("-", MINUS) if isinstance(value, (int, float)) else str(value)
