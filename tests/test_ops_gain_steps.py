"""Gains that change from time to time: reference and CPU kernel against NumPy's interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from speechaug.ops.gain_steps import gain_steps
from tests.kernels import cpu, reference


def _case(shape, interval):
    rng, (rows, width) = np.random.default_rng(1), (shape[0], shape[-1])
    gains = torch.from_numpy(rng.uniform(-18.0, 18.0, (rows, math.ceil(width / interval) + 1)))
    begun = torch.from_numpy(rng.uniform(0.0, interval, rows))
    return torch.from_numpy(rng.standard_normal(shape)).float(), gains, begun


@pytest.mark.parametrize(("interval", "ramp"), [(80.0, 80.0), (110.25, 27.5625), (4_800.0, 80.0)])
@pytest.mark.parametrize("shape", [(3, 9_001), (2, 2, 640), (3, 1), (2, 0), (0, 5)])
def test_straight_in_db_between_two_gains(shape, interval, ramp):
    x, gains, begun = _case(shape, interval)
    expected = np.zeros(shape)
    for row in range(shape[0]):
        edges = np.arange(gains.shape[1]) * interval - begun[row].numpy()
        knots = np.stack([edges, edges + ramp], axis=1).ravel()
        held = np.repeat(gains[row].numpy(), 2)
        db = np.interp(np.arange(shape[-1]), knots, np.concatenate([held[:1], held[:-1]]))
        expected[row] = x[row].numpy() * 10.0 ** (db / 20.0)
    for run in (reference, cpu):
        y = run(gain_steps, x, gains, begun, interval, ramp)
        assert y.shape == x.shape
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_gradient_and_opcheck():
    x, gains, begun = _case((2, 2, 30), 12.5)
    torch.autograd.gradcheck(lambda v: gain_steps(v, gains, begun, 12.5, 5.0), x.double().requires_grad_())
    torch.library.opcheck(gain_steps, (x.requires_grad_(), gains, begun, 12.5, 5.0))
