"""Time: resampling by any ratio, stretching at constant pitch, shifting; every row by its own amount.

Positions and lengths are float64: float32 positions would lose all but 38 dB after 15 s.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug.functional.level import valid_mask
from speechaug.functional.room import good_size

# Resampling is a non-uniform FFT: a spectrum on a grid twice as fine, read between the grid points with a short kernel
# exp(beta * (sqrt(1 - t^2) - 1)) of Barnett, Magland and af Klinteberg (2019), undone in the spectrum beforehand.
_TAPS = 6
_BETA = 0.97 * math.pi * 0.75 * _TAPS
_NODES = tuple(zip(*(side.tolist() for side in np.polynomial.legendre.leggauss(20)), strict=True))
_EDGE = 0.96  # of the lower of the two Nyquist frequencies; there the low-pass halves the amplitude
_SLOPE = 0.0108  # standard deviation of its Gaussian transition: 80 dB down at 1.0, 1e-4 off at 0.92
_LEAD = 4
_TAIL = 1_024  # silence that catches the ringing: 140 dB down after 170 samples, times the factor above 1

# Stretching: frames of 40 ms every 10 ms.
_OVERLAP = 4
_DOUBT = 0.1  # the more the neighbours of a bin disagree, the softer it gets; without it rounding errors would grow
_ONSET = 4.0  # a rise of energy by this factor within a frame's advance is a new sound, with its own phases
_TINY = 1e-9  # energy of a bin, full scale having some 1e5, from which on phases are followed


def scaled_lengths(lengths: Tensor, factor: Tensor) -> Tensor:
    """Lengths after a change of speed: ``len / factor`` in float64, halves to even, as Python's ``round``.

    Args:
        lengths: ``(B,)`` valid samples.
        factor: ``(B,)``, above 1 is faster.

    Example:
        >>> scaled_lengths(torch.tensor([5, 16_000]), torch.tensor([2.0, 0.9], dtype=torch.float64)).tolist()
        [2, 17778]
    """
    return torch.round(lengths.double() / factor.double()).long()


def resample(x: Tensor, lengths: Tensor, factor: Tensor, width: int) -> Tensor:
    """Play each row at its own speed: pitch and tempo change together, as on a tape.

    Each row is low-passed below both Nyquist frequencies (flat to 0.92 of the lower one, nothing left at 1.0), then
    read at the positions ``n * factor``. Errors lie 100 dB below the signal, at any ratio; a factor of 1 is exact.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        factor: ``(B,)`` in [0.25, 4], above 1 is faster.
        width: samples of the output; what is longer is cut.

    Returns:
        ``(B, ..., width)``, zero beyond :func:`scaled_lengths`. Gradients reach ``x``.

    Source:
        Barnett, Magland and af Klinteberg, "A parallel nonuniform fast Fourier transform library based on an
        exponential of semicircle kernel", SIAM J. Sci. Comput. 2019.

    Example:
        >>> x = torch.tensor([[0.0, 1.0, 0.0, -1.0]]).repeat(1, 1_000)
        >>> y = resample(x, torch.tensor([4_000]), torch.tensor([0.5]), 8_000)
        >>> bool(torch.isclose(y[0, 4_001], torch.tensor(0.5).sqrt(), atol=1e-4))
        True
    """
    if x.numel() == 0 or width == 0:
        return x.new_zeros(*x.shape[:-1], width)
    signal, factor = x.reshape(x.shape[0], -1, x.shape[-1]), factor.double()
    rows = max(1, _budget(x, 1 << 22) // (2 * signal.shape[1] * signal.shape[2]))
    parts = [
        _resample_rows(signal[start : start + rows], factor[start : start + rows], width)
        for start in range(0, x.shape[0], rows)
    ]
    y = torch.cat(parts).reshape(*x.shape[:-1], width)
    y = torch.where(_each_row(factor == 1.0, x), pad(x, (0, width - x.shape[-1])), y)
    return torch.where(valid_mask(y, scaled_lengths(lengths, factor)), y, 0.0)


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
    y = torch.where(_each_row(rate == 1.0, x), pad(x, (0, width - x.shape[-1])), y)
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
    y = _take(signal, source.clamp(0, x.shape[-1] - 1))
    return torch.where(kept[:, None] & valid_mask(signal, lengths), y, 0.0).reshape(x.shape)


def _each_row(condition: Tensor, x: Tensor) -> Tensor:
    return condition.view(-1, *[1] * (x.ndim - 1))


def _budget(x: Tensor, samples: int) -> int:
    """How many samples to handle at once: what the caches of a CPU hold, more where launching is what costs."""
    return samples if x.device.type == "cpu" else 8 * samples


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Samples ``index`` ``(B, N)`` of ``x`` ``(B, C, T)``, every channel alike; much faster than ``gather``."""
    place = index[:, None] + _row_starts(x)[..., None]
    return x.reshape(-1).index_select(0, place.view(-1)).view(place.shape)


def _take_runs(x: Tensor, first: Tensor, size: int) -> Tensor:
    """Runs of ``size`` samples of ``x`` ``(B, C, T)`` from ``first`` ``(N, B)`` on: ``(N, B, C, size)``."""
    place = (first[..., None] + _row_starts(x))[..., None] + torch.arange(size, device=x.device)
    return x.reshape(-1).index_select(0, place.view(-1)).view(place.shape)


def _row_starts(x: Tensor) -> Tensor:
    return torch.arange(x.shape[0] * x.shape[1], device=x.device).view(x.shape[:2]) * x.shape[2]


def _resample_rows(x: Tensor, factor: Tensor, width: int) -> Tensor:
    """Resample some rows ``(B, C, T)``, a block of columns at a time."""
    fine = _oversample(x, factor)
    columns = max(1_024, _budget(x, 1 << 17) // (x.shape[0] * x.shape[1]))
    parts = []
    for start in range(0, width, columns):
        n = torch.arange(start, min(start + columns, width), dtype=torch.float64, device=x.device)
        # beyond the end nothing is kept, only the index must exist
        position = (n * (2.0 * factor)[:, None]).clamp(max=2.0 * x.shape[-1]) + 2.0 * _LEAD
        parts.append(_interpolate(fine, position))
    return torch.cat(parts, dim=-1)


def _oversample(x: Tensor, factor: Tensor) -> Tensor:
    """Low-pass for the factors, double the rate and boost what :func:`_interpolate` weakens; starts ``_LEAD`` early."""
    size = good_size(x.shape[-1] + _LEAD + _TAIL)
    spectrum = torch.fft.rfft(pad(x, (_LEAD, size - _LEAD - x.shape[-1])))
    nyquists = torch.arange(size // 2 + 1, dtype=x.dtype, device=x.device) * (2.0 / size)
    damping = torch.zeros_like(nyquists)
    for node, weight in _NODES[: len(_NODES) // 2]:  # the kernel's Fourier transform, by quadrature of one half
        height = _TAPS * weight * math.exp(_BETA * (math.sqrt(1.0 - node * node) - 1.0))
        damping += height * torch.cos((0.25 * math.pi * _TAPS * node) * nyquists)
    distance = nyquists * factor.clamp(min=1.0).to(x.dtype)[:, None] - _EDGE
    response = torch.special.erfc(distance / (_SLOPE * math.sqrt(2.0))) / damping
    fine: Tensor = torch.fft.irfft(spectrum * response[:, None], n=2 * size)
    return fine


def _interpolate(fine: Tensor, position: Tensor) -> Tensor:
    """Values of ``fine`` ``(B, C, T)`` at ``position`` ``(B, N)``, each from the ``_TAPS`` samples around it."""
    base = position.long()
    fraction = (position - base).to(fine.dtype)
    y = fine.new_zeros(*fine.shape[:2], position.shape[1])
    for tap in range(1 - _TAPS // 2, 1 + _TAPS // 2):
        distance = fraction - tap
        weight = distance.square_().mul_(-((2.0 / _TAPS) ** 2)).add_(1.0).clamp_(min=0.0).sqrt_()
        weight = weight.mul_(_BETA).sub_(_BETA).exp_()
        y = torch.addcmul(y, _take(fine, base + tap), weight[:, None])
    return y


def _vocode(x: Tensor, lengths: Tensor, rate: Tensor, width: int, hop: int) -> Tensor:
    """Stretch ``(B, C, T)`` to ``width``: as many frames at a time as fit, the state carried from one to the next."""
    size = _OVERLAP * hop
    scale = x.detach().abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)  # products of spectra stay in range
    beyond = x.shape[-1] + size // 2  # a frame centred here is empty
    # a frame starts half its size before its centre, its predecessor a hop before that
    padded = pad(x / scale, (size // 2 + hop, 2 * size))
    window = torch.hann_window(size, dtype=x.dtype, device=x.device)
    frames = (width + size // 2 - 2) // hop + 1
    step = max(1, _budget(x, 1 << 19) // (x.shape[0] * x.shape[1] * size))
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
