"""What only a CUDA device has: its own clock, the refusal to wait for the host, and graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import speechaug as sa
from benchmarks.batch import Batch
from benchmarks.race import Entrant, explained
from benchmarks.results import Measured, Result, Spread
from benchmarks.rows import Row
from benchmarks.subject import Stages, applied, drawn, given, stages

_CALLS = 20
_HEAD_START = 100_000_000
"""Cycles the device sleeps while calls are queued, so that its clock sees no gaps between launches."""


@contextmanager
def no_wait() -> Iterator[None]:
    """Raise where the host would wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def check_no_wait(own: Stages) -> None:
    """Run the stages of a call twice, the second time refusing to wait: what moves to the device once is there by then.

    Raises:
        RuntimeError: where the host waits.
    """
    _chain(own)
    torch.cuda.synchronize()
    with no_wait():
        _chain(own)
    torch.cuda.synchronize()


def _chain(own: Stages) -> Any:
    value: Any = 0
    for stage in own.values():
        value = stage(value)
    return value


def device_time(call: Callable[[], object]) -> Spread:
    """Time a call by the device's clock, launches and the host left out."""
    call()
    marks = [(_event(), _event()) for _ in range(_CALLS)]
    torch.cuda._sleep(_HEAD_START)  # type: ignore[no-untyped-call]
    for start, end in marks:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return Spread.of([start.elapsed_time(end) / 1e3 for start, end in marks])


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


class FixedShapes:
    """A transform at work on static tensors: fresh draws are copied into the ones it was recorded with.

    Args:
        transform: what is run.
        batch: gives the input.
    """

    def __init__(self, transform: sa.Transform, batch: Batch) -> None:
        """Keep static copies of the parameters."""
        self._transform, self._x, self._device = transform, given(transform, batch), batch.device
        self._tree = _mapped(torch.clone, drawn(transform, batch).tensors(batch.device))

    def load(self, draws: sa.Draws) -> None:
        """Overwrite the parameters."""
        _copy(draws.tensors(self._device), self._tree)

    def run(self) -> tuple[Tensor, Tensor]:
        """Apply what was loaded, every row gated."""
        return applied(self._transform, self._x, self._tree)


def graph_stages(transform: sa.Transform, batch: Batch) -> Stages:
    """Capture a transform's execution with fixed shapes; the stages draw, load into it and replay.

    Raises:
        RuntimeError: where the capture fails, or the batch is not on a CUDA device.
    """
    if batch.device.type != "cuda":
        raise RuntimeError(f"a CUDA graph needs a batch on a CUDA device, got {batch.device}")
    fixed, graph = FixedShapes(transform, batch), torch.cuda.CUDAGraph()
    side = torch.cuda.Stream(batch.device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(batch.device))
    with torch.cuda.stream(side):  # kernels compile and workspaces are made outside of the capture
        for _ in range(3):
            fixed.run()
    torch.cuda.current_stream(batch.device).wait_stream(side)
    with torch.cuda.graph(graph):
        output = fixed.run()

    def replay(_: None) -> tuple[Tensor, Tensor]:
        graph.replay()
        return output

    return {"draw": lambda epoch: drawn(transform, batch, epoch), "transfer": fixed.load, "apply": replay}


def entrants(row: Row, subject: Any, batch: Batch) -> list[Entrant]:
    """Return what races beside ours on a GPU: ours as a CUDA graph, and ours on the CPU of the same machine."""
    beside = [Entrant("CPU", stages(row.make(batch.on_cpu), batch.on_cpu))]
    if isinstance(subject, sa.Transform):
        try:
            beside.insert(0, Entrant("graph", graph_stages(subject, batch)))
        except Exception as error:  # a capture that fails is a finding, and no reason to measure nothing
            beside.insert(0, Entrant("graph", {}, error=explained(error)))
    return beside


def finished(special: list[Entrant]) -> dict[str, Measured]:
    """Return the times of :func:`entrants`, whole and of the apply stage alone."""
    found = {}
    for entrant in special:
        found[entrant.name] = Measured(entrant.name, entrant.total, entrant.error and f"fails: {entrant.error}")
        if entrant.seconds:
            name = f"{entrant.name} apply"
            found[name] = Measured(name, Spread.of(entrant.seconds["apply"]))
    return found


def with_device_clock(result: Result, own: Stages, copying: Stages) -> Result:
    """Return a result with the apply stage, and the copy, timed by the device's own clock."""
    if result.failed:
        return result
    *before, last = own.values()
    value: Any = 0
    for stage in before:
        value = stage(value)
    apply, copy = device_time(lambda: last(value)), device_time(lambda: copying["copy"](None))
    return dataclasses.replace(result, copy=copy, device={**result.device, "apply": Measured("apply", apply)})


def _mapped(function: Callable[[Tensor], Tensor], tree: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _mapped(function, value) if isinstance(value, dict) else function(value) for key, value in tree.items()
    }


def _copy(source: dict[str, Any], target: dict[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, dict):
            _copy(value, target[key])
        else:
            target[key].copy_(value, non_blocking=True)
