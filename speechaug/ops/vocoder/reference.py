"""The phase vocoder in plain torch: all rows at once, a block of frames at a time."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import pad

OVERLAP = 4
DOUBT = 0.1  # the more the neighbours of a bin disagree, the softer it gets; without it rounding errors would grow
ONSET = 4.0  # a rise of energy by this factor within a frame's advance is a new sound, with its own phases
LOUD = 1e4  # amplitude of a bin at full scale: fourth powers of it, and of what TINY leaves of them, fit a float32
TINY = 1e-6  # energy of a bin from which on phases are followed
LEAST = 0.1  # of the windows that lie on a sample, where fewer do
SILENCE = 1e-30


def vocoder(x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    """See the op."""
    if x.numel() == 0:
        return x.new_zeros(*x.shape[:2], width)
    rate = rate.double()
    y = _stretch(x, lengths, rate, width, hop)
    copied = pad(x, (0, max(0, width - x.shape[-1])))[..., :width]
    y = torch.where((rate == 1.0)[:, None, None], copied, y)
    valid = torch.arange(width, device=x.device) < torch.round(lengths.double() / rate)[:, None]
    return torch.where(valid[:, None], y, 0.0)


def _stretch(x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    """Stretch ``(B, C, T)`` to ``width``: as many frames at a time as fit, the state carried from one to the next."""
    size = OVERLAP * hop
    scale = x.detach().abs().amax(dim=(1, 2), keepdim=True).clamp(min=SILENCE) * (size / 2 / LOUD)
    beyond = x.shape[-1] + size // 2  # a frame centred here is empty
    # a frame starts half its size before its centre, its predecessor a hop before that
    padded = pad(x / scale, (size // 2 + hop, 2 * size))
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    frames = (width + size // 2 - 2) // hop + 1
    step = max(1, (1 << (19 if x.device.type == "cpu" else 22)) // (x.shape[0] * x.shape[1] * size))
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
        parts.append(done / weight.clamp(min=LEAST))
    parts.append(sound / cover.clamp(min=LEAST))
    y = torch.cat(parts).permute(1, 2, 0, 3).flatten(-2)[..., size // 2 : size // 2 + width]
    return y * scale


def _take_runs(x: Tensor, first: Tensor, size: int) -> Tensor:
    """Runs of ``size`` samples of ``x`` ``(B, C, T)`` from ``first`` ``(N, B)`` on: ``(N, B, C, size)``."""
    rows = torch.arange(x.shape[0] * x.shape[1], device=x.device).view(x.shape[:2]) * x.shape[2]
    place = (first[..., None] + rows)[..., None] + torch.arange(size, device=x.device)
    return x.reshape(-1).index_select(0, place.view(-1)).view(place.shape)


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
    risen = _over_channels(_energy(spectrum) - ONSET * _energy(before))
    onset = (risen.clamp(min=0.0) + TINY).square()
    power = _energy(advance)
    # loud bins count twice: in the product, and as its weight; the least keeps the gradient of the root finite
    pull = advance * power.clamp(min=TINY**2).sqrt()
    doubt = _with_neighbours(power.square() + onset.square()) * DOUBT**2
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
    """Lay frames ``(N, B, C, size)`` down every ``size / OVERLAP`` samples, onto what was left over before.

    Returns what is complete, ``(N, B, C, hop)``, and what the next frames still lie on.
    """
    quarters = frames.view(*frames.shape[:-1], OVERLAP, -1)
    laid = frames.new_zeros(frames.shape[0] + OVERLAP - 1, *frames.shape[1:-1], quarters.shape[-1])
    laid[: OVERLAP - 1] += carry
    for part in range(OVERLAP):
        laid[part : part + frames.shape[0]] += quarters[..., part, :]
    return laid[: frames.shape[0]], laid[frames.shape[0] :]
