"""Resampling op: reference, CPU and CUDA kernel against each other, against torchaudio and scipy, and its transpose."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from speechaug import functional as F
from speechaug.ops.resample import resample, resample_adjoint, tables
from tests.kernels import cpu, cuda, reference

FACTORS = [0.25, 0.5, 0.9, 0.937, 1.0, 1.0001, 2 ** (1 / 12), 1.1, 2.0, 4.0]
SHORT = [0.9, 1.1, 0.9, 1.1, 1.1, 1.0]
QUALITIES = ["high", "fast"]


def _case(samples: int, factors: list[float], quality: str, dtype: torch.dtype = torch.float32) -> tuple[object, ...]:
    """Rows of noise, also beyond their lengths; some rows of few samples come last."""
    factor = torch.tensor(factors + SHORT, dtype=torch.float64)
    lengths = torch.tensor([samples] * len(factors) + [777, 333, 63, 1, 0, 100]).clamp(max=samples)
    x = torch.from_numpy(np.random.default_rng(samples).standard_normal((len(factor), samples))).to(dtype)
    new_lengths = F.scaled_lengths(lengths, factor)
    return x, lengths, new_lengths, factor, int(new_lengths.max()) + 3, quality


def _adjoint_case(samples: int, factors: list[float], quality: str, dtype: torch.dtype = torch.float32):
    x, lengths, new_lengths, factor, width, _ = _case(samples, factors, quality)
    y = torch.from_numpy(np.random.default_rng(1).standard_normal((len(x), width))).to(dtype)
    return y, lengths, new_lengths, factor, samples, quality


def _close(y: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(y, expected, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("samples", [5_000, 100, 63, 1])
def test_cpu_kernels_are_the_reference(samples, quality):
    for op, case in [(resample, _case), (resample_adjoint, _adjoint_case)]:
        args = case(samples, FACTORS, quality)
        _close(cpu(op, *args), reference(op, *args))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize(("samples", "factors"), [(400, [0.25, 4.0]), (1, [0.9])])
def test_cuda_kernels_are_the_reference(samples, factors, quality):
    for op, case in [(resample, _case), (resample_adjoint, _adjoint_case)]:
        args = case(samples, factors, quality)
        _close(cuda(op, *args), reference(op, *args))


@pytest.mark.parametrize("op", [resample, resample_adjoint])
@pytest.mark.parametrize(("rows", "samples", "width"), [(0, 9, 9), (2, 0, 9), (2, 9, 0)])
def test_nothing_in_is_silence_out(op, rows, samples, width):
    lengths = torch.full((rows,), min(samples, width))
    args = (torch.ones(rows, samples), lengths, lengths, torch.full((rows,), 0.9, dtype=torch.float64), width, "high")
    for y in (reference(op, *args), cpu(op, *args), cuda(op, *args)):
        assert y.shape == (rows, width)
        assert not y.any()


@pytest.mark.parametrize("quality", QUALITIES)
def test_adjoint_is_the_transpose(quality):
    """<A x, y> = <x, A' y>, in float64 for the reference and to rounding for the kernels."""
    for dtype, tolerance in [(torch.float64, 1e-10), (torch.float32, 1e-3)]:
        x, lengths, new_lengths, factor, width, _ = _case(3_000, FACTORS, quality, dtype)
        y = _adjoint_case(3_000, FACTORS, quality, dtype)[0]
        forth = resample(x, lengths, new_lengths, factor, width, quality).double()
        back = resample_adjoint(y, lengths, new_lengths, factor, 3_000, quality).double()
        assert (torch.linalg.vecdot(forth, y.double()) - torch.linalg.vecdot(back, x.double())).abs().max() < tolerance


@pytest.mark.parametrize("quality", QUALITIES)
def test_gradients_of_kernels_and_reference_agree(quality):
    x, *rest = _case(2_000, FACTORS, quality)
    weights = torch.from_numpy(np.random.default_rng(2).standard_normal((len(x), rest[-2]))).float()
    gradients = []
    for enabled in (True, False):
        x.requires_grad_()
        with resample.set_kernel_enabled("cpu", enabled), resample_adjoint.set_kernel_enabled("cpu", enabled):
            gradients += torch.autograd.grad((resample(x, *rest) * weights).sum(), x)
    _close(*gradients)


def test_gradcheck_of_both():
    case = _case(24, [0.8, 1.0, 1.3], "high", torch.float64)
    x = case[0].requires_grad_()
    torch.autograd.gradcheck(lambda x: resample(x, *case[1:]), x)
    grad = torch.ones(len(x), case[4], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradgradcheck(lambda x: resample(x, *case[1:]), x, grad)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_opcheck():
    for op, case in [(resample, _case), (resample_adjoint, _adjoint_case)]:
        x, *rest = case(50, [0.8, 1.3], "fast")
        torch.library.opcheck(op, (x.requires_grad_(), *rest))


@pytest.mark.parametrize("op", [resample, resample_adjoint])
def test_cpu_bits_do_not_depend_on_threads_or_on_other_rows(op):
    case = _case if op is resample else _adjoint_case
    x, lengths, new_lengths, factor, width, quality = case(5_000, FACTORS, "high")
    whole = cpu(op, x, lengths, new_lengths, factor, width, quality)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(cpu(op, x, lengths, new_lengths, factor, width, quality), whole)
    finally:
        torch.set_num_threads(threads)
    for row in range(len(x)):
        one = slice(row, row + 1)
        alone = cpu(op, x[one], lengths[one], new_lengths[one], factor[one], width, quality)
        assert torch.equal(alone[0], whole[row])


def test_padding_and_other_rows_are_not_read():
    for op, case in [(resample, _case), (resample_adjoint, _adjoint_case)]:
        x, lengths, new_lengths, *rest = case(400, [0.9, 1.1], "high")
        limits = lengths if op is resample else new_lengths
        padding = torch.arange(x.shape[1]) >= limits[:, None]
        expected = cpu(op, x, lengths, new_lengths, *rest)
        broken = x.masked_fill(padding, torch.nan)
        broken[0] = torch.nan
        for y in (cpu(op, broken, lengths, new_lengths, *rest), cuda(op, broken, lengths, new_lengths, *rest)):
            _close(y[1:], expected[1:])


@pytest.mark.parametrize(("old", "new"), [(9, 10), (11, 10), (147, 160), (4, 5)])
def test_rational_ratios_against_scipy_with_a_longer_filter(old, new):
    """White noise up to 0.8 of the lower Nyquist frequency; a Kaiser filter of scipy with 110 dB."""
    edge = min(1.0, new / old)
    noise = np.random.default_rng(0).standard_normal(8_000)
    x = scipy.signal.sosfiltfilt(scipy.signal.cheby2(14, 60, 0.8 * edge, output="sos"), noise)
    window = scipy.signal.firwin(2 * 40 * max(old, new) + 1, 0.925 / max(old, new), window=("kaiser", 11.0))
    expected = scipy.signal.resample_poly(x, new, old, window=window)
    width = round(8_000 * new / old)
    args = (torch.tensor([8_000]), torch.tensor([width]), torch.tensor([old / new], dtype=torch.float64), width, "high")
    y = resample(torch.from_numpy(x.copy()).float()[None], *args)[0].double().numpy()
    inner = slice(200, width - 200)
    error = np.linalg.norm(y[inner] - expected[inner]) / np.linalg.norm(expected[inner])
    assert -20 * np.log10(error) > 77


@pytest.mark.parametrize(("old", "new"), [(9, 10), (11, 10)])
def test_one_ratio_against_torchaudio(old, new):
    torchaudio = pytest.importorskip("torchaudio", exc_type=(ImportError, OSError, RuntimeError))
    t = np.arange(6_000)
    x = torch.from_numpy(sum(np.cos(w * t) for w in (0.1, 0.7, 1.6, 2.2))).float()[None]
    peer = torchaudio.functional.resample(
        x, old, new, lowpass_filter_width=64, rolloff=0.925, resampling_method="sinc_interp_kaiser", beta=12.0
    )
    y = F.resample(x, torch.tensor([6_000]), torch.tensor([old / new], dtype=torch.float64), round(6_000 * new / old))
    inner = slice(200, round(6_000 * new / old) - 200)
    assert -20 * torch.log10((y - peer)[0, inner].norm() / peer[0, inner].norm()) > 77


@pytest.mark.parametrize("quality", QUALITIES)
def test_tables_have_unit_gain_at_zero_and_read_samples_as_they_are(quality):
    made, taps = tables.tables(quality), np.arange(tables.READ_TAPS) - tables.BEFORE
    np.testing.assert_allclose(made.read.sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(made.read[0], taps == 0, atol=1e-6)
    np.testing.assert_allclose(made.read[-1], taps == 1, atol=1e-3)
    for start in (0, 1):  # the even samples of the fine grid, which hold the middle, and the odd ones
        phase = made.low_pass[start * tables.FINENESS :: 2 * tables.FINENESS].astype(np.float64)
        assert abs(2.0 * phase.sum() - (phase[0] if start == 0 else 0.0) - 1.0) < 1e-3
