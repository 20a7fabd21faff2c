"""Policies as YAML: the dialect LightningCLI and jsonargparse read, with a version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechaug._contents import sound_files
from speechaug.banks import Bank
from speechaug.transform import Transform, from_dict

VERSION = 1


def save_policy(policy: Transform, path: str | Path) -> None:
    """Write a policy as YAML: ``version``, ``class_path`` and ``init_args``.

    A bank is written as its folder and the hash of its contents, not as audio.

    Example:
        >>> import tempfile, speechaug as sa
        >>> policy = sa.Compose([sa.Gain(gain_db=(-3.0, 3.0))])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sa.save_policy(policy, f"{folder}/policy.yaml")
        ...     sa.load_policy(f"{folder}/policy.yaml") == policy
        True
    """
    Path(path).write_text(policy_text(policy), encoding="utf-8")


def policy_text(policy: Transform) -> str:
    """Return a policy as the YAML that :func:`save_policy` writes."""
    import yaml

    text: str = yaml.safe_dump({"version": VERSION, **policy.to_dict()}, sort_keys=False)
    return text


def load_policy(path: str | Path, *, banks: Mapping[str, Bank | str | Path] | None = None) -> Transform:
    """Read what :func:`save_policy` wrote.

    Banks are decoded at first use: a policy loads where their folders are absent.

    Args:
        path: the YAML file. A relative folder in it is that beside the file if this holds audio, else that where
            the program runs.
        banks: other banks, by the member's place (``"AddNoise"``, ``"AddNoise.1"``, ``"OneOf/Reverb"``). A folder must
            hold the clips the policy was saved with; a :class:`Bank` is used as it is.

    Raises:
        ValueError: if the file is not a policy of this version.
        KeyError: if ``banks`` names a place that has no bank.
    """
    data = _read(path)
    given = dict(banks or {})
    with _made_of(path):
        members = dict(_with_banks(data, ""))
    unknown = sorted(set(given) - set(members))
    if unknown:
        raise KeyError(
            f"load_policy: banks must name members with a bank ({', '.join(members) or 'none'}), got {unknown}"
        )
    for place, arguments in members.items():
        arguments["bank"] = _bank(arguments["bank"], given.get(place), Path(path).parent)
    with _made_of(path):
        policy = from_dict(data)
    if not isinstance(policy, Transform):
        raise ValueError(f"load_policy: {path} must hold a transform, got {type(policy).__name__}")
    return policy


def _read(path: str | Path) -> dict[str, Any]:
    """Return what a file of a policy holds, but for its version."""
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"load_policy: {path} must hold YAML, got {' '.join(str(error).split())}") from error
    if not isinstance(data, dict) or "class_path" not in data:
        raise ValueError(f"load_policy: {path} must hold class_path and init_args")
    if data.pop("version", None) != VERSION:
        raise ValueError(f"load_policy: {path} must have version: {VERSION}")
    return data


@contextmanager
def _made_of(path: str | Path) -> Iterator[None]:
    """Say in which file something is written that no transform can be made of."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        told = f"{type(error).__name__}: {error}"
        raise ValueError(f"load_policy: {path} must hold transforms with their arguments, got {told}") from error


def _bank(saved: dict[str, Any], given: Bank | str | Path | None, beside: Path) -> Any:
    """Return the bank to use: the one given, the saved one from the folder given, or from its own."""
    if isinstance(given, Bank):
        return given
    arguments = dict(saved.get("init_args") or {})
    folder = arguments.get("folder") if given is None else given
    if folder is None:
        return saved
    own = beside / folder  # an absolute one stays
    is_own = given is None and any(True for _ in sound_files(own))
    bank = from_dict({**saved, "init_args": {**arguments, "folder": str(own.absolute() if is_own else folder)}})
    if isinstance(bank, Bank) and given is None and not is_own:
        bank.beside = beside
    return bank


def _with_banks(data: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    arguments = data.get("init_args") or {}
    if isinstance(arguments.get("bank"), dict):
        yield place or str(data["class_path"]).rpartition(".")[2], arguments
    seen: dict[str, int] = {}
    for member in arguments.get("members", ()):
        name = str(member["class_path"]).rpartition(".")[2]
        ordinal = seen[name] = seen.get(name, -1) + 1
        own = name if ordinal == 0 else f"{name}.{ordinal}"
        yield from _with_banks(member, f"{place}/{own}" if place else own)
