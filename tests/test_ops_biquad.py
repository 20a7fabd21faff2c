"""Cascades of second-order sections against SciPy, and each kernel against the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kernels import cpu, cuda, kernels, reference
from scipy import signal
from torch._subclasses.fake_tensor import FakeTensorMode

from speechaug.ops.biquad import biquad
from speechaug.ops.transfer import transfer

HARD = [
    ("butter", 2, 1_000.0, "low", 16_000),
    ("butter", 4, 20.0, "high", 48_000),
    ("butter", 8, 20.0, "low", 48_000),
    ("butter", 8, 20.0, "high", 48_000),
    ("butter", 8, 7_990.0, "low", 16_000),
    ("butter", 6, 3_000.0, "high", 16_000),
    ("ellip", 10, 1_000.0, "low", 16_000),
]


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def scipy_sections(family: str, order: int, cutoff: float, kind: str, rate: int) -> np.ndarray:
    if family == "ellip":
        return signal.ellip(order, 0.5, 60.0, cutoff, kind, fs=rate, output="sos")
    return signal.butter(order, cutoff, kind, fs=rate, output="sos")


def ours(*rows: np.ndarray) -> torch.Tensor:
    """Sections of each row; rows with fewer end with the identity."""
    out = np.zeros((len(rows), max(map(len, rows)), 5))
    out[..., 0] = 1.0
    for row, sections in enumerate(rows):
        out[row, : len(sections)] = sections[:, [0, 1, 2, 4, 5]]
    return torch.from_numpy(out)


def mixed(rows: int) -> torch.Tensor:
    """Real poles, double poles, no poles, nothing to do and ten states: a different cascade in each row."""
    some = [
        scipy_sections("butter", 2, 700.0, "low", 16_000),
        np.array([[0.2, 0.1, 0.0, 1.0, -1.1, 0.3], [1.0, 0.5, 0.25, 1.0, 0.0, 0.0]]),
        np.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]),
        np.array([[0.5, 0.0, 0.1, 1.0, -1.8, 0.81]] * 3),
        scipy_sections("ellip", 10, 1_000.0, "low", 16_000),
    ]
    return ours(*some)[torch.arange(rows) % len(some)]


@pytest.mark.parametrize("case", HARD, ids=str)
def test_equals_scipy(case: tuple) -> None:
    sections = scipy_sections(*case)
    x, lengths = noise(2, 2, 30_011), torch.tensor([30_011, 4_999])
    y = biquad(x, ours(sections, sections), lengths, False)
    for row, length in enumerate(lengths.tolist()):
        expected = signal.sosfilt(sections, x[row, :, :length].double().numpy())
        error = np.abs(y[row, :, :length].numpy() - expected).max()
        # A high-pass takes what it lets through from what is there: rounding is relative to the louder of the two.
        assert error < 1e-6 * max(np.abs(expected).max(), float(x.abs().max()) if case[3] == "high" else 0.0)
        assert not y[row, :, length:].any()


def assert_close(got: torch.Tensor, expected: torch.Tensor) -> None:
    """Within 1e-6 of each row's largest value."""
    error, largest = (got.double() - expected).abs().flatten(1), expected.abs().flatten(1)
    assert bool((error.amax(dim=1) <= 1e-6 * largest.amax(dim=1)).all()), error.amax(dim=1) / largest.amax(dim=1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [1, 63, 100, 5_000])
def test_cpu_equals_the_reference(width: int, reverse: bool) -> None:
    x, sections = noise(5, 2, width), mixed(5)
    lengths = torch.tensor([width, width // 2, max(width - 1, 0), min(width, 33), 0])
    expected = reference(biquad, x.double(), sections, lengths, reverse)
    assert reference(biquad, x, sections, lengths, reverse).dtype == torch.float32
    assert_close(cpu(biquad, x, sections, lengths, reverse), expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [1, 70])
def test_cuda_equals_the_reference(width: int, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("speechaug.ops.biquad.cuda")
    monkeypatch.setattr(module, "_CHUNK", 32)  # several chunks, which hand on their states
    x, sections, lengths = noise(2, 1, width), mixed(2)[:, :2], torch.tensor([width, width // 2])
    expected = reference(biquad, x.double(), sections, lengths, reverse)
    assert_close(cuda(biquad, x, sections, lengths, reverse), expected)


@pytest.mark.parametrize("shape", [(0, 2, 5), (2, 1, 0), (2, 0, 3)])
def test_nothing_in_nothing_out(shape: tuple[int, ...]) -> None:
    lengths = torch.zeros(shape[0], dtype=torch.int64)
    for _, got in kernels(biquad, torch.zeros(shape), mixed(shape[0]), lengths, False):
        assert got.shape == shape


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1.0])
def test_levels(scale: float) -> None:
    x, lengths = noise(5, 1, 500) * scale, torch.full((5,), 500)
    y = cpu(biquad, x, mixed(5), lengths, False)
    expected = reference(biquad, x.double(), mixed(5), lengths, False)
    assert_close(y, expected)


def test_rows_are_alone_to_the_bit_on_any_number_of_threads() -> None:
    x, sections = noise(5, 2, 5_000), mixed(5)
    lengths = torch.tensor([5_000, 4_321, 100, 2_048, 1])
    threads = torch.get_num_threads()
    for reverse in (False, True):
        y = cpu(biquad, x, sections, lengths, reverse)
        for row, length in enumerate(lengths.tolist()):
            one = slice(row, row + 1)
            alone = cpu(biquad, x[one, :, :length], sections[one], lengths[one], reverse)
            assert torch.equal(alone, y[one, :, :length])
        try:
            torch.set_num_threads(3)
            assert torch.equal(cpu(biquad, x, sections, lengths, reverse), y)
        finally:
            torch.set_num_threads(threads)


def test_nan_stays_in_its_row_and_padding_is_not_read() -> None:
    x, sections, lengths = noise(5, 1, 300), mixed(5), torch.full((5,), 200)
    clean = cpu(biquad, x, sections, lengths, False)
    x[1, 0, 100], x[:, :, 200:] = float("nan"), float("nan")
    for reverse in (False, True):
        y = cpu(biquad, x, sections, lengths, reverse)
        assert torch.isfinite(y[[0, 2, 3, 4]]).all()
    assert torch.equal(cpu(biquad, x, sections, lengths, False)[[0, 2, 3, 4]], clean[[0, 2, 3, 4]])


def test_identity_is_the_input() -> None:
    x, lengths, nothing = noise(1, 1, 60), torch.tensor([50]), torch.tensor([[[1.0, 0.0, 0.0, 0.0, 0.0]]])
    for _, got in kernels(biquad, x, nothing.double(), lengths, False):
        assert torch.equal(got[..., :50], x[..., :50])


def test_gradient() -> None:
    sections, lengths = mixed(5), torch.tensor([200, 150, 64, 1, 200])
    x = noise(5, 1, 200).requires_grad_()
    towards = noise(5, 1, 200, seed=2)
    (got,) = torch.autograd.grad((biquad(x, sections, lengths, False) * towards).sum(), x)
    with biquad.set_kernel_enabled("cpu", False):
        (expected,) = torch.autograd.grad((biquad(x, sections, lengths, False) * towards).sum(), x)
    assert torch.allclose(got, expected, atol=1e-5)
    small = torch.randn(5, 1, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for reverse in (False, True):
        assert torch.autograd.gradcheck(biquad, (small, sections, lengths.clamp(max=20), reverse))


def test_the_adjoint_is_the_adjoint() -> None:
    x, g, lengths = noise(5, 2, 700), noise(5, 2, 700, seed=3), torch.tensor([700, 333, 64, 1, 0])
    there = (biquad(x, mixed(5), lengths, False).double() * g).sum()
    back = (x.double() * biquad(g, mixed(5), lengths, True)).sum()
    assert abs(float(there - back)) < 1e-4 * abs(float(there))


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_registered() -> None:
    args = (noise(2, 1, 40).requires_grad_(), mixed(2), torch.tensor([40, 3]), False)
    torch.library.opcheck(biquad, args)
    torch.library.opcheck(transfer, (mixed(2), 64))
    with FakeTensorMode() as mode:
        fake = [mode.from_tensor(arg) if isinstance(arg, torch.Tensor) else arg for arg in args]
        assert biquad(*fake).shape == (2, 1, 40)
        assert transfer(fake[1], 64).shape == (2, 33)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_transfer_equals_scipy(case: tuple) -> None:
    sections, size = scipy_sections(*case), 4_096
    grid = 2.0 * np.pi * np.arange(size // 2 + 1) / size
    _, expected = signal.sosfreqz(sections, worN=grid)
    got = transfer(ours(sections), size)[0].numpy()
    assert np.abs(got - expected).max() < 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("size", [16, 130, 600])
def test_transfer_kernels_equal_the_reference(size: int) -> None:
    expected = reference(transfer, mixed(5), size)
    for name, got in kernels(transfer, mixed(5), size):
        assert torch.allclose(got, expected, atol=1e-6, rtol=1e-6), name
    for _, got in kernels(transfer, mixed(0), size):
        assert got.shape == (0, size // 2 + 1)
