"""Levels: gain, polarity, and how loud a row is over its own valid samples.

Levels are in dB relative to full scale: 0 dB is a mean power of 1, so a full-scale sine reads -3 dB.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug.functional.pointwise import apply_stages
from speechaug.functional.powers import amplitude
from speechaug.ops.pointwise.reference import Stage

FLOOR_DB = -200.0
"""What silence reads: far below any recording, and finite."""

_SMOOTHING_S = 0.03
_HANGOVER_S = 0.2
_MARGIN_DB = 15.9
_THRESHOLDS = 12
_BLOCK = 4096


def per_row(values: Tensor, x: Tensor) -> Tensor:
    """Shape one value per row, ``(B,)``, so that it broadcasts over ``x``; in the dtype of ``x``."""
    return values.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def valid_mask(x: Tensor, lengths: Tensor) -> Tensor:
    """Say which samples or frames are valid.

    Args:
        x: ``(B, ..., T)``.
        lengths: ``(B,)`` valid samples or frames of each row.

    Returns:
        Booleans of shape ``(B, 1, ..., T)``, as many dimensions as ``x``.

    Example:
        >>> valid_mask(torch.zeros(2, 3), torch.tensor([1, 3]))
        tensor([[ True, False, False],
                [ True,  True,  True]])
    """
    positions = torch.arange(x.shape[-1], device=x.device)
    valid: Tensor = positions < lengths.reshape(-1, *[1] * (x.ndim - 1))
    return valid


def gain(x: Tensor, gain_db: Tensor) -> Tensor:
    """Amplify each row.

    Args:
        x: ``(B, ..., T)``.
        gain_db: ``(B,)``, in dB; 0 changes nothing.

    Example:
        >>> gain(torch.ones(2, 1), torch.tensor([0.0, 20.0])).flatten().tolist()
        [1.0, 10.0]
    """
    return apply_stages(x, [(Stage.GAIN, amplitude(gain_db), None)])


def polarity(x: Tensor) -> Tensor:
    """Turn the waveform upside down: inaudible, but no longer the same numbers.

    Example:
        >>> polarity(torch.tensor([[1.0, -0.5]]))
        tensor([[-1.0000,  0.5000]])
    """
    return apply_stages(x, [(Stage.GAIN, -1.0, None)])


def cut(x: Tensor, lengths: Tensor) -> Tensor:
    """Zero what lies beyond the valid samples or frames.

    Example:
        >>> cut(torch.ones(2, 3), torch.tensor([1, 3]))
        tensor([[1., 0., 0.],
                [1., 1., 1.]])
    """
    return torch.where(valid_mask(x, lengths), x, 0.0)


def power(x: Tensor, lengths: Tensor) -> Tensor:
    """Mean power of each row, over its valid samples and its channels.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; what lies beyond is not read.

    Returns:
        float64 ``(B,)``; 0 for a row without valid samples.

    Example:
        >>> power(torch.tensor([[3.0, 4.0, 9.0]]), torch.tensor([2])).tolist()
        [12.5]
    """
    return power_of_cut(cut(x, lengths), lengths)


def power_of_cut(x: Tensor, lengths: Tensor) -> Tensor:
    """Return :func:`power` of what is zero beyond its lengths already."""
    channels = x if x.ndim == 3 else x[:, None]
    whole = x.shape[-1] // _BLOCK * _BLOCK
    # A norm squares and adds without a copy of x, but loses digits over long rows: so block by block. All blocks are
    # of one size and summed in their order, so that zeros at the end change no bit.
    inner = channels[..., :whole].reshape(*channels.shape[:2], whole // _BLOCK, _BLOCK)
    rest = pad(channels[..., None, whole:], (0, _BLOCK - (x.shape[-1] - whole)))
    norms = torch.cat([torch.linalg.vector_norm(part, dim=-1) for part in (inner, rest)], dim=-1)
    energy = norms.double().square().cumsum(dim=-1)[..., -1].sum(dim=1)
    return energy / (lengths * channels.shape[1]).clamp(min=1)


def over_channels(x: Tensor) -> Tensor:
    """Sum ``(B, C, ...)`` over the channels, in their order: a sum over a dimension has many orders.

    Example:
        >>> over_channels(torch.tensor([[[1.0], [2.0], [4.0]]]))
        tensor([[7.]])
    """
    return functools.reduce(torch.add, x.unbind(1))


def power_db(mean_power: Tensor) -> Tensor:
    """Turn powers into dB, silence into :data:`FLOOR_DB`."""
    return 10.0 * torch.log10(mean_power.clamp(min=10.0 ** (FLOOR_DB / 10.0)))


def rms_db(x: Tensor, lengths: Tensor) -> Tensor:
    """RMS level of each row over its valid samples, in dB; float64 ``(B,)``, :data:`FLOOR_DB` for silence.

    Example:
        >>> rms_db(torch.full((1, 100), 0.1), torch.tensor([80])).round(decimals=3).tolist()
        [-20.0]
    """
    return power_db(power(x, lengths))


def active_level_db(x: Tensor, lengths: Tensor, sample_rate: int) -> Tensor:
    """Active speech level of each row: how loud the speech is while somebody speaks.

    Pauses lower an RMS level and not this one, so that a signal-to-noise ratio means the same for a recording with
    long pauses. An envelope (two exponential averages of 30 ms) is compared with thresholds 6 dB apart; a sample is
    active up to 200 ms after the envelope was above. The level is the one that lies 15.9 dB above its own threshold.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``; channels count by their mean power.
        lengths: ``(B,)`` valid samples.
        sample_rate: in Hz.

    Returns:
        float64 ``(B,)``. Never below :func:`rms_db`; equal to it where the row is too short (some 20 ms) for its
        envelope to rise, and :data:`FLOOR_DB` for silence. No gradient passes through the choice of active samples.

    Source: ITU-T P.56 (2011), method B, without its optional input filter. The level between two thresholds is
        interpolated exactly, where the program of ITU-T G.191 stops within 0.5 dB of the margin. The envelope is
        exact, but looked at once a millisecond.

    Example:
        >>> tone = 0.1 * torch.sin(torch.arange(16_000) * 0.5)
        >>> x = torch.stack([torch.cat([tone, tone]), torch.cat([tone, torch.zeros(16_000)])])
        >>> lengths = torch.tensor([32_000, 32_000])
        >>> [round(level, 1) for level in rms_db(x, lengths).tolist()]
        [-23.0, -26.0]
        >>> [round(level, 1) for level in active_level_db(x, lengths, 16_000).tolist()]
        [-23.0, -24.1]
    """
    if x.numel() == 0:
        return torch.full_like(lengths, FLOOR_DB, dtype=torch.float64)
    x = cut(x, lengths)
    mean_power = power_of_cut(x, lengths)
    hop = max(1, round(sample_rate / 1000))
    loudest = _running_maximum(_envelope(x.detach(), sample_rate, hop), round(_HANGOVER_S * sample_rate / hop) + 1)
    # The lowest threshold is at least 18 dB below the RMS level, so the margin always lies above it.
    lowest = torch.floor(power_db(mean_power.detach()) / (20.0 * math.log10(2.0))).long()[:, None] - 3
    active = _samples_above(loudest, lowest, lengths, hop)
    thresholds = torch.exp2((lowest + torch.arange(_THRESHOLDS, device=x.device)).double())
    levels = power_db((mean_power * lengths)[:, None] / active.clamp(min=1.0))
    above = levels - 20.0 * torch.log10(thresholds)
    return _level_at_margin(levels, above, active > 0.0, fallback=power_db(mean_power))


def _samples_above(loudest: Tensor, lowest: Tensor, lengths: Tensor, hop: int) -> Tensor:
    """Count the valid samples at or above each threshold ``2 ** (lowest + j)``; float64 ``(B, thresholds)``."""
    starts = torch.arange(loudest.shape[1], device=loudest.device) * hop
    samples = (lengths[:, None] - starts).clamp(0, hop).double()
    highest = torch.frexp(loudest).exponent - 1  # the largest j such that 2 ** j <= loudest
    reached = torch.where(loudest > 0.0, (highest - lowest + 1).clamp(0, _THRESHOLDS), 0)
    counts = samples.new_zeros(samples.shape[0], _THRESHOLDS + 1).scatter_add(1, reached, samples)
    return counts[:, 1:].flip(-1).cumsum(-1).flip(-1)


def _level_at_margin(levels: Tensor, above: Tensor, crossed: Tensor, fallback: Tensor) -> Tensor:
    """Interpolate the level that lies 15.9 dB above its threshold; arguments are ``(B, thresholds)``."""
    reached = crossed & (above <= _MARGIN_DB)
    upper = (reached.cumsum(dim=-1) == 0).sum(dim=-1, keepdim=True).clamp(1, _THRESHOLDS - 1)
    level_below, level = levels.gather(1, upper - 1), levels.gather(1, upper)
    above_below, above_here = above.gather(1, upper - 1), above.gather(1, upper)
    way = (above_below - _MARGIN_DB) / (above_below - above_here).clamp(min=1e-9)
    return torch.where(reached.any(dim=-1), (level_below + way * (level - level_below))[:, 0], fallback)


def _envelope(x: Tensor, sample_rate: int, hop: int) -> Tensor:
    """The P.56 envelope at the end of every ``hop`` samples, ``(B, blocks)`` float64: exact, by recursive doubling."""
    one_channel = x.ndim == 2 or x.shape[1] == 1
    magnitude = x.abs().flatten(1) if one_channel else (over_channels(x.square()) / x.shape[1]).sqrt()
    blocks = pad(magnitude, (0, -x.shape[-1] % hop)).reshape(x.shape[0], -1, hop)
    keep = math.exp(-1.0 / (_SMOOTHING_S * sample_rate))
    left = torch.arange(hop - 1, -1, -1, device=x.device, dtype=torch.float64)
    once = (1.0 - keep) * torch.pow(keep, left)
    twice = (1.0 - keep) * (left + 1.0) * once
    # Not as a product of matrices, whose last bits depend on how many blocks there are.
    first, second = ((blocks * weights.to(x.dtype)).sum(dim=-1).double() for weights in (once, twice))
    # One hop multiplies the pair of averages by [[decay, 0], [leak, decay]]; doubling sums over all hops before.
    decay, step = keep**hop, 1
    leak = (1.0 - keep) * hop * decay
    while step < first.shape[1]:
        earlier = _delay(first, step)
        second = second + decay**step * _delay(second, step) + step * decay ** (step - 1) * leak * earlier
        first = first + decay**step * earlier
        step *= 2
    return second


def _running_maximum(x: Tensor, size: int) -> Tensor:
    """The largest of the last ``size`` values at each place of ``x >= 0``, ``(B, N)``, by doubling."""
    covered = 1
    while covered < size:
        step = min(covered, size - covered)
        x = torch.maximum(x, _delay(x, step))
        covered += step
    return x


def _delay(x: Tensor, steps: int) -> Tensor:
    """Move ``x`` to the right by ``steps`` places, zeros coming in."""
    return pad(x, (steps, 0))[..., : x.shape[-1]]
