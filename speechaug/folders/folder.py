"""Folders of recordings in, folders of augmented recordings out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechaug.folders.items import Report
from speechaug.transform import Transform


def augment_folder(
    src: str | Path,
    dst: str | Path,
    policy: Transform | str | Path,
    *,
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
    """
    raise NotImplementedError
