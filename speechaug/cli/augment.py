"""What the command ``speechaug augment`` does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from speechaug.data.sources import shards_of
from speechaug.folders import augment_folder, augment_manifest
from speechaug.folders.items import Report
from speechaug.folders.kaldi import is_kaldi


def run_augment(
    src: str,
    dst: str,
    *,
    policy: str,
    pattern: str | None = None,
    exclude: str | list[str] | None = None,
    **options: Any,
) -> int:
    """Write augmented copies of recordings, and a manifest of what was done to each.

    A folder of recordings keeps its tree and its word times (augment_folder). A table, a Kaldi data directory, tar
    shards, or a folder whose file names say what was said (--pattern) also keeps texts and speakers, and a manifest of
    its own kind is written (augment_manifest). What was stopped goes on where it was.

    Args:
        src: folder of recordings; or a table, a Kaldi data directory, or tar shards.
        dst: folder to write to, outside src; new, empty or begun by the same command.
        policy: YAML file of a policy, or small_sample.
        pattern: of file names that say what was said, such as '{text}_{speaker}_{take}.wav'.
        exclude: patterns of paths or ids that are left out, such as 'noise/*'; several are '["noise/*", "*.mp3"]'.

    Returns:
        The exit code: 1 if some recordings could not be used.
    """
    given = [exclude] if isinstance(exclude, str) else exclude or []
    if has_transcripts(src, pattern):
        report = augment_manifest(src, dst, policy, pattern=pattern, exclude=given, **options)
    else:
        report = augment_folder(src, dst, policy, exclude=given, **options)
    _tell(report, bool(options["dry_run"]))
    return 1 if report.failures else 0


def has_transcripts(src: str, pattern: str | None) -> bool:
    """Say whether a source says what was said: all but a plain folder of recordings does.

    Args:
        src: path of a file or folder.
        pattern: of file names.

    Example:
        >>> has_transcripts("train.jsonl", None), has_transcripts(".", None), has_transcripts(".", "{text}.wav")
        (True, False, True)
    """
    return pattern is not None or not Path(src).is_dir() or is_kaldi(Path(src)) or bool(shards_of(src))


def _tell(report: Report, dry_run: bool) -> None:
    """Print what was done, and last what could not be."""
    new = f", {report.made} of them new" if 0 < report.made < report.files else ""
    done = "Would write" if dry_run else "Wrote"
    print(f"{done} {report.files} files{new}, {length(report.audio_s)} of audio, to {report.folder}", flush=True)
    for failure in report.failures:
        print(f"speechaug: failed: {failure.id}: {failure.reason}", file=sys.stderr)
    if report.failures:
        print(f"speechaug: {len(report.failures)} recordings could not be used; the others are done", file=sys.stderr)


def length(seconds: float) -> str:
    """Write a length of time in the unit that suits it.

    Args:
        seconds: of audio.

    Example:
        >>> length(4.26), length(340), length(36_000)
        ('4.3 s', '5.7 min', '10.0 h')
    """
    for unit, size in (("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
