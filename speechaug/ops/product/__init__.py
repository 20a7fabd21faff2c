"""``product``: spectra multiplied, each number to the same bits wherever it stands.

In torch, on a CPU, a product of complex numbers is rounded in one way within vectors and in another behind them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.ops._op import use_kernels


def _reference(a: Tensor, b: Tensor) -> Tensor:
    return a * b


@torch.library.custom_op("speechaug::product", mutates_args=())
def product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply spectra, both complex ``(B, bins)``, without a gradient."""
    return _reference(a, b)


@product.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return torch.empty_like(a)


use_kernels(product, _reference, __package__, torch.complex64, devices=("cpu",))
