"""Linear, time-invariant effects by their transfer functions: one multiplication for a whole group of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from torch.utils._python_dispatch import _disable_current_modes

from speechaug.functional.filter import in_series
from speechaug.functional.level import cut
from speechaug.functional.overlap_save import convolve_rows
from speechaug.ops.product import product
from speechaug.ops.transfer import transfer

_RINGING = 4096  # filters that ring on for longer run as recursions beside the FFT


def respond(transform: Any, x: Tensor, lengths: Tensor, context: Any, **params: Tensor) -> Tensor:
    """Apply one transform that has ``reach`` and ``response``; the arguments are those of its ``apply``."""
    before, after = transform.reach(context.sample_rate)

    def spectrum(size: int, rows: Tensor | None) -> Tensor:
        response: Tensor = transform.response(size, context, **_of_rows(params, rows))
        return response

    return convolve_rows(x, lengths, before, after, spectrum)


def _of_rows(params: dict[str, Tensor], rows: Tensor | None) -> dict[str, Tensor]:
    return params if rows is None else {name: value.index_select(0, rows) for name, value in params.items()}


class Member(NamedTuple):
    """A transform of a group on its rows.

    Attributes:
        transform: a linear one: it has ``reach`` and ``response``, or ``reach`` and ``sections``.
        on: bool ``(N,)``, on the device of the rows.
        params: its parameters, tensors ``(N, ...)``.
        host: ``on`` as an array on the host; None with fixed shapes.
    """

    transform: Any
    on: Tensor
    params: dict[str, Tensor]
    host: NDArray[np.bool_] | None = None

    @property
    def is_filter(self) -> bool:
        """Whether it has ``sections``: it costs little as a recursion, and its response may be long."""
        return hasattr(self.transform, "sections")

    @property
    def acts(self) -> bool:
        """Whether it is on somewhere, as far as the host knows."""
        return self.host is None or bool(self.host.any())

    def of_rows(self, rows: Tensor, places: NDArray[Any]) -> Member:
        """Return it on some rows, whose places the host knows too."""
        host = None if self.host is None else self.host[places]
        return Member(self.transform, self.on.index_select(0, rows), _of_rows(self.params, rows), host)


def run_group(x: Tensor, lengths: Tensor, members: Sequence[Member], context: Any, fused: bool = True) -> Tensor:
    """Run linear transforms that follow each other as one; where one is off, a row keeps what the others do.

    Tails are cut once, at the end, so the result is the same to rounding whether it is computed as one or not.
    Filters alone are one cascade, which is cheaper than an FFT. With others, the transfer functions of all are
    multiplied up, and the rows once.

    Args:
        x: ``(N, C, T)``, zero beyond ``lengths``.
        lengths: int64 ``(N,)``.
        members: in their order. One that is on nowhere still counts for how far responses reach.
        context: of the call.
        fused: False runs one after the other.
    """
    if x.numel() == 0:
        return x.clone()
    if not fused:
        return _one_by_one(x, lengths, members, context)
    if all(member.is_filter for member in _acting(members)):
        return in_series(x, lengths, _cascade(members, context))
    return _together(x, lengths, members, context)


def _acting(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member.acts]


def _cascade(members: Sequence[Member], context: Any) -> Tensor:
    """All sections of all filters, the identity where one is off: ``(N, S, 5)``."""
    parts = []
    for member in _acting(members):
        sections = member.transform.sections(context, **member.params)
        identity = (torch.arange(5, device=sections.device) == 0).to(sections.dtype)
        parts.append(torch.where(member.on[:, None, None], sections, identity))
    return torch.cat(parts, dim=1)


def _together(x: Tensor, lengths: Tensor, members: Sequence[Member], context: Any) -> Tensor:
    """Multiply by the product of all transfer functions."""
    reaches = [_reach(member.transform, context.sample_rate) for member in members]
    before, width = sum(reach for reach, _ in reaches), x.shape[-1]
    ringing = sum(reach for member, (_, reach) in zip(members, reaches, strict=True) if member.is_filter)
    if ringing > max(sum(reach for _, reach in reaches) - ringing, _RINGING):
        filters = [member for member in _acting(members) if member.is_filter]
        members = [member for member in members if not member.is_filter]
        if filters:  # what they give beyond the end still counts for responses that begin before their sample
            x = in_series(pad(x, (0, before)), lengths + before, _cascade(filters, context))
    extents = _extents(members, context.sample_rate)

    filters = [member for member in _acting(members) if member.is_filter]
    cascade = _cascade(filters, context) if filters else None

    def spectrum(size: int, rows: Tensor | None) -> Tensor:
        some = [member for member in _acting(members) if not member.is_filter]
        if rows is None:
            return _spectrum(some, cascade, size, context)
        sections = None if cascade is None else cascade.index_select(0, rows)
        return _spectrum([member.of_rows(rows, rows.numpy()) for member in some], sections, size, context)

    return convolve_rows(x, lengths, before, extents, spectrum)[..., :width]


def _extents(members: Sequence[Member], sample_rate: int) -> int | NDArray[np.int64]:
    """How far the responses of rows extend after their sample; for each row where the host knows what acts on it.

    That decides last bits, so it may not depend on what acts on other rows. It is the reach of the whole policy or a
    half of it, a quarter and so on: few values, for many rows to run together.
    """
    reaches = [_reach(member.transform, sample_rate)[1] for member in members]
    hosts = [member.host for member in members if member.host is not None]
    if len(hosts) < len(members):
        return sum(reaches)
    own, total = np.asarray(reaches) @ np.asarray(hosts, np.int64), sum(reaches)
    steps = -(-total // (1 << np.arange(total.bit_length(), -1, -1)))
    fitting: NDArray[np.int64] = steps[np.searchsorted(steps, own)]
    return fitting


def _spectrum(members: Sequence[Member], cascade: Tensor | None, size: int, context: Any) -> Tensor:
    """The product of all transfer functions, complex64 ``(N, bins)``."""
    spectrum: Tensor | None = None if cascade is None else transfer(cascade, size)
    for member in members:
        factor = member.transform.response(size, context, **member.params).expand(len(member.on), -1)
        if member.host is None or not bool(member.host.all()):
            factor = torch.where(member.on[:, None], factor, 1.0)
        spectrum = factor if spectrum is None else product(spectrum, factor)
    assert spectrum is not None
    return spectrum


def _one_by_one(x: Tensor, lengths: Tensor, members: Sequence[Member], context: Any) -> Tensor:
    """Run one after the other, with room around each row for what begins before its sample."""
    room = sum(_reach(member.transform, context.sample_rate)[0] for member in members)
    y, longer = pad(x, (room, room)), lengths + 2 * room
    wider = dataclasses.replace(context, width=y.shape[-1])
    for member in _acting(members):
        changed, _ = member.transform.apply(y, longer, wider, **member.params)
        y = torch.where(member.on[:, None, None], changed, y)
    return cut(y[..., room : room + x.shape[-1]], lengths)


def _reach(transform: Any, sample_rate: int) -> tuple[int, int]:
    """How far a response extends before and after its sample."""
    find = _ringing if hasattr(transform, "sections") else type(transform).reach
    reach: tuple[int, int] = find(transform, sample_rate)
    return reach


def _ringing(transform: Any, sample_rate: int) -> tuple[int, int]:
    return _worked_out(transform, sample_rate)


# What torch.compiler.assume_constant_result does, without importing the compiler, which takes seconds.
_ringing._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=256)
def _worked_out(transform: Any, sample_rate: int) -> tuple[int, int]:
    """The reach of a filter, from its fields alone: with real numbers also where the batch has none."""
    with _disable_current_modes():
        reach: tuple[int, int] = transform.reach(sample_rate)
    return reach
