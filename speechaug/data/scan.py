"""Every file is looked at before training begins: what can be used, how long it is, and what is the matter."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from speechaug import audio
from speechaug._open import AudioError, is_piece
from speechaug.data.dataset import Recording, Transport, decode, dtype_of
from speechaug.data.findings import Finding
from speechaug.data.manifest import Utterance, shorten

OtherRates = Literal["resample", "skip", "error"]
"""What is done with files of another sample rate."""

OVERSHOOT_S = 0.5
"""How far an utterance may reach beyond the end of its file; it is cut there. Source: Kaldi, extract-segments."""

_MAY_HOLD_NAN = ("FLOAT", "DOUBLE")
"""Encodings of which the header does not tell enough."""

T = TypeVar("T")
R = TypeVar("R")


def scan(
    utterances: Sequence[Utterance],
    *,
    sample_rate: int,
    transport: Transport = "int16",
    cache_bytes: int = 0,
    min_duration_s: float = 0.0,
    max_duration_s: float | None = None,
    other_rates: OtherRates = "resample",
) -> tuple[list[Recording], list[Finding]]:
    """Look at every file: which utterances can be used, how long they are, and decode as many as may be kept.

    The header of each file is read once, however many utterances it holds. Utterances are decoded that fit into
    ``cache_bytes``, and those whose encoding could hold NaN. What is wrong with one is told, by name, and the rest is
    returned.

    Args:
        utterances: what to look at.
        sample_rate: of the batches, in Hz.
        transport: as in :class:`speechaug.data.SpeechDataset`.
        cache_bytes: room for decoded audio.
        min_duration_s: shorter utterances are left out, in seconds.
        max_duration_s: longer utterances are left out, in seconds; None for no bound.
        other_rates: ``resample`` files of another sample rate and say so, ``skip`` them, or raise an ``error``.

    Returns:
        The usable recordings, in order, and what was found, at most one finding for an utterance.

    Raises:
        ValueError: if there are files of another sample rate and ``other_rates`` is ``error``.

    Example:
        >>> scan([Utterance("u1", "absent.wav", "seven")], sample_rate=8_000)
        ([], [Finding(kind='missing', text='absent.wav: no such file')])
    """
    sources = list(dict.fromkeys(utterance.audio for utterance in utterances))
    headers = dict(zip(sources, _attempt(audio.info, sources), strict=True))
    most = math.inf if max_duration_s is None else max_duration_s
    placed = [_place(utterance, headers[utterance.audio], min_duration_s, most) for utterance in utterances]
    placed = [_at_rate(recording, sample_rate, other_rates) for recording in placed]
    strangers = [finding.text for finding in placed if isinstance(finding, Finding) and finding.kind == "other_rate"]
    if strangers and other_rates == "error":
        raise ValueError(f"sample_rate: every file must have {sample_rate} Hz, got {shorten(strangers)}")
    outcomes = _load([r for r in placed if isinstance(r, Recording)], sample_rate, transport, cache_bytes)
    resampled = [
        Finding("resampled", _with_rate(outcome))
        for outcome in outcomes
        if isinstance(outcome, Recording) and outcome.info.sample_rate != sample_rate
    ]
    findings = [outcome for outcome in (*placed, *outcomes) if isinstance(outcome, Finding)]
    return [outcome for outcome in outcomes if isinstance(outcome, Recording)], findings + resampled


def _place(
    utterance: Utterance, info: audio.AudioInfo | Exception, least_s: float, most_s: float
) -> Recording | Finding:
    """Find an utterance within its file, and its length."""
    if isinstance(info, Exception):
        return _finding(utterance, info)
    name, end_s = _name(utterance), info.duration_s
    if round(utterance.offset * info.sample_rate) >= info.frames:
        return Finding("beyond_end", f"{name}: ends at {end_s:.3f} s, before offset {utterance.offset} s")
    left = end_s - utterance.offset
    duration = left if utterance.duration is None else utterance.duration
    if duration > left + OVERSHOOT_S:
        return Finding("beyond_end", f"{name}: ends at {end_s:.3f} s, before {utterance.offset + duration:.3f} s")
    duration = min(left, duration)
    if not least_s <= duration <= most_s:
        kind, limit = ("too_short", f"< {least_s}") if duration < least_s else ("too_long", f"> {most_s}")
        return Finding(kind, f"{name} ({duration:.3f} s {limit} s)")
    return Recording(replace(utterance, duration=duration), info)


def _at_rate(found: Recording | Finding, sample_rate: int, other_rates: OtherRates) -> Recording | Finding:
    if isinstance(found, Recording) and found.info.sample_rate != sample_rate and other_rates != "resample":
        return Finding("other_rate", _with_rate(found))
    return found


def _load(
    recordings: Sequence[Recording], sample_rate: int, transport: Transport, room: int
) -> list[Recording | Finding]:
    """Decode what there is room for, and what could hold NaN."""
    tasks: list[tuple[Recording, bool]] = []
    for recording in recordings:
        seconds = recording.utterance.duration or 0.0
        room -= math.ceil(seconds * sample_rate) * np.dtype(dtype_of(transport)).itemsize
        tasks.append((recording, room >= 0))

    def finish(task: tuple[Recording, bool]) -> Recording:
        recording, keep = task
        if not keep and recording.info.subtype not in _MAY_HOLD_NAN:
            return recording
        samples = decode(recording.utterance, sample_rate, transport)
        return replace(recording, samples=samples if keep else None)

    outcomes = zip(recordings, _attempt(finish, tasks), strict=True)
    return [_finding(r.utterance, o) if isinstance(o, Exception) else o for r, o in outcomes]


def _attempt(work: Callable[[T], R], items: Sequence[T]) -> list[R | ValueError | OSError]:
    """Do the work for each item, several at a time, and return what came of it or what was wrong."""

    def one(item: T) -> R | ValueError | OSError:
        try:
            return work(item)
        except (ValueError, OSError) as error:
            return error

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, items))


def _finding(utterance: Utterance, error: Exception) -> Finding:
    kind = error.kind if isinstance(error, AudioError) else "unreadable"
    # What shares its file with others is named by its id as well.
    text = str(error) if _name(utterance) == str(utterance.audio) else f"{utterance.id}: {error}"
    return Finding("missing" if isinstance(error, FileNotFoundError) else kind, text)


def _name(utterance: Utterance) -> str:
    """Return the path of a file that is all the utterance's own, otherwise the utterance's id."""
    own = isinstance(utterance.audio, (str, Path)) and not is_piece(str(utterance.audio)) and utterance.offset == 0
    return str(utterance.audio) if own else utterance.id


def _with_rate(recording: Recording) -> str:
    return f"{_name(recording.utterance)} ({recording.info.sample_rate} Hz)"
