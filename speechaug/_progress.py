"""How far long work is, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SHOW_AFTER_S = 2.0
"""Seconds of work after which a progress bar appears on a terminal."""


class Advance(Protocol):
    """Takes note of what is done."""

    def __call__(self, done: float, audio_s: float = 0.0) -> None:
        """Note so many pieces more, or such a part of one, and how many seconds of audio they hold."""


@contextmanager
def progress_bar(title: str, show: bool | None, total: int | None) -> Iterator[Advance]:
    """Show how far the work is, and the time left, on stderr.

    Args:
        title: what is done.
        show: whether to; None shows it on a terminal if it takes long.
        total: how much there is to do, if that is known.
    """
    if show is False or (show is None and not sys.stderr.isatty()):
        yield lambda done, audio_s=0.0: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    count = TextColumn("{task.completed:.0f}" + ("" if total is None else f"/{total}"))
    columns = [TextColumn(title), BarColumn(), count, TextColumn("{task.fields[pace]}")]
    columns += [TimeElapsedColumn(), TimeRemainingColumn()]
    bar = Progress(*columns, console=Console(stderr=True))
    task, started = bar.add_task("", total=total, pace=""), time.monotonic()
    heard_s = 0.0

    def advance(done: float, audio_s: float = 0.0) -> None:
        nonlocal heard_s
        heard_s += audio_s
        bar.update(task, advance=done, pace=_pace(heard_s, time.monotonic() - started))
        if not bar.live.is_started and (show or time.monotonic() - started > SHOW_AFTER_S):
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


def _pace(audio_s: float, taken_s: float) -> str:
    """Say how many hours of audio are done in a second; nothing where none is counted.

    Example:
        >>> _pace(7_200.0, 10.0)
        '0.200 h/s'
    """
    return f"{audio_s / 3_600.0 / taken_s:.3f} h/s" if audio_s and taken_s else ""
