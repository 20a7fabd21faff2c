"""Rows moved by whole samples: reference, CPU and CUDA kernel against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechaug.ops.shift import shift
from tests.kernels import kernels, reference


@pytest.mark.parametrize("shape", [(6, 100), (6, 2, 63), (6, 1), (6, 0), (0, 5)])
def test_equal_to_slices(shape):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    rows, width = shape[0], shape[-1]
    lengths = torch.tensor([width, width // 2, width // 3, 1, 0, width])[:rows].clamp(max=width)
    samples = torch.tensor([3, -5, 0, 1, 2, 200])[:rows]
    expected = np.zeros(shape, np.float32)
    for row, (length, moved) in enumerate(zip(lengths.tolist(), samples.tolist(), strict=True)):
        part = x[row, ..., :length].numpy()
        kept = max(0, length - abs(moved))
        if moved >= 0:
            expected[row, ..., length - kept : length] = part[..., :kept]
        else:
            expected[row, ..., :kept] = part[..., length - kept :]
    case = (x, lengths, samples)
    for name, y in [("reference", reference(shift, *case)), *kernels(shift, *case)]:
        assert np.array_equal(y.numpy(), expected), name


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_gradient_and_opcheck():
    x = torch.randn(3, 2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    case = (torch.tensor([9, 5, 0]), torch.tensor([2, -3, 1]))
    torch.autograd.gradcheck(lambda v: shift(v, *case), x)
    torch.library.opcheck(shift, (x.detach().float().requires_grad_(), *case))
