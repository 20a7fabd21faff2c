"""Products of spectra in numba: every sum and product rounded by itself, so that vectors change no bit."""

from __future__ import annotations

import numpy as np
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


def product(a: Tensor, b: Tensor) -> Tensor:
    """See :func:`speechaug.ops.product.product`."""
    out = a.clone()
    run(spectra, len(out), out.numpy(), array(b), np.arange(len(out)), False)
    return out
