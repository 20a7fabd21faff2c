"""Noisy test sets of others: found below a folder, and told by the names of their folders."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from speechaug.data.manifest import TABLES, Utterance
from speechaug.data.sources import read_manifest
from speechaug.robustness.suite import Condition


def find_sets(folder: Path, pattern: str | None = None) -> list[tuple[Condition, list[Utterance]]]:
    """Find the sets below a folder, and tell their conditions by their paths; clean speech comes first.

    Args:
        folder: which holds the sets.
        pattern: of file names, for sets without tables.

    Raises:
        ValueError: if it holds no set, or two of one name.
    """
    found = dict(_find(folder, folder, pattern))
    if not found:
        raise ValueError(
            f"{folder}: holds no noisy test sets: folders with a table (.jsonl, .csv, .tsv), of a known layout, or "
            "with files that fit a pattern"
        )
    return [(condition, found[where]) for where, condition in _conditions(found).items()]


def _find(folder: Path, root: Path, pattern: str | None) -> Iterator[tuple[str, list[Utterance]]]:
    """Yield the sets below a folder, by their paths within it."""
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        utterances = [] if _holds_severities(path) else _read_set(path, pattern)
        if utterances:
            yield path.relative_to(root).as_posix(), utterances
        else:
            yield from _find(path, root, pattern)


def _holds_severities(folder: Path) -> bool:
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return bool(inside) and all(path.is_dir() and _is_step(path.name, folder.name) for path in inside)


def _read_set(folder: Path, pattern: str | None) -> list[Utterance]:
    """Read a folder as one set; nothing if it is none."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    if len(tables) > 1:
        raise ValueError(f"{folder}: must hold one table, got {[path.name for path in tables]}")
    if tables:
        return read_manifest(tables[0])
    try:
        return read_manifest(folder, pattern)
    except ValueError:  # no known layout, or no file that fits: sets may lie deeper
        return []


_SNR = re.compile(
    r"(?P<kind>.*?)[\W_]*?(?P<named>snr)?[\W_]*?"
    r"(?P<minus>(?:(?<=snr)|(?<![^\W_]))[m-])?(?P<snr>\d+(?:\.\d+)?)(?P<unit>[\W_]?db)?",
    re.IGNORECASE,
)
"""The end of a path that tells a ratio: 10dB, SNR5; what joins it to a word before is a dash, otherwise a minus."""


def _conditions(names: Iterable[str]) -> dict[str, Condition]:
    """Tell corruption and severity by the paths of the sets; clean speech first."""
    told = {name: _told_by(name) for name in names}
    snrs: dict[str, set[float]] = {}
    for kind, _, nominal in told.values():
        if nominal:
            snrs.setdefault(kind, set()).add(nominal["snr_db"])
    conditions = {}
    for where, (kind, severity, nominal) in told.items():
        if nominal:
            severity = 1 + sorted(snrs[kind], reverse=True).index(nominal["snr_db"])
        family, name = ("foreign", f"{kind}:{severity}") if severity else ("clean", "clean")
        known = hashlib.blake2b(os.fsencode(where), digest_size=8).hexdigest()
        conditions[where] = Condition(name, kind, family, severity, None, nominal, known_hash=known)
    twice = [name for name, count in Counter(c.name for c in conditions.values()).items() if count > 1]
    if twice:
        raise ValueError(f"noisy sets: conditions must have different names, got more than one of {', '.join(twice)}")
    return dict(sorted(conditions.items(), key=lambda item: item[1].severity > 0))


def _is_step(name: str, kind: str) -> bool:
    """Say whether a folder is named by a severity or a ratio, alone or after the kind."""
    ratio = _ratio(name)
    return name.isdecimal() or (ratio is not None and ratio[0] in ("", kind))


def _ratio(name: str) -> tuple[str, float] | None:
    """Tell what comes before a ratio at the end of a name, and the ratio in dB; nothing where there is none."""
    found = _SNR.fullmatch(name)
    if not found or not (found["named"] or found["unit"]):
        return None
    return found["kind"], -float(found["snr"]) if found["minus"] else float(found["snr"])


def _told_by(where: str) -> tuple[str, int, dict[str, float]]:
    """Tell corruption, severity and what is set by a path, whose folders may say a thing twice: cafe_0dB/0dB."""
    parts = re.sub("(?<=snr)/", "_", where, flags=re.IGNORECASE).split("/")
    if any(part.casefold() == "clean" for part in parts[-2:]):
        return "clean", 0, {}
    if len(parts) > 1 and parts[-1].isdecimal():
        return "_".join(parts[:-1]), int(parts[-1]), {}
    ratios = [_ratio(part) or (part, None) for part in parts]
    stated = [snr for _, snr in ratios if snr is not None]
    if not stated:
        return "_".join(parts), 1, {}
    kinds = [kind if snr == stated[-1] else part for part, (kind, snr) in zip(parts, ratios, strict=True)]
    return "_".join(filter(None, dict.fromkeys(kinds))) or "noise", 1, {"snr_db": stated[-1]}
