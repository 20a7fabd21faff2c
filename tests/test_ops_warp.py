"""The warp op and its adjoint: NumPy's interpolation as oracle, both layouts, gradients, edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from speechaug.ops.warp import reference as plain
from speechaug.ops.warp import unwarp, warp
from tests.kernels import cpu, kernels, reference

WINDOW = 30.0
LENGTHS = torch.tensor([100, 37, 9, 2, 1, 0, 99])
CENTER = torch.tensor([0.0, 0.9, 0.5, 0.3, 0.5, 0.5, 0.999], dtype=torch.float64)
SHIFT = torch.tensor([-25.0, 12.5, 30.0, -30.0, 10.0, 10.0, 0.0], dtype=torch.float64)


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def _args(bins: int = 19, frames: int = 100) -> tuple[Any, ...]:
    return _noise(7, bins, frames), LENGTHS.clamp(max=frames), CENTER, SHIFT, WINDOW


def _layouts(x: Tensor) -> list[Tensor]:
    """The same numbers by bins, by frames, as a part of something wider and with rows last."""
    wide = torch.nn.functional.pad(x, (3, 4))[..., 3 : 3 + x.shape[2]]
    return [x, x.mT.contiguous().mT, wide, x.permute(2, 1, 0).contiguous().permute(2, 1, 0)]


def _places(length: int, center: float, shift: float, frames: int) -> np.ndarray:
    """Where each frame comes from."""
    last = max(length - 1, 0)
    reach = min(WINDOW, last / 2.0)
    source = reach + center * (last - 2.0 * reach)
    target = source + shift * reach / WINDOW
    places = np.arange(frames, dtype=np.float64)
    if 0.0 < target < last:
        places[:length] = np.interp(places[:length], [0.0, target, last], [0.0, source, last])
    return places


@pytest.mark.parametrize("bins", [1, 8, 19])
def test_every_kernel_and_layout_interpolates_like_numpy(bins: int) -> None:
    x, *others = _args(bins)
    for given in _layouts(x):
        for name, y in [("reference", reference(warp, given, *others)), *kernels(warp, given, *others)]:
            assert y.stride() == torch.empty_like(given).stride(), name
            for row in (0, 1, 4, 5, 6):  # in the others the moment reaches an end
                places = _places(int(LENGTHS[row]), float(CENTER[row]), float(SHIFT[row]), 100)
                expected = [np.interp(places, np.arange(100), line) for line in x[row].double().numpy()]
                np.testing.assert_allclose(y[row].numpy(), expected, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("op", [warp, unwarp])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 63, 100])
def test_kernels_equal_the_reference(op: Any, frames: int) -> None:
    x, *others = _args(9, frames)
    for given in _layouts(x)[:2]:
        expected = reference(op, given, *others)
        for name, y in kernels(op, given, *others):
            torch.testing.assert_close(y, expected, atol=2e-6, rtol=0)
            assert y.stride() == given.stride(), name


@pytest.mark.parametrize("op", [warp, unwarp])
@pytest.mark.parametrize("shape", [(0, 4, 9), (7, 4, 0), (7, 0, 4)])
def test_empty_batches(op: Any, shape: tuple[int, int, int]) -> None:
    lengths, center, shift = (part[: shape[0]] for part in (LENGTHS, CENTER, SHIFT))
    args = (torch.zeros(shape), lengths.clamp(max=shape[2]), center, shift, WINDOW)
    for _, y in [("", reference(op, *args)), *kernels(op, *args)]:
        assert y.shape == shape


@pytest.mark.parametrize("op", [warp, unwarp])
def test_a_row_has_the_same_bits_alone_and_on_any_number_of_threads(op: Any) -> None:
    *args, window = _args()
    whole = cpu(op, *args, window)
    for row in range(7):
        assert torch.equal(cpu(op, *(part[row : row + 1] for part in args), window)[0], whole[row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(cpu(op, *args, window), whole)
    finally:
        torch.set_num_threads(threads)


def test_what_is_broken_in_a_row_stays_in_it() -> None:
    x, *others = _args()
    clean = cpu(warp, x, *others)
    x[1, 3, 5] = torch.nan
    y = cpu(warp, x, *others)
    assert torch.equal(y[[0, *range(2, 7)]], clean[[0, *range(2, 7)]])
    assert 0 < int(y.isnan().sum()) <= 4
    center = CENTER.clone()
    center[0] = torch.nan  # nothing outside the row is read
    assert cpu(warp, x, others[0], center, SHIFT, WINDOW).shape == x.shape


def test_adjoint_is_the_transpose() -> None:
    x, *others = _args()
    y = _noise(7, 19, 100, seed=1)
    forward = (cpu(warp, x, *others).double() * y).sum((1, 2))
    for name, back in kernels(unwarp, y, *others):
        torch.testing.assert_close((back.double() * x).sum((1, 2)), forward, atol=1e-4, rtol=0)
        assert name


@pytest.mark.global_rng  # gradcheck draws
def test_gradient_is_that_of_the_reference() -> None:
    x, *others = _args()
    towards = _noise(7, 19, 100, seed=1)
    leaf = x.requires_grad_()
    (found,) = torch.autograd.grad((warp(leaf, *others) * towards).sum(), leaf)
    (by_torch,) = torch.autograd.grad((plain.warp(leaf, *others) * towards).sum(), leaf)
    torch.testing.assert_close(found, by_torch, atol=2e-6, rtol=0)
    small = (x[:2, :2, :9].detach().double().requires_grad_(),)
    bend = (torch.tensor([9, 6]), CENTER[1:3], SHIFT[1:3] / 10.0, 3.0)
    assert torch.autograd.gradcheck(lambda x: warp(x, *bend), small)
    assert torch.autograd.gradgradcheck(lambda x: warp(x, *bend), small)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
@pytest.mark.parametrize("op", [warp, unwarp])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ops_are_well_formed(op: Any, dtype: torch.dtype) -> None:
    x, *others = _args(3)
    torch.library.opcheck(op, (x.to(dtype).requires_grad_(), *others))
    torch.library.opcheck(op, (_layouts(x.to(dtype))[1], *others))


def test_compiles_into_one_graph() -> None:
    args = _args()
    compiled = torch.compile(lambda *args: warp(*args), fullgraph=True, backend="aot_eager", dynamic=False)
    assert torch.equal(compiled(*args), warp(*args))
