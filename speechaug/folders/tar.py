"""Tar shards in, tar shards out: a copy of a shard is the unit that is made, and made again when it was not whole."""

from __future__ import annotations

import tarfile
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from pathlib import Path
from typing import Any

from speechaug._lines import complete_file, encoded, line, whole_lines
from speechaug._open import piece
from speechaug.data.manifest import shorten
from speechaug.data.shards import collect, members_of, open_tar, sample_of
from speechaug.folders.copies import CopyWork
from speechaug.folders.failures import failed
from speechaug.folders.items import Failure, Item, Made, Options, Recording, Report, Row
from speechaug.folders.job import Unit, run_job
from speechaug.folders.journal import MANIFEST_FILE
from speechaug.folders.shard import ShardCopy
from speechaug.transform import Transform

SHARDS_FILE = "shards.jsonl"
"""Has a line for each copy of a shard, with those of its samples."""


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
            shard = ShardCopy(item, replace(self.copies, folder=Path(scratch)))
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
