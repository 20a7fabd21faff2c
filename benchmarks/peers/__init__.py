"""Other libraries, called as their users would call them on a batch.

One module per library. Each function below ``@peer`` takes a :class:`~benchmarks.batch.Batch`, imports its library,
builds what can be kept between calls and returns the call to be timed. A call draws its own parameters, one per
example, as ours does.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.batch import Batch

Build = Callable[[Batch], Callable[[], object]]


class Peer(NamedTuple):
    """One library's way to do what a row does.

    Args:
        row: name of the row.
        library: name in the table.
        build: prepares the call.
        note: what differs from what ours does; empty where nothing.
        devices: where it runs.
    """

    row: str
    library: str
    build: Build
    note: str = ""
    devices: tuple[str, ...] = ("cpu",)


PEERS: list[Peer] = []
BOTH = ("cpu", "cuda")


def peer(row: str, library: str, *, note: str = "", devices: tuple[str, ...] = ("cpu",)) -> Callable[[Build], Build]:
    """Enter a function into :data:`PEERS`."""

    def enter(build: Build) -> Build:
        PEERS.append(Peer(row, library, build, note, devices))
        return build

    return enter


def peers_of(row: str, device: str) -> list[Peer]:
    """Return the peers of a row that run on a kind of device."""
    return [entry for entry in PEERS if entry.row == row and device in entry.devices]


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
