"""Who does the work: processes of this machine, or of several."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from speechaug.folders.items import Engine, Item, Made, Work
from speechaug.folders.local import local


def ray(work: Work, items: Sequence[Item], workers: int | None) -> Generator[Made, None, None]:
    """Make items by the workers of a Ray cluster; see :mod:`speechaug.folders.ray`."""
    from speechaug.folders.ray import ray_engine

    yield from ray_engine(work, items, workers)


ENGINES: dict[str, Engine] = {"local": local, "ray": ray}
"""By the names that ``engine=`` takes."""
