"""Waveforms as small inline SVG in the colours of the page."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 480, 64


def waveform_paths(samples: ArrayLike, width: float, top: float) -> tuple[str, str]:
    """Outline a waveform, and mark where it exceeds full scale: two SVG paths.

    Args:
        samples: ``(T,)`` or ``(C, T)``, of which the first channel is shown.
        width: how much of the picture it fills, in ``WIDTH`` units; 1 unit is a column.
        top: value at the upper edge.

    Example:
        >>> waveform_paths([0.5, -0.5, 2.0, -1.0], 2, 2.0)
        ('M0 24L1 0L1 48L0 40Z', 'M1.5 0V64')
    """
    x = np.atleast_2d(np.asarray(samples, dtype=np.float64))[0]
    columns = max(1, min(round(width), len(x)))
    edges = np.linspace(0, len(x), columns, endpoint=False).astype(np.int64)
    low, high = np.minimum.reduceat(x, edges), np.maximum.reduceat(x, edges)
    step = width / columns
    over, under = _points(high, step, top), _points(low, step, top)[::-1]
    clipped = np.flatnonzero((high > 1.0) | (low < -1.0))
    return f"M{'L'.join([*over, *under])}Z", "".join(f"M{(place + 0.5) * step:g} 0V{HEIGHT}" for place in clipped)


def _points(values: NDArray[np.float64], step: float, top: float) -> list[str]:
    heights = HEIGHT / 2 * (1 - values / top)
    return [f"{place * step:.4g} {height:.3g}" for place, height in enumerate(heights)]
