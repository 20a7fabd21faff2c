"""What the command ``speechaug augment`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechaug.data.sources import has_layout
from speechaug.folders import augment_folder, augment_manifest


def run_augment(
    src: str,
    dst: str,
    *,
    policy: str,
    noise: str | None = None,
    rooms: str | None = None,
    voices: str | None = None,
    pattern: str | None = None,
    exclude: str | list[str] | None = None,
    **options: Any,
) -> int:
    """Write augmented copies of recordings, and a manifest of what was done to each.

    A folder of recordings keeps its tree and its word times (augment_folder). A table, a Kaldi data directory, tar
    shards, LibriSpeech, Speech Commands, or a folder whose file names say what was said (--pattern) also keeps texts
    and speakers, and a manifest of its own kind is written (augment_manifest). What was stopped goes on where it was.

    Args:
        src: folder of recordings; or a table, a Kaldi data directory, or tar shards.
        dst: folder to write to, outside src; new, empty or begun by the same command.
        policy: YAML file of a policy, or small_sample.
        noise: folder of recorded noise for small_sample, which else adds coloured noise alone.
        rooms: folder of room responses for small_sample, which else adds no reverberation.
        voices: folder of single talkers for small_sample, such as src itself, which else adds no babble.
        pattern: of file names that say what was said, such as '{text}_{speaker}_{take}.wav'.
        exclude: patterns of paths or ids that are left out, such as 'noise/*'; several are '["noise/*", "*.mp3"]'.

    Returns:
        The exit code: 1 if some recordings could not be used.
    """
    given = [exclude] if isinstance(exclude, str) else exclude or []
    sounds: dict[str, Any] = {"noise": noise, "rooms": rooms, "voices": voices}
    if has_transcripts(src, pattern):
        report = augment_manifest(src, dst, policy, pattern=pattern, exclude=given, **sounds, **options)
    else:
        report = augment_folder(src, dst, policy, exclude=given, **sounds, **options)
    print(f"Nothing is written; this would be:\n{report}" if options["dry_run"] else report)
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
    return pattern is not None or not Path(src).is_dir() or has_layout(Path(src))
