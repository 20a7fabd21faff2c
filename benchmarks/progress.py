"""How far a run is, and how long it still takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[str, float], None]


@contextmanager
def progress(total: float) -> Iterator[Step]:
    """Yield a function to call before each piece of work with its name and its weight.

    A bar with the time left on a terminal that has rich; else a line for each piece.

    Args:
        total: sum of the weights.
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    except ImportError:
        yield _say
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _say
        return
    left = TextColumn("left")
    columns = (TextColumn("{task.description:<42}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), left)
    with Progress(*columns, console=console, transient=True, speed_estimate_period=600.0) as bar:
        task, pending = bar.add_task("starting", total=total), [0.0]

        def step(name: str, weight: float) -> None:
            bar.update(task, advance=pending[0], description=name)
            pending[0] = weight

        yield step


def _say(name: str, weight: float) -> None:
    print(f"  {name}", file=sys.stderr, flush=True)
