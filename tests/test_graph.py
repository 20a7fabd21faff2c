"""Tensors that stay in place take fresh batches and draws; capturing them is tested on a GPU."""

from __future__ import annotations

import pytest
import torch

import speechaug as sa
from speechaug.graph import StaticBatch
from speechaug.testing import SAMPLE_RATE, _assert_close, _batch, _draws, policy_example


def test_fresh_draws_in_old_places():
    policy = policy_example()
    x, lengths = _batch(policy)
    static = StaticBatch(policy, torch.zeros_like(x), lengths, sample_rate=SAMPLE_RATE)
    for seed in range(4):
        batch, draws = x * (seed + 1), _draws(policy, len(x), seed)
        static.fill(batch, lengths, draws)
        y, y_lengths = static.run()
        expected, expected_lengths = policy(batch, lengths, draws.tensors(), sample_rate=SAMPLE_RATE)
        _assert_close(y, expected, "in place and direct")
        assert torch.equal(y_lengths, expected_lengths)


def test_what_does_not_fit_is_refused():
    policy = sa.Gain()
    x, lengths = torch.zeros(2, 10), torch.tensor([10, 5])
    static = StaticBatch(policy, x, lengths, sample_rate=SAMPLE_RATE)
    with pytest.raises(ValueError, match="must be of shape"):
        static.fill(torch.zeros(2, 11), lengths, _draws(policy, 2))
    with pytest.raises(ValueError, match="must be of shape"):
        static.fill(x, lengths, _draws(sa.Compose([policy, sa.Speed()]), 2))
    with pytest.raises(ValueError, match="always or never"):
        static.fill(x, None, _draws(policy, 2))
