"""Time: stretching at constant pitch, shifting; every row by its own amount.

Positions and lengths are float64: float32 positions would lose all but 38 dB after 15 s.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug.functional.level import valid_mask
from speechaug.functional.resample import budget, each_row, row_starts, scaled_lengths, take

# Stretching: frames of 40 ms every 10 ms.
_OVERLAP = 4
_DOUBT = 0.1  # the more the neighbours of a bin disagree, the softer it gets; without it rounding errors would grow
_ONSET = 4.0  # a rise of energy by this factor within a frame's advance is a new sound, with its own phases
_TINY = 1e-9  # energy of a bin, full scale having some 1e5, from which on phases are followed


def time_stretch(x: Tensor, lengths: Tensor, rate: Tensor, width: int, sample_rate: int) -> Tensor:
    """Make each row faster or slower and keep its pitch, with a phase vocoder that keeps onsets.

    Frames of 40 ms are laid down every 10 ms. Each frame is turned, bin by bin, so that what came 10 ms before it in
    the input fits what was laid down last (least squares over a bin and its neighbours: the bins of one partial stay
    together). A bin that has just become louder keeps its own phases: clicks stay clicks. All channels of a row are
    turned alike, so level and time differences between microphones stay. A rate of 1 is exact.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        rate: ``(B,)`` in [0.25, 4], above 1 is faster.
        width: samples of the output; what is longer is cut.
        sample_rate: in Hz.

    Returns:
        ``(B, ..., width)``, zero beyond :func:`scaled_lengths`. Gradients reach ``x``.

    Source:
        Laroche and Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Trans. Speech Audio
        Process. 1999; phases from two frames one synthesis step apart: Puckette, "Phase-locked vocoder", 1995.

    Example:
        >>> x = torch.sin(torch.arange(8_000) * 0.2)[None]
        >>> y = time_stretch(x, torch.tensor([8_000]), torch.tensor([0.8]), 10_000, 16_000)
        >>> int(torch.fft.rfft(y).abs().argmax()), round(0.2 * 10_000 / (2 * 3.14159265))
        (318, 318)
    """
    if x.numel() == 0 or width == 0:
        return x.new_zeros(*x.shape[:-1], width)
    signal, rate = x.reshape(x.shape[0], -1, x.shape[-1]), rate.double()
    y = _vocode(signal, lengths, rate, width, max(1, round(sample_rate / 100))).reshape(*x.shape[:-1], width)
    y = torch.where(each_row(rate == 1.0, x), pad(x, (0, width - x.shape[-1])), y)
    return torch.where(valid_mask(y, scaled_lengths(lengths, rate)), y, 0.0)


def time_shift(x: Tensor, lengths: Tensor, shift: Tensor) -> Tensor:
    """Move each row later (or earlier, where negative) and keep its length; what leaves the valid part is lost.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        shift: ``(B,)`` in samples, rounded, halves to even.

    Returns:
        The shape of ``x``, zero where nothing came from. Gradients reach ``x``.

    Example:
        >>> time_shift(torch.tensor([[1.0, 2.0, 3.0, 0.0]]), torch.tensor([3]), torch.tensor([1.0]))
        tensor([[0., 1., 2., 0.]])
    """
    if x.numel() == 0:
        return x.clone()
    signal = x.reshape(x.shape[0], -1, x.shape[-1])
    source = torch.arange(x.shape[-1], device=x.device) - torch.round(shift.double()).long()[:, None]
    kept = (source >= 0) & (source < lengths[:, None])
    y = take(signal, source.clamp(0, x.shape[-1] - 1))
    return torch.where(kept[:, None] & valid_mask(signal, lengths), y, 0.0).reshape(x.shape)


def _take_runs(x: Tensor, first: Tensor, size: int) -> Tensor:
    """Runs of ``size`` samples of ``x`` ``(B, C, T)`` from ``first`` ``(N, B)`` on: ``(N, B, C, size)``."""
    place = (first[..., None] + row_starts(x))[..., None] + torch.arange(size, device=x.device)
    return x.reshape(-1).index_select(0, place.view(-1)).view(place.shape)


def _vocode(x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    """Stretch ``(B, C, T)`` to ``width``: as many frames at a time as fit, the state carried from one to the next."""
    size = _OVERLAP * hop
    scale = x.detach().abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)  # products of spectra stay in range
    beyond = x.shape[-1] + size // 2  # a frame centred here is empty
    # a frame starts half its size before its centre, its predecessor a hop before that
    padded = pad(x / scale, (size // 2 + hop, 2 * size))
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    frames = (width + size // 2 - 2) // hop + 1
    step = max(1, budget(x, 1 << 19) // (x.shape[0] * x.shape[1] * size))
    turn = torch.fft.rfft(x.new_zeros(x.shape[0], size))  # of the empty frame before the first
    sound, cover, parts = x.new_zeros(()), x.new_zeros(()), []
    for start in range(0, frames, step):
        n = torch.arange(start - 1, min(start + step, frames), dtype=torch.float64, device=x.device)[:, None]
        centre = torch.where(n < 0, beyond, torch.round(n * hop * rate).clamp(max=beyond)).long()
        segment = _take_runs(padded, centre, size + hop)
        spectrum, before = torch.fft.rfft(segment[..., hop:] * window), torch.fft.rfft(segment[1:, ..., :size] * window)
        turns, turn = _turns(spectrum[:-1], before, spectrum[1:], turn)
        turned = torch.fft.irfft(spectrum[1:] * turns[:, :, None], n=size)
        done, sound = _overlap_add(turned * window, sound)
        weight, cover = _overlap_add(window.square() * _inside(centre[1:], lengths, size, x), cover)
        parts.append(done / weight.clamp(min=0.1))
    parts.append(sound / cover.clamp(min=0.1))
    y = torch.cat(parts).permute(1, 2, 0, 3).flatten(-2)[..., size // 2 : size // 2 + width]
    return y * scale


def _inside(centre: Tensor, lengths: Tensor, size: int, like: Tensor) -> Tensor:
    """Which samples of the frames are samples of the row: ``(N, B, 1, size)``."""
    index = torch.arange(-(size // 2), size - size // 2, dtype=like.dtype, device=like.device)
    first, end = -centre[..., None, None].to(like.dtype), (lengths - centre)[..., None, None].to(like.dtype)
    return (index >= first) & (index < end)


def _turns(previous: Tensor, before: Tensor, spectrum: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Phasors ``(N, B, K)`` that make each frame follow the one before; and the last, to go on from.

    Args:
        previous: ``(N, B, C, K)``, what was laid down one hop before the frame, not yet turned.
        before: what the input holds there.
        spectrum: of the frame.
        turn: of ``previous[0]``, ``(B, K)``.
    """
    advance = _over_channels(previous * before.conj())
    risen = _over_channels(_energy(spectrum) - _ONSET * _energy(before))
    onset = (risen.clamp(min=0.0) + _TINY).square()
    power = _energy(advance)
    # loud bins count twice: in the product, and as its weight; the least keeps the gradient of the root finite
    pull = advance * power.clamp(min=_TINY**2).sqrt()
    doubt = _with_neighbours(power.square() + onset.square()) * _DOUBT**2
    turns = []
    for pull_n, onset_n, doubt_n in zip(pull.unbind(), onset.unbind(), doubt.unbind(), strict=True):
        wish = _with_neighbours(pull_n * turn + onset_n)
        turn = wish * torch.rsqrt(_energy(wish) + doubt_n)
        turns.append(turn)
    return torch.stack(turns), turn


def _energy(z: Tensor) -> Tensor:
    return z.real.square() + z.imag.square()


def _over_channels(z: Tensor) -> Tensor:
    """Sum over the third axis; nothing to do for one channel."""
    total: Tensor = reduce(torch.add, z.unbind(2))
    return total


def _with_neighbours(z: Tensor) -> Tensor:
    z = pad(z, (1, 1))
    return z[..., 1:-1] + z[..., 2:] + z[..., :-2]


def _overlap_add(frames: Tensor, carry: Tensor) -> tuple[Tensor, Tensor]:
    """Lay frames ``(N, B, C, size)`` down every ``size / _OVERLAP`` samples, onto what was left over before.

    Returns what is complete, ``(N, B, C, hop)``, and what the next frames still lie on.
    """
    quarters = frames.view(*frames.shape[:-1], _OVERLAP, -1)
    laid = frames.new_zeros(frames.shape[0] + _OVERLAP - 1, *frames.shape[1:-1], quarters.shape[-1])
    laid[: _OVERLAP - 1] += carry
    for part in range(_OVERLAP):
        laid[part : part + frames.shape[0]] += quarters[..., part, :]
    return laid[: frames.shape[0]], laid[frames.shape[0] :]
