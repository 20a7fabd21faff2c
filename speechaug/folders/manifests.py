"""Manifests and data sets in, the same kind of manifest over augmented copies out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechaug._lines import whole_lines
from speechaug._names import file_names
from speechaug._open import Encoded
from speechaug.data.hugging_face import Row as HeldRow
from speechaug.data.hugging_face import other_columns
from speechaug.data.manifest import Utterance
from speechaug.data.sources import Source, is_hugging_face, read_manifest, shards_of
from speechaug.folders import kaldi, tables
from speechaug.folders.folder import check_apart
from speechaug.folders.items import Failure, Item, Options, Recording, Report, Row
from speechaug.folders.job import run_job
from speechaug.folders.journal import MANIFEST_FILE
from speechaug.folders.policies import Sounds, with_sounds
from speechaug.folders.tar import augment_shards
from speechaug.transform import Transform

_TOLD = ("id", "audio", "copy", "duration", "text", "words")
"""What manifests of other kinds can say of a copy."""


def augment_manifest(
    src: Source,
    dst: str | Path,
    policy: Transform | str | Path,
    *,
    noise: Sounds = None,
    rooms: Sounds = None,
    voices: Sounds = None,
    pattern: str | None = None,
    copies: int = 1,
    seed: int = 0,
    workers: int | None = None,
    format: str = "flac",
    sample_rate: int | None = None,
    overwrite: bool = False,
    exclude: Sequence[str] = (),
    limit: int | None = None,
    dry_run: bool = False,
    engine: str = "local",
    progress: bool | None = None,
) -> Report:
    """Write augmented copies of the utterances of a manifest or data set, and a manifest of the same kind.

    ``manifest.jsonl`` has a line for each copy, with id, text, speaker and the other columns of its source, and is read
    by :func:`speechaug.read_manifest`. Beside it the copies are told in the form of the source:

    - a **table** (``.jsonl``, ``.csv``, ``.tsv``): one of the same name, with the same columns;
    - a **Kaldi data directory**: ``wav.scp`` with full paths, ``text``, ``utt2spk``, ``spk2utt``, ``utt2uniq``,
      ``utt2dur``, and ``ctm`` with moved times; segments are files of their own. Kaldi itself reads ``format="wav"``;
    - **tar shards**: a shard for each shard and copy, its members in their order, other members included;
    - a Hugging Face **data set**: ``metadata.jsonl``, so that ``load_dataset("audiofolder", data_dir=dst)`` reads it.

    Word times in a column ``words``, in the ``ctm`` or beside the audio move with it; in a column they count from the
    beginning of the utterance.

    Args:
        src: what :func:`speechaug.read_manifest` reads.
        dst: folder to write to, new or empty or begun with the same arguments.
        policy: waveform policy, its YAML file or ``small_sample``.
        noise: folder or bank of recorded noise for ``small_sample``, at any rate; other policies have their own.
        rooms: folder or bank of room responses for ``small_sample``.
        voices: folder or bank of single talkers for ``small_sample``, which adds babble of them.
        pattern: of file names, for a folder, such as ``{text}_{speaker}_{take}.wav``.
        copies: of each utterance, with ``_aug1``, ``_aug2`` and so on behind its id.
        seed: another seed, other draws.
        workers: processes; 0 for none beside this one, None for as many as there are cores.
        format: ``flac``, ``wav``, ``ogg``, ``opus``, ``mp3``, or ``keep`` for that of each recording.
        sample_rate: of the copies, in Hz; None keeps that of each recording.
        overwrite: whether to begin anew where ``dst`` holds something else.
        exclude: patterns of ids that are left out, such as ``noise/*``.
        limit: how many utterances to take, spread evenly over all; None for all.
        dry_run: whether to write nothing and only say what would be done.
        engine: ``local`` or ``ray``.
        progress: whether to show a progress bar; None shows it on a terminal.

    Returns:
        What was done, and what could not be used.

    Raises:
        FileNotFoundError: if there is no such source.
        ValueError: if the source is malformed, the policy mixes examples, or ``dst`` holds something else.

    Example:
        >>> import tempfile
        >>> import numpy as np, speechaug as sa
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = sa.audio.write(folder / "u1.wav", 0.1 * np.sin(np.arange(8_000)), 16_000)
        >>> sa.write_manifest(folder / "train.jsonl", [sa.Utterance("u1", str(folder / "u1.wav"), "seven")])
        >>> _ = augment_manifest(folder / "train.jsonl", folder / "more", sa.Speed(), copies=2, workers=0)
        >>> [(said.id, said.text) for said in sa.read_manifest(folder / "more" / "train.jsonl")]
        [('u1_aug1', 'seven'), ('u1_aug2', 'seven')]
    """
    options = Options(
        copies=copies,
        seed=seed,
        workers=workers,
        format=format,
        sample_rate=sample_rate,
        overwrite=overwrite,
        exclude=tuple(exclude),
        limit=limit,
        dry_run=dry_run,
        engine=engine,
        progress=progress,
    )
    chosen = with_sounds(policy, "augment", noise=noise, rooms=rooms, voices=voices)
    shards = shards_of(src) if pattern is None else []
    if shards:
        _check_apart(src, dst, shards)
        return augment_shards(shards, dst, chosen, options)
    utterances = read_manifest(src, pattern)
    _check_apart(src, dst, [said.audio for said in utterances])
    kind = _kind_of(src, pattern, utterances)
    recordings = list(_recordings(utterances, kind))
    report = run_job(recordings, dst, chosen, options)
    if not dry_run:
        kind.write(list(_copies(recordings, copies, report.folder)), report.folder)
    return replace(report, problems=kind.problems + report.problems)


def _copies(recordings: Sequence[Recording], copies: int, folder: Path) -> Iterator[tuple[int, Row]]:
    """Yield the copies that there are, in the order of their source: the number there, and what the manifest says."""
    rows = {
        row["id"]: {name: row[name] for name in _TOLD if name in row} for row in whole_lines(folder / MANIFEST_FILE)
    }
    for number, recording in enumerate(recordings):
        for copy in range(1, copies + 1):
            id = Item(recording=recording, copy=copy).id
            if id in rows:
                yield number, rows[id]


def _check_apart(src: Source, dst: str | Path, files: Iterable[Any]) -> None:
    """Refuse to write into a folder of sources, or into one around it."""
    named = [path for path in (src, *files) if isinstance(path, (str, Path))]
    if isinstance(src, (str, Path)) and Path(src).is_dir():
        check_apart(Path(src), Path(dst))
    target = Path(os.path.realpath(dst))
    for folder in {Path(path).parent for path in named}:
        real = Path(os.path.realpath(folder))
        if real == target or target in real.parents:
            raise ValueError(f"augment: dst must be another folder than that of the source, got {str(dst)!r}")


@dataclass(frozen=True)
class _Kind:
    """What one kind of source says beside what every utterance has, and how copies are told in its form.

    Attributes:
        columns: what is carried over of the utterance of a number.
        write: writes the copies in kind: of each the number of its utterance, and its line of the manifest.
        start: folder that the copies are put in, within that of the job.
        problems: what else of the source could not be used.
    """

    columns: Callable[[int], Mapping[str, Any]]
    write: Callable[[Sequence[tuple[int, Row]], Path], None]
    start: str = ""
    problems: tuple[Failure, ...] = ()


def _kind_of(src: Source, pattern: str | None, utterances: Sequence[Utterance]) -> _Kind:
    if is_hugging_face(src):
        held = tables.Table(other_columns(src), "file_name", "", Path(tables.METADATA_FILE))
        return _of_table(held)
    path = Path(os.path.abspath(src)) if isinstance(src, (str, Path)) else None
    if path is not None and tables.is_table(path):
        return _of_table(tables.read_raw(path))
    if path is not None and pattern is None and kaldi.is_kaldi(path):
        return _of_kaldi(path, utterances)
    return _Kind(lambda number: {}, lambda copies, folder: None)


def _of_kaldi(path: Path, utterances: Sequence[Utterance]) -> _Kind:
    problems: tuple[Failure, ...] = ()
    try:
        times = kaldi.read_times(path, utterances)
    except ValueError as error:
        times, problems = {}, (Failure(kaldi.CTM_FILE, str(error)),)
    words = {name: {"words": told} for name, told in times.items()}

    def write(copies: Sequence[tuple[int, Row]], folder: Path) -> None:
        kaldi.write_kaldi(folder, ((utterances[number], row) for number, row in copies))

    return _Kind(lambda number: words.get(utterances[number].id, {}), write, problems=problems)


def _of_table(table: tables.Table) -> _Kind:
    def write(copies: Sequence[tuple[int, Row]], folder: Path) -> None:
        if table.path.name != MANIFEST_FILE:  # which is written anyway
            tables.write_in_kind(table, copies, folder)

    return _Kind(table.carried, write, table.start)


def _recordings(utterances: Sequence[Utterance], kind: _Kind) -> Iterator[Recording]:
    start = f"{kind.start}/" if kind.start else ""
    names = file_names((said.id for said in utterances), folders=True)
    for number, (said, name) in enumerate(zip(utterances, names, strict=True)):
        told = {"text": said.text, "speaker": said.speaker, "take": said.take}
        yield Recording(
            id=said.id,
            source=_Sent(said.audio) if isinstance(said.audio, HeldRow) else said.audio,
            name=f"{start}{name}",
            offset_s=said.offset,
            duration_s=said.duration,
            columns={**{field: value for field, value in told.items() if value}, **kind.columns(number)},
        )


@dataclass(frozen=True)
class _Sent:
    """A row of a data set that goes to another process as the sound it holds, not as the whole data set."""

    row: HeldRow

    def open(self) -> Any:
        return self.row.open()

    def __str__(self) -> str:
        return str(self.row)

    def __reduce__(self) -> tuple[type[Encoded], tuple[bytes, str]]:
        return Encoded, (self.row.open().read(), str(self.row))
