"""Who does the work: processes of this machine, or of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from speechaug.folders.items import Engine, Item, Made, Work


def local(work: Work, items: Sequence[Item], workers: int) -> Iterator[Made]:
    """Make items by processes of this machine; a worker that is killed is replaced, and its item tried again.

    Args:
        work: what makes an item.
        items: what to make.
        workers: processes; 0 for none beside this one.
    """
    for item in items:
        yield work(item)


def ray(work: Work, items: Sequence[Item], workers: int) -> Iterator[Made]:
    """Make items by the workers of a Ray cluster; see :mod:`speechaug.folders.ray`."""
    from speechaug.folders.ray import ray_engine

    yield from ray_engine(work, items, workers)


ENGINES: dict[str, Engine] = {"local": local, "ray": ray}
"""By the names that ``engine=`` takes."""
