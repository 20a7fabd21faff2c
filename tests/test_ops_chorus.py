"""Drifting copies: reference and CPU kernel against SciPy's polynomials, their adjoint against the inner product."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import lagrange

from speechaug.ops.chorus import chorus
from tests.kernels import cpu, reference


def case(rows: int, channels: int, width: int, copies: int = 2) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(rows + width)
    lengths = torch.tensor([width, width // 2, 1, 0, width - 1])[:rows].clamp(0, width)
    x = torch.from_numpy(rng.standard_normal((rows, channels, width))) * (torch.arange(width) < lengths[:, None, None])
    drawn = rng.uniform(20, 300, (rows, copies)), rng.uniform(size=(rows, copies)), rng.uniform(0, 30, rows)
    more = rng.uniform(1e-5, 1e-3, rows), rng.uniform(0.2, 0.8, rows)
    return x, lengths, *(torch.from_numpy(values) for values in (*drawn, *more))


def test_equal_to_polynomials_through_four_samples() -> None:
    given = case(2, 1, 900, copies=1)
    x, lengths, delay, phase, depth, rate, decay = (values.numpy() for values in given)
    outputs = [reference(chorus, *given, False), cpu(chorus, given[0].float(), *given[1:], False)]
    for row, t in [(0, 5), (0, 256), (0, 700), (0, 899), (1, 300), (1, 449), (1, 450)]:
        place = t - max(1.0, delay[row, 0] + depth[row] * np.sin(2 * np.pi * (rate[row] * t + phase[row, 0])))
        nodes = int(np.floor(place)) + np.arange(-1, 3)
        line = np.concatenate([np.zeros(400), x[row, 0]])  # silence before
        there = lagrange(nodes - nodes[0], line[nodes + 400])(place - nodes[0])
        expected = x[row, 0, t] + decay[row] * there if t < lengths[row] else 0.0
        assert [float(y[row, 0, t]) for y in outputs] == pytest.approx([expected] * 2, abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 2, 1_000), (3, 1, 256), (5, 1, 63), (2, 1, 1), (2, 2, 0), (0, 1, 5)])
@pytest.mark.parametrize("adjoint", [False, True])
def test_kernel_is_the_reference(shape: tuple[int, int, int], adjoint: bool) -> None:
    given = case(*shape)
    expected = reference(chorus, *given, adjoint)
    found = cpu(chorus, given[0].float(), *given[1:], adjoint)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0.0, atol=3e-6)


def test_adjoint_of_the_kernel() -> None:
    x, *drifts = case(5, 2, 1_000)
    g = torch.from_numpy(np.random.default_rng(0).standard_normal(x.shape))
    there = cpu(chorus, x.float(), *drifts, False).double()
    back = cpu(chorus, g.float(), *drifts, True).double()
    assert float((there * g).sum()) == pytest.approx(float((x * back).sum()), abs=1e-3)


def test_delays_below_a_sample_are_one_sample() -> None:
    x, lengths, delay, phase, depth, rate, decay = case(2, 1, 600)
    given = lengths, torch.zeros_like(delay), phase, 0 * depth, rate, decay
    y = cpu(chorus, x.float(), *given, False)
    expected = x + 2 * decay[:, None, None] * torch.nn.functional.pad(x, (1, -1))
    torch.testing.assert_close(y[0].double(), expected[0], rtol=0.0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_gradient_and_opcheck() -> None:
    x, *drifts = case(4, 2, 40)
    torch.autograd.gradcheck(lambda v: chorus(v, *drifts, False), x.requires_grad_())
    torch.library.opcheck(chorus, (x.detach().float().requires_grad_(), *drifts, False))
