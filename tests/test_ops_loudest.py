"""The sample of a rank: reference and CPU kernel against a sort by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechaug.ops.loudest import loudest
from tests.kernels import cpu, reference


@pytest.mark.parametrize("size", [1, 2, 63, 5_000])
@pytest.mark.parametrize("step", [0.0, 0.25])
def test_equal_to_a_sort(size, step):
    """With many samples of one magnitude, too: the rounded ones, and a row of silence."""
    rng = np.random.default_rng(size)
    x = rng.laplace(size=(6, size)).astype(np.float32)
    x = np.round(x / step) * np.float32(step) if step else x
    x[4], x[5, size // 2 :] = 0.0, 0.0
    rank = rng.integers(size, size=6)
    rank[:2] = 0, size - 1
    level = -np.sort(-np.abs(x))[np.arange(6), rank]
    for find in (reference, cpu):
        place, louder = find(loudest, torch.from_numpy(x), torch.from_numpy(rank))
        np.testing.assert_array_equal(np.abs(x)[np.arange(6), place], level)
        np.testing.assert_array_equal(louder, (np.abs(x) > level[:, None]).sum(axis=1))


def test_numbers_of_every_size():
    x = torch.tensor([[1e-45, 0.0, -3e38, 1e-38, torch.inf, -torch.nan, 65_536.0, -65_537.0]])
    order = [5, 4, 2, 7, 6, 3, 0, 1]
    for rank, place in enumerate(order):
        for find in (reference, cpu):
            assert find(loudest, x, torch.tensor([rank]))[0].item() == place


def test_opcheck():
    torch.library.opcheck(loudest, (torch.arange(27.0).view(3, 9), torch.tensor([0, 4, 8])))
