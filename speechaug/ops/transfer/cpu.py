"""Numerators and denominators multiplied up along the unit circle, one division for each frequency.

All parts of a tile lie in one array at constant distances, so that LLVM sees that they do not overlap.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run

_TILE = 256
_REAL, _IMAG, _REAL2, _IMAG2, _TOP_R, _TOP_I, _LOW_R, _LOW_I = (part * _TILE for part in range(8))


@jit
def _start(tile, cosines, sines, turn, lift):
    """Write ``z**-1`` and its square for the frequencies of a tile, and ones to multiply."""
    for i in range(_TILE):
        real, imag = turn * cosines[i] - lift * sines[i], -lift * cosines[i] - turn * sines[i]
        tile[_REAL + i], tile[_IMAG + i] = real, imag
        tile[_REAL2 + i], tile[_IMAG2 + i] = 2.0 * real * real - 1.0, 2.0 * real * imag
        tile[_TOP_R + i], tile[_TOP_I + i], tile[_LOW_R + i], tile[_LOW_I + i] = 1.0, 0.0, 1.0, 0.0


@jit
def _multiply(tile, b0, b1, b2, a1, a2):
    for i in range(_TILE):
        real, imag, real2, imag2 = tile[_REAL + i], tile[_IMAG + i], tile[_REAL2 + i], tile[_IMAG2 + i]
        nr, ni = b0 + b1 * real + b2 * real2, b1 * imag + b2 * imag2
        dr, di = 1.0 + a1 * real + a2 * real2, a1 * imag + a2 * imag2
        tr, ti, lr, li = tile[_TOP_R + i], tile[_TOP_I + i], tile[_LOW_R + i], tile[_LOW_I + i]
        tile[_TOP_R + i], tile[_TOP_I + i] = tr * nr - ti * ni, tr * ni + ti * nr
        tile[_LOW_R + i], tile[_LOW_I + i] = lr * dr - li * di, lr * di + li * dr


@jit
def _divide(tile, out):
    for i in range(len(out)):
        tr, ti, lr, li = tile[_TOP_R + i], tile[_TOP_I + i], tile[_LOW_R + i], tile[_LOW_I + i]
        scale = 1.0 / (lr * lr + li * li)
        out[i, 0], out[i, 1] = (tr * lr + ti * li) * scale, (ti * lr - tr * li) * scale


@jit
def _rows(first, last, sections, bins, step, out):
    cosines, sines, tile = np.cos(step * np.arange(_TILE)), np.sin(step * np.arange(_TILE)), np.empty(8 * _TILE)
    for row in range(first, last):
        for start in range(0, bins, _TILE):
            _start(tile, cosines, sines, np.cos(step * start), np.sin(step * start))
            for k in range(sections.shape[1]):
                b0, b1, b2, a1, a2 = sections[row, k]
                if not (b0 == 1.0 and b1 == a1 and b2 == a2):
                    _multiply(tile, b0, b1, b2, a1, a2)
            _divide(tile, out[row, start : min(start + _TILE, bins)])


def transfer(sections: Tensor, size: int) -> Tensor:
    """Evaluate; see the op."""
    out = torch.empty(sections.shape[0], size // 2 + 1, 2)
    run(_rows, sections.shape[0], array(sections.double()), out.shape[1], 2.0 * np.pi / size, out.numpy())
    return torch.view_as_complex(out)
