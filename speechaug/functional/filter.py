"""Filters as recursions, each row with its own coefficients: Butterworth and parametric equalizers.

A filter is a cascade of second-order sections, ``(B, S, 5)`` in double precision: ``b0, b1, b2, a1, a2`` of each, with
``a0 = 1``. Cascades in series are one cascade, so filters that follow each other run in one pass over the data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechaug.functional.powers import power_of
from speechaug.ops.biquad import biquad

ORDERS = (2, 4, 6, 8)
SHELF_Q = 0.5**0.5
"""Q of shelves: the steepest without a bump."""


def lowpass(x: Tensor, lengths: Tensor, cutoff_hz: Tensor, sample_rate: int, order: int = 2) -> Tensor:
    """Remove what lies above a cut-off, each row at its own.

    Causal, from rest: the digital Butterworth filter of SciPy's ``butter(order, cutoff_hz, fs=sample_rate)``.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        cutoff_hz: ``(B,)``, where the power is halved; at or above the Nyquist frequency the row is unchanged.
        sample_rate: in Hz.
        order: 2, 4, 6 or 8: the slope is 6 dB an octave times the order.

    Raises:
        ValueError: if ``order`` is another.

    Example:
        >>> x = torch.tensor([[1.0, 1.0, 1.0, 1.0]] * 2)
        >>> lowpass(x, torch.tensor([4, 4]), torch.tensor([4_000.0, 9_000.0]), 16_000)
        tensor([[0.2929, 0.8787, 1.1213, 1.0208],
                [1.0000, 1.0000, 1.0000, 1.0000]])
    """
    return in_series(x, lengths, lowpass_sections(cutoff_hz, sample_rate, order))


def highpass(x: Tensor, lengths: Tensor, cutoff_hz: Tensor, sample_rate: int, order: int = 2) -> Tensor:
    """Remove what lies below a cut-off, each row at its own.

    Causal, from rest: the digital Butterworth filter of SciPy's ``butter(order, cutoff_hz, "high", fs=sample_rate)``.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        cutoff_hz: ``(B,)``, where the power is halved. At or above the Nyquist frequency, where nothing would be
            left, the row is unchanged.
        sample_rate: in Hz.
        order: 2, 4, 6 or 8: the slope is 6 dB an octave times the order.

    Raises:
        ValueError: if ``order`` is another.

    Example:
        >>> x = torch.ones(1, 16_000)
        >>> bool(highpass(x, torch.tensor([16_000]), torch.tensor([100.0]), 16_000)[0, -1].abs() < 1e-6)
        True
    """
    return in_series(x, lengths, highpass_sections(cutoff_hz, sample_rate, order))


def bandpass(x: Tensor, lengths: Tensor, low_hz: Tensor, high_hz: Tensor, sample_rate: int, order: int = 2) -> Tensor:
    """Keep what lies between two cut-offs: :func:`highpass` at ``low_hz``, then :func:`lowpass` at ``high_hz``.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        low_hz: ``(B,)`` lower cut-off; at or above the Nyquist frequency it does nothing.
        high_hz: ``(B,)`` upper cut-off; at or above the Nyquist frequency it does nothing.
        sample_rate: in Hz.
        order: of each of the two filters: 2, 4, 6 or 8.

    Raises:
        ValueError: if ``order`` is another.

    Example:
        >>> x = torch.ones(1, 4_000)
        >>> bandpass(x, torch.tensor([4_000]), torch.tensor([300.0]), torch.tensor([3_400.0]), 16_000).shape
        torch.Size([1, 4000])
    """
    below, above = highpass_sections(low_hz, sample_rate, order), lowpass_sections(high_hz, sample_rate, order)
    return in_series(x, lengths, torch.cat([below, above], dim=1))


def equalize(x: Tensor, lengths: Tensor, frequency_hz: Tensor, gain_db: Tensor, q: Tensor, sample_rate: int) -> Tensor:
    """Raise and lower bands: a low shelf, a high shelf and peaks between them, each row its own.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        frequency_hz: ``(B, K)``: where the first band, a low shelf, and the last, a high shelf, reach half of their
            gain in dB, and where the peaks between them are. A band at or above the Nyquist frequency does nothing.
        gain_db: ``(B, K)``.
        q: ``(B, K)``: a peak's frequency over its bandwidth; for shelves, 0.71 is the steepest without a bump.
        sample_rate: in Hz.

    Source: Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (W3C note, 2021).

    Example:
        >>> x, bands = torch.ones(1, 4_000), torch.tensor([[200.0, 1_000.0, 4_000.0]])
        >>> y = equalize(x, torch.tensor([4_000]), bands, torch.tensor([[6.0, 3.0, 0.0]]), torch.ones(1, 3), 16_000)
        >>> round(20 * y[0, -1].log10().item(), 2)
        6.0
    """
    return in_series(x, lengths, equalizer_sections(frequency_hz, gain_db, q, sample_rate))


def low_shelf(x: Tensor, lengths: Tensor, cutoff_hz: Tensor, gain_db: Tensor, sample_rate: int) -> Tensor:
    """Raise or lower what lies below a cut-off, each row by its own gain.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        cutoff_hz: ``(B,)``, where half of the gain in dB is reached; at or above the Nyquist frequency the row is
            unchanged.
        gain_db: ``(B,)`` far below the cut-off.
        sample_rate: in Hz.

    Source: Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (W3C note, 2021), with
        a shelf slope of 1.

    Example:
        >>> x, lengths = torch.ones(1, 4_000), torch.tensor([4_000])
        >>> y = low_shelf(x, lengths, torch.tensor([300.0]), torch.tensor([6.0]), 16_000)
        >>> round(20 * y[0, -1].log10().item(), 2)
        6.0
    """
    return in_series(x, lengths, shelf_sections(cutoff_hz, gain_db, sample_rate, high=False))


def high_shelf(x: Tensor, lengths: Tensor, cutoff_hz: Tensor, gain_db: Tensor, sample_rate: int) -> Tensor:
    """Raise or lower what lies above a cut-off, each row by its own gain.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        cutoff_hz: ``(B,)``, where half of the gain in dB is reached; at or above the Nyquist frequency the row is
            unchanged.
        gain_db: ``(B,)`` far above the cut-off.
        sample_rate: in Hz.

    Source: as :func:`low_shelf`.

    Example:
        >>> x, lengths = torch.ones(1, 4_000), torch.tensor([4_000])
        >>> y = high_shelf(x, lengths, torch.tensor([3_000.0]), torch.tensor([6.0]), 16_000)
        >>> round(20 * y[0, -1].log10().abs().item(), 2)
        0.0
    """
    return in_series(x, lengths, shelf_sections(cutoff_hz, gain_db, sample_rate, high=True))


def in_series(x: Tensor, lengths: Tensor, sections: Tensor) -> Tensor:
    """Run each row's cascade over it, from rest.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples; the tail is cut there.
        sections: ``(B, S, 5)``; a section whose numerator is its denominator costs nothing.

    Example:
        >>> sum_of_all = torch.tensor([[[1.0, 0.0, 0.0, -1.0, 0.0]]])
        >>> in_series(torch.ones(1, 4), torch.tensor([3]), sum_of_all)
        tensor([[1., 2., 3., 0.]])
    """
    y: Tensor = biquad(x if x.ndim == 3 else x[:, None], sections.double(), lengths, False)
    return y.reshape(x.shape)


def lowpass_sections(cutoff_hz: Tensor, sample_rate: int, order: int) -> Tensor:
    """Sections of :func:`lowpass`, float64 ``(B, order / 2, 5)``.

    Example:
        >>> lowpass_sections(torch.tensor([2_000.0]), 16_000, 2).round(decimals=3).tolist()
        [[[0.098, 0.195, 0.098, -0.943, 0.333]]]
    """
    warped, below, after = _butterworth("lowpass", cutoff_hz, sample_rate, order)
    b = warped.square() * below
    return _unless(cutoff_hz >= sample_rate / 2, torch.stack([b, 2.0 * b, b, *after], dim=-1))


def highpass_sections(cutoff_hz: Tensor, sample_rate: int, order: int) -> Tensor:
    """Sections of :func:`highpass`, float64 ``(B, order / 2, 5)``.

    Example:
        >>> highpass_sections(torch.tensor([2_000.0]), 16_000, 2).round(decimals=3).tolist()
        [[[0.569, -1.138, 0.569, -0.943, 0.333]]]
    """
    _, below, after = _butterworth("highpass", cutoff_hz, sample_rate, order)
    return _unless(cutoff_hz >= sample_rate / 2, torch.stack([below, -2.0 * below, below, *after], dim=-1))


def _butterworth(kind: str, cutoff_hz: Tensor, sample_rate: int, order: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The warped cut-off, what divides the numerators, and ``a1, a2``: the bilinear transform, the cut-off met."""
    if order not in ORDERS:
        raise ValueError(f"{kind}: order must be one of {ORDERS}, got {order!r}")
    pair = torch.arange(1, order, 2, device=cutoff_hz.device, dtype=torch.float64)
    damping = 2.0 * torch.sin(pair * (math.pi / (2 * order)))
    # A row at or above the Nyquist frequency is passed through; it only needs finite numbers here.
    warped = torch.tan(math.pi / sample_rate * cutoff_hz.double().clamp(0.0, 0.499999 * sample_rate))[:, None]
    square = warped.square()
    below = 1.0 / (1.0 + damping * warped + square)
    return warped, below, [2.0 * (square - 1.0) * below, (1.0 - damping * warped + square) * below]


def equalizer_sections(frequency_hz: Tensor, gain_db: Tensor, q: Tensor, sample_rate: int) -> Tensor:
    """Sections of :func:`equalize`, float64 ``(B, K, 5)``.

    Example:
        >>> bands = torch.tensor([[200.0, 1_000.0, 4_000.0]])
        >>> equalizer_sections(bands, torch.zeros(1, 3), torch.ones(1, 3), 16_000)[..., 0].round(decimals=9).tolist()
        [[1.0, 1.0, 1.0]]
    """
    amplitude, cosine, alpha = _cookbook(frequency_hz, gain_db, q, sample_rate)
    band = torch.arange(frequency_hz.shape[-1], device=frequency_hz.device)
    first, last = band == 0, band == frequency_hz.shape[-1] - 1
    shelf = _shelf(amplitude, cosine, alpha, high=last)
    up, down = alpha * amplitude, alpha / amplitude
    peak = torch.stack([1 + up, -2 * cosine, 1 - up, 1 + down, -2 * cosine, 1 - down], dim=-1)
    both = torch.where((first | last)[:, None], shelf, peak)
    return _unless(frequency_hz >= sample_rate / 2, _normalised(both))


def shelf_sections(cutoff_hz: Tensor, gain_db: Tensor, sample_rate: int, high: bool) -> Tensor:
    """The section of :func:`low_shelf`, or where ``high`` of :func:`high_shelf`, float64 ``(B, 1, 5)``.

    Example:
        >>> shelf_sections(torch.tensor([300.0]), torch.tensor([0.0]), 16_000, False)[0, 0, 0].round(decimals=9).item()
        1.0
    """
    q = torch.full_like(cutoff_hz, SHELF_Q, dtype=torch.float64)
    amplitude, cosine, alpha = _cookbook(cutoff_hz, gain_db, q, sample_rate)
    shelf = _shelf(amplitude, cosine, alpha, high=torch.full_like(cutoff_hz, high, dtype=torch.bool))
    return _unless(cutoff_hz >= sample_rate / 2, _normalised(shelf)[:, None])


def _cookbook(frequency_hz: Tensor, gain_db: Tensor, q: Tensor, sample_rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """The cookbook's ``A, cos(w0), alpha``."""
    angle = 2.0 * math.pi / sample_rate * frequency_hz.double().clamp(0.0, 0.499999 * sample_rate)
    amplitude = power_of(10.0, gain_db.double() / 40.0)
    return amplitude, torch.cos(angle), torch.sin(angle) / (2.0 * q.double())


def _normalised(coefficients: Tensor) -> Tensor:
    """Divide the cookbook's ``b0, b1, b2, a0, a1, a2`` by ``a0``, which is left out."""
    return torch.cat([coefficients[..., :3], coefficients[..., 4:]], dim=-1) / coefficients[..., 3:4]


def _shelf(amplitude: Tensor, cosine: Tensor, alpha: Tensor, high: Tensor) -> Tensor:
    """The cookbook's ``b0, b1, b2, a0, a1, a2``, of high shelves where ``high``.

    A high shelf is the low shelf mirrored about a quarter of the rate: odd coefficients and the cosine change sign.
    """
    mirror = torch.where(high, -1.0, 1.0).double()
    shelf = _low_shelf(amplitude, mirror * cosine, 2.0 * amplitude.sqrt() * alpha)
    return shelf * torch.stack([mirror.abs(), mirror, mirror.abs()] * 2, dim=-1)


def _low_shelf(amplitude: Tensor, cosine: Tensor, slope: Tensor) -> Tensor:
    """The cookbook's ``b0, b1, b2, a0, a1, a2``."""
    more, less = amplitude + 1.0, amplitude - 1.0
    return torch.stack(
        [
            amplitude * (more - less * cosine + slope),
            2.0 * amplitude * (less - more * cosine),
            amplitude * (more - less * cosine - slope),
            more + less * cosine + slope,
            -2.0 * (less + more * cosine),
            more + less * cosine - slope,
        ],
        dim=-1,
    )


def _unless(passes: Tensor, sections: Tensor) -> Tensor:
    """Make sections the identity where ``passes``."""
    identity = (torch.arange(5, device=sections.device) == 0).double()
    return torch.where(passes[..., None, None] if passes.ndim == 1 else passes[..., None], identity, sections)


def ringing(sections: Tensor, decay_db: float = 130.0) -> int:
    """How many samples cascades ring on for until they have died away, at most; read on the host.

    Args:
        sections: ``(B, S, 5)`` on the CPU.
        decay_db: how far the slowest resonance falls; some dB more than what is to be left of the response.

    Example:
        >>> ringing(highpass_sections(torch.tensor([20.0]), 16_000, 2))
        2697
    """
    a1, a2 = sections[..., 3], sections[..., 4]
    root = torch.sqrt(torch.complex(a1.square() - 4.0 * a2, torch.zeros_like(a1)))
    radius = torch.stack([(-a1 + root).abs(), (-a1 - root).abs()]).amax(dim=0) / 2.0
    slowest = float(radius.max()) if radius.numel() else 0.0
    if slowest >= 1.0:
        return 2**62
    return 2 if slowest == 0.0 else 2 + math.ceil(-decay_db / 20.0 * math.log(10.0) / math.log(slowest))
