"""Resampling: every row by its own ratio, any ratio as good as another.

Positions and lengths are float64: float32 positions would lose all but 38 dB after 15 s.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from speechaug.ops.resample import resample as op
from speechaug.ops.resample.tables import QUALITIES


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


def resample(
    x: Tensor, lengths: Tensor, factor: Tensor, width: int, quality: Literal["high", "fast"] = "high"
) -> Tensor:
    """Play each row at its own speed: pitch and tempo change together, as on a tape.

    Each row is brought to twice its sample rate, low-passed for both Nyquist frequencies, and read at the positions
    ``n * factor``. Any factor is as good and as fast as another; a factor of 1 is exact.

    ``"high"`` is flat to 0.85 of the lower Nyquist frequency and has nothing left at 1.0. ``"fast"`` takes two thirds
    of the time: a factor above 1 leaves up to -20 dB of what lies just above the new Nyquist frequency, a factor below
    1 leaves images of what lies above 0.85 of the old one; speech has little in either place.

    | quality | errors up to 0.85 of the lower Nyquist frequency | in its worst tone | left of 1.056 times the new |
    |---|---|---|---|
    | high | -78 dB | -70 dB | -75 dB |
    | fast | -60 dB | -52 dB | -51 dB |

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        factor: ``(B,)`` in [0.25, 4], above 1 is faster. In float64: rounded to float32 it is another ratio, and after
            a second and a half only 64 dB agree.
        width: samples of the output; what is longer is cut.
        quality: ``"high"`` or ``"fast"``.

    Returns:
        ``(B, ..., width)``, zero beyond :func:`scaled_lengths`. Gradients reach ``x``.

    Raises:
        ValueError: if ``quality`` is something else, or, on a CPU, a factor lies outside.

    Source:
        Smith and Gossett, "A flexible sampling-rate conversion method", ICASSP 1984, here from twice the sample rate,
        where eight weights of least squares read any point; Laakso et al., "Splitting the unit delay", 1996.

    Example:
        >>> x = torch.tensor([[0.0, 1.0, 0.0, -1.0]]).repeat(1, 1_000)
        >>> y = resample(x, torch.tensor([4_000]), torch.tensor([0.5]), 8_000)
        >>> bool(torch.isclose(y[0, 4_001], torch.tensor(0.5).sqrt(), atol=1e-4))
        True
    """
    if quality not in QUALITIES:
        raise ValueError(f"resample: quality must be one of {', '.join(QUALITIES)}, got {quality!r}")
    new_lengths, factor = scaled_lengths(lengths, factor), factor.double()
    if x.ndim == 3:
        lengths, new_lengths, factor = (v.repeat_interleave(x.shape[1]) for v in (lengths, new_lengths, factor))
    y: Tensor = op(x.flatten(0, -2), lengths, new_lengths, factor, width, quality)
    return y.view(*x.shape[:-1], width)
