"""Overlap-save on the CPU: each row in as many frames as it needs; torch's FFT, numba for the rest.

Neither frames nor how numbers are rounded depend on the batch a row is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechaug.ops._cpu import array, jit, run
from speechaug.ops.convolve.reference import FRAMES
from speechaug.ops.product.cpu import spectra as multiply


def convolve(
    x: Tensor,
    lengths: Tensor,
    spectra: Sequence[Tensor],
    rows: Sequence[Tensor],
    before: int,
    after: Sequence[int],
    adjoint: bool,
) -> Tensor:
    """See :func:`speechaug.ops.convolve.convolve`."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    source, target, width = array(x), out.numpy(), x.shape[-1]
    valid = np.minimum(np.maximum(array(lengths), 0), width)
    # What is read, and what is written, of each row; the adjoint writes all.
    whole = np.full(len(valid), width)
    ends = (valid, whole) if adjoint else (whole, valid)
    for index, (spectrum, extent) in enumerate(zip(spectra, after, strict=True)):
        some = array(rows[index]) if rows else np.arange(x.shape[0])
        size = 2 * (spectrum.shape[-1] - 1)
        steps = size - before - extent, before if adjoint else extent
        frames = _frames(some, ends[1], steps[0], x.shape[1])
        _convolve(source, target, ends, frames, array(spectrum), size, steps, adjoint)
    if not adjoint:
        run(_silence, x.shape[0], target, valid)
    return out


@jit
def _frames(rows, ends, hop, channels):
    """Say of which row, channel and number each frame is, and by which response it is multiplied: ``(frames, 4)``."""
    count = 0
    for row in rows:
        count += channels * ((ends[row] + hop - 1) // hop)
    frames, place = np.empty((count, 4), np.int64), 0
    for response in range(len(rows)):
        row = rows[response]
        for channel in range(channels):
            for number in range((ends[row] + hop - 1) // hop):
                frames[place] = row, channel, number, response
                place += 1
    return frames


def _convolve(
    source: NDArray[Any],
    target: NDArray[Any],
    ends: tuple[NDArray[np.int64], NDArray[np.int64]],
    frames: NDArray[np.int64],
    spectrum: NDArray[Any],
    size: int,
    steps: tuple[int, int],
    adjoint: bool,
) -> None:
    """Transform, multiply and transform back, some frames at a time."""
    count = len(frames)
    parts = max(1, -(-count // (FRAMES * torch.get_num_threads())))
    together = -(-count // parts)  # all of ``work`` is transformed each time: so parts of about the same size
    # One frame alone is transformed by another path, slower and with other last bits: give it company.
    work = torch.empty(max(together, 2), size)
    work[together:] = 0.0
    for first in range(0, count, max(together, 1)):
        some = frames[first : first + together]
        run(_lay, len(some), source, ends[0], some, *steps, work.numpy())
        bins = torch.fft.rfft(work)
        run(multiply, len(some), bins.numpy(), spectrum, some[:, 3], adjoint)
        run(_put, len(some), target, ends[1], some, *steps, torch.fft.irfft(bins, size).numpy())


@jit
def _lay(first, last, x, ends, frames, hop, lead, work):
    """Write frames, each from ``lead`` samples before its hop."""
    for job in range(first, last):
        row, channel, number, _ = frames[job]
        line, frame, start = x[row, channel], work[job], number * hop - lead
        low = max(-start, 0)
        high = max(min(frame.size, ends[row] - start), low)
        frame[:low] = 0.0
        frame[low:high] = line[start + low : start + high]
        frame[high:] = 0.0


@jit
def _put(first, last, y, ends, frames, hop, lead, work):
    for job in range(first, last):
        row, channel, number, _ = frames[job]
        start = number * hop
        count = min(hop, ends[row] - start)
        y[row, channel, start : start + count] = work[job, lead : lead + count]


@jit
def _silence(first, last, y, ends):
    for row in range(first, last):
        y[row, :, ends[row] :] = 0.0
