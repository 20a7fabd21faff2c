"""Products of spectra in numba: every sum and product rounded by itself, so that vectors change no bit."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.ops._cpu import array, jit, run


@jit(fastmath=False)
def spectra(first, last, given, factors, which, conjugate):
    """Multiply each of some spectra, in place, by one of the factors."""
    for job in range(first, last):
        a, b = given[job], factors[which[job]]
        if conjugate:
            for k in range(a.size):
                a[k] *= b[k].conjugate()
        else:
            for k in range(a.size):
                a[k] *= b[k]


@jit(fastmath=False)
def _rows(first, last, a, b, out):
    for row in range(first, last):
        for k in range(a.shape[1]):
            out[row, k] = a[row, k] * b[row, k]


def product(a: Tensor, b: Tensor) -> Tensor:
    """See :func:`speechaug.ops.product.product`."""
    out = torch.empty_like(a, memory_format=torch.contiguous_format)
    run(_rows, len(out), array(a), array(b), out.numpy())
    return out
