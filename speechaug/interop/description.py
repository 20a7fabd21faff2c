"""Transforms of other libraries as plain data: where their class is imported from, and with which arguments."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from torch import nn

from speechaug import _torchaudio

LIBRARIES = ("audiomentations", "torch_audiomentations", "torchaudio")
"""Libraries whose transforms keep their arguments as attributes of the same names."""

Description = dict[str, Any]
"""``transform``, the path of a class, and ``arguments``, whose values may be descriptions again."""

_PADDING = ("mode", "padding_mode")  # which audiomentations keeps as NumPy calls it
_ON_TORCHAUDIO = ("torchaudio", "torch_audiomentations")
_FROM_CALLER = ("output_type",)  # what torch-audiomentations is told when it is called


def describe(transform: Any) -> Any:
    """Return the description of a transform of another library, or the transform itself where that cannot be told.

    It can be told where every argument of the class is an attribute of the object, and makes an object with the same
    attributes, as in audiomentations, torch-audiomentations and most of torchaudio. What is nested, such as the members
    of a ``Compose``, is described likewise, or left as it is.

    Example:
        >>> import audiomentations
        >>> describe(audiomentations.Gain(min_gain_db=-6.0, max_gain_db=6.0, p=1.0))
        {'transform': 'audiomentations.Gain', 'arguments': {'min_gain_db': -6.0, 'max_gain_db': 6.0, 'p': 1.0}}
    """
    cls = type(transform)
    learned = isinstance(transform, nn.Module) and bool(transform.state_dict())
    if cls.__module__.partition(".")[0] not in LIBRARIES or learned:
        return transform
    arguments: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or name in _FROM_CALLER:
            continue
        value = _weights(transform) if name == "weights" else getattr(transform, name, parameter.empty)
        if value is parameter.empty and parameter.default is not None:
            return transform
        if value is not None and value is not parameter.empty:
            arguments[name] = _plain(value)
    arguments.update({name: "silence" for name in _PADDING if arguments.get(name) == "constant"})
    return {"transform": _path(cls), "arguments": arguments} if _is_fixed(cls, arguments) else transform


def build(description: Mapping[str, Any], sample_rate: int | None, **defaults: Any) -> Any:
    """Make the transform that a description names.

    Args:
        description: as :func:`describe` returns it.
        sample_rate: in Hz, for a class that asks for one and was not given any; None for none.
        defaults: further arguments, where the class has them and was not given any.

    Raises:
        ImportError: if the class cannot be imported.

    Example:
        >>> build({"transform": "audiomentations.Gain", "arguments": {"p": 0.25}}, 16_000).p
        0.25
    """
    cls = imported(str(description["transform"]))
    known = inspect.signature(cls).parameters
    given = {name: _made(name, value, sample_rate) for name, value in description.get("arguments", {}).items()}
    filled = {"sample_rate": sample_rate, "output_type": "dict", **defaults}
    return cls(**{name: value for name, value in filled.items() if name in known and name not in given}, **given)


def name_of(transform: Any) -> str:
    """Return the path of what was defined: of a function, or of the class of an object."""
    named = transform if hasattr(transform, "__qualname__") else type(transform)
    return f"{named.__module__}.{named.__qualname__}"


def is_plain(value: Any) -> bool:
    """Say whether a value is plain data, such as JSON keeps."""
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _is_fixed(cls: type, arguments: dict[str, Any]) -> bool:
    """Say whether an object made with the arguments has them as its attributes again."""
    try:
        again = build({"transform": _path(cls), "arguments": arguments}, None)
    except Exception:
        return False
    kept = {name: getattr(again, name, value) for name, value in arguments.items() if is_plain(value)}
    return all(_plain(value) in (arguments[name], "constant") for name, value in kept.items() if name != "weights")


def _path(cls: type) -> str:
    """Return the shortest path that leads to a class."""
    library = cls.__module__.partition(".")[0]
    public = f"{library}.transforms" if library == "torchaudio" else library
    exported = getattr(importlib.import_module(public), cls.__name__, None) is cls
    return f"{public if exported else cls.__module__}.{cls.__name__}"


def imported(path: str) -> Any:
    """Return what a path leads to.

    Raises:
        ImportError: if it cannot be imported, with the reason.
    """
    module, _, name = path.rpartition(".")
    try:
        if module.partition(".")[0] in _ON_TORCHAUDIO:
            _torchaudio.require(path)
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ImportError(f"{path} cannot be imported here: {error}") from error


def _made(name: str, value: Any, sample_rate: int | None) -> Any:
    """Make an argument of what describes it."""
    if isinstance(value, Mapping) and "transform" in value:
        return build(value, sample_rate)
    if isinstance(value, list):
        members = [_made("", member, sample_rate) for member in value]
        return tuple(members) if name == "num_transforms" else members  # both libraries look at the type
    return value


def _weights(transform: Any) -> list[float] | None:
    """Return the weights of a ``OneOf`` of audiomentations, which keeps their sums."""
    sums = transform.sampler.cdf
    return None if sums is None else np.diff(sums, prepend=0.0).tolist()


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (list, tuple, nn.ModuleList)):
        return [_plain(member) for member in value]
    return value if is_plain(value) else describe(value)
