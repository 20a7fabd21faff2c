"""Where a transform of another library is read from: an object, a dictionary of either library, a file."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechaug.transform import Transform

CONVERTED = ("audiomentations", "torch_audiomentations")
"""The libraries whose transforms have counterparts here."""


def read_source(source: Any) -> Any:
    """Return the object, or the description, that was given as it is, as a dictionary or as the path of a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is none of these.
    """
    if isinstance(source, Mapping):
        return _described(source)
    if not isinstance(source, (str, Path)):
        if not callable(source) or isinstance(source, (type, Transform)):
            raise ValueError(f"convert: source must be a transform, dictionary or path, got {type(source).__name__}")
        return source
    path, _, name = str(source).rpartition(":") if ".py:" in str(source) else (str(source), "", "")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.endswith(".py"):
        return _from_python(path, name)
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"convert: {path} must hold YAML or JSON, got {' '.join(str(error).split())}") from error
    if not isinstance(data, Mapping):
        raise ValueError(f"convert: {path} must hold a dictionary, got {type(data).__name__}")
    return _described(data)


def _from_python(path: str, name: str) -> Any:
    """Run a file and return the transform that it makes, the outermost where it makes several."""
    folder = str(Path(path).resolve().parent)
    sys.path.insert(0, folder)  # as for a script, which imports what lies beside it
    try:
        made = runpy.run_path(path)
    finally:
        sys.path.remove(folder)
    if name in made:
        return made[name]
    found = {key: one for key, one in made.items() if _is_transform(one)}
    inner = [member for one in found.values() for member in getattr(one, "transforms", ())]
    outer = [one for one in found.values() if not any(one is member for member in inner)]
    if name or len(outer) != 1:
        listed = ", ".join(f"{path}:{key}" for key in found) or "none"
        raise ValueError(f"convert: {path} must make one transform, or one must be named; it makes {listed}")
    return outer[0]


def _is_transform(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in CONVERTED and not isinstance(value, type)


def _described(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the description that a dictionary of either library amounts to."""
    if isinstance(data.get("transform"), Mapping):  # what to_dict of audiomentations returns
        return _described(data["transform"])
    if "__class_fullname__" in data:
        library, name, key = "audiomentations", data["__class_fullname__"], None
    elif isinstance(data.get("transform"), str):
        library, name, key = "torch_audiomentations", data["transform"], "params"
    else:
        raise ValueError(
            "convert: a dictionary must have __class_fullname__ (audiomentations) or transform and params "
            f"(torch-audiomentations), got {sorted(map(str, data))}"
        )
    arguments = dict(data if key is None else data.get(key) or {})
    arguments.pop("__class_fullname__", None)
    if "transforms" in arguments:
        arguments["transforms"] = [_described(member) for member in arguments["transforms"]]
    return {"transform": name if "." in name else f"{library}.{name}", "arguments": arguments}
