"""Swinging phases: reference and CPU kernel against SciPy's filters, their adjoint against the inner product."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from speechaug.ops.phaser import phaser
from tests.kernels import cpu, reference


def case(rows: int, channels: int, width: int, steps: int = 13) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(rows + width)
    lengths = torch.tensor([width, width // 2, 1, 0, width - 1])[:rows].clamp(0, width)
    x = torch.from_numpy(rng.standard_normal((rows, channels, width))) * (torch.arange(width) < lengths[:, None, None])
    drawn = rng.uniform(-0.95, 0.2, (rows, steps)), rng.uniform(1e-5, 1e-3, rows), rng.uniform(size=rows)
    return x, lengths, *(torch.from_numpy(values) for values in (*drawn, rng.uniform(0.2, 1.0, rows)))


@pytest.mark.parametrize(("steps", "stages"), [(2, 2), (8, 4), (13, 4), (20, 6)])
def test_equal_to_filters_cross_faded(steps: int, stages: int) -> None:
    given = case(2, 1, 1_000, steps)
    x, lengths, coefficient, rate, phase, decay = (values.numpy() for values in given)
    for row in range(2):
        place = (0.5 + 0.5 * np.sin(2 * np.pi * (rate[row] * np.arange(1_000) + phase[row]))) * (steps - 1)
        filtered = np.repeat(x[row], steps, axis=0)
        for step, a in enumerate(coefficient[row]):
            for _ in range(stages):
                filtered[step] = lfilter([a, 1.0], [1.0, a], filtered[step])
        faded = [np.interp(p, np.arange(steps), line) for p, line in zip(place, filtered.T, strict=True)]
        expected = (x[row, 0] + decay[row] * np.array(faded)) / (1.0 + decay[row])
        expected[lengths[row] :] = 0.0
        assert np.abs(reference(phaser, *given, stages, False)[row, 0].numpy() - expected).max() < 1e-9
        assert np.abs(cpu(phaser, given[0].float(), *given[1:], stages, False)[row, 0].numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("shape", [(5, 2, 1_000), (3, 1, 128), (5, 1, 63), (2, 1, 1), (2, 2, 0), (0, 1, 5)])
@pytest.mark.parametrize("adjoint", [False, True])
def test_kernel_is_the_reference(shape: tuple[int, int, int], adjoint: bool) -> None:
    given = case(*shape)
    expected = reference(phaser, *given, 4, adjoint)
    found = cpu(phaser, given[0].float(), *given[1:], 4, adjoint)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0.0, atol=3e-6)


def test_adjoint_of_the_kernel() -> None:
    x, *swings = case(5, 2, 1_000)
    g = torch.from_numpy(np.random.default_rng(0).standard_normal(x.shape)) * (x != 0)
    there = cpu(phaser, x.float(), *swings, 4, False).double()
    back = cpu(phaser, g.float(), *swings, 4, True).double()
    assert float((there * g).sum()) == pytest.approx(float((x * back).sum()), abs=1e-3)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_gradient_and_opcheck() -> None:
    x, *swings = case(3, 2, 40, steps=3)
    torch.autograd.gradcheck(lambda v: phaser(v, *swings, 2, False), x.requires_grad_())
    torch.library.opcheck(phaser, (x.detach().float().requires_grad_(), *swings, 2, False))
