"""``convolve``: multiplication by a spectrum for each row, in frames of a fixed size (overlap-save)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechaug.ops._op import without_compiler

_FRAMES = 16
"""In one transform on a CPU, for each thread: many enough for the library's fast path, few enough for the cache."""


@torch.library.custom_op("speechaug::convolve", mutates_args=())
def convolve(x: Tensor, lengths: Tensor, spectrum: Tensor, before: int, after: int, adjoint: bool) -> Tensor:
    """Convolve each row with the response whose rfft is given, linearly: nothing wraps around.

    A row is cut into frames that overlap by the response's extent, so the size of the transform depends on the
    response alone and its spectrum can be kept whatever the width of the batch.

    Args:
        x: ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; the output is 0 beyond them.
        spectrum: ``(B, bins)`` complex, of the precision of ``x``; delays before 0 wrapped to the end of the circle.
        before: samples the response extends before its sample.
        after: samples it extends after it.
        adjoint: of the convolution instead; it cuts first and convolves with the response turned around.
    """
    size = 2 * (spectrum.shape[-1] - 1)
    hop, lead = size - before - after, before if adjoint else after
    out, frames = torch.empty_like(x, memory_format=torch.contiguous_format), -(-x.shape[-1] // hop)
    valid = lengths.tolist() if x.device.type == "cpu" else None
    if adjoint:
        x = _cut(x.clone(), lengths, valid)
    each, rows = x.shape[1] * frames, x.shape[0]
    together = rows if valid is None else max(1, min(rows, _FRAMES * torch.get_num_threads() // max(1, each)))
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


@convolve.register_fake
def _(x: Tensor, lengths: Tensor, spectrum: Tensor, before: int, after: int, adjoint: bool) -> Tensor:
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, lengths, spectrum, ctx.before, ctx.after, ctx.adjoint = inputs
    ctx.save_for_backward(lengths, spectrum)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    lengths, spectrum = ctx.saved_tensors
    y = convolve(gradient, lengths, spectrum, ctx.before, ctx.after, not ctx.adjoint)
    return y, None, None, None, None, None


convolve.register_autograd(_backward, setup_context=_keep)
without_compiler(convolve)
