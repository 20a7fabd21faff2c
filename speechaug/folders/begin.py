"""The beginning of a job: a new folder, or one in which the same was begun before."""

from __future__ import annotations

import json
from typing import Any

from speechaug import __version__
from speechaug._lines import write_text
from speechaug.folders.copies import CopyWork
from speechaug.folders.journal import Journal
from speechaug.folders.sidecars import ENDINGS
from speechaug.folders.sounds import lies_in
from speechaug.transform import from_dict

JOB_FILE = "augment.json"
"""Says what was done, to be read by people and by the next run."""


def begin(work: CopyWork, overwrite: bool, manifest: str) -> Journal:
    """Start a folder, or go on with one that was started for the same.

    Args:
        work: what is done.
        overwrite: whether to begin anew where something else was done, or where all was done; what was made then is
            deleted. Files of others are left alone.
        manifest: name of the file with a line for each copy.

    Raises:
        ValueError: if the folder holds something else.
    """
    folder, path = work.folder, work.folder / JOB_FILE
    journal = Journal(folder, manifest)
    if path.is_file():
        other = _differences(json.loads(path.read_text(encoding="utf-8")), work)
        if other and not overwrite:
            raise ValueError(
                f"augment: dst must be a new folder, {folder} holds copies made with another {', '.join(other)}; "
                "overwrite=True makes them anew"
            )
        if not overwrite or (journal.is_unfinished and not other):
            return journal
        _discard(journal)
    elif folder.exists() and not folder.is_dir():
        raise ValueError(f"augment: dst must be a folder, got the file {str(folder)!r}")
    elif folder.exists() and any(folder.iterdir()) and not overwrite:
        raise ValueError(
            f"augment: dst must be new, empty or begun by augment, got {str(folder)!r}; overwrite=True writes there"
        )
    write_text(path, json.dumps(_description(work), indent=1, ensure_ascii=False) + "\n")
    return journal


def _description(work: CopyWork) -> dict[str, Any]:
    """What was done; no paths but those of banks, no times."""
    told = {name: getattr(work, name) for name in ("seed", "format", "sample_rate")}
    return {"speechaug": __version__, **told, "policy": work.policy.to_dict()}


def _differences(found: dict[str, Any], work: CopyWork) -> list[str]:
    """Name what was different; policies are the same where their banks hold the same, wherever these lie."""
    wanted = _description(work)
    other = [key for key in wanted if found.get(key) != wanted[key]]
    if other == ["policy"] and from_dict(found["policy"]) == work.policy:
        return []
    return ["version of speechaug" if key == "speechaug" else key for key in other]


def _discard(journal: Journal) -> None:
    """Delete the copies of an earlier job, what lies beside them, and their manifest."""
    for audio in journal.audio.values():
        copy = journal.folder / audio
        if lies_in(journal.folder, copy.parent):
            for path in (copy, *(copy.with_name(copy.stem + ending) for ending in ENDINGS)):
                path.unlink(missing_ok=True)
    journal.clear()
