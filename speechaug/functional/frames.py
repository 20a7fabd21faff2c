"""Short-time spectra: frames that overlap by half, taken apart, changed and laid together again."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

_FRAME_S = 0.032
_MOST_DB = 30.0


def frame_size(sample_rate: int) -> int:
    """Samples of a frame of 32 ms, an even number.

    Example:
        >>> frame_size(16_000)
        512
    """
    return 2 * max(2, round(_FRAME_S * sample_rate / 2))


def frame_window(size: int, like: Tensor) -> Tensor:
    """The root of a Hann window: once before and once after, the halves of neighbours add up to one."""
    return torch.hann_window(size, dtype=like.dtype, device=like.device).sqrt()


def split(x: Tensor, size: int) -> Tensor:
    """Take ``x`` ``(B, C, T)`` apart into windowed frames ``(B, C, N, size)`` that cover its ends twice.

    Example:
        >>> split(torch.ones(1, 1, 10), 4).shape
        torch.Size([1, 1, 6, 4])
    """
    hop = size // 2
    frames = pad(x, (hop, 2 * hop - 1 - (x.shape[-1] - 1) % hop)).unfold(-1, size, hop)
    return frames * frame_window(size, x)


def join(frames: Tensor, width: int) -> Tensor:
    """Lay frames ``(B, C, N, size)`` together, windowed again: what :func:`split` took apart, to rounding.

    Example:
        >>> x = torch.arange(10.0)[None, None]
        >>> torch.allclose(join(split(x, 4), 10), x, atol=1e-5)
        True
    """
    hop = frames.shape[-1] // 2
    frames = frames * frame_window(2 * hop, frames)
    laid = frames[..., 1:, :hop] + frames[..., :-1, hop:]
    return laid.flatten(-2)[..., :width]


def by_rows(effect: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """Compute an effect for as many rows at a time as stay in the cache; the first given is ``(B, C, T)``."""
    x = given[0]
    rows = max(1, (1 << (18 if x.device.type == "cpu" else 24)) // (x.shape[1] * x.shape[2]))
    parts = [effect(*(part[start : start + rows] for part in given)) for start in range(0, x.shape[0], rows)]
    return torch.cat(parts)


def bin_powers(spectra: Tensor) -> Tensor:
    """Squared magnitudes of complex spectra.

    Example:
        >>> bin_powers(torch.tensor([3.0 + 4.0j]))
        tensor([25.])
    """
    return spectra.real.square() + spectra.imag.square()


def at_bins(spectra: Tensor, place: Tensor) -> Tensor:
    """Values of ``spectra`` ``(B, N, K)`` between their bins, at the places ``(B, M)`` of each row, float64.

    Example:
        >>> at_bins(torch.tensor([[[0.0, 2.0, 6.0]]]), torch.tensor([[0.5, 1.0, 9.0]]).double())
        tensor([[[1., 2., 6.]]])
    """
    below = place.long().clamp(max=spectra.shape[-1] - 2)
    share = (place - below).clamp(max=1.0).to(spectra.dtype)[:, None]
    lower, upper = (
        spectra.gather(-1, index[:, None].expand(-1, spectra.shape[1], -1)) for index in (below, below + 1)
    )
    return lower + share * (upper - lower)


def bounded_gain(nepers: Tensor) -> Tensor:
    """Turn the logarithm of a gain ``(B, N, K)`` into a factor for all channels, within 30 dB of one."""
    limit = _MOST_DB * math.log(10.0) / 20.0
    return nepers.clamp(-limit, limit).exp()[:, None]
