"""Linear, time-invariant effects by their transfer functions: one multiplication for a whole group of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
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
from speechaug.ops.product import product
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
    # The last term is for spectra, which are evaluated and multiplied once for each row.
    return min(_sizes(extent), key=lambda size: (-(-width // (size - extent)) + 0.5) * size)


def _sizes(extent: int) -> list[int]:
    top = max(8 * extent, _LARGEST)
    steps = [quarters << power for power in range(2, top.bit_length()) for quarters in (4, 5, 6)]
    return [size for size in steps if size > extent and size <= top]


def frame_sizes(extent: int, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return :func:`frame_size` for rows of several lengths.

    Example:
        >>> frame_sizes(8_000, np.array([64_000, 4_000])).tolist()
        [40960, 12288]
    """
    sizes = _size_table(extent)
    costs = (-(-lengths[:, None] // (sizes - extent)) + 0.5) * sizes
    found: NDArray[np.int64] = sizes[costs.argmin(axis=1)]
    return found


@functools.lru_cache(maxsize=256)
def _size_table(extent: int) -> NDArray[np.int64]:
    return np.asarray(_sizes(extent))


def convolve_rows(
    x: Tensor,
    lengths: Tensor,
    before: int,
    after: int | NDArray[np.int64],
    spectrum: Callable[[int, Tensor | None], Tensor],
) -> Tensor:
    """Convolve each row with its response, in frames whose size fits the row.

    On a CPU each row's own length chooses, as if the row were alone: last bits depend on the size, and so neither on
    padding nor on company. Where lengths are on a GPU, or traced, the width chooses one size for all.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        before: samples the responses extend before their sample.
        after: samples they extend after it, at most; for all rows, or for each on a CPU.
        spectrum: gives, for a size and for rows (int64 ``(N,)``, or None for all), their transfer functions: complex
            ``(N, size // 2 + 1)``, see :func:`apply_responses`.

    Example:
        >>> def nothing(size, rows):
        ...     print(size, rows.tolist())
        ...     return torch.ones(len(rows), size // 2 + 1, dtype=torch.complex64)
        >>> convolve_rows(torch.ones(2, 64_000), torch.tensor([64_000, 4_000]), 0, 8_000, nothing).sum(dim=1)
        40960 [0]
        12288 [1]
        tensor([64000.,  4000.])
    """
    if x.numel() == 0:
        return x.clone()
    own = _known(lengths)
    if own is None:
        most = after if isinstance(after, int) else int(after.max())
        kinds = {(frame_size(before + most, x.shape[-1]), most): [0]}
    else:
        kinds = _kinds(before, after, own)
    alike = len(kinds) == 1
    rows = [] if alike else [torch.tensor(some) for some in kinds.values()]
    spectra = [
        # One for all rows is laid out for each: kernels look for as many as there are rows.
        spectrum(size, None if alike else rows[index]).expand(x.shape[0] if alike else len(rows[index]), -1)
        for index, (size, _) in enumerate(kinds)
    ]
    reaches = [reach for _, reach in kinds]
    y: Tensor = convolve(x if x.ndim == 3 else x[:, None], lengths, spectra, rows, before, reaches, False)
    return y.reshape(x.shape)


def _kinds(
    before: int, after: int | NDArray[np.int64], lengths: NDArray[np.int64]
) -> dict[tuple[int, int], list[int]]:
    """Rows by the size of their frames and by how far their responses extend."""
    kinds: dict[tuple[int, int], list[int]] = {}
    for reach in (after,) if isinstance(after, int) else sorted(set(after.tolist())):
        rows = np.arange(len(lengths)) if isinstance(after, int) else np.flatnonzero(after == reach)
        for row, size in zip(rows.tolist(), frame_sizes(before + reach, lengths[rows]).tolist(), strict=True):
            kinds.setdefault((size, reach), []).append(row)
    return kinds


def _known(lengths: Tensor) -> NDArray[np.int64] | None:
    """Lengths as the host knows them: on a CPU, unless they are traced."""
    real = type(lengths) is Tensor and lengths.device.type == "cpu" and not torch.compiler.is_compiling()
    return lengths.numpy() if real else None


def respond(transform: Any, x: Tensor, lengths: Tensor, context: Any, **params: Tensor) -> Tensor:
    """Apply one transform that has ``reach`` and ``response``; the arguments are those of its ``apply``."""
    before, after = transform.reach(context.sample_rate)

    def spectrum(size: int, rows: Tensor | None) -> Tensor:
        response: Tensor = transform.response(size, context, **_of_rows(params, rows))
        return response

    return convolve_rows(x, lengths, before, after, spectrum)


def _of_rows(params: dict[str, Tensor], rows: Tensor | None) -> dict[str, Tensor]:
    return params if rows is None else {name: value.index_select(0, rows) for name, value in params.items()}


def apply_responses(x: Tensor, lengths: Tensor, spectrum: Tensor, before: int, after: int) -> Tensor:
    """Convolve each row with a response given as its transfer function: linear, nothing wraps around.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        spectrum: complex ``(B, bins)``, or ``(1, bins)`` for all rows, on the grid of an rfft of ``2 * (bins - 1)``
            samples, more than ``before + after``; delays before 0 are wrapped to the end of the circle. Without
            gradient.
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
    lengths, spectrum = lengths.expand(len(x)), spectrum.expand(len(x), -1)
    y: Tensor = convolve(x if x.ndim == 3 else x[:, None], lengths, [spectrum], [], before, [after], False)
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
    if all(member.is_filter for member in members if member.acts):
        return in_series(x, lengths, _cascade(members, context))
    return _together(x, lengths, members, context)


def _cascade(members: Sequence[Member], context: Any) -> Tensor:
    """All sections of all filters, the identity where one is off: ``(N, S, 5)``."""
    parts = []
    for member in filter(lambda member: member.acts, members):
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
        filters = [member for member in members if member.is_filter and member.acts]
        members = [member for member in members if not member.is_filter]
        if filters:  # what they give beyond the end still counts for responses that begin before their sample
            x = in_series(pad(x, (0, before)), lengths + before, _cascade(filters, context))
    extents = _extents(members, context.sample_rate)

    filters = [member for member in members if member.is_filter and member.acts]
    cascade = _cascade(filters, context) if filters else None

    def spectrum(size: int, rows: Tensor | None) -> Tensor:
        some = [member for member in members if not member.is_filter and member.acts]
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
    for member in filter(lambda member: member.acts, members):
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
