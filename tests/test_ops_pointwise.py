"""Stages on single samples: reference, CPU and CUDA kernel against each other, and against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from speechaug.ops.pointwise import pointwise, pointwise_
from speechaug.ops.pointwise.reference import Stage
from tests.kernels import cpu, cuda, cuda_, kernels, reference

VALUES = {
    Stage.GAIN: -2.5,
    Stage.CLIP: 0.4,
    Stage.TANH: 3.0,
    Stage.QUANTIZE: 32.0,
    Stage.RESCALE: 1.0,
    Stage.LIMIT: 0.9,
    Stage.MU_LAW: 20.0,
}


def _case(
    codes: list[Stage], *shape: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, list[int], Tensor, Tensor]:
    generator = np.random.default_rng(len(codes) + shape[-1])
    x = torch.from_numpy(generator.standard_normal(shape)).to(dtype)
    values = torch.tensor([[VALUES[code] for code in codes]], dtype=torch.float64).repeat(shape[0], 1)
    on = torch.from_numpy(generator.random((shape[0], len(codes))) < 0.7)
    return x, [int(code) for code in codes], values, on


def _numpy(code: Stage, v: np.ndarray, value: float, peak: float) -> np.ndarray:
    """The formulas again, in float64."""
    return {
        Stage.GAIN: lambda: v * value,
        Stage.CLIP: lambda: np.clip(v, -value * peak, value * peak),
        Stage.TANH: lambda: peak * np.tanh(value * v / peak) / np.tanh(value),
        Stage.QUANTIZE: lambda: np.round(v * value) / value,
        Stage.RESCALE: lambda: v / max(1.0, peak),
        Stage.LIMIT: lambda: np.clip(v, -value, value),
        Stage.MU_LAW: lambda: _companded(np.clip(v, -1.0, 1.0), value),
    }[code]()


def _companded(v: np.ndarray, steps: float) -> np.ndarray:
    rounded = np.minimum(np.round(steps * np.log(1.0 + 255.0 * np.abs(v)) / np.log(256.0)) / steps, 1.0)
    return np.sign(v) * (256.0**rounded - 1.0) / 255.0


def _all_ways(*case):
    return [("reference", reference(pointwise, *case)), *kernels(pointwise, *case)]


@pytest.mark.parametrize(
    "codes", list(itertools.permutations(Stage, 2)), ids=lambda two: f"{two[0].name}-{two[1].name}"
)
def test_two_stages_in_order(codes):
    x, stages, values, _ = _case(list(codes), 1, 200)
    on = torch.ones(1, 2, dtype=torch.bool)
    expected = x.double().numpy()[0]
    for code in codes:
        expected = _numpy(code, expected, VALUES[code], float(np.abs(expected).max()))
    steps = {Stage.QUANTIZE: 2.1 / VALUES[Stage.QUANTIZE], Stage.MU_LAW: 0.7}
    step = max(steps.get(code, 0.0) for code in codes)
    for name, y in _all_ways(x, stages, values, on):
        away = np.abs(y.numpy()[0] - expected)
        # a sample at the edge between two steps of the quantiser may take the other one
        allowed = np.where(away > 1e-4, step, 3e-6)
        assert (away <= allowed).all() and (away > 1e-4).mean() <= 0.01, f"{name}: {away.max()}"


@pytest.mark.parametrize("shape", [(3, 1), (3, 63), (2, 2, 100), (4, 5_000), (1, 1), (3, 0), (0, 7)])
def test_kernels_equal_the_reference(shape):
    codes = [Stage.GAIN, Stage.CLIP, Stage.TANH, Stage.GAIN, Stage.RESCALE, Stage.LIMIT]
    case = _case(codes, *shape)
    expected = reference(pointwise, *case)
    for name, y in kernels(pointwise, *case):
        assert y.shape == expected.shape
        torch.testing.assert_close(y, expected, rtol=2e-6, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("way", [lambda x: x, lambda x: x.transpose(-1, -2)], ids=["contiguous", "transposed"])
@pytest.mark.parametrize("shape", [(3, 1), (4, 5_000), (2, 3, 100), (3, 0), (0, 7)])
def test_in_place_is_the_same_bit_for_bit(shape, way):
    x, codes, values, on = _case(list(Stage), *shape)
    x, on[:1] = (way(x.unsqueeze(1)) if x.ndim == 2 else way(x)), False
    ways = {"reference": (reference, reference), "cpu": (cpu, cpu), "cuda": (cuda, cuda_)}
    for name, (run, run_) in ways.items():
        expected, y = run(pointwise, x, codes, values, on), x.clone()
        run_(pointwise_, y, codes, values, on)
        assert torch.equal(y, expected), name
        assert torch.equal(y[:1], x[:1]), name


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1.0, 1e8])
def test_finite_at_any_level(scale):
    x, codes, values, on = _case(list(Stage), 4, 300)
    for name, y in _all_ways(x * scale, codes, values, on):
        assert torch.isfinite(y).all(), name


def test_a_row_with_nan_stays_alone():
    x, codes, values, on = _case([Stage.CLIP, Stage.TANH, Stage.RESCALE], 3, 100)
    expected = reference(pointwise, x, codes, values, on)
    x[1, 50] = torch.nan
    for name, y in kernels(pointwise, x, codes, values, on):
        torch.testing.assert_close(y[[0, 2]], expected[[0, 2]], msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("stage", Stage)
def test_nan_stays_nan(stage):
    one = torch.ones(1, 1, dtype=torch.float64)
    case = torch.tensor([[0.5, torch.nan, -0.5]]), [stage], VALUES[stage] * one, one.bool()
    assert reference(pointwise, *case).isnan()[0, 1]
    assert cpu(pointwise, *case).isnan()[0, 1]


def test_halves_go_to_even():
    x = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 5e6 + 0.5]])
    one = torch.ones(1, 1, dtype=torch.float64)
    for name, y in kernels(pointwise, x, [Stage.QUANTIZE], one, one.bool()):
        assert y[0].tolist() == np.round(x[0].numpy()).tolist(), name


@pytest.mark.parametrize("steps", [1.0, 3.0, 12.7, 127.0, 32_767.0])
def test_mu_law_decides_in_double_precision(steps):
    x = torch.linspace(-1.1, 1.1, 40_001)
    x = torch.cat([x, x.clamp(-1.0, 1.0) ** 7, torch.tensor([1.0, -1.0, 1e-30, 0.0])])
    expected = _companded(x.double().clamp(-1.0, 1.0).numpy(), float(np.float32(steps)))
    value, on = torch.full((1, 1), steps, dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool)
    for name, y in _all_ways(x[None], [Stage.MU_LAW], value, on):
        np.testing.assert_allclose(y[0].numpy(), expected, rtol=2e-7, atol=1e-12, err_msg=name)


def test_gradient_of_mu_law_is_that_of_the_limit():
    x = torch.tensor([[0.0, 0.01, -0.6, 1.5]], requires_grad=True)
    one = torch.ones(1, 1, dtype=torch.float64)
    pointwise(x, [Stage.MU_LAW], 3.0 * one, one.bool()).sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0, 1.0, 0.0]]


@pytest.mark.parametrize("codes", [[Stage.GAIN, Stage.CLIP], [Stage.TANH, Stage.GAIN, Stage.CLIP, Stage.LIMIT], []])
def test_gradient_by_finite_differences(codes):
    x, stages, values, on = _case(codes, 3, 2, 7, dtype=torch.float64)
    torch.autograd.gradcheck(lambda v: pointwise(v, stages, values, on), x.requires_grad_())


def test_gradient_of_rescale_and_quantize_as_documented():
    x = torch.tensor([[0.5, -2.0, 0.3]], requires_grad=True)
    on = torch.ones(1, 2, dtype=torch.bool)
    y = pointwise(x, [Stage.QUANTIZE, Stage.RESCALE], torch.tensor([[2.0, 1.0]], dtype=torch.float64), on)
    y.sum().backward()
    assert y.tolist() == [[0.25, -1.0, 0.25]]
    assert x.grad.tolist() == [[0.5, 0.5, 0.5]]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_opcheck():
    x, codes, values, on = _case([Stage.GAIN, Stage.CLIP, Stage.TANH], 2, 2, 30)
    torch.library.opcheck(pointwise, (x.requires_grad_(), codes, values, on))
    torch.library.opcheck(pointwise_, (x.detach(), codes, values, on))
