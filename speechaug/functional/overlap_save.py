"""Overlap-save convolution of rows: each in frames of a size that fits its own length."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug.ops.convolve import convolve

_LARGEST = 8192  # transform where responses are short


def frame_size(extent: int, width: int) -> int:
    """Size of the transform in which a response is multiplied, chosen from few, so that spectra can be kept.

    Args:
        extent: samples the response extends before and after its sample, together.
        width: samples of a row. Long rows go in several frames, so this matters for short ones only.

    Example:
        >>> frame_size(8_000, 64_000), frame_size(8_000, 4_000_000), frame_size(8_000, 4_000)
        (40960, 49152, 12288)
    """
    return min(_sizes(extent), key=lambda size: _cost(size, extent, width))


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
    found: NDArray[np.int64] = sizes[_cost(sizes, extent, lengths[:, None]).argmin(axis=1)]
    return found


def _cost(size: Any, extent: int, width: Any) -> Any:
    """What a row costs: its frames, and half of one for its spectrum, which is evaluated and multiplied once."""
    return (-(-width // (size - extent)) + 0.5) * size


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


def _kinds(before: int, after: int | NDArray[np.int64], lengths: NDArray[np.int64]) -> dict[tuple[int, int], list[int]]:
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
