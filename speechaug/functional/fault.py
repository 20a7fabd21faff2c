"""Faults of transmission and recording: lost packets, drop-outs, jumping gain, clipping by share, low level."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from speechaug.functional.level import active_level_db, cut, per_row, power_db, power_of_cut
from speechaug.functional.mask import masks
from speechaug.functional.noise import Reference, philox
from speechaug.functional.pointwise import apply_stages
from speechaug.functional.powers import amplitude
from speechaug.ops.gain_steps import gain_steps as change_gain
from speechaug.ops.loudest import loudest
from speechaug.ops.noise.reference import SILENCE_DB
from speechaug.ops.pointwise.reference import Stage

Concealment = Literal["zero", "repeat"]

RAMP_MS = 5.0
"""How long :func:`gain_steps` takes from one gain to the next."""

_FADE_MS = 2.5
_PCM_STEPS = 32_768.0


def lost_frames(key: Tensor, frames: Tensor, loss: Tensor, burst_frames: Tensor, width: int) -> Tensor:
    """Choose which frames of each row get lost, in bursts.

    Exactly ``round(loss * frames)`` are, in ``round(lost / burst_frames)`` bursts (at least one, and with a frame
    received between any two). Among all ways to lay them out each is as likely: what a two-state Markov chain
    (Gilbert) gives, seen only where it loses so many frames in so many bursts.

    Args:
        key: int64 ``(B,)``, 64 random bits a row.
        frames: int64 ``(B,)``, how many frames each row has, at most ``width``.
        loss: ``(B,)``, share of frames lost, in [0, 1].
        burst_frames: ``(B,)``, mean length of a burst, at least 1.
        width: frames of the widest row.

    Returns:
        Booleans ``(B, width)``; what a row loses does not depend on the width.

    Source: Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39 (1960).

    Example:
        >>> lost = lost_frames(torch.tensor([7]), torch.tensor([50]), torch.tensor([0.2]), torch.tensor([2.0]), 60)
        >>> bursts = (lost[:, 1:] & ~lost[:, :-1]).sum() + lost[0, 0]
        >>> lost.sum().item(), bursts.item(), lost[:, 50:].any().item()
        (10, 5, False)
    """
    lost = torch.round(loss.double() * frames).long()
    received = frames - lost
    bursts = torch.round(lost / burst_frames.double()).long().clamp(min=1).minimum(lost).minimum(received + 1)
    places = width + 1
    where, parting = philox(key, 2 * places).view(len(key), places, 2).unbind(-1)
    # A burst stands before one of the frames received, or after the last; which ones, in order:
    before = torch.argsort((~_chosen(where, received + 1, bursts)).byte(), dim=1, stable=True)
    # The lost frames are parted into bursts; which burst each belongs to:
    number = torch.nn.functional.pad(_chosen(parting, lost - 1, bursts - 1)[:, :-1].long(), (1, 0)).cumsum(dim=1)
    index = torch.arange(places, device=key.device)
    position = torch.where(index < lost[:, None], index + before.gather(1, number), places)
    flags = torch.zeros(len(key), places + 1, dtype=torch.bool, device=key.device)
    return flags.scatter(1, position, torch.ones_like(flags))[:, :width]


def _chosen(words: Tensor, among: Tensor, count: Tensor) -> Tensor:
    """Choose ``count`` of the first ``among`` places of each row: those of the smallest words."""
    index = torch.arange(words.shape[1], device=words.device)
    order = torch.argsort(torch.where(index < among[:, None], words, 2**32), dim=1, stable=True)
    return torch.zeros_like(order, dtype=torch.bool).scatter(1, order, index < count[:, None])


def packet_loss(
    x: Tensor,
    lengths: Tensor,
    key: Tensor,
    loss: Tensor,
    burst_frames: Tensor,
    *,
    frame_ms: float = 20.0,
    concealment: Concealment = "zero",
    sample_rate: int,
) -> tuple[Tensor, Tensor]:
    """Lose frames of each row, in bursts, see :func:`lost_frames`.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples; a part of a frame at the end counts as one.
        key: int64 ``(B,)``, 64 random bits a row.
        loss: ``(B,)``, share of frames lost, in [0, 1].
        burst_frames: ``(B,)``, mean length of a burst, at least 1.
        frame_ms: length of a frame.
        concealment: what a lost frame becomes: ``"zero"``, or ``"repeat"`` for the last one received, again and
            again. Joints are faded over 2.5 ms, from the samples before, mirrored.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, and the share of frames lost, float64 ``(B,)``. Gradients reach ``x``.

    Raises:
        ValueError: if ``concealment`` is neither.

    Example:
        >>> x, lengths = torch.ones(1, 1_000), torch.tensor([1_000])
        >>> half, mean = torch.tensor([0.5]), torch.tensor([1.0])
        >>> y, rate = packet_loss(x, lengths, torch.tensor([3]), half, mean, sample_rate=1_000)
        >>> y.mean().item(), rate.item()
        (0.5, 0.5)
    """
    if concealment not in ("zero", "repeat"):
        raise ValueError(f"packet_loss: concealment must be 'zero' or 'repeat', got {concealment!r}")
    size = max(1, round(frame_ms * sample_rate / 1_000.0))
    frames, width = -(-lengths // size), -(-x.shape[-1] // size)
    lost = lost_frames(key, frames, loss, burst_frames, width)
    rate = lost.sum(dim=1) / frames.clamp(min=1).double()
    if concealment == "repeat":
        return cut(_repeat_last(x, lost, size, round(_FADE_MS * sample_rate / 1_000.0)), lengths), rate
    silent = lost.repeat_interleave(size, dim=1)[:, : x.shape[-1]]
    return torch.where(silent if x.ndim == 2 else silent[:, None], 0.0, x), rate


def _repeat_last(x: Tensor, lost: Tensor, size: int, fade: int) -> Tensor:
    """Replace lost frames by the last one before that is not; silence where there is none."""
    number = torch.arange(lost.shape[1], device=x.device)
    source = torch.where(lost, -1, number).cummax(dim=1).values
    earlier = torch.nn.functional.pad(source[:, :-1], (1, 0), value=-1)
    joint = (source != earlier + 1) & (number > 0)
    place = torch.arange(x.shape[-1], device=x.device)
    frame, within = place // size, place % size
    y, tail = (
        _read(x, from_frame[:, frame], offset, size)
        for from_frame, offset in ((source, within), (earlier, size - 1 - within))
    )
    share = (fade - within).clamp(min=0).to(x.dtype) / (fade + 1.0) * joint[:, frame]
    return torch.lerp(y, tail, share if x.ndim == 2 else share[:, None])


def _read(x: Tensor, frame: Tensor, offset: Tensor, size: int) -> Tensor:
    """Read ``x`` at an offset in a frame for each sample ``(B, T)``, zero where the frame is -1."""
    place = (frame * size + offset).clamp(0, x.shape[-1] - 1)
    place, known = (part if x.ndim == 2 else part[:, None] for part in (place, frame >= 0))
    return torch.where(known, x.gather(-1, place.expand_as(x)), 0.0)


def dropouts(
    x: Tensor,
    lengths: Tensor,
    key: Tensor,
    chance: Tensor,
    rate_per_s: Tensor,
    duration_ms: tuple[float, float],
    most: int,
    sample_rate: int,
) -> tuple[Tensor, Tensor]:
    """Silence stretches of each row.

    ``floor(rate_per_s * seconds + chance)`` of them, one at a random place in each of as many equal parts of the row,
    so that no two overlap.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples.
        key: int64 ``(B,)``, 64 random bits a row.
        chance: ``(B,)`` in [0, 1): rounds the number of stretches.
        rate_per_s: ``(B,)``, stretches per second.
        duration_ms: shortest and longest stretch; each is drawn. None is longer than its part of the row.
        most: stretches that a row can have at most.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, and the share of samples silenced, float64 ``(B,)``. Gradients reach ``x``.

    Source: ``DropChunk`` of SpeechBrain, without overlaps.

    Example:
        >>> x, lengths, half = torch.ones(1, 1_000), torch.tensor([1_000]), torch.tensor([0.5])
        >>> y, share = dropouts(x, lengths, torch.tensor([3]), half, torch.tensor([2.0]), (100.0, 100.0), 3, 1_000)
        >>> y.sum().item(), share.item()
        (800.0, 0.2)
    """
    count = torch.floor(rate_per_s.double() * lengths / sample_rate + chance.double())
    where, long = (philox(key, 2 * most).view(len(key), most, 2).double() * 2.0**-32).unbind(-1)
    part = (lengths / count.clamp(min=1.0))[:, None]
    shortest, longest = (ms * sample_rate / 1_000.0 for ms in duration_ms)
    duration = (shortest + (longest - shortest) * long).minimum(part)
    index = torch.arange(most, device=x.device)
    width = torch.where(index < count[:, None], duration.floor(), 0.0).long()
    first = torch.floor(index * part + where * (part - duration)).long()
    silenced = masks(x if x.ndim == 3 else x[:, None], lengths, frames=(first, width))
    return silenced.view(x.shape), width.sum(dim=1) / lengths.clamp(min=1).double()


def gain_steps(
    x: Tensor, key: Tensor, phase: Tensor, gain_db: tuple[float, float], interval_ms: float, sample_rate: int
) -> Tensor:
    """Change the gain of each row from time to time, within 5 ms, straight in dB.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        key: int64 ``(B,)``, 64 random bits a row.
        phase: ``(B,)`` in [0, 1): how much of the first interval is over when the row begins.
        gain_db: lowest and highest gain; each interval draws its own.
        interval_ms: length of an interval, at least 5.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``. Gradients reach ``x``.

    Example:
        >>> y = gain_steps(torch.ones(1, 400), torch.tensor([3]), torch.zeros(1), (-6.0, 6.0), 100.0, 1_000)
        >>> y[0, [50, 99, 110, 150]].round(decimals=2)
        tensor([1.5500, 1.5500, 0.5900, 0.5900])
    """
    interval, ramp = (ms * sample_rate / 1_000.0 for ms in (interval_ms, RAMP_MS))
    count = math.ceil(x.shape[-1] / interval) + 1
    gains = gain_db[0] + (gain_db[1] - gain_db[0]) * 2.0**-32 * philox(key, count).double()
    y: Tensor = change_gain(x, gains, phase.double() * interval, interval, ramp)
    return y


def percentile_clipping(x: Tensor, lengths: Tensor, fraction: Tensor) -> tuple[Tensor, Tensor]:
    """Clip each row at the level that a share of its samples exceeds.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``; all channels count together.
        lengths: ``(B,)`` valid samples.
        fraction: ``(B,)`` in [0, 1]; ``round(fraction * samples)`` samples are clipped, ties aside.

    Returns:
        The shape of ``x``, and the share of samples clipped, float64 ``(B,)``. Gradients reach ``x``, through the
        level too.

    Example:
        >>> percentile_clipping(torch.tensor([[1.0, -4.0, 3.0, 2.0]]), torch.tensor([4]), torch.tensor([0.5]))
        (tensor([[ 1., -2.,  2.,  2.]]), tensor([0.5000], dtype=torch.float64))
    """
    if x.numel() == 0:
        return x.clone(), fraction.new_zeros(len(x), dtype=torch.float64)
    row = x.flatten(1)
    samples = lengths * (row.shape[1] // x.shape[-1])
    wanted = torch.round(fraction.double() * samples).long().minimum(samples - 1).clamp(min=0)
    place, louder = loudest(row.detach(), wanted)
    bound = per_row(row.gather(1, place[:, None])[:, 0].abs(), x)
    return torch.clamp(x, -bound, bound), louder / samples.clamp(min=1).double()


def low_level(
    x: Tensor, lengths: Tensor, level_dbfs: Tensor, *, reference: Reference = "rms", sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Bring each row to a level and round it to 16 bits, halves to even, no dither.

    The gain is a multiple of 0.001 dB, so that the last bits of a level do not decide how samples are rounded.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        level_dbfs: ``(B,)``, in dB relative to full scale: a full-scale sine has -3 dB.
        reference: what the level is of: ``"rms"``, or ``"active"`` for the active speech level
            (:func:`speechaug.functional.active_level_db`).
        sample_rate: in Hz; used by ``"active"``.

    Returns:
        The shape of ``x``, and the level reached, float64 ``(B,)``; -200 where nothing is left. Rows below -90 dB,
        silence, are only rounded. The gradient passes as if nothing had been rounded.

    Raises:
        ValueError: if ``reference`` is neither.

    Example:
        >>> x = torch.sin(torch.arange(16_000) * 0.5)[None]
        >>> y, reached = low_level(x, torch.tensor([16_000]), torch.tensor([-60.0]), sample_rate=16_000)
        >>> round(reached.item(), 1), (y * 32_768).max().item()
        (-60.0, 46.0)
    """
    if reference not in ("rms", "active"):
        raise ValueError(f"low_level: reference must be 'rms' or 'active', got {reference!r}")
    own_db = _level_db(x, lengths, reference, sample_rate)
    gain_db = torch.round(1_000.0 * (level_dbfs.double() - own_db)) / 1_000.0
    scale = amplitude(torch.where(own_db < SILENCE_DB, 0.0, gain_db))
    top = (_PCM_STEPS - 1.0) / _PCM_STEPS
    y = apply_stages(x, [(Stage.GAIN, scale, None), (Stage.LIMIT, top, None), (Stage.QUANTIZE, _PCM_STEPS, None)])
    return y, _level_db(y, lengths, reference, sample_rate)


def _level_db(x: Tensor, lengths: Tensor, reference: Reference, sample_rate: int) -> Tensor:
    if reference == "active":
        return active_level_db(x, lengths, sample_rate)
    return power_db(power_of_cut(x, lengths))
