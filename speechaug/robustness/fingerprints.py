"""Names of recognizers that last: the same as long as the same is recognized. Transcripts are kept under them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

_DEPTH = 3
"""How far what a function uses is followed: what it uses, what that uses, and so on."""


def function_fingerprint(function: Callable[..., Any]) -> str:
    """Identify a function, or an object that is called, by its name, its code and what it uses.

    That is what it captured, its defaults, the arguments of ``functools.partial``, its attributes, and the globals it
    names. Plain values count as they are, models by their weights, functions of the same module by the same rule; of
    anything else only the type counts.

    Example:
        >>> def saying(word):
        ...     return lambda waves: [word] * len(waves)
        >>> one, again, two = (function_fingerprint(saying(word)) for word in ("one", "one", "two"))
        >>> one == again, one == two
        (True, False)
    """
    named = function if hasattr(function, "__qualname__") else type(function)
    used = _described(function, str(named.__module__), _DEPTH)
    known = "" if isinstance(used, str) else f":{_digest(used)[:16]}"
    return f"{named.__module__}.{named.__qualname__}{known}"


def file_fingerprint(path: Path) -> str:
    """Identify a file by its content.

    Raises:
        FileNotFoundError: if there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def model_fingerprint(settings: Iterable[Any], model: torch.nn.Module) -> str:
    """Identify a model by its settings and weights."""
    digest = hashlib.sha256(json.dumps(list(settings), sort_keys=True, default=str).encode())
    for key, value in sorted(model.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"weights:{digest.hexdigest()[:32]}"


def lasting(config: Any) -> Mapping[str, Any]:
    """Return a configuration without what changes from place to place: paths and versions."""
    plain = config.to_dict() if config is not None else {}
    return {key: value for key, value in plain.items() if not key.startswith("_") and key != "transformers_version"}


def _described(value: Any, home: str, depth: int) -> Any:
    """Return plain data that tell one value from another; a text where only its name or type counts."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    if isinstance(value, torch.nn.Module):
        return [type(value).__qualname__, model_fingerprint([], value)]
    if isinstance(value, (ModuleType, type)) or depth == 0:
        return getattr(value, "__name__", type(value).__qualname__)
    if isinstance(value, FunctionType):
        name = f"{value.__module__}.{value.__qualname__}"
        return _function(value, home, depth - 1) if value.__module__ == home else name
    return _object(value, home, depth - 1)


def _function(function: FunctionType, home: str, depth: int) -> list[Any]:
    code = function.__code__
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    captured = {name: cell.cell_contents for name, cell in cells.items() if _is_filled(cell)}
    named = {name: function.__globals__[name] for name in sorted(_names(code)) if name in function.__globals__}
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    used = [[key, _described(each, home, depth)] for key, each in {**named, **captured}.items()]
    return [_code(code), used, [_described(each, home, depth) for each in defaults]]


def _object(value: Any, home: str, depth: int) -> Any:
    if isinstance(value, partial):
        parts: dict[Any, Any] = {"func": value.func, **dict(enumerate(value.args)), **value.keywords}
    elif isinstance(value, MethodType):
        parts = {"func": value.__func__, "self": value.__self__}
    else:
        call = type(value).__call__ if callable(value) else None
        parts = {**getattr(value, "__dict__", {}), **({"call": call} if isinstance(call, FunctionType) else {})}
    used = [[str(key), _described(each, home, depth)] for key, each in parts.items()]
    return [type(value).__qualname__, used] if used else type(value).__qualname__


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # of a function that names itself before it is there
        return False
    return True


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _names(value)


def _code(code: CodeType) -> list[Any]:
    constants = [_code(value) if isinstance(value, CodeType) else _constant(value) for value in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _constant(value: object) -> str:
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()
