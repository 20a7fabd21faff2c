"""Overlap-save in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FRAMES = 16
"""In one transform on a CPU, for each thread: many enough for the library's fast path, few enough for the cache."""


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
    if not rows:
        return _of_one_size(x, lengths, spectra[0], before, after[0], adjoint)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for spectrum, some, extent in zip(spectra, rows, after, strict=True):
        given = x.index_select(0, some), lengths.index_select(0, some)
        out.index_copy_(0, some, _of_one_size(*given, spectrum, before, extent, adjoint))
    return out


def _of_one_size(x: Tensor, lengths: Tensor, spectrum: Tensor, before: int, after: int, adjoint: bool) -> Tensor:
    size = 2 * (spectrum.shape[-1] - 1)
    hop, lead = size - before - after, before if adjoint else after
    out, frames = torch.empty_like(x, memory_format=torch.contiguous_format), -(-x.shape[-1] // hop)
    valid = lengths.tolist() if x.device.type == "cpu" else None
    if adjoint:
        x = _cut(x.clone(), lengths, valid)
    each, rows = x.shape[1] * frames, x.shape[0]
    together = rows if valid is None else max(1, min(rows, FRAMES * torch.get_num_threads() // max(1, each)))
    # All of ``work`` is transformed each time: so parts of about the same size.
    together = max(1, -(-rows // max(1, -(-rows // together))))
    # One frame alone is transformed by a path four times as slow: give it company.
    work = x.new_zeros(max(together * each, 2), size)
    spectra = x.new_empty(work.shape[0], size // 2 + 1, dtype=x.dtype.to_complex())
    for first in range(0, rows, together):
        last = min(first + together, rows)
        framed = work[: (last - first) * each].view(last - first, x.shape[1], frames, size)
        _lay(x[first:last], framed, hop, lead)
        torch.fft.rfft(work, out=spectra)
        factor = spectrum[first:last, None, None]
        bins = spectra[: (last - first) * each].view(last - first, x.shape[1], frames, -1)
        bins.mul_(factor.conj() if adjoint else factor)
        torch.fft.irfft(spectra, size, out=work)
        for frame in range(frames):
            place = out[first:last, :, frame * hop : (frame + 1) * hop]
            place.copy_(framed[:, :, frame, lead : lead + place.shape[-1]])
    return out if adjoint else _cut(out, lengths, valid)


def _lay(x: Tensor, framed: Tensor, hop: int, lead: int) -> None:
    """Write the frames of ``x`` into ``(rows, C, frames, size)``, each from ``lead`` samples before its hop."""
    for frame in range(framed.shape[2]):
        start = frame * hop - lead
        first, last = max(start, 0), min(start + framed.shape[3], x.shape[-1])
        place = framed[:, :, frame]
        place[..., : first - start] = 0.0
        place[..., first - start : last - start] = x[..., first:last]
        place[..., last - start :] = 0.0


def _cut(x: Tensor, lengths: Tensor, valid: list[int] | None) -> Tensor:
    """Zero what lies beyond the valid samples, in place."""
    if valid is None:
        places = torch.arange(x.shape[-1], device=x.device)
        return x.masked_fill_(places >= lengths[:, None, None], 0.0)
    for row, length in zip(x, valid, strict=True):
        row[..., max(length, 0) :] = 0.0
    return x
