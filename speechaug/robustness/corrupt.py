"""Noisy test sets are written: every utterance under every condition of a suite."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from speechaug import audio
from speechaug._lines import encoded, line, whole_lines, write_text
from speechaug._names import file_names
from speechaug._progress import progress_bar
from speechaug.data.findings import Finding
from speechaug.data.sources import Source, read_manifest
from speechaug.robustness.render import render
from speechaug.robustness.sets import CHECKSUMS_FILE, JOURNAL_FILE, MANIFEST_FILE, SUITE_FILE, folder_of
from speechaug.robustness.spoken import Spoken, read_spoken
from speechaug.robustness.suite import Condition, Folder, Suite

if TYPE_CHECKING:
    from speechaug.data.conditions import SuiteSource

Row = dict[str, Any]

_BLOCK = 16  # conditions that are rendered of one utterance at a time
_FEW = 8  # such blocks are done before worker processes have started
_MOST_WORKERS = 8
_DIGITS = 4  # of realised severities


@dataclass(frozen=True)
class Written:
    """What :func:`corrupt` did.

    Args:
        folder: where the sets are.
        suite: the conditions.
        files: how many sound files there are.
        made: how many of them were made now; the others were there.
        findings: recordings that could not be used, or were resampled.
    """

    folder: Path
    suite: Suite
    files: int
    made: int
    findings: tuple[Finding, ...]


def corrupt(
    src: Source,
    dst: str | Path,
    *,
    suite: SuiteSource = "standard",
    pattern: str | None = None,
    sample_rate: int | None = None,
    noise: Folder = None,
    rooms: Folder = None,
    seed: int = 0,
    draw: int = 0,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Written:
    """Write noisy test sets: every utterance under every condition of a suite.

    The folder gets ``<corruption>/<severity>/`` with FLAC files (16 bits) and ``manifest.jsonl``, which carries over
    id, text and speaker and says what was realised; ``clean/0`` is speech as it is. ``suite.json`` says what was done,
    ``checksums.sha256`` is checked by ``sha256sum -c``. The same arguments give the same bytes, whatever the number of
    workers. What was stopped goes on where it was: files appear under their names when they are complete.

    Args:
        src: what :func:`speechaug.read_manifest` reads: a table, a folder with a pattern or of a known layout.
        dst: folder to write to, new or empty or begun with the same arguments; outside ``src``.
        suite: ``tiny``, ``standard``, ``full`` or ``srb``, or names of conditions such as ``white:3``.
        pattern: of file names, for a folder, such as ``{text}_{speaker}_{take}.wav``.
        sample_rate: of the sets, in Hz; None for that of most recordings.
        noise: folder of recorded noise in place of ours.
        rooms: folder of room responses in place of ours.
        seed: of the draws.
        draw: number of the draw, from 0: another one, other stretches of noise.
        limit: how many utterances to take, spread evenly over all; None for all.
        workers: processes that render; 0 for none beside this one, None for as many as there are cores.
        progress: whether to show a progress bar; None shows it on a terminal.

    Raises:
        ValueError: if ``dst`` lies in ``src`` or holds something else, nothing can be read, or an argument is wrong.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = audio.write(folder / "speech" / "seven_ann.wav", 0.1 * np.sin(np.arange(8_000)), 16_000)
        >>> done = corrupt(folder / "speech", folder / "noisy", suite="tiny", pattern="{text}_{speaker}.wav")
        >>> done.files, sorted(path.name for path in folder.glob("noisy/white/3/*"))
        (7, ['manifest.jsonl', 'seven_ann.flac'])
    """
    from speechaug.data.conditions import resolve_suite

    folder = Path(os.path.abspath(dst))
    _check_apart(src, folder)
    rate = sample_rate or _usual_rate(src, pattern)
    chosen = resolve_suite(suite, rate, noise, rooms)  # type: ignore[arg-type]
    spoken = read_spoken(src, rate, pattern=pattern, limit=limit)
    _begin(folder, _description(chosen, spoken, seed, draw))
    job = _Job(folder, chosen.conditions, spoken, tuple(file_names(row.id for row in spoken.rows)), seed, draw)
    done = _read_rows(folder, job)
    files, before = len(chosen) * len(spoken), len(done)
    with progress_bar("corrupting", progress, files) as advance, (folder / JOURNAL_FILE).open("ab") as journal:
        advance(before)
        for rows in _render_all(job, done, workers):
            journal.writelines(encoded(line(row)) for row in rows)
            journal.flush()
            done.update({_key(row): row for row in rows})
            advance(len(rows))
    _finish(job, done)
    return Written(folder, chosen, files, files - before, spoken.findings)


class _Job(NamedTuple):
    """All there is to do."""

    folder: Path
    conditions: tuple[Condition, ...]
    spoken: Spoken
    names: tuple[str, ...]
    seed: int
    draw: int

    def path(self, condition: Condition, row: int) -> Path:
        return folder_of(self.folder, condition) / f"{self.names[row]}.flac"

    def write(self, condition: Condition, row: int, samples: audio.FloatArray) -> Row:
        """Render an utterance, write it and return its line of the manifest."""
        spoken, rate = self.spoken, self.spoken.dataset.sample_rate
        name, path = spoken.rows[row].id, self.path(condition, row)
        rendered = render(condition, samples, rate, id=name, seed=self.seed, draw=self.draw)
        clipped = audio.write(path, rendered.samples, rate)
        told = {
            "id": name,
            "audio": path.name,
            "text": spoken.text(row),
            "speaker": spoken.speaker(row),
            "duration": len(rendered.samples) / rate,
            "condition": condition.name,
            "realised": {key: round(value, _DIGITS) for key, value in rendered.realised.items()},
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        return {**told, "clipped": clipped} if clipped else told


class _Blocks(Dataset[list[Row]]):
    """Some conditions of one utterance, rendered where they are asked for: in a worker, if there are any."""

    def __init__(self, job: _Job) -> None:
        self.job = job

    def __getitem__(self, task: tuple[int, tuple[int, ...]]) -> list[Row]:
        row, conditions = task
        samples = self.job.spoken.samples(row)
        return [self.job.write(self.job.conditions[number], row, samples) for number in conditions]


def _render_all(job: _Job, done: Mapping[tuple[str, str], Row], workers: int | None) -> Iterator[list[Row]]:
    """Yield what is made of what is missing."""
    tasks = []
    for first in range(0, len(job.conditions), _BLOCK):
        block = range(first, min(first + _BLOCK, len(job.conditions)))
        for row, said in enumerate(job.spoken.rows):
            missing = tuple(number for number in block if (job.conditions[number].name, said.id) not in done)
            if missing:
                tasks.append((row, missing))
    if workers is None:
        workers = min(_MOST_WORKERS, os.cpu_count() or 1) if len(tasks) > _FEW else 0
    loader = DataLoader(
        _Blocks(job),
        batch_size=None,
        sampler=tasks,
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=torch.Generator().manual_seed(0),  # otherwise torch's global one is drawn from
    )
    yield from loader


def _as_it_is(item: Any) -> Any:
    return item


def _check_apart(src: Source, folder: Path) -> None:
    """Refuse to write among the recordings."""
    if isinstance(src, (str, Path)) and Path(src).is_dir():
        real, target = Path(src).resolve(), folder.resolve()
        if real == target or real in target.parents:
            raise ValueError(f"corrupt: dst must lie outside src, got {str(folder)!r} in {str(src)!r}")


def _usual_rate(src: Source, pattern: str | None) -> int:
    """The sample rate of most recordings."""
    folder = isinstance(src, (str, Path)) and Path(src).is_dir()
    rates: Counter[int] = Counter()
    for source in dict.fromkeys(said.audio for said in read_manifest(src, pattern if folder else None)):
        try:
            rates[audio.info(source).sample_rate] += 1
        except (ValueError, OSError):  # told by name when all are looked at
            continue
    if not rates:
        raise ValueError(f"corrupt: src must hold recordings that can be read, got none in {src!r:.100}")
    return rates.most_common(1)[0][0]


def _begin(folder: Path, description: Row) -> None:
    """Start a folder, or go on with one that was started for the same."""
    path = folder / SUITE_FILE
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in description if found.get(key) != description[key]]
        if other:
            raise ValueError(f"corrupt: dst must be a new folder, {folder} holds sets with another {', '.join(other)}")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"corrupt: dst must be new, empty or begun by corrupt, got {str(folder)!r}")
    else:
        write_text(path, json.dumps(description, indent=1, ensure_ascii=False) + "\n")


def _description(suite: Suite, spoken: Spoken, seed: int, draw: int) -> Row:
    """What was done, to be read by people and by :func:`read_noisy_sets`; no paths, no times."""
    digest = hashlib.blake2b(digest_size=8)
    for number, (row, content) in enumerate(zip(spoken.rows, spoken.hashes, strict=True)):
        digest.update(json.dumps([row.id, content, spoken.text(number), spoken.speaker(number)]).encode())
    return {
        "suite": {key: getattr(suite, key) for key in ("name", "version", "subset", "sample_rate", "hash")},
        "seed": seed,
        "draw": draw,
        "speech": {"utterances": len(spoken), "hash": digest.hexdigest(), "lost": sorted(spoken.lost)},
        "left_out": list(suite.left_out),
        "conditions": [
            {key: getattr(condition, key) for key in _KEPT} | {"nominal": dict(condition.nominal)}
            for condition in suite.conditions
        ],
    }


_KEPT = ("name", "corruption", "family", "severity", "min_sample_rate", "held_out", "hash")


def _finish(job: _Job, done: Mapping[tuple[str, str], Row]) -> None:
    """Write the manifests and the checksums, and say by removing the journal that all is there."""
    sums = []
    for condition in job.conditions:
        rows = [done[condition.name, said.id] for said in job.spoken.rows]
        text = "".join(map(line, rows))
        path = folder_of(job.folder, condition) / MANIFEST_FILE
        write_text(path, text)
        where = path.parent.relative_to(job.folder).as_posix()
        sums += [(f"{where}/{row['audio']}", row["sha256"]) for row in rows]
        sums.append((f"{where}/{MANIFEST_FILE}", hashlib.sha256(encoded(text)).hexdigest()))
        for left in path.parent.glob(".*.tmp"):  # by runs that were killed
            left.unlink()
    write_text(job.folder / CHECKSUMS_FILE, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums)))
    (job.folder / JOURNAL_FILE).unlink()


def _read_rows(folder: Path, job: _Job) -> dict[tuple[str, str], Row]:
    """Return the lines of an earlier run whose files are there."""
    rows: dict[tuple[str, str], Row] = {}
    manifests = [folder_of(folder, condition) / MANIFEST_FILE for condition in job.conditions]
    for path in (*manifests, folder / JOURNAL_FILE):
        if path.is_file():
            rows.update({_key(row): row for row in whole_lines(path)})
    numbers = {said.id: number for number, said in enumerate(job.spoken.rows)}
    known = {condition.name: condition for condition in job.conditions}
    return {
        key: row
        for key, row in rows.items()
        if key[0] in known and key[1] in numbers and job.path(known[key[0]], numbers[key[1]]).is_file()
    }


def _key(row: Row) -> tuple[str, str]:
    return row["condition"], row["id"]


