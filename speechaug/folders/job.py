"""A job from its beginning to its manifest: what is missing is made, whatever stopped it before."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import starmap
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch

from speechaug._progress import progress_bar
from speechaug.banks import RATES_KEPT
from speechaug.data.manifest import shorten
from speechaug.folders.begin import begin, check_folder, goes_on
from speechaug.folders.copies import CopyWork, explain
from speechaug.folders.engines import ENGINES
from speechaug.folders.formats import check_format
from speechaug.folders.items import Failure, Item, Made, Options, Recording, Report, Work
from speechaug.folders.journal import MANIFEST_FILE, Journal
from speechaug.folders.policies import banks, resolve
from speechaug.folders.sounds import read_header
from speechaug.transform import Transform

_OURS = re.compile(r"\.([0-9a-f]{32}|shard-\w+)\.tmp")  # temporary names; hidden files of others stay
_PEEKED = 64  # recordings whose rates tell at which banks are wanted
_COMMON = 0.05  # of the recordings have a rate at which banks are prepared whole


class Unit(NamedTuple):
    """What is made at a time, and is made again when it was not whole.

    Attributes:
        work: from what makes copies of recordings to what makes copies of units.
        sounds: the recordings in a unit.
        manifest: name of the file with a line for each copy of a unit.
    """

    work: Callable[[CopyWork], Work]
    sounds: Callable[[Recording], Iterable[Recording]]
    manifest: str


FILES = Unit(lambda work: work, lambda recording: [recording], MANIFEST_FILE)


def run_job(
    recordings: Sequence[Recording],
    dst: str | Path,
    policy: Transform | str | Path,
    options: Options,
    unit: Unit = FILES,
) -> Report:
    """Make the copies of some recordings: what :func:`augment_folder` and :func:`augment_manifest` share.

    Args:
        recordings: with unique ids and names.
        dst: folder to write to.
        policy: waveform policy, its YAML file or the name of a preset.
        options: how.
        unit: what the recordings are, if not files.

    Raises:
        ValueError: if the policy mixes examples or is for spectrograms, ``dst`` holds something else, or an option is
            wrong.
        OSError: if there is no more room to write.
        KeyboardInterrupt: with how far it came.
    """
    _check(options)
    folder = Path(os.path.abspath(dst))
    work = CopyWork(folder, resolve(policy), options.seed, options.format, options.sample_rate)
    chosen = _choose(recordings, options)
    check_folder(folder, options.overwrite)
    if options.dry_run:
        return _rehearse(work, chosen, options, unit)
    items = [Item(recording=one, copy=copy) for one in chosen for copy in range(1, options.copies + 1)]
    with Journal(folder, unit.manifest) as journal:
        begin(work, options.overwrite, journal)
        missing = [item for item in items if not _is_made(journal, item)]
        try:
            tally = _make(work, missing, journal, options, unit)
        except KeyboardInterrupt as stop:
            told = f"{_count(journal, items)} of {len(items)} files are in {folder}; the same call goes on from there"
            raise KeyboardInterrupt(told) from stop
        finally:
            _tidy(folder)
        journal.finish()
    failures, problems = (tuple(starmap(Failure, sorted(one.items()))) for one in (tally.reasons, tally.problems))
    return Report(folder, _count(journal, items), _count(journal, missing), tally.audio_s, failures, problems)


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
    left = [one for one in recordings if not _fits(one.id, options.exclude)]
    if not left:
        raise ValueError(f"augment: exclude must leave a recording, got {list(options.exclude)!r}")
    limit = min(options.limit or len(left), len(left))
    chosen = [left[number * len(left) // limit] for number in range(limit)]
    for told, as_said in (("id", str), ("name", str.casefold)):
        counts = Counter(as_said(getattr(one, told)) for one in chosen)
        twice = [one.id for one in chosen if counts[as_said(getattr(one, told))] > 1]
        if twice:
            raise ValueError(f"augment: recordings must have different {told}s, got the same for {shorten(twice)}")
    return chosen


def _fits(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a path, its file name or a folder it lies in fits one of the patterns."""
    path = PurePosixPath(name)
    tried = {name, path.name, *(folder.as_posix() for folder in path.parents)}
    return any(fnmatchcase(one, pattern.rstrip("/")) for one in tried for pattern in patterns)


def _rehearse(work: CopyWork, chosen: Iterable[Recording], options: Options, unit: Unit) -> Report:
    """Look at the headers, and say what would be made beside what is there."""
    journal = Journal(work.folder, unit.manifest)
    journal.read()
    if not goes_on(work, options.overwrite, journal):
        journal = Journal(work.folder, unit.manifest)
    files, made, audio_s, failures = 0, 0, 0.0, []
    for one in chosen:
        lengths_s: list[float] = []
        try:
            lengths_s.extend(_length_s(work, sound) for sound in unit.sounds(one))
        except (OSError, ValueError) as error:
            failures.append(Failure(one.id, explain(error)))
        copies = [Item(recording=one, copy=copy) for copy in range(1, options.copies + 1)] if lengths_s else []
        missing = sum(not _is_made(journal, item) for item in copies)
        files, made, audio_s = files + len(copies), made + missing, audio_s + missing * sum(lengths_s)
    for bank in banks(work.policy) if made else ():
        bank.look()
    return Report(work.folder, files, made, audio_s, tuple(failures))


def _length_s(work: CopyWork, sound: Recording) -> float:
    """Return the length of a recording, in seconds, as its header says; refuse one that cannot be copied."""
    header = read_header(sound)
    work.target(header)
    return header.duration_s


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


@dataclass
class _Tally:
    """How much was made, in seconds, why recordings failed, and what beside them could not be used."""

    audio_s: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, made: Made) -> None:
        id = made.item.recording.id
        if made.row is None:
            self.reasons.setdefault(id, made.reason)
            return
        self.audio_s += made.row["duration"]
        if "problems" in made.row:
            self.problems[id] = "; ".join(made.row["problems"])


def _make(work: CopyWork, missing: Sequence[Item], journal: Journal, options: Options, unit: Unit) -> _Tally:
    """Make what is missing."""
    tally = _Tally()
    with progress_bar("augmenting", options.progress, len(missing)) as advance:
        if missing:
            _prepare(work, missing, unit)
        with closing(ENGINES[options.engine](unit.work(work), missing, options.workers)) as made:
            for one in made:
                if one.is_full:
                    raise OSError(f"augment: {journal.folder} is full ({one.reason}); the same call goes on from there")
                if one.row is not None:
                    journal.add(one.row)
                tally.add(one)
                advance(1, 0.0 if one.row is None else one.row["duration"])
    return tally


def _prepare(work: CopyWork, missing: Sequence[Item], unit: Unit) -> None:
    """Decode the banks at the rates they will be wanted at most, once for all workers."""
    if not any(True for _ in banks(work.policy)):
        return
    step = -(-len(missing) // _PEEKED)
    rates = Counter(filter(None, (_rate(work, item.recording, unit) for item in missing[::step])))
    for rate, count in rates.most_common(RATES_KEPT):
        if count >= _COMMON * rates.total():  # at others a clip is resampled when it is drawn
            for bank in banks(work.at_rate(rate)):
                bank.loops(torch.device("cpu"))


def _rate(work: CopyWork, recording: Recording, unit: Unit) -> int | None:
    """Return the rate of the first sound in a unit; None where it cannot be read."""
    try:
        return next(map(work.rate_of, unit.sounds(recording)), None)
    except (OSError, ValueError):
        return None


def _count(journal: Journal, items: Iterable[Item]) -> int:
    return sum((item.recording.id, item.copy) in journal for item in items)


def _tidy(folder: Path) -> None:
    """Remove what workers that were stopped, and runs that were killed, had not finished."""
    for left in [path for path in folder.rglob(".*.tmp") if _OURS.fullmatch(path.name)]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
