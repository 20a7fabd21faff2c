"""``bank_response``: spectra of a bank's clips, kept from batch to batch on a CPU."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from speechaug.ops._op import without_compiler

KEPT_BYTES = 128 << 20
"""The most that is kept for a bank; what was not used for longest goes first."""


class _Kept(OrderedDict[tuple[int, int, bool], Tensor]):
    """Spectra by clip, size and kind, oldest use first."""

    held = 0

    def add(self, key: tuple[int, int, bool], spectra: Tensor) -> None:
        """Put one in and let the oldest go."""
        if key not in self:
            self[key] = spectra
            self.held += spectra.nbytes
        while self.held > KEPT_BYTES:
            self.held -= self.popitem(last=False)[1].nbytes


_banks: Any = WeakTensorKeyDictionary()  # by a bank's samples; gone when the bank is
_using = threading.Lock()


@torch.library.custom_op("speechaug::bank_response", mutates_args=())
def bank_response(
    clip: Tensor,
    gains: Tensor,
    pcm: Tensor,
    scale: Tensor,
    start: Tensor,
    length: Tensor,
    peak: Tensor,
    window: int,
    longest: int,
    size: int,
) -> Tensor:
    """Transform each row's clip, laid round a circle with its peak at 0 and what comes before it at the end.

    A CPU keeps the spectra: a transform less in every batch, which is a third of a convolution. A GPU computes them,
    because which clips were drawn is not known on the host there.

    Args:
        clip: index per row, int64 ``(B,)``.
        gains: float64 ``(B, 2)``: of what is near the peak, and of the rest; ``(B, 1)``: of the whole clip.
        pcm: the bank's clips, one after the other, int16.
        scale: ``(clips,)``: what one step of ``pcm`` is.
        start: ``(clips,)`` where each clip begins.
        length: ``(clips,)``.
        peak: ``(clips,)`` where each clip's largest sample is.
        window: how far from the peak is near, in samples.
        longest: length of the longest clip.
        size: of the transform, even and at least ``longest``.

    Returns:
        complex64 ``(B, size // 2 + 1)``.
    """
    tables, split = (pcm, scale, start, length, peak), gains.shape[1] == 2
    if clip.device.type != "cpu":
        spectra = _spectra(clip, *tables, window, longest, size, split)
        return torch.sum(spectra * gains[..., None].float(), dim=1)
    wanted, factors = clip.tolist(), gains.tolist()
    with _using:
        if pcm not in _banks:
            _banks[pcm] = _Kept()
        kept = _banks[pcm]
        found = {one: kept[one, size, split] for one in set(wanted) if (one, size, split) in kept}
        for one in found:
            kept.move_to_end((one, size, split))
    missing = sorted(set(wanted) - set(found))
    if missing:
        # One transform alone takes another path, slower and with other last bits: give it company.
        together = missing if len(missing) > 1 else 2 * missing
        made = _spectra(torch.tensor(together), *tables, window, longest, size, split)
        found |= {one: made[index].clone() for index, one in enumerate(missing)}
        with _using:
            for one in missing:
                kept.add((one, size, split), found[one])
    out = torch.empty(len(wanted), size // 2 + 1, dtype=torch.complex64)
    for row, one, factor in zip(out, wanted, factors, strict=True):
        torch.mul(found[one][0], factor[0], out=row)
        if split:
            row.add_(found[one][1], alpha=factor[1])
    return out


def _spectra(
    clip: Tensor,
    pcm: Tensor,
    scale: Tensor,
    start: Tensor,
    length: Tensor,
    peak: Tensor,
    window: int,
    longest: int,
    size: int,
    split: bool,
) -> Tensor:
    """Transform clips: complex64 ``(clips, 2, bins)``, near the peak and the rest, or ``(clips, 1, bins)``."""
    places = torch.arange(longest, device=clip.device)
    inside = places < length[clip][:, None]
    samples = pcm[(start[clip][:, None] + places).where(inside, 0)] * scale[clip][:, None]
    delay = places - peak[clip][:, None]
    parts = samples.where(inside, 0.0)[:, None]
    if split:
        near = (delay.abs() <= window)[:, None]
        parts = torch.cat([parts.where(near, 0.0), parts.where(~near, 0.0)], dim=1)
    circle = parts.new_zeros(*parts.shape[:2], size)
    circle.scatter_(2, (delay % size)[:, None].expand_as(parts), parts)
    spectra: Tensor = torch.fft.rfft(circle)
    return spectra


@bank_response.register_fake
def _(
    clip: Tensor,
    gains: Tensor,
    pcm: Tensor,
    scale: Tensor,
    start: Tensor,
    length: Tensor,
    peak: Tensor,
    window: int,
    longest: int,
    size: int,
) -> Tensor:
    return clip.new_empty(clip.shape[0], size // 2 + 1, dtype=torch.complex64)


without_compiler(bank_response)
