"""One shard that is copied, sample by sample: its sounds are augmented, all else keeps its place."""

from __future__ import annotations

import copy
import errno
import hashlib
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from speechaug._names import file_names
from speechaug.data.patterns import SOUNDS
from speechaug.data.shards import collect, members_of, open_tar, sample_of, utterance_of
from speechaug.folders.copies import CopyWork
from speechaug.folders.items import MOST_AT_ONCE, Failure, Item, Recording, Row
from speechaug.folders.sidecars import ENDINGS

_SIDECARS = frozenset(ending.lower() for ending in ENDINGS)

_Changes = dict[str, "_Change | None"]  # by the names of members; nothing for one that is left out


@dataclass
class ShardCopy:
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
        """Write the copy; the rows and the failures are there then."""
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
