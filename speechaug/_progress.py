"""How far long work is, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHOW_AFTER_S = 2.0
"""Seconds of work after which a progress bar appears on a terminal."""

Advance = Callable[[float], None]
"""Takes note that so many pieces more, or such a part of one, are done."""


@contextmanager
def progress_bar(title: str, show: bool | None, total: int | None) -> Iterator[Advance]:
    """Show how far the work is, and the time left, on stderr.

    Args:
        title: what is done.
        show: whether to; None shows it on a terminal if it takes long.
        total: how much there is to do, if that is known.
    """
    if show is False or (show is None and not sys.stderr.isatty()):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    count = TextColumn("{task.completed:.0f}" + ("" if total is None else f"/{total}"))
    columns = [TextColumn(title), BarColumn(), count, TimeElapsedColumn(), TimeRemainingColumn()]
    bar = Progress(*columns, console=Console(stderr=True))
    task, started = bar.add_task("", total=total), time.monotonic()

    def advance(done: float) -> None:
        bar.advance(task, done)
        if not bar.live.is_started and (show or time.monotonic() - started > SHOW_AFTER_S):
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
