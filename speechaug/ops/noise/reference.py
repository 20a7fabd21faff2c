"""Noise in plain torch: the numbers, their colour and the mixing, as every kernel has to compute them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechaug.functional.level import FLOOR_DB, cut, per_row, power_db, power_of_cut
from speechaug.functional.powers import amplitude, power_of
from speechaug.ops.biquad.reference import biquad

SILENCE_DB = -90.0
"""Speech below this RMS level counts as silent: less than the least significant bit of 16-bit audio."""

NOMINAL_DB = -26.0
"""The level noise is set against when the speech is silent: where ITU-T P.56 and G.191 put speech."""

FLAT_BELOW_HZ = 16.0
"""Coloured noise is flat below this frequency, so that brown noise has a finite level."""

GROUP = 64
"""Blocks of four words whose numbers lie side by side."""

SECTIONS = 5
"""First-order sections of the filter that colours noise."""

BEND, BEND_STEP = -0.26, 0.0877
"""Pole of the section that straightens the slope up to the Nyquist frequency; how far its zero moves by exponent."""

_MASK = 0xFFFFFFFF
_HIGHEST = 0.7  # corner of the last real section, of the sample rate
_BLOCK, _BLOCKS = 64, 16


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Ten rounds of Philox4x32 on tensors.

    Args:
        counter: four int64 tensors of 32-bit words.
        key: two int64 tensors of 32-bit words, broadcast against the counter.

    Returns:
        Four int64 tensors of random 32-bit words.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = (word.clone() for word in torch.broadcast_tensors(*counter, *key)[:4])  # type: ignore[no-untyped-call]
    k0, k1 = key
    for _ in range(10):
        # In place, since memory traffic is what it costs. A 64-bit product that wraps still has the right bits; the
        # upper halves of c1 and c3 hold rubbish until the end.
        product0, product1 = c0.mul_(0xD2511F53), c2.mul_(0xCD9E8D57)
        c1.bitwise_xor_(product1 >> 32).bitwise_xor_(k0).bitwise_and_(_MASK)
        c3.bitwise_xor_(product0 >> 32).bitwise_xor_(k1).bitwise_and_(_MASK)
        c0, c1, c2, c3 = c1, product1, c3, product0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1 & _MASK, c2, c3 & _MASK


def philox_words(key: Tensor, blocks: int, stream: int = 0) -> tuple[Tensor, ...]:
    """The four words of each of ``blocks`` counter values of a row's stream, each int64 ``(B, blocks)``."""
    index = torch.arange(blocks, device=key.device)
    zero = torch.zeros_like(index)
    words = ((key & _MASK)[:, None], ((key >> 32) & _MASK)[:, None])
    return philox4x32((index & _MASK, index >> 32, zero + stream, zero), words)


def gaussian(key: Tensor, width: int, stream: int = 0) -> Tensor:
    """Independent Gaussian numbers of unit variance, float64 ``(B, width)``.

    A block of four words makes two pairs by the Box-Muller transform. Blocks come in groups: first the first number
    of each, then the second of each, and so on, so that kernels need not interleave. The number a radius comes from is
    rounded to float32, as it is there; all else is exact.
    """
    groups = -(-width // (4 * GROUP))
    size, turn, other_size, other_turn = philox_words(key, groups * GROUP, stream)
    numbers: list[Tensor] = []
    for word, angle in ((size, turn), (other_size, other_turn)):
        uniform = (word >> 1).to(torch.float32).add(0.5).mul(2.0**-31).double()
        # The upper two bits say which quarter, the others how far, as a signed number, from its middle.
        turns = (angle - ((angle << 1) & (1 << 30))).double() * 2.0**-32
        radius = (-2.0 * uniform.log()).sqrt()
        numbers += [radius * (2.0 * math.pi * turns).cos(), radius * (2.0 * math.pi * turns).sin()]
    grouped = [number.reshape(key.shape[0], groups, GROUP) for number in numbers]
    return torch.stack(grouped, dim=2).flatten(1)[:, :width]


def ladder(sample_rate: int) -> tuple[float, float]:
    """The lowest corner of the filter that colours noise, as the log of its pole, and the ratio between corners."""
    corner = FLAT_BELOW_HZ / sample_rate
    return -2.0 * math.pi * corner, (_HIGHEST / corner) ** (1.0 / (SECTIONS - 2))


def shaping(exponent: Tensor, sample_rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """The filter that turns white noise into noise of a colour: ``1 + sum(weight / (z - pole))``.

    It is a ladder: poles at fixed corner frequencies in equal ratios, and between them zeros that move with the
    exponent until each meets a neighbouring pole, at -2 and 2. One section more, on the other side of the circle,
    straightens the slope towards the Nyquist frequency.

    Args:
        exponent: ``(B,)``, of the power density.
        sample_rate: in Hz.

    Returns:
        All float64: the poles ``(K,)``; the weights of each row ``(B, K)``, all zero for white noise; and the matrix
        ``(K, K)`` that turns K independent numbers into states as they are after an endless past.
    """
    place = torch.arange(SECTIONS, device=exponent.device, dtype=torch.float64)
    moved = exponent.double()[:, None]
    corner, ratio = ladder(sample_rate)
    real = place < SECTIONS - 1
    poles = torch.where(real, torch.exp(corner * ratio**place), BEND)
    zeros = torch.where(real, torch.exp(corner * power_of(ratio, place - 0.5 * moved)), BEND + BEND_STEP * moved)
    apart = poles[:, None] - poles
    weights = (poles[:, None] - zeros[:, None, :]).prod(dim=-1) / torch.where(apart == 0.0, 1.0, apart).prod(dim=-1)
    # The states are correlated as 1 / (1 - p_i p_j), a Cauchy matrix, whose Cholesky factor has a closed form.
    common = 1.0 / (1.0 - poles[:, None] * poles)
    earlier = torch.cat([torch.ones_like(apart[:, :1]), apart[:, :-1] * common[:, :-1]], dim=1).cumprod(dim=1)
    return poles, torch.where(moved == 0.0, 0.0, weights), common * (1.0 - poles.square()).sqrt() * earlier


def colored(key: Tensor, exponent: Tensor, width: int, sample_rate: int) -> Tensor:
    """Gaussian noise of unit variance and of a colour, float64 ``(B, width)``."""
    poles, weights, start = shaping(exponent, sample_rate)
    # Many blocks, and few numbers one by one: the last bits of a product of small matrices depend on their size.
    blocks = max(1, -(-width // (_BLOCKS * _BLOCK))) * _BLOCKS
    white = gaussian(key, blocks * _BLOCK).reshape(key.shape[0], blocks, _BLOCK)
    place = torch.arange(_BLOCK, device=key.device)
    powers = poles[:, None] ** place  # (K, _BLOCK)
    # What each block leaves behind, and with all before it, by doubling, the states each block begins with.
    left = white @ powers.flip(-1).T
    first = (gaussian(key, SECTIONS, 1)[:, None] * start).sum(dim=-1)
    states = torch.cat([first[:, None], left[:, :-1]], dim=1)
    step = 1
    while step < blocks:
        earlier = torch.nn.functional.pad(states, (0, 0, step, 0))[:, :blocks]
        states = states + poles ** (_BLOCK * step) * earlier
        step *= 2
    response = torch.cat([torch.ones_like(weights[:, :1]), (weights[..., None] * powers[:, :-1]).sum(dim=1)], dim=1)
    lag = place - place[:, None]
    within = torch.where(lag < 0, 0.0, response[:, lag.clamp(min=0)])
    shaped = torch.baddbmm(white @ within, states * weights[:, None], powers.expand(key.shape[0], -1, -1))
    common = weights[:, :, None] * weights[:, None] / (1.0 - poles[:, None] * poles)
    energy = 1.0 + common.flatten(1).sum(dim=1)
    return (shaped / energy.sqrt()[:, None, None]).flatten(1)[:, :width]


def recorded(
    pcm: Tensor, start: Tensor, period: Tensor, scale: Tensor, clip: Tensor, offset: Tensor, width: int
) -> Tensor:
    """A stretch of each row's clip, again and again from its beginning; float32 ``(B, width)``."""
    rows = period[clip]
    first = (offset.to(torch.float64) * rows).long()
    within = (first[:, None] + torch.arange(width, device=clip.device)) % rows[:, None]
    return pcm[start[clip][:, None] + within] * scale[clip][:, None]


def white(key: Tensor, lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """See :func:`speechaug.ops.noise.sources.white`."""
    return cut(gaussian(key, width).to(dtype), lengths)


def babble(
    clip: Tensor,
    offset: Tensor,
    level: Tensor,
    pcm: Tensor,
    start: Tensor,
    period: Tensor,
    scale: Tensor,
    lengths: Tensor,
    width: int,
    dtype: torch.dtype,
) -> Tensor:
    """See :func:`speechaug.ops.noise.sources.babble`."""
    total = level.new_zeros(clip.shape[0], width, dtype=dtype)
    for talker in range(clip.shape[1]):
        voice = recorded(pcm, start, period, scale, clip[:, talker], offset[:, talker], width)
        total = torch.addcmul(total, voice.to(dtype), per_row(level[:, talker], total))
    return cut(total, lengths)


def bursts(
    key: Tensor,
    chance: Tensor,
    keep: Tensor,
    exponent: Tensor,
    lengths: Tensor,
    width: int,
    sample_rate: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """See :func:`speechaug.ops.noise.sources.bursts`."""
    if key.shape[0] * width == 0:
        return torch.zeros(key.shape[0], width, dtype=dtype, device=key.device), torch.zeros_like(chance)
    words = torch.stack(philox_words(key, -(-width // 4)), dim=-1).flatten(1)[:, :width]
    begins = cut(words < (chance * 2.0**32)[:, None], lengths)
    zero = torch.zeros_like(keep)
    decay = torch.stack([zero + 1.0, zero, zero, -keep, zero], dim=-1)[:, None]
    envelope = biquad(begins[:, None].double(), decay, lengths, False)[:, 0]
    made = envelope * colored(key ^ 1, exponent, width, sample_rate)
    loudest = made.abs().amax(dim=1, keepdim=True)
    return (made / torch.where(loudest > 0.0, loudest, 1.0)).to(dtype), begins.sum(dim=1).double()


def mix(x: Tensor, lengths: Tensor, noise: Tensor, snr_db: Tensor, above_db: Tensor) -> tuple[Tensor, Tensor]:
    """Add noise that is given; see :func:`speechaug.ops.noise.mix`."""
    x = cut(x, lengths)
    noise = cut(noise.unsqueeze(1) if noise.ndim < x.ndim else noise, lengths).to(x.dtype)
    own_db = power_db(power_of_cut(x, lengths))
    speech_db, noise_db = own_db + above_db, power_db(power_of_cut(noise, lengths))
    silent_noise = noise_db <= FLOOR_DB
    gain_db = torch.where(own_db < SILENCE_DB, NOMINAL_DB, speech_db) - snr_db - noise_db
    scale = torch.where(silent_noise, 0.0, amplitude(torch.where(silent_noise, 0.0, gain_db)))
    added_db = torch.where(silent_noise, FLOOR_DB, noise_db + gain_db)
    return torch.addcmul(x, noise, per_row(scale, x)), speech_db - added_db


def add_generated(
    x: Tensor, lengths: Tensor, key: Tensor, exponent: Tensor, snr_db: Tensor, above_db: Tensor, sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Add noise made from a key."""
    noise = colored(key, exponent, x.shape[-1], sample_rate)
    return mix(x, lengths, noise.to(x.dtype), snr_db, above_db)


def add_recorded(
    x: Tensor,
    lengths: Tensor,
    pcm: Tensor,
    start: Tensor,
    period: Tensor,
    scale: Tensor,
    clip: Tensor,
    offset: Tensor,
    snr_db: Tensor,
    above_db: Tensor,
) -> tuple[Tensor, Tensor]:
    """Add noise from a bank."""
    noise = recorded(pcm, start, period, scale, clip, offset, x.shape[-1])
    return mix(x, lengths, noise, snr_db, above_db)
