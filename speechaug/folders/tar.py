"""Tar shards in, tar shards out: a copy of a shard is the unit that is made, and made again when it was not whole."""

from __future__ import annotations

import copy
import errno
import hashlib
import shutil
import tarfile
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, starmap
from pathlib import Path
from typing import Any, NamedTuple

from speechaug._lines import complete_file, encoded, line, whole_lines
from speechaug._names import file_names
from speechaug._open import piece
from speechaug.data.manifest import shorten
from speechaug.data.patterns import SOUNDS
from speechaug.data.shards import collect, members_of, open_tar, sample_of, utterance_of
from speechaug.folders.copies import CopyWork, failed
from speechaug.folders.items import MOST_AT_ONCE, Failure, Item, Made, Options, Recording, Report, Row
from speechaug.folders.job import Unit, run_job
from speechaug.folders.journal import MANIFEST_FILE
from speechaug.folders.sidecars import ENDINGS
from speechaug.transform import Transform

SHARDS_FILE = "shards.jsonl"
"""Has a line for each copy of a shard, with those of its samples."""

_SIDECARS = frozenset(ending.lower() for ending in ENDINGS)


def augment_shards(paths: Sequence[Path], dst: str | Path, policy: Transform | str | Path, options: Options) -> Report:
    """Make copies of shards: what :func:`augment_manifest` does with tars.

    Args:
        paths: of the shards, whose names must differ.
        dst: folder to write to.
        policy: waveform policy, its YAML file or the name of a preset.
        options: how; ``limit`` and ``exclude`` are about shards.

    Raises:
        FileNotFoundError: if a shard is absent.
        ValueError: as :func:`augment_manifest`.
    """
    absent = [str(path) for path in paths if not path.is_file()]
    if absent:
        raise FileNotFoundError(f"{shorten(absent)}: no such shard")
    shards = [Recording(id=path.stem, source=path, name=path.stem) for path in paths]
    report = run_job(shards, dst, policy, options, Unit(ShardWork, _sounds, SHARDS_FILE))
    if options.dry_run:
        return report
    failures = set(report.failures)
    with complete_file(report.folder / MANIFEST_FILE) as temporary, temporary.open("wb") as manifest:
        for shard in whole_lines(report.folder / SHARDS_FILE):
            manifest.writelines(encoded(line(row)) for row in shard["samples"])
            failures.update(starmap(Failure, shard["failures"]))
    return replace(report, failures=tuple(sorted(failures)))


@dataclass(frozen=True)
class ShardWork:
    """Makes copies of shards; what a worker does.

    Members keep their order and their names, but for the ending of sound in another format; what is neither sound nor
    a transcript nor holds word times is copied as it is. A sample whose sound cannot be used is left out, and told.

    Args:
        copies: makes the copies of the sounds.
    """

    copies: CopyWork

    def __call__(self, items: Sequence[Item]) -> Iterator[list[Made]]:
        """Write copies of shards; the row of each holds those of its samples, and what failed."""
        for item in items:
            try:
                made = Made(item, self._make(item))
            except Exception as error:
                made = failed(item, error)
            yield [made]

    def _make(self, item: Item) -> Row:
        path = self.copies.folder / f"{item.id}.tar"
        # Among the copies, where what a killed worker leaves is found and removed.
        beside = tempfile.TemporaryDirectory(prefix=".shard-", suffix=".tmp", dir=path.parent)
        with complete_file(path) as temporary, beside as scratch:
            shard = _Shard(item, replace(self.copies, folder=Path(scratch)))
            with warnings.catch_warnings(record=True) as told, tarfile.open(temporary, "w") as out:
                warnings.simplefilter("always")  # a shard that ends too early
                shard.copy_to(out)
            with tarfile.open(temporary) as written:
                places = {member.name: piece(path.name, member.offset_data, member.size) for member in written}
        shard.failures += [Failure(item.recording.id, str(warning.message)) for warning in told]
        problems = [problem for row in shard.rows for problem in row.get("problems", ())]
        return {
            "id": item.id,
            "audio": path.name,
            "source": item.recording.id,
            "copy": item.copy,
            "duration": sum(row["duration"] for row in shard.rows),
            "samples": [{**row, "audio": places[row["audio"]]} for row in shard.rows],
            "failures": shard.failures,
            **({"problems": problems} if problems else {}),
        }


_Changes = dict[str, "_Change | None"]  # by the names of members; nothing for one that is left out


@dataclass
class _Shard:
    """A shard that is being copied.

    Attributes:
        item: which, and the number of the copy.
        work: makes the copies of the sounds, in a folder of its own.
        rows: lines of the manifest; their audio is the name of the member.
        failures: samples that were left out.
    """

    item: Item
    work: CopyWork
    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def copy_to(self, out: tarfile.TarFile) -> None:
        path = Path(str(self.item.recording.source))
        with open_tar(path) as tar:
            members = list(members_of(tar, path))
            samples: dict[str, list[tarfile.TarInfo]] = defaultdict(list)
            for member in members:
                samples[sample_of(member)[0]].append(member)
            changes: dict[str, _Changes] = {"": {}}
            ahead = _some(name for name in samples if name)
            for member in members:
                name = sample_of(member)[0]
                if name not in changes:
                    changes.update(self._augment({one: samples[one] for one in next(ahead)}, tar))
                _add(out, tar, member, changes[name])
                if name and member is samples[name][-1]:
                    shutil.rmtree(self.work.folder / _scratch(name), ignore_errors=True)

    def _augment(self, samples: Mapping[str, Sequence[tarfile.TarInfo]], tar: tarfile.TarFile) -> dict[str, _Changes]:
        """Copy the sounds of some samples, and say what the members become; those not named stay as they are."""
        changes: dict[str, _Changes] = {name: {} for name in samples}
        items: dict[str, Item] = {}
        for name, members in samples.items():
            id = f"{self.item.recording.id}/{name}"
            try:
                recording = _recording(id, name, members, tar)
            except ValueError as error:
                changes[name] = self._fail(id, str(error), members)
                continue
            if recording is not None:
                items[name] = Item(recording=recording, copy=self.item.copy)
        done = chain.from_iterable(self.work(list(items.values())))
        for (name, item), made in zip(items.items(), done, strict=True):
            if made.is_full:  # it is no fault of the sample
                raise OSError(errno.ENOSPC, made.reason)
            if made.row is None:
                changes[name] = self._fail(item.recording.id, made.reason, samples[name])
            else:
                changes[name] = self._change(name, samples[name], made.row)
        return changes

    def _fail(self, id: str, reason: str, members: Sequence[tarfile.TarInfo]) -> _Changes:
        """Leave out a sample."""
        self.failures.append(Failure(id, reason))
        return dict.fromkeys(member.name for member in members)

    def _change(self, name: str, members: Sequence[tarfile.TarInfo], row: Row) -> _Changes:
        """Replace the members of a sample by what was made of them."""
        sound = self.work.folder / row["audio"]
        changes = {member.name: _change(member, sound) for member in members if _is_changed(member)}
        (renamed,) = (change.name for change in changes.values() if change and change.path == sound)
        self.rows.append({**row, "id": f"{self.item.id}/{name}", "audio": renamed})
        return changes


class _Change(NamedTuple):
    """What a member becomes: its new name, and the file that it holds."""

    name: str
    path: Path


def _recording(id: str, name: str, members: Sequence[tarfile.TarInfo], tar: tarfile.TarFile) -> Recording | None:
    """Return the sound of a sample and what lies beside it; nothing if there is no sound."""
    sample: dict[str, Any] = {}
    sidecars: dict[str, bytes] = {}
    for member in members:
        ending = sample_of(member)[1]
        collect(sample, ending, tar, member)
        held = tar.extractfile(member) if ending in _SIDECARS and member.isreg() else None
        if held is not None:
            sidecars[member.name] = held.read()
    if "audio" not in sample:
        return None
    try:
        said = utterance_of(Path(str(tar.name)), name, sample)
        told = {"text": said.text, "speaker": said.speaker}
    except ValueError:  # told with the file that it stands in
        told = {}
    columns = {field: value for field, value in told.items() if value}
    own = f"{_scratch(name)}/{next(file_names([name.rpartition('/')[2]]))}"
    return Recording(id=id, source=sample["audio"], name=own, columns=columns, sidecars=sidecars)


def _sounds(shard: Recording) -> Iterator[Recording]:
    """Yield the sounds in a shard, up to where it breaks off."""
    path = Path(str(shard.source))
    with open_tar(path) as tar:
        for member in members_of(tar, path):
            sample: dict[str, Any] = {}
            name, ending = sample_of(member)
            collect(sample, ending, tar, member)
            if "audio" in sample:
                yield Recording(id=f"{shard.id}/{name}", source=sample["audio"], name=name)


def _some(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names, as many at a time as are made together."""
    rest = iter(names)
    while some := list(islice(rest, MOST_AT_ONCE)):
        yield some


def _scratch(name: str) -> str:
    """Name a folder for the files of a sample."""
    return hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).hexdigest()


def _is_changed(member: tarfile.TarInfo) -> bool:
    ending = sample_of(member)[1]
    return member.isreg() and (ending.endswith(SOUNDS) or ending in _SIDECARS)


def _change(member: tarfile.TarInfo, sound: Path) -> _Change | None:
    """Say what a sound or a file beside it becomes; nothing if it was broken."""
    stem, _, ending = member.name.rpartition(".")
    if f".{ending.lower()}".endswith(SOUNDS):
        same = f".{ending.lower()}" == sound.suffix
        return _Change(member.name if same else f"{stem}{sound.suffix}", sound)
    path = sound.with_name(f"{sound.stem}.{ending}")
    return _Change(member.name, path) if path.exists() else None


def _add(
    out: tarfile.TarFile, tar: tarfile.TarFile, member: tarfile.TarInfo, changes: Mapping[str, _Change | None]
) -> None:
    """Add a member to the copy, changed or as it is."""
    if member.name not in changes:
        out.addfile(member, tar.extractfile(member) if member.isreg() else None)
        return
    change = changes[member.name]
    if change is not None:
        changed = copy.copy(member)
        changed.name, changed.size, changed.pax_headers = change.name, change.path.stat().st_size, {}
        with change.path.open("rb") as file:
            out.addfile(changed, file)
