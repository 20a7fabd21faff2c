"""Tables written in kind: the columns of the source, with the copies in place of the recordings."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TextIO

from speechaug._lines import complete_file, line
from speechaug.data.manifest import TABLES, columns, raw_rows
from speechaug.folders.items import Row

METADATA_FILE = "metadata.jsonl"
"""The table by which ``load_dataset("audiofolder", data_dir=...)`` reads a folder."""

OURS = frozenset(
    (
        *("id", "audio", "source", "source_hash", "copy", "sample_rate", "duration", "offset"),
        *("transforms", "clipped", "snr_db", "cuts", "problems"),
    )
)
"""Columns of a manifest that say what a copy is, and are therefore never carried over from its source."""


class Table(NamedTuple):
    """A table of recordings.

    Attributes:
        rows: as they are written, one for each utterance.
        audio: the column of the sound files.
        start: folder at which their paths start, within the folder of the table.
        path: of the file, whose name and form are kept.
    """

    rows: Sequence[Mapping[str, Any]]
    audio: str
    start: str
    path: Path

    def carried(self, number: int) -> dict[str, Any]:
        """Return what a row says of its utterance beside text and speaker, under its own names."""
        row = self.rows[number]
        gone = OURS | {self.audio, *columns(row, self.path).values()}
        return {name: value for name, value in row.items() if name not in gone}


def read_raw(path: Path) -> Table:
    """Read a table as it is written.

    Args:
        path: of a JSONL, CSV or TSV file that :func:`speechaug.read_manifest` reads.
    """
    found = list(raw_rows(path))
    _, first, folder = found[0]
    return Table([row for _, row, _ in found], columns(first, path)["audio"], _within(folder, path.parent), path)


def is_table(path: Path) -> bool:
    """Say whether a path is that of a table."""
    return path.suffix.lower() in TABLES and path.is_file()


def write_in_kind(table: Table, copies: Iterable[tuple[int, Row]], folder: Path) -> None:
    """Write a table of copies in the form of its source, its other columns included.

    Args:
        table: the source.
        copies: of each the number of its row in the source, and its line of the manifest.
        folder: to write to.
    """
    told = [_retold(table.rows[number], row, table) for number, row in copies]
    ending = table.path.suffix.lower()
    with (
        complete_file(folder / table.path.name) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        if ending in (".csv", ".tsv"):
            _write_cells(told, list(table.rows[0]), "\t" if ending == ".tsv" else ",", file, quoted=not table.start)
        else:
            file.writelines(map(line, told))


def _retold(row: Mapping[str, Any], copy: Row, table: Table) -> dict[str, Any]:
    path = PurePosixPath(copy["audio"])
    told = {**copy, "offset": 0.0}
    changed: Row = {name: told.get(name) for name in ("id", "duration", "offset", "words") if name in row}
    return {**row, **changed, table.audio: str(path.relative_to(table.start) if table.start else path)}


def _write_cells(
    rows: Iterable[Mapping[str, Any]], header: Sequence[str], delimiter: str, file: TextIO, *, quoted: bool
) -> None:
    # Common Voice, whose paths start at clips/, quotes nothing.
    style: dict[str, Any] = {} if quoted else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", **style)
    writer.writerow(header)
    writer.writerows([_cell(row[name]) for name in header] for row in rows)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _within(folder: Path, parent: Path) -> str:
    return "" if folder == parent else folder.relative_to(parent).as_posix()
