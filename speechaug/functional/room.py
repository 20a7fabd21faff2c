"""Rooms: convolution with a room's impulse response, aligned to its direct path."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug.functional.level import cut, per_row, power, power_of_cut

DIRECT_S = 0.0025
"""Up to this far from the peak a response counts as direct path: the window of DRR measurements (Zahorik 2002)."""


def good_size(n: int) -> int:
    """The smallest size from ``n`` on that FFTs like: no prime factor above 5.

    Example:
        >>> good_size(64_007)
        64800
    """
    best, five = 1 << max(n - 1, 0).bit_length(), 1
    while five < best:
        odd = five
        while odd < best:
            best = min(best, odd << (-(-n // odd) - 1).bit_length())
            odd *= 3
        five *= 5
    return best


def direct_path(response: Tensor) -> Tensor:
    """Where the direct path is: the index of the largest magnitude, the first if several; ``(B, L)`` to int64 ``(B,)``.

    Example:
        >>> direct_path(torch.tensor([[0.1, -0.9, 0.5, 0.9]])).tolist()
        [1]
    """
    if response.shape[-1] == 0:
        return torch.zeros(response.shape[0], dtype=torch.int64, device=response.device)
    magnitude = response.abs()
    places = torch.arange(response.shape[-1], device=response.device)
    highest = magnitude == magnitude.amax(dim=-1, keepdim=True)
    return torch.where(highest, places, response.shape[-1] - 1).amin(dim=-1)


def reverb(
    x: Tensor,
    lengths: Tensor,
    response: Tensor,
    peak: Tensor,
    wet: Tensor,
    sample_rate: int,
    level: Literal["response", "matched"] = "response",
) -> Tensor:
    """Put each row into a room: linear convolution, nothing wraps around.

    The direct path falls on the original's own time, so that word times and alignments hold; what the response has
    before its peak comes earlier. The response is scaled to unit energy: the level of speech stays about the same,
    by a gain that does not depend on the speech.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``; one room for all channels of a row.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        response: ``(B, L)`` impulse responses, zero after their end. A silent one leaves the row unchanged.
        peak: int64 ``(B,)``, the direct path's index (:func:`direct_path`).
        wet: ``(B,)`` scale of all that is more than 2.5 ms away from the direct path, before the scaling to unit
            energy: 0 leaves the direct path, 1 is the room, 2 has 6 dB more reverberation.
        sample_rate: in Hz.
        level: ``"response"`` is linear; ``"matched"`` then gives each row the RMS level it had.

    Raises:
        ValueError: if ``level`` is neither.

    Example:
        >>> x, room = torch.eye(4)[:1], torch.tensor([[0.0, 0.8, 0.6]])
        >>> reverb(x, torch.tensor([4]), room, direct_path(room), torch.ones(1), 16_000).round(decimals=3).abs()
        tensor([[0.8000, 0.6000, 0.0000, 0.0000]])
    """
    if level not in ("response", "matched"):
        raise ValueError(f"reverb: level must be 'response' or 'matched', got {level!r}")
    if x.numel() == 0 or response.shape[-1] == 0:
        return x.clone()
    size = good_size(x.shape[-1] + response.shape[-1] - 1)
    aligned = _aligned(_room(response, peak, wet, sample_rate).to(x.dtype), peak, size)
    spectrum = torch.fft.rfft(aligned).reshape(x.shape[0], *[1] * (x.ndim - 2), -1)
    y = torch.fft.irfft(torch.fft.rfft(x, size) * spectrum, size)[..., : x.shape[-1]]
    y = cut(y, lengths)
    return match_level(y, x, lengths) if level == "matched" else y


def match_level(y: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
    """Scale each row of ``y``, zero beyond ``lengths``, to the RMS level of ``x``; silence stays.

    Example:
        >>> match_level(torch.ones(1, 2), torch.tensor([[3.0, -3.0]]), torch.tensor([2]))
        tensor([[3., 3.]])
    """
    before, after = power(x, lengths), power_of_cut(y, lengths)
    silent = (before <= 0.0) | (after <= 0.0)
    ratio = torch.where(silent, 1.0, before) / torch.where(silent, 1.0, after)
    return y * per_row(ratio.sqrt(), y)


def _room(response: Tensor, peak: Tensor, wet: Tensor, sample_rate: int) -> Tensor:
    """The responses with their reverberation scaled, of unit energy; float64 ``(B, L)``."""
    places = torch.arange(response.shape[-1], device=response.device)
    direct = (places - peak[:, None]).abs() <= DIRECT_S * sample_rate
    scaled = response.double() * torch.where(direct, 1.0, wet.double()[:, None])
    energy = scaled.square().sum(dim=-1, keepdim=True)
    silent = energy <= 0.0
    nothing = (places == peak[:, None]).double()
    return torch.where(silent, nothing, scaled / torch.where(silent, 1.0, energy).sqrt())


def _aligned(response: Tensor, peak: Tensor, size: int) -> Tensor:
    """Lay responses round a circle of ``size`` samples, direct path at 0 and what comes before it at the end."""
    length = response.shape[-1]
    places = torch.arange(length, device=response.device) + peak[:, None]
    after = torch.where(places < length, response.gather(1, places.clamp(max=length - 1)), 0.0)
    before = torch.where(places >= length, response.gather(1, (places - length).clamp(min=0)), 0.0)
    return pad(after, (0, size - length)) + pad(before, (size - length, 0))
