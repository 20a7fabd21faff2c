"""The log-mel op: a transform in NumPy as oracle, kernels against the reference, gradients, edges."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from speechaug.features import mel_filters
from speechaug.ops.mel import mel
from tests.kernels import cpu, cuda, kernels, reference

HOP, N_FFT, SIZE, BANDS = 80, 256, 200, 20
FLOOR = 1e-8


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 0.1)


def _constants(n_fft: int = N_FFT, size: int = SIZE, bands: int = BANDS) -> tuple[Tensor, Tensor]:
    return torch.hann_window(size).clone(), mel_filters(8_000, n_fft, bands, 20.0, 4_000.0).float()


def _args(x: Tensor, lengths: Tensor, normalise: bool = True, floor: float = FLOOR) -> tuple[Any, ...]:
    return (x, lengths, *_constants(), N_FFT, HOP, floor, normalise)


def _batch() -> tuple[Tensor, Tensor]:
    x = _noise(7, 2_001)
    x[1] *= 1e-8
    x[2] = 0.0
    x[3, 500:] *= 1e-5  # falls below the floor
    x[6, 900:] = torch.nan
    return x, torch.tensor([2_001, 2_000, 1_999, 1_000, 1, 0, 900])


@pytest.mark.parametrize(("n_fft", "size", "bands"), [(16, 9, 3), (32, 32, 5), (512, 400, 40), (1_024, 999, 60)])
def test_energies_are_those_of_numpy(n_fft: int, size: int, bands: int) -> None:
    x, hop = _noise(3_000), 37
    window, filters = _constants(n_fft, size, bands)
    before = (n_fft - size) // 2
    frame = np.zeros(n_fft)
    frame[before : before + size] = window.double()
    row = np.pad(x.double().numpy(), n_fft // 2)
    spectra = np.fft.rfft([row[at : at + n_fft] * frame for at in range(0, 3_001, hop)])
    expected = np.log(np.maximum(np.abs(spectra) ** 2 @ filters.double().numpy(), 1e-10)).T
    for name, spec in kernels(mel, x[None], torch.tensor([3_000]), window, filters, n_fft, hop, 0.0, False):
        np.testing.assert_allclose(spec[0].numpy(), expected, atol=2e-3, err_msg=name)
        assert np.abs(spec[0].numpy() - expected).mean() < 2e-6


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("samples", [1, 63, 100, 2_001])
def test_kernels_equal_the_reference(samples: int, normalise: bool) -> None:
    x, lengths = _batch()
    args = _args(x[:, :samples], lengths.clamp(max=samples), normalise)
    expected = reference(mel, *args)
    for _, spec in kernels(mel, *args):
        torch.testing.assert_close(spec, expected, atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 100), (2, 0), (0, 0)])
def test_empty_batches(shape: tuple[int, int]) -> None:
    args = _args(torch.zeros(shape), torch.zeros(shape[0], dtype=torch.int64))
    for name, spec in [("reference", reference(mel, *args)), *kernels(mel, *args)]:
        assert spec.shape == (shape[0], BANDS, 1 + shape[1] // HOP), name
        assert not spec.any()


def test_a_window_of_two_samples() -> None:
    window, filters = torch.ones(2), torch.ones(2, 1)
    args = (_noise(2, 9), torch.tensor([9, 3]), window, filters, 2, 1, FLOOR, False)
    torch.testing.assert_close(cpu(mel, *args), reference(mel, *args), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("normalise", [True, False])
def test_what_is_broken_in_a_row_stays_in_it(value: float, normalise: bool) -> None:
    x = _noise(3, 2_000)
    clean = cpu(mel, *_args(x, torch.full((3,), 2_000), normalise))
    x[1, 700] = value
    args = _args(x, torch.full((3,), 2_000), normalise)
    spec, expected = cpu(mel, *args), reference(mel, *args)
    assert torch.equal(spec[::2], clean[::2])
    assert torch.equal(spec[1].isnan(), expected[1].isnan())
    assert not spec[1].isfinite().any()


def test_a_row_has_the_same_bits_alone_and_on_any_number_of_threads() -> None:
    x, lengths = _batch()
    whole = cpu(mel, *_args(x, lengths))
    for row, length in enumerate(lengths.tolist()):
        alone = cpu(mel, *_args(x[row : row + 1, :length].contiguous(), lengths[row : row + 1]))
        assert torch.equal(alone[0], whole[row, :, : alone.shape[2]])
        assert not whole[row, :, alone.shape[2] :].any()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(cpu(mel, *_args(x, lengths)), whole)
    finally:
        torch.set_num_threads(threads)


def test_calls_at_the_same_time_and_after_a_fork_do_not_disturb_each_other() -> None:
    batches = [_args(_noise(4, 4_000, seed=seed), torch.full((4,), 4_000)) for seed in range(4)]
    expected, found = [cpu(mel, *args) for args in batches], [[] for _ in batches]  # type: ignore[var-annotated]

    def work(index: int) -> None:
        found[index] = [cpu(mel, *batches[index]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, want) for want, many in zip(expected, found, strict=True) for one in many)


@pytest.mark.global_rng  # gradcheck draws
def test_gradient_is_that_of_the_reference() -> None:
    x, lengths = _batch()
    x, lengths = x[[0, 2, 3, 4]], lengths[[0, 2, 3, 4]]
    towards = _noise(4, BANDS, 26, seed=1)

    def gradient() -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad((mel(*_args(leaf, lengths)) * towards).sum(), leaf)[0]

    by_kernel = gradient()
    with mel.set_kernel_enabled("cpu", False):
        assert torch.equal(by_kernel, gradient())
    assert by_kernel.isfinite().all()
    small = (torch.tensor([[0.3, -0.1, 0.5, 0.2, -0.4, 0.1, 0.9]], dtype=torch.float64).requires_grad_(),)
    others = (
        torch.tensor([6]),
        torch.ones(4).double(),
        torch.tensor([[0.3, 0.0], [0.9, 0.2], [0.0, 1.0]], dtype=torch.float64),
    )
    assert torch.autograd.gradcheck(lambda x: mel(x, *others, 4, 2, FLOOR, True), small)
    assert torch.autograd.gradgradcheck(lambda x: mel(x, *others, 4, 2, FLOOR, False), small)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_op_is_well_formed(dtype: torch.dtype) -> None:
    x, lengths = _batch()
    x = x[:3, :500].to(dtype).requires_grad_()
    torch.library.opcheck(mel, _args(x, lengths[:3].clamp(max=500)))


def test_compiles_into_one_graph() -> None:
    x, lengths = _batch()
    args = _args(x[:3], lengths[:3])
    compiled = torch.compile(lambda *args: mel(*args), fullgraph=True, backend="aot_eager", dynamic=False)
    assert torch.equal(compiled(*args), mel(*args))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_kernels_work_in_a_forked_process() -> None:
    import multiprocessing

    x, lengths = _batch()
    expected = cpu(mel, *_args(x, lengths))
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(cpu(mel, *_args(x, lengths)).numpy()))
    child.start()
    found = queue.get()
    child.join()
    assert np.array_equal(found, expected.numpy(), equal_nan=True)


def test_gpu_kernel_takes_long_rows_in_blocks() -> None:
    args = (_noise(1, 1_100), torch.tensor([1_090]), *_constants(16, 9, 3), 16, 1, FLOOR, True)
    torch.testing.assert_close(cuda(mel, *args), reference(mel, *args), atol=2e-4, rtol=1e-5)
