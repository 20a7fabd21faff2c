"""WSOLA in plain torch: every row decides frame by frame, all rows at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LEAST_FRAMES = 32
"""Frames of a row so short that its hop shrinks to a quarter of it: 28 of them at a rate of 0.25."""

_QUIET = 1e-30  # below this all candidates are alike


class Sizes(NamedTuple):
    """Whole numbers of the search; sums of products fit an int32."""

    hop: int
    reach: int
    coarse: int  # samples that are added up for the first look
    shift: int  # bits these sums lose
    peak: int  # largest sample after quantisation
    frames: int


def sizes(channels: int, width: int, hop: int, reach: int, coarse: int) -> Sizes:
    """Derive what the kernels and the reference need alike.

    Example:
        >>> sizes(1, 64_000, 320, 128, 4)
        Sizes(hop=320, reach=128, coarse=4, shift=1, peak=2590, frames=200)
    """
    shift = math.ceil(math.log2(coarse) / 2)
    # products over a hop of all channels are to fit an int32, samples and their sums an int16
    peak = min(math.isqrt((2**31 - 1) // (hop * max(channels, 1))), ((2**15 - 1) << shift) // coarse)
    return Sizes(hop, reach, coarse, shift, peak, max(-(-width // hop), LEAST_FRAMES))


def wsola(
    x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int, reach: int, coarse: int
) -> tuple[Tensor, Tensor]:
    """See the op."""
    starts = _starts(x, lengths, rate, sizes(x.shape[1], width, hop, reach, coarse))
    weight, old, new, valid = _places(starts, lengths, rate, width, hop)
    a, b = _take(x, old, lengths), _take(x, new, lengths)
    return torch.where(valid[:, None], a + weight.to(x.dtype)[:, None] * (b - a), 0.0), starts


def wsola_adjoint(g: Tensor, starts: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    """See the op."""
    weight, old, new, valid = _places(starts, lengths, rate, g.shape[-1], hop)
    part = torch.where(valid[:, None], g, 0.0)
    late = part * weight.to(g.dtype)[:, None]
    x = g.new_zeros(*g.shape[:2], width + 1)  # what was read beyond the end goes into the last
    for index, share in ((old, part - late), (new, late)):
        index = torch.where(index < lengths[:, None], index, width)
        x.scatter_add_(-1, index[:, None].expand_as(g), share)
    return x[..., :width].contiguous()


def row_hops(lengths: Tensor, hop: int) -> Tensor:
    """Samples from one frame to the next: fewer in rows too short for four."""
    return (lengths // 4).clamp(1, hop)


def _places(
    starts: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How much of the frame that begins is in each sample of the output; where both frames are read; what is valid."""
    n, hops = torch.arange(width, device=starts.device), row_hops(lengths, hop)[:, None]
    frame = (n // hops).clamp(max=starts.shape[1] - 1)
    inside = n - frame * hops
    t = (inside.float() + 0.5) / hops.float()
    weight = t * t * (3.0 - 2.0 * t)
    before = torch.where(frame > 0, starts.gather(1, (frame - 1).clamp(min=0)) + hops, 0) + inside
    now = starts.gather(1, frame) + inside
    valid = n < torch.round(lengths.double() / rate.double()).long()[:, None]
    return weight, before, now, valid


def _take(x: Tensor, index: Tensor, lengths: Tensor) -> Tensor:
    """Samples ``index`` ``(B, N)`` of every channel, zero beyond the end."""
    found = x.gather(-1, index.clamp(0, x.shape[-1] - 1)[:, None].expand(-1, x.shape[1], -1))
    return torch.where((index < lengths[:, None])[:, None], found, 0.0)


def _starts(x: Tensor, lengths: Tensor, rate: Tensor, size: Sizes) -> Tensor:
    """Where each frame of each row is read from, ``(B, frames)``."""
    hops, out = row_hops(lengths, size.hop), torch.round(lengths.double() / rate.double()).long()
    reach = size.reach * hops // size.hop
    start, starts = -hops, []
    for k in range(size.frames):
        want = start + hops
        most = (lengths - torch.minimum(2 * hops, out - k * hops)).clamp(min=0)
        centre = (k * hops * rate.double()).long().minimum(most)
        low, high = (centre - reach).clamp(min=0), (centre + reach).minimum(most)
        found = _search(x, lengths, want, centre, low, high, hops, reach, size)
        goes_on = ((want - centre).abs() <= reach // 2) & (want <= most)
        start = torch.where(goes_on | (k * hops >= out), want, found)
        starts.append(start)
    return torch.stack(starts, dim=1)


def _search(
    x: Tensor,
    lengths: Tensor,
    want: Tensor,
    centre: Tensor,
    low: Tensor,
    high: Tensor,
    hops: Tensor,
    reach: Tensor,
    size: Sizes,
) -> Tensor:
    """Find the start in ``low .. high`` whose samples continue those at ``want`` best."""
    n = torch.arange(size.hop + 2 * size.reach, device=x.device)
    old = _take(x, want[:, None] + n[: size.hop], torch.minimum(lengths, want + hops))
    new = _take(x, low[:, None] + n, torch.minimum(lengths, high + hops))
    loudest = torch.maximum(old.abs().amax((1, 2)), new.abs().amax((1, 2))).double()
    scale = torch.where(loudest > _QUIET, size.peak / loudest.clamp(min=_QUIET), 0.0).to(x.dtype)[:, None, None]
    old, new = (old * scale).int(), (new * scale).int()
    lag = torch.arange(0, 2 * size.reach + 1, size.coarse, device=x.device)[None]
    limits = (low, high, centre, reach)
    rough = _best(_sums(old, size), _sums(new, size), lag // size.coarse, lag, *limits, hops // size.coarse)
    lag = (rough - low)[:, None] + torch.arange(1 - size.coarse, size.coarse, device=x.device)
    return _best(old, new, lag, lag, *limits, hops)


def _sums(q: Tensor, size: Sizes) -> Tensor:
    """Sums of ``size.coarse`` samples each, scaled so that sums of their products fit an int32 as well."""
    count = q.shape[2] // size.coarse
    sums = q[..., : count * size.coarse].reshape(*q.shape[:2], count, size.coarse).sum(-1, dtype=torch.int32)
    return torch.bitwise_right_shift(sums, size.shift)


def _best(
    old: Tensor,
    new: Tensor,
    place: Tensor,
    lag: Tensor,
    low: Tensor,
    high: Tensor,
    centre: Tensor,
    reach: Tensor,
    count: Tensor,
) -> Tensor:
    """Of the starts ``low + lag``, at ``place`` in ``new``, the one most alike and near; of equals the nearest."""
    index = torch.arange(old.shape[2], device=old.device)
    at = (place.expand(len(old), -1)[..., None] + index).clamp(0, new.shape[2] - 1)
    runs = new.gather(2, at.flatten(1)[:, None].expand(-1, new.shape[1], -1)).view(*new.shape[:2], *at.shape[1:])
    runs = torch.where(index < count[:, None, None, None], runs, 0)
    dot = (runs * old[:, :, None]).sum((1, 3)).double()
    start = low[:, None] + lag
    apart = start - centre[:, None]
    energy = (runs * runs).sum((1, 3)).clamp(min=1).double()
    score = dot * dot.abs() / energy * (3 * reach[:, None] - 2 * apart.abs())
    score = torch.where((start >= low[:, None]) & (start <= high[:, None]), score, -math.inf)
    rank = torch.where(score == score.amax(1, keepdim=True), 2 * apart.abs() + (apart > 0), 2**40).amin(1)
    return centre + torch.where(rank % 2 == 1, rank // 2, -(rank // 2))
