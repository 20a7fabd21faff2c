"""A job from its beginning to its manifest: what is missing is made, whatever stopped it before."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import torch

from speechaug._progress import progress_bar
from speechaug.data.manifest import shorten
from speechaug.folders.begin import begin
from speechaug.folders.copies import CopyWork, explain
from speechaug.folders.engines import ENGINES
from speechaug.folders.formats import check_format
from speechaug.folders.items import Failure, Item, Options, Recording, Report
from speechaug.folders.journal import Journal
from speechaug.folders.policies import banks, resolve
from speechaug.folders.sounds import read_header
from speechaug.transform import Transform

_PEEKED = 64  # recordings whose rates tell at which banks are wanted
_MOST_WORKERS = 64


def run_job(
    recordings: Sequence[Recording], dst: str | Path, policy: Transform | str | Path, options: Options
) -> Report:
    """Make the copies of some recordings: what :func:`augment_folder` and :func:`augment_manifest` share.

    Args:
        recordings: with unique ids and names.
        dst: folder to write to.
        policy: waveform policy, its YAML file or the name of a preset.
        options: how.

    Raises:
        ValueError: if the policy mixes examples or is for spectrograms, ``dst`` holds something else, or an option is
            wrong.
        KeyboardInterrupt: with how far it came.
    """
    _check(options)
    folder = Path(os.path.abspath(dst))
    work = CopyWork(folder, resolve(policy), options.seed, options.format, options.sample_rate)
    chosen = _choose(recordings, options)
    if options.dry_run:
        return _rehearse(work, chosen, options.copies)
    items = [Item(recording=one, copy=copy) for one in chosen for copy in range(1, options.copies + 1)]
    with begin(work, options.overwrite) as journal:
        missing = [item for item in items if not _is_made(journal, item)]
        try:
            audio_s, reasons = _make(work, missing, journal, options)
        except KeyboardInterrupt as stop:
            told = f"{_count(journal, items)} of {len(items)} files are in {folder}; the same call goes on from there"
            raise KeyboardInterrupt(told) from stop
        finally:
            _tidy(folder)
        journal.finish()
    failures = tuple(Failure(*failed) for failed in sorted(reasons.items()))
    return Report(folder, _count(journal, items), _count(journal, missing), audio_s, failures)


def _check(options: Options) -> None:
    """Refuse what cannot be done before anything is read."""
    check_format(options.format, options.sample_rate)
    for name, least in (("copies", 1), ("limit", 1), ("workers", 0)):
        value = getattr(options, name)
        if not (value is None or value >= least):
            raise ValueError(f"augment: {name} must be >= {least}, got {value!r}")
    if options.engine not in ENGINES:
        raise ValueError(f"augment: engine must be {' or '.join(ENGINES)}, got {options.engine!r}")


def _choose(recordings: Sequence[Recording], options: Options) -> Sequence[Recording]:
    """Leave out what is excluded or beyond the limit; refuse copies that would have the same name."""
    for told in ("id", "name"):
        counts = Counter(getattr(one, told).casefold() for one in recordings)
        twice = [one.id for one in recordings if counts[getattr(one, told).casefold()] > 1]
        if twice:
            raise ValueError(f"augment: recordings must have different {told}s, got the same for {shorten(twice)}")
    chosen = [one for one in recordings if not _fits(one.id, options.exclude)]
    if not chosen:
        raise ValueError(f"augment: exclude must leave a recording, got {list(options.exclude)!r}")
    limit = min(options.limit or len(chosen), len(chosen))
    return [chosen[number * len(chosen) // limit] for number in range(limit)]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a path, its file name or a folder it lies in fits one of the patterns."""
    path = PurePosixPath(name)
    tried = {name, path.name, *(folder.as_posix() for folder in path.parents)}
    return any(fnmatchcase(one, pattern.rstrip("/")) for one in tried for pattern in patterns)


def _rehearse(work: CopyWork, chosen: Iterable[Recording], copies: int) -> Report:
    """Look at the headers, and say what would be made."""
    lengths, failures = [], []
    for recording in chosen:
        try:
            header = read_header(recording)
            work.target(header)
            lengths.append(header.duration_s)
        except (OSError, ValueError) as error:
            failures.append(Failure(recording.id, explain(error)))
    return Report(work.folder, len(lengths) * copies, 0, sum(lengths) * copies, tuple(failures))


def _is_made(journal: Journal, item: Item) -> bool:
    """Say whether a copy is there, whole and not older than its source."""
    key = item.recording.id, item.copy
    if key not in journal:
        return False
    try:
        copy = (journal.folder / journal.audio[key]).stat()
        made = copy.st_size > 0 and copy.st_mtime_ns >= _changed_ns(item.recording)
    except FileNotFoundError:
        made = False
    if not made:
        journal.forget(key)
    return made


def _changed_ns(recording: Recording) -> int:
    """Return when the source was changed; 0 where that is not known."""
    try:
        return os.stat(recording.source).st_mtime_ns  # type: ignore[arg-type]
    except (OSError, TypeError, ValueError):  # a piece of a file, or an object
        return 0


def _make(
    work: CopyWork, missing: Sequence[Item], journal: Journal, options: Options
) -> tuple[float, dict[str, str]]:
    """Make what is missing; return how much it is, in seconds, and why recordings failed."""
    audio_s, reasons = 0.0, dict[str, str]()
    workers = min(_MOST_WORKERS, os.cpu_count() or 1) if options.workers is None else options.workers
    with progress_bar("augmenting", options.progress, len(missing)) as advance:
        if missing:
            _prepare(work, missing)
        with closing(ENGINES[options.engine](work, missing, workers)) as made:  # type: ignore[type-var]
            for one in made:
                if one.row is None:
                    reasons.setdefault(one.item.recording.id, one.reason)
                else:
                    journal.add(one.row)
                    audio_s += one.row["duration"]
                advance(1, 0.0 if one.row is None else one.row["duration"])
    return audio_s, reasons


def _prepare(work: CopyWork, missing: Sequence[Item]) -> None:
    """Decode the banks at the rates they will be wanted at, once for all workers."""
    if not any(True for _ in banks(work.policy)):
        return
    step = -(-len(missing) // _PEEKED)
    for rate in sorted(set(filter(None, map(work.rate_of, (item.recording for item in missing[::step]))))):
        for bank in banks(work.at_rate(rate)):
            bank.loops(torch.device("cpu"))


def _count(journal: Journal, items: Iterable[Item]) -> int:
    return sum((item.recording.id, item.copy) in journal for item in items)


def _tidy(folder: Path) -> None:
    """Remove what workers that were stopped, and runs that were killed, had not finished."""
    for left in folder.rglob(".*.tmp"):
        left.unlink(missing_ok=True)
