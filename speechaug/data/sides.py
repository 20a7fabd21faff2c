"""The recordings of each side: read, split by speaker and take, looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from speechaug.data.dataset import Recording
from speechaug.data.findings import Finding
from speechaug.data.manifest import Utterance, shorten
from speechaug.data.scan import scan
from speechaug.data.sources import Source, read_manifest, same_source
from speechaug.data.split import hold_out_takes, only_speakers, split_speakers

if TYPE_CHECKING:
    from speechaug.data.module import SpeechDataModule


def split_sides(data: SpeechDataModule) -> dict[str, list[Utterance]]:
    """Read the sources of a DataModule and return who is trained on (``train``), validated (``val``) and tested.

    Args:
        data: whose sources, speakers and takes.

    Raises:
        ValueError: for an unknown speaker, a side that is left empty, or a missing transcript.
    """
    train = _read(data.train, data.pattern)
    same = data.test is None or same_source(data.train, data.test)
    named = data.train_speakers is not None or data.test_speakers is not None
    if same and (named or data.test is not None):
        train, test = split_speakers(train, data.train_speakers, data.test_speakers)
    else:
        test = _read(None if same else data.test, data.pattern)
        if data.train_speakers is not None:
            train = only_speakers(train, set(data.train_speakers), "train")
        if data.test_speakers is not None:
            test = only_speakers(test, set(data.test_speakers), "test")
    train, val = hold_out_takes(train, takes=data.takes, val_takes=data.val_takes)
    sides = {"train": train, "val": _read(data.val, data.pattern) or val, "test": test}
    for side, utterances in sides.items():
        _check_transcripts(side, utterances)
    return sides


def scan_sides(
    data: SpeechDataModule, sides: dict[str, list[Utterance]]
) -> tuple[dict[str, list[Recording]], dict[str, list[Finding]]]:
    """Look at every file and keep what there is room for, training first.

    Args:
        data: whose limits, rate and room.
        sides: from :func:`split_sides`.

    Returns:
        What can be used, and what is the matter with recordings, by side.

    Raises:
        ValueError: if nothing of a side can be used.
    """
    room = int(data.cache_mb * 1e6)
    recordings: dict[str, list[Recording]] = {}
    findings: dict[str, list[Finding]] = {}
    for side, utterances in sides.items():
        recordings[side], findings[side] = scan(
            utterances,
            sample_rate=data.sample_rate,
            transport=data.transport_of(side),
            cache_bytes=room,
            min_duration_s=data.min_duration_s,
            max_duration_s=data.max_duration_s,
            other_rates=data.other_rates,
        )
        if utterances and not recordings[side]:
            reasons = shorten([finding.text for finding in findings[side]], "; ")
            raise ValueError(f"{side}: none of {len(utterances)} recordings can be used: {reasons}")
        room -= sum(found.samples.nbytes for found in recordings[side] if found.samples is not None)
    return recordings, findings


def _read(source: Source | None, pattern: str | None) -> list[Utterance]:
    if source is None:
        return []
    folder = isinstance(source, (str, Path)) and Path(source).is_dir()
    return read_manifest(source, pattern if folder else None)


def _check_transcripts(side: str, utterances: list[Utterance]) -> None:
    mute = [utterance.id for utterance in utterances if not utterance.text.strip()]
    if mute:
        raise ValueError(
            f"{side}: {len(mute)} of {len(utterances)} utterances have no transcript: {shorten(mute)}; "
            "write one, or pass those that have one: [u for u in read_manifest(...) if u.text]"
        )
