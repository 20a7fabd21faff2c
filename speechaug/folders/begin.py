"""The beginning of a job: a new folder, or one in which the same was begun before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from speechaug import __version__
from speechaug._lines import write_text
from speechaug.folders.copies import CopyWork
from speechaug.folders.items import Key
from speechaug.folders.journal import JOB_FILE, JOURNAL_FILE, Journal
from speechaug.folders.sidecars import ENDINGS
from speechaug.folders.sounds import lies_in
from speechaug.transform import from_dict

_BYTES = 2  # raised when a job writes other bytes for the same policy and seed


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder of others before anything is written to it.

    Args:
        folder: of the copies.
        overwrite: whether it may hold what it likes.

    Raises:
        ValueError: if it is a file, or holds what no job wrote.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"augment: dst must be a folder, got the file {str(folder)!r}")
    if overwrite or not folder.exists() or (folder / JOB_FILE).is_file():
        return
    if any(path.name != JOURNAL_FILE for path in folder.iterdir()):
        raise ValueError(
            f"augment: dst must be new, empty or begun by augment, got {str(folder)!r}; overwrite=True writes there"
        )


def goes_on(work: CopyWork, overwrite: bool, journal: Journal) -> bool:
    """Say whether what a folder holds is kept, as a part of what is to be done.

    Args:
        work: what is done.
        overwrite: whether to begin anew where something else was done, or where all was done.
        journal: what there is.

    Raises:
        ValueError: if something else was done there, and is not to be overwritten.
    """
    if not journal.audio:
        return False
    other = _differences(json.loads((work.folder / JOB_FILE).read_text(encoding="utf-8")), work)
    if other and not overwrite:
        raise ValueError(
            f"augment: dst must be a new folder, {work.folder} holds copies made with another {', '.join(other)}; "
            "overwrite=True makes them anew"
        )
    return not overwrite or (journal.is_unfinished and not other)


def begin(work: CopyWork, overwrite: bool, journal: Journal) -> None:
    """Start a folder, or go on with one that was started for the same.

    What was made by a job that is overwritten is deleted. Files of others are left alone.

    Args:
        work: what is done.
        overwrite: as for :func:`goes_on`.
        journal: of the folder, open.

    Raises:
        ValueError: as :func:`goes_on`.
    """
    if goes_on(work, overwrite, journal):
        return
    discard(journal, list(journal.audio))
    journal.clear()
    write_text(work.folder / JOB_FILE, json.dumps(_description(work), indent=1, ensure_ascii=False) + "\n")


def discard(journal: Journal, keys: Iterable[Key]) -> None:
    """Delete copies and what lies beside them, and forget them.

    Args:
        journal: that tells of them.
        keys: which.
    """
    for key in keys:
        copy = journal.folder / journal.audio[key]
        if lies_in(journal.folder, copy.parent):
            for path in (copy, *(copy.with_name(copy.stem + ending) for ending in ENDINGS)):
                path.unlink(missing_ok=True)
        journal.forget(key)


def _description(work: CopyWork) -> dict[str, Any]:
    """What was done; no paths but those of banks, no times."""
    told = {name: getattr(work, name) for name in ("seed", "format", "sample_rate")}
    return {"speechaug": __version__, "bytes": _BYTES, **told, "policy": work.policy.to_dict()}


def _differences(found: dict[str, Any], work: CopyWork) -> list[str]:
    """Name what was different; policies are the same where their banks hold the same, wherever these lie."""
    wanted = _description(work)
    other = [key for key in wanted if found.get(key) != wanted[key]]
    if other == ["policy"] and from_dict(found["policy"]) == work.policy:
        return []
    named = {"speechaug": "version of speechaug", "bytes": "version of speechaug"}
    return list(dict.fromkeys(named.get(key, key) for key in other))
