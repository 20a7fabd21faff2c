"""Whether the DataModule's arguments make sense: each is refused with its name, what it must be, and what it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

_LEAST = {
    "sample_rate": 1,
    "passes": 1,
    "views": 1,
    "batch_size": 1,
    "prefetch_factor": 1,
    "val_takes": 0,
    "num_workers": 0,
}
_LEAST_OR_NONE = {"takes": 1, "test_strings": 1}


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that cannot work.

    Args:
        settings: the DataModule's arguments by name.

    Raises:
        ValueError: naming the first that is wrong.
    """
    rules = {"train": (settings["train"] is not None or settings["test"] is not None, "given, or test")}
    for name, least in _LEAST.items():
        rules[name] = (_whole(settings[name], least), f"a whole number >= {least}")
    for name, least in _LEAST_OR_NONE.items():
        value = settings[name]
        rules[name] = (value is None or _whole(value, least), f"a whole number >= {least} or None")
    if settings["val_takes"] != 0 and settings["val"] is not None:
        rules["val_takes"] = (False, "0 with val")
    rules |= {
        "seed": (_whole(settings["seed"], 0) and settings["seed"] < 2**32, "a whole number in [0, 2**32 - 1]"),
        "concat": (_whole_range(settings["concat"]), "(least, most), whole numbers with 1 <= least <= most"),
        "gap_s": (_seconds_range(settings["gap_s"]), "(low, high) with 0 <= low <= high"),
        "transport": (settings["transport"] in ("int16", "float32"), "int16 or float32"),
        "min_duration_s": (_real(settings["min_duration_s"]) and settings["min_duration_s"] >= 0, ">= 0"),
        "other_rates": (settings["other_rates"] in ("resample", "skip", "error"), "resample, skip or error"),
        "cache_mb": (_real(settings["cache_mb"]) and settings["cache_mb"] >= 0, ">= 0"),
    }
    methods = ("fork", "spawn", "forkserver", None)
    rules["multiprocessing_context"] = (settings["multiprocessing_context"] in methods, f"one of {methods}")
    for name in ("max_duration_s", "max_batch_s"):
        rules[name] = (settings[name] is None or (_real(settings[name]) and settings[name] > 0), "> 0 or None")
    most = settings["max_duration_s"]
    if rules["min_duration_s"][0] and rules["max_duration_s"][0] and most is not None:
        least = settings["min_duration_s"]
        rules["max_duration_s"] = (most >= least, f">= min_duration_s, which is {least}")
    for name, (holds, constraint) in rules.items():
        if not holds:
            raise ValueError(f"SpeechDataModule: {name} must be {constraint}, got {settings[name]!r}")


def speaker_names(speakers: Sequence[str | int] | None, name: str) -> list[str] | None:
    """Return speakers as text; YAML and the shell make numbers of names such as ``1``.

    Args:
        speakers: what was given.
        name: of the argument, for messages.

    Raises:
        ValueError: if it is no list.
    """
    if speakers is None:
        return None
    if isinstance(speakers, str) or not isinstance(speakers, Sequence):
        raise ValueError(f"SpeechDataModule: {name} must be a list, got {speakers!r}")
    return [str(speaker) for speaker in speakers]


def check_folders(folders: Mapping[str, str | None]) -> None:
    """Refuse folders of noise or rooms that are absent, before anything is read from them.

    Args:
        folders: by the name of the argument.

    Raises:
        ValueError: naming the argument and the folder.
    """
    for name, folder in folders.items():
        if folder is not None and not Path(folder).is_dir():
            raise ValueError(f"SpeechDataModule: {name} must be an existing folder or a bank, got {folder!r}")


def _whole(value: Any, least: int) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def _real(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _whole_range(value: Any) -> bool:
    return _pair(value) and all(_whole(end, 1) for end in value) and bool(value[0] <= value[1])


def _seconds_range(value: Any) -> bool:
    return _pair(value) and all(_real(end) for end in value) and bool(0 <= value[0] <= value[1])
