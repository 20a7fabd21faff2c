"""A job from its beginning to its manifest: what is missing is made, whatever stopped it before."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import torch

from speechaug._progress import progress_bar
from speechaug.banks import RATES_KEPT
from speechaug.folders.begin import begin, check_folder, discard, goes_on
from speechaug.folders.copies import CopyWork
from speechaug.folders.engines import ENGINES
from speechaug.folders.failures import explain, is_full
from speechaug.folders.formats import check_format
from speechaug.folders.items import Failure, Item, Made, Options, Recording, Report, Work
from speechaug.folders.journal import MANIFEST_FILE, Journal
from speechaug.folders.missing import choose, copies_of, missing_of
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
    chosen = choose(recordings, options)
    check_folder(folder, options.overwrite)
    if options.dry_run:
        return _rehearse(work, chosen, options, unit)
    with _told_when_full(folder), Journal(folder, unit.manifest) as journal:
        begin(work, options.overwrite, journal)
        missing = [item for one in chosen for item in missing_of(one, options, journal)]
        discard(journal, [item.key for item in missing if item.key in journal])
        try:
            tally = _make(work, missing, journal, options, unit)
        except KeyboardInterrupt as stop:
            told = f"{_count(journal, chosen, options)} of {len(chosen) * options.copies} files are in {folder}"
            raise KeyboardInterrupt(f"{told}; the same call goes on from there") from stop
        finally:
            _tidy(folder)
        journal.finish()
    failures, problems = (tuple(starmap(Failure, sorted(one.items()))) for one in (tally.reasons, tally.problems))
    return Report(folder, _count(journal, chosen, options), tally.made, tally.audio_s, failures, problems)


@contextmanager
def _told_when_full(folder: Path) -> Iterator[None]:
    """Say which folder has no more room, and that nothing is lost."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise OSError(f"augment: {folder} is full ({error.strerror}); the same call goes on from there") from error


def _check(options: Options) -> None:
    """Refuse what cannot be done before anything is read."""
    check_format(options.format, options.sample_rate)
    for name, least in (("copies", 1), ("limit", 1), ("workers", 0)):
        value = getattr(options, name)
        if not (value is None or value >= least):
            raise ValueError(f"augment: {name} must be >= {least}, got {value!r}")
    if options.engine not in ENGINES:
        raise ValueError(f"augment: engine must be {' or '.join(ENGINES)}, got {options.engine!r}")


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
        if lengths_s:
            missing = len(missing_of(one, options, journal))
            files, made, audio_s = files + options.copies, made + missing, audio_s + missing * sum(lengths_s)
    for bank in banks(work.policy) if made else ():
        bank.look()
    return Report(work.folder, files, made, audio_s, tuple(failures))


def _length_s(work: CopyWork, sound: Recording) -> float:
    """Return the length of a recording, in seconds, as its header says; refuse one that cannot be copied."""
    header = read_header(sound)
    work.target(header)
    return header.duration_s


@dataclass
class _Tally:
    """How many copies were made, how long they are, why recordings failed, and what beside them could not be used."""

    made: int = 0
    audio_s: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, made: Made) -> None:
        id = made.item.recording.id
        if made.row is None:
            self.reasons.setdefault(id, made.reason)
            return
        self.made += 1
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
                    raise OSError(errno.ENOSPC, one.reason)
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


def _count(journal: Journal, chosen: Iterable[Recording], options: Options) -> int:
    """Count the copies that are there."""
    return sum(item.key in journal for one in chosen for item in copies_of(one, options))


def _tidy(folder: Path) -> None:
    """Remove what workers that were stopped, and runs that were killed, had not finished."""
    for left in [path for path in folder.rglob(".*.tmp") if _OURS.fullmatch(path.name)]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
