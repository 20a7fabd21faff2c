"""Folders of recordings in, folders of augmented recordings out."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from speechaug.data.patterns import SOUNDS, visible_files
from speechaug.folders.items import Options, Recording, Report
from speechaug.folders.job import run_job
from speechaug.folders.policies import Sounds, with_sounds
from speechaug.transform import Transform

_ENDINGS = frozenset(SOUNDS) | {".oga", ".rf64", ".nist", ".sph", ".m4a", ".aac", ".mp4", ".wma", ".amr", ".webm"}
"""What is taken for sound; the last six cannot be read, and are named so."""


def augment_folder(
    src: str | Path,
    dst: str | Path,
    policy: Transform | str | Path,
    *,
    noise: Sounds = None,
    rooms: Sounds = None,
    voices: Sounds = None,
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
    """Write augmented copies of every recording below a folder.

    The tree is kept: of ``ann/seven.wav`` the copies are ``ann/seven_aug1.flac``, ``ann/seven_aug2.flac`` and so on.

    Args:
        src: folder of recordings (WAV, FLAC, OGG, Opus, MP3 and others; any rate, any number of channels).
        dst: folder to write to, new or empty or begun with the same arguments; neither within ``src`` nor around it.
        policy: waveform policy, its YAML file or ``small_sample``.
        noise: folder or bank of recorded noise for ``small_sample``, at any rate; other policies have their own.
        rooms: folder or bank of room responses for ``small_sample``.
        voices: folder or bank of single talkers for ``small_sample``, which adds babble of them.
        copies: of each recording.
        seed: another seed, other draws.
        workers: processes; 0 for none beside this one, None for as many as there are cores.
        format: ``flac``, ``wav``, ``ogg``, ``opus``, ``mp3``, or ``keep`` for that of each recording.
        sample_rate: of the copies, in Hz; None keeps that of each recording.
        overwrite: whether to begin anew where ``dst`` holds something else.
        exclude: patterns of paths within ``src`` that are left out, such as ``noise/*`` or ``*.mp3``.
        limit: how many recordings to take, spread evenly over all; None for all.
        dry_run: whether to write nothing and only say what would be done.
        engine: ``local`` or ``ray``.
        progress: whether to show a progress bar; None shows it on a terminal.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if ``src`` and ``dst`` lie in each other, nothing is found, ``dst`` holds something else, the policy
            mixes examples, or an argument is wrong.

    Example:
        >>> import tempfile
        >>> import numpy as np, speechaug as sa
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = sa.audio.write(folder / "speech" / "ann" / "seven.wav", 0.1 * np.sin(np.arange(8_000)), 16_000)
        >>> done = augment_folder(folder / "speech", folder / "more", sa.Gain(gain_db=(-6.0, 6.0)), copies=2, workers=0)
        >>> done.files, sorted(path.name for path in folder.glob("more/ann/*"))
        (2, ['seven_aug1.flac', 'seven_aug2.flac'])
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
    return run_job(find_recordings(Path(src), Path(dst)), dst, chosen, options)


def find_recordings(src: Path, dst: Path) -> list[Recording]:
    """List the recordings below a folder; hidden files are left out, links to folders followed.

    Args:
        src: where to look.
        dst: where copies are to go, which must lie apart from it.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if nothing is found, or the two lie in each other.
    """
    if not src.is_dir():
        raise FileNotFoundError(f"{src}: {'is a file, not a folder' if src.exists() else 'no such folder'}")
    names = [name for name in visible_files(src) if PurePosixPath(name).suffix.lower() in _ENDINGS]
    check_apart(src, dst, names)
    if not names:
        raise ValueError(f"{src}: holds no sound files ({', '.join(sorted(_ENDINGS))})")
    ids = [unicodedata.normalize("NFC", name) for name in names]
    copies = zip(ids, names, _copy_names(ids), strict=True)
    return [Recording(id=one, source=src / name, name=copy) for one, name, copy in copies]


def _copy_names(ids: Sequence[str]) -> Iterator[str]:
    """Leave the ending away where no other recording is called so, upper and lower case being the same."""
    stems = [one[: -len(PurePosixPath(one).suffix)] for one in ids]
    alike, same = (Counter(map(str.casefold, names)) for names in (stems, ids))
    for one, stem in zip(ids, stems, strict=True):
        if alike[stem.casefold()] == 1:
            yield stem
        elif same[one.casefold()] == 1:
            yield one
        else:
            yield f"{one}-{hashlib.blake2b(one.encode(errors='surrogateescape'), digest_size=4).hexdigest()}"


def check_apart(src: Path, dst: Path, names: Sequence[str] = ()) -> None:
    """Refuse to write among the recordings, or beside them where they lie in what is written; links are followed.

    Args:
        src: folder of recordings.
        dst: folder to write to.
        names: of the recordings, paths within ``src``.

    Raises:
        ValueError: if one lies in the other.
    """
    target = Path(os.path.realpath(dst))
    for folder in {src, *((src / name).parent for name in names)}:
        real = Path(os.path.realpath(folder))
        if real == target or real in target.parents or target in real.parents:
            told = f"got {str(dst)!r} and {str(src)!r}"
            raise ValueError(f"augment: dst must lie outside src and src outside dst, {told}")
