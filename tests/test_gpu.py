"""The same on a GPU as on the CPU, without waiting for it."""

from __future__ import annotations

import pytest
import torch

import speechaug as sa
from speechaug.testing import _assert_close, _batch, _call, _draws, example, policy_example

pytestmark = pytest.mark.gpu

ALL = [example(cls) for cls in sa.TRANSFORMS.values() if cls.__module__.startswith("speechaug.")]


@pytest.mark.parametrize("transform", [*ALL, policy_example()], ids=lambda transform: type(transform).__name__)
def test_cuda_gives_what_the_cpu_gives_without_a_host_read(transform):
    x, lengths = _batch(transform)
    expected, expected_lengths = _call(transform, x, lengths, _draws(transform, len(x)))
    draws, x_cuda, lengths_cuda = _draws(transform, len(x)), x.cuda(), lengths.cuda()
    _call(transform, x_cuda, lengths_cuda, draws)  # banks and draws move to the device once
    torch.cuda.set_sync_debug_mode("error")
    try:
        y, y_lengths = _call(transform, x_cuda, lengths_cuda, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(y_lengths.cpu(), expected_lengths)
    _assert_close(y.cpu(), expected, "CUDA and CPU", factor=10.0)
