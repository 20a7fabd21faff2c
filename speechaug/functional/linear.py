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
from speechaug.ops.convolve import convolve
from speechaug.ops.transfer import transfer

_LARGEST = 8192  # transform where responses are short
_RINGING = 4096  # filters that ring on for longer run as recursions beside the FFT


def frame_size(extent: int, width: int) -> int:
    """Size of the transform in which a response is multiplied, chosen from few, so that spectra can be kept.

    Args:
        extent: samples the response extends before and after its sample, together.
        width: samples of a row. Long rows go in several frames, so this matters for short ones only.

    Example:
        >>> frame_size(8_000, 64_000), frame_size(8_000, 4_000_000), frame_size(8_000, 4_000)
        (40960, 49152, 12288)
    """
    top = max(8 * extent, _LARGEST)
    steps = [quarters << power for power in range(2, top.bit_length()) for quarters in (4, 5, 6)]
    sizes = [size for size in steps if size > extent and size <= top]
    # The last term is for spectra, which are evaluated and multiplied once for each row.
    return min(sizes, key=lambda size: (-(-width // (size - extent)) + 0.5) * size)


def apply_responses(x: Tensor, lengths: Tensor, spectrum: Tensor, before: int, after: int) -> Tensor:
    """Convolve each row with a response given as its transfer function: linear, nothing wraps around.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        spectrum: complex ``(B, bins)`` on the grid of an rfft of ``2 * (bins - 1)`` samples, more than ``before +
            after``; delays before 0 are wrapped to the end of the circle. Without gradient.
        before: samples the response extends before its sample.
        after: samples it extends after it.

    Raises:
        ValueError: if the transform is too small for the response.

    Example:
        >>> echo = torch.fft.rfft(torch.tensor([[1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]]))
        >>> apply_responses(torch.eye(1, 4), torch.tensor([4]), echo, before=0, after=2).round(decimals=3).abs()
        tensor([[1.0000, 0.0000, 0.5000, 0.0000]])
    """
    size = 2 * (spectrum.shape[-1] - 1)
    if before + after >= size:
        raise ValueError(
            f"apply_responses: spectrum must have more than {before + after} // 2 + 1 bins, got {spectrum.shape[-1]}"
        )
    if x.numel() == 0:
        return x.clone()
    y: Tensor = convolve(x if x.ndim == 3 else x[:, None], lengths, spectrum, before, after, False)
    return y.reshape(x.shape)


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


def run_group(x: Tensor, lengths: Tensor, members: Sequence[Member], context: Any, fused: bool = True) -> Tensor:
    """Run linear transforms that follow each other as one; where one is off, a row keeps what the others do.

    Tails are cut once, at the end, so the result is the same to rounding whether it is computed as one or not.
    Filters alone are one cascade, which is cheaper than an FFT. With others, the transfer functions of all are
    multiplied up, and the rows once.

    Args:
        x: ``(N, C, T)``, zero beyond ``lengths``.
        lengths: int64 ``(N,)``.
        members: in their order.
        context: of the call.
        fused: False runs one after the other.
    """
    if x.numel() == 0:
        return x.clone()
    if not fused:
        return _one_by_one(x, lengths, members, context)
    if all(hasattr(member.transform, "sections") for member in members):
        return in_series(x, lengths, _cascade(members, context))
    return _together(x, lengths, members, context)


def _cascade(members: Sequence[Member], context: Any) -> Tensor:
    """All sections of all filters, the identity where one is off: ``(N, S, 5)``."""
    parts = []
    for member in members:
        sections = member.transform.sections(context, **member.params)
        identity = (torch.arange(5, device=sections.device) == 0).to(sections.dtype)
        parts.append(torch.where(member.on[:, None, None], sections, identity))
    return torch.cat(parts, dim=1)


def _together(x: Tensor, lengths: Tensor, members: Sequence[Member], context: Any) -> Tensor:
    """Multiply by the product of all transfer functions."""
    filters = [member for member in members if hasattr(member.transform, "sections")]
    spectral = [member for member in members if not hasattr(member.transform, "sections")]
    before = sum(_reach(member.transform, context.sample_rate)[0] for member in members)
    ringing = sum(_reach(member.transform, context.sample_rate)[1] for member in filters)
    after = sum(_reach(member.transform, context.sample_rate)[1] for member in spectral)
    width, cascade = x.shape[-1], _cascade(filters, context) if filters else None
    if cascade is not None and ringing > max(after, _RINGING):
        # What the filters give beyond the end still counts for responses that begin before their sample.
        x, cascade = in_series(pad(x, (0, before)), lengths + before, cascade), None
    elif cascade is not None:
        after += ringing
    size = frame_size(before + after, width)
    spectrum = None if cascade is None else transfer(cascade, size)
    for member in spectral:
        factor = member.transform.response(size, context, **member.params)
        if member.host is None or not bool(member.host.all()):
            factor = torch.where(member.on[:, None], factor, 1.0)
        spectrum = factor if spectrum is None else spectrum.mul_(factor)
    assert spectrum is not None
    return apply_responses(x, lengths, spectrum, before, after)[..., :width]


def _one_by_one(x: Tensor, lengths: Tensor, members: Sequence[Member], context: Any) -> Tensor:
    """Run one after the other, with room around each row for what begins before its sample."""
    room = sum(_reach(member.transform, context.sample_rate)[0] for member in members)
    y, longer = pad(x, (room, room)), lengths + 2 * room
    wider = dataclasses.replace(context, width=y.shape[-1])
    for member in members:
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
