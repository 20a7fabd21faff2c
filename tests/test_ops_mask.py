"""The mask op: a loop in NumPy as oracle, both layouts, gradients, edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from speechaug.ops.mask import mask
from speechaug.ops.mask import reference as plain
from tests.kernels import cpu, kernels, reference

Args = tuple[Tensor, ...]
LENGTHS = torch.tensor([100, 37, 1, 0, 64, 200])
"""Of rows of at most 100 frames: the last says more than there is."""


def _stripes(rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, Tensor]:
    first, width = rng.integers(0, size + 5, (6, count)), rng.integers(0, size, (6, count))
    width[:, ::2] = rng.integers(0, 4, width[:, ::2].shape)
    return torch.from_numpy(first), torch.from_numpy(width)


def _args(bins: int = 7, frames: int = 100, counts: tuple[int, int] = (2, 5), seed: int = 0) -> Args:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.uniform(1.0, 2.0, (6, bins, frames)).astype(np.float32))
    return x, LENGTHS, *_stripes(rng, counts[0], bins), *_stripes(rng, counts[1], frames)


def _by_hand(args: Args, filling: Tensor | None) -> Tensor:
    x, lengths, first_bin, bins, first_frame, frames = args
    y = x.numpy().copy()
    for row, length in enumerate(lengths.tolist()):
        value = 0.0 if filling is None else float(filling[row])
        for first, width in zip(first_bin[row].tolist(), bins[row].tolist(), strict=True):
            y[row, first : first + width, :length] = value
        for first, width in zip(first_frame[row].tolist(), frames[row].tolist(), strict=True):
            y[row, :, first : min(first + width, length)] = value
    return torch.from_numpy(y)


def _layouts(x: Tensor) -> list[Tensor]:
    """The same numbers by bins, by frames, as a part of something wider and with rows last."""
    wide = torch.nn.functional.pad(x, (3, 4))[..., 3 : 3 + x.shape[2]]
    return [x, x.mT.contiguous().mT, wide, wide.mT.clone().mT, x.permute(2, 1, 0).contiguous().permute(2, 1, 0)]


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize(("bins", "frames", "counts"), [
    (7, 100, (2, 5)), (1, 63, (0, 3)), (40, 1, (1, 0)), (1, 1, (1, 1)), (80, 100, (0, 0)), (3, 100, (9, 1)),
])  # fmt: skip
def test_every_kernel_and_layout_is_what_a_loop_makes(
    bins: int, frames: int, counts: tuple[int, int], filled: bool
) -> None:
    x, *stripes = _args(bins, frames, counts)
    filling = torch.linspace(-3.0, 3.0, 6) if filled else None
    expected = _by_hand((x, *stripes), filling)
    for given in _layouts(x):
        before = given.clone()
        for name, y in [("reference", reference(mask, given, *stripes, filling)),
                        *kernels(mask, given, *stripes, filling)]:  # fmt: skip
            assert torch.equal(y, expected), name
            assert y.stride() == torch.empty_like(given).stride(), name
        assert torch.equal(given, before)


@pytest.mark.parametrize("shape", [(0, 4, 9), (6, 4, 0), (6, 0, 4)])
def test_empty_batches(shape: tuple[int, int, int]) -> None:
    _, lengths, *stripes = (part[: shape[0]] for part in _args())
    for _, y in kernels(mask, torch.zeros(shape), lengths, *stripes, None):
        assert y.shape == shape


def test_hidden_cells_may_hold_anything() -> None:
    x, *others = _args()
    expected = cpu(mask, x, *others, None)
    broken = torch.where(expected == 0.0, torch.nan, x)
    for _, y in kernels(mask, broken, *others, None):
        assert torch.equal(y, expected)


def test_a_row_has_the_same_bits_alone_and_on_any_number_of_threads() -> None:
    args = _args(80)
    whole = cpu(mask, *args, None)
    for row in range(6):
        assert torch.equal(cpu(mask, *(part[row : row + 1] for part in args), None)[0], whole[row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(cpu(mask, *args, None), whole)
    finally:
        torch.set_num_threads(threads)


def _filling(given: list[Tensor]) -> list[Tensor | None]:
    return [*given] or [None]


@pytest.mark.global_rng  # gradcheck draws
@pytest.mark.parametrize("filled", [False, True])
def test_gradient_is_that_of_the_reference(filled: bool) -> None:
    x, *others = _args()
    towards = torch.from_numpy(np.random.default_rng(1).standard_normal(x.shape).astype(np.float32))
    leaves = [x.requires_grad_(), *([torch.linspace(-1.0, 1.0, 6).requires_grad_()] if filled else [])]
    found = torch.autograd.grad((mask(x, *others, *_filling(leaves[1:])) * towards).sum(), leaves)
    by_torch = torch.autograd.grad((plain.mask(x, *others, *_filling(leaves[1:])) * towards).sum(), leaves)
    torch.testing.assert_close(found, by_torch)
    small = [part[:2] for part in _args(3, 4, (1, 1), seed=3)]
    wide = [small[0].double().requires_grad_(), *([torch.ones(2).double().requires_grad_()] if filled else [])]
    assert torch.autograd.gradcheck(lambda x, *filling: mask(x, *small[1:], *_filling([*filling])), wide)
    assert torch.autograd.gradgradcheck(lambda x, *filling: mask(x, *small[1:], *_filling([*filling])), wide)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_op_is_well_formed(dtype: torch.dtype) -> None:
    x, *others = _args()
    filling = torch.ones(6, dtype=dtype, requires_grad=True)
    torch.library.opcheck(mask, (_layouts(x.to(dtype))[1], *others, None))
    torch.library.opcheck(mask, (x.to(dtype).requires_grad_(), *others, filling))


def test_compiles_into_one_graph() -> None:
    args = _args()
    compiled = torch.compile(lambda *args: mask(*args), fullgraph=True, backend="aot_eager", dynamic=False)
    assert torch.equal(compiled(*args, None), mask(*args, None))
