"""Noise ops: reference, CPU and CUDA kernels agree; what they add is Gaussian, at the ratio asked for."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import torch
from scipy import signal, stats
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from speechaug.functional.level import cut
from speechaug.ops.noise import add_generated, add_generated_, add_recorded, add_recorded_, generator, reference
from speechaug.rng import philox4x32
from tests import kernels

RATE = 16_000


def speech(shape: tuple[int, ...], lengths: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    x = np.random.default_rng(0).standard_normal(shape) * 0.1
    return cut(torch.from_numpy(x).to(dtype), lengths)


def generated(
    lengths: list[int], width: int, exponent: list[float], channels: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Any, ...]:
    rows, valid = len(lengths), torch.tensor(lengths, dtype=torch.int64)
    x = speech((rows, channels, width) if channels else (rows, width), valid, dtype)
    key = torch.arange(rows) * -0x123456789ABCDEF + 5
    snr_db, above_db = torch.linspace(-5.0, 25.0, rows).double(), torch.linspace(0.0, 3.0, rows).double()
    return x, valid, key, torch.tensor(exponent, dtype=torch.float64), snr_db, above_db, RATE


def recorded(lengths: list[int], width: int, channels: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    rows, valid = len(lengths), torch.tensor(lengths, dtype=torch.int64)
    x = speech((rows, channels, width) if channels else (rows, width), valid, dtype)
    rng = np.random.default_rng(1)
    pcm = torch.from_numpy(rng.integers(-32767, 32768, 3_050).astype(np.int16))
    pcm[3_000:] = 0
    bank = (
        torch.tensor([0, 1_000, 2_999, 3_000]),
        torch.tensor([1_000, 1_999, 1, 50]),
        torch.tensor([5e-5, 1e-5, 8e-5, 3e-5]),
    )
    clip = torch.arange(rows) % 4
    offset = torch.from_numpy(rng.uniform(size=rows))
    levels = torch.linspace(-5.0, 25.0, rows).double(), torch.linspace(0.0, 3.0, rows).double()
    return x, valid, pcm, *bank, clip, offset, *levels


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks of few samples: the interpreter takes its time over each."""
    pytest.importorskip("triton")
    from speechaug.ops.noise import cuda

    monkeypatch.setattr(cuda, "_CHUNK", 256)


CASES = [
    (add_generated, generated([300, 299, 1, 0], 300, [0.0] * 4)),
    (add_generated, generated([100, 63], 100, [0.0, 0.0], channels=2)),
    (add_generated, generated([600], 600, [-2.0], channels=2)),
    (add_generated, generated([530], 530, [1.3])),
    (add_generated, generated([0, 0], 0, [-1.0, 0.0])),
    (add_generated, generated([], 50, [])),
    (add_recorded, recorded([2_500, 1_999, 100, 77, 1, 0], 2_500)),
    (add_recorded, recorded([63, 40], 63, channels=2)),
    (add_recorded, recorded([0, 0], 0)),
    (add_recorded, recorded([], 50)),
]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("op", "args"), CASES)
def test_kernels_agree(op: Any, args: tuple[Any, ...]) -> None:
    y, achieved = kernels.reference(op, *args)
    for name, (other, other_achieved) in kernels.kernels(op, *args):
        # A recursion in float32 rounds more often.
        colored = op is add_generated and bool(args[3].any())
        tolerance = {"rtol": 1e-5, "atol": 2e-6} if colored else {"rtol": 1e-6, "atol": 1e-6}
        torch.testing.assert_close(other, y, msg=lambda text, name=name: f"{name}: {text}", **tolerance)
        torch.testing.assert_close(other_achieved, achieved, rtol=1e-6, atol=1e-5)


def unit_noise(args: tuple[Any, ...]) -> Tensor:
    """What the CPU kernel adds to silence, as it was before it was scaled to -26 dB less the ratio."""
    args = (torch.zeros_like(args[0]), *args[1:4], torch.zeros_like(args[4]), args[5], args[6])
    y, _ = kernels.cpu(add_generated, *args)
    n = args[1][:, None]
    made = reference.colored(args[2], args[3], y.shape[-1], RATE)
    power = cut(made, args[1]).square().sum(dim=-1, keepdim=True) / n
    return y.double() * power.sqrt() * 10.0 ** (26.0 / 20.0)


def test_cpu_noise_is_the_reference_to_1e_6() -> None:
    args = generated([100_000, 65_537, 4_096], 100_000, [0.0, 0.0, 0.0])
    torch.testing.assert_close(
        unit_noise(args), cut(reference.gaussian(args[2], 100_000), args[1]), rtol=1e-6, atol=1e-6
    )


def test_cpu_colored_noise_is_the_reference() -> None:
    args = generated([50_000, 4_097, 33_333, 100], 50_000, [-2.0, -0.7, 1.0, 2.0])
    expected = cut(reference.colored(args[2], args[3], 50_000, RATE), args[1])
    torch.testing.assert_close(unit_noise(args), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("first", [0, 64, 2**32 - 1024, 2**40])
@pytest.mark.parametrize(("along", "apart"), [(16, 1), (1, 64)])  # of white and of coloured noise
def test_cpu_words_are_philox(first: int, along: int, apart: int) -> None:
    key = -0x123456789ABCDEF
    counter = np.zeros((64, 4), np.uint32)
    index = first + np.arange(64) // 16 * along + np.arange(64) % 16 * apart
    counter[:, 0], counter[:, 1], counter[:, 2] = index & 0xFFFFFFFF, index >> 32, 1
    expected = philox4x32(counter, np.array([key]).view(np.uint32))
    words = np.empty(4 * 64, np.uint32)
    generator.philox_words(generator.round_keys(key), 1, first, along, apart, words)
    assert np.array_equal(words.reshape(4, 64).T, expected)


@numba.njit
def pairs(words: Any, out: Any, sums: Any) -> None:
    for place in (0, 32):
        generator._store_pairs(words, place, out, 0, sums)


def test_cpu_numbers_of_any_word() -> None:
    edges = [0, 1, 2**29, 2**30 - 1, 2**30, 2**31 - 129, 2**31 - 1, 2**31, 0xB504F333, 3 * 2**30]
    edges += [2**32 - 257, 2**32 - 1]
    rng = np.random.default_rng(0)
    for _ in range(50):
        words = rng.integers(0, 2**32, 256).astype(np.uint32)
        words[:128] = np.where(rng.random(128) < 0.7, rng.choice(np.array(edges, np.uint32), 128), words[:128])
        out, sums = np.empty(256, np.float32), np.zeros(8, np.float32)
        pairs(words, out, sums)
        uniform = ((words[:64] >> 1).astype(np.float32) + np.float32(0.5)).astype(np.float64) * 2.0**-31
        turns = (words[64:128] >> 30) * 0.25 + (words[64:128] << 2).view(np.int32) * 2.0**-34
        radius, angle = np.sqrt(-2.0 * np.log(uniform)), 2.0 * np.pi * turns
        expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        np.testing.assert_allclose(out[:128], expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(sums.sum(), np.square(radius).sum(), rtol=1e-6)


def test_white_noise_of_the_kernel_is_gaussian() -> None:
    z = unit_noise(generated([200_000] * 4, 200_000, [0.0] * 4)).numpy()
    assert abs(z.mean()) < 5e-3
    assert abs(stats.kurtosis(z, axis=None)) < 0.02
    assert stats.kstest(z[0], "norm").pvalue > 1e-3
    neighbours = [np.mean(z[:, lag:] * z[:, :-lag]) for lag in (1, 2, 3, 4, 16, 64, 128, 192, 256)]
    assert np.abs(neighbours).max() < 5.0 / np.sqrt(z.size)
    assert np.abs(np.corrcoef(z) - np.eye(4)).max() < 5.0 / np.sqrt(z.shape[1])


@pytest.mark.parametrize("exponent", [-2.0, -1.0, 1.0, 2.0])
def test_colored_noise_of_the_kernel_has_the_slope(exponent: float) -> None:
    z = unit_noise(generated([320_000], 320_000, [exponent])).numpy()[0]
    frequency, density = signal.welch(z, RATE, nperseg=8_192)
    band = (frequency >= 40.0) & (frequency <= 0.45 * RATE)
    octaves = np.log2(frequency[band])
    excess = 10.0 * np.log10(density[band]) - 3.0103 * exponent * octaves
    thirds = np.floor(3.0 * (octaves - octaves[0]))
    levels = [excess[thirds == third].mean() for third in np.unique(thirds)]
    assert np.abs(levels - np.median(levels)).max() < 1.0


@pytest.mark.parametrize(
    ("op", "args"),
    [
        (add_generated, generated([40_000, 1_234, 39_999], 40_000, [0.0, -1.7, 1.0], channels=2)),
        (add_recorded, recorded([40_000, 1_234, 39_999], 40_000, channels=2)),
    ],
)
def test_rows_keep_their_bits_and_their_ratio(op: Any, args: tuple[Any, ...]) -> None:
    y, achieved = op(*args)
    x, lengths, snr_db, above_db = args[0], args[1], *(args[4:6] if op is add_generated else args[8:10])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        again, _ = op(*args)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(y, again)
    for row, n in enumerate(lengths.tolist()):
        added = (y[row] - x[row]).double()[:, :n]
        ratio = 10.0 * torch.log10(x[row].double()[:, :n].square().mean() / added.square().mean())
        assert abs(ratio + above_db[row] - snr_db[row]) < 0.01
        assert abs(achieved[row] - snr_db[row]) < 1e-6
        assert not y[row, :, n:].any()
        per_row = slice(2, 6) if op is add_generated else slice(6, 10)
        alone = [*args]
        alone[0], alone[1] = x[row : row + 1, :, : n + 7], lengths[row : row + 1]
        alone[per_row] = [part[row : row + 1] for part in args[per_row]]
        assert torch.equal(op(*alone)[0][0, :, :n], y[row, :, :n])


@pytest.mark.parametrize("op", [add_generated, add_recorded])
def test_nan_stays_in_its_row(op: Any) -> None:
    args = generated([500] * 3, 500, [0.0, 0.0, -1.0]) if op is add_generated else recorded([500] * 3, 500)
    expected, _ = op(*args)
    args[0][1, 7] = torch.nan
    y, achieved = kernels.reference(op, *args)
    assert not torch.isfinite(y[1]).any()
    for name, (other, other_achieved) in kernels.kernels(op, *args):
        torch.testing.assert_close(other[::2], expected[::2], rtol=1e-5, atol=2e-6)
        assert torch.equal(other.isnan(), y.isnan()), name
        assert torch.equal(other_achieved.isnan(), achieved.isnan()), name


@pytest.mark.parametrize("op", [add_generated, add_recorded])
@pytest.mark.parametrize("level", [0.0, 1e-8, 1.0])
def test_silence_and_full_scale(op: Any, level: float) -> None:
    args = generated([900], 900, [0.0]) if op is add_generated else recorded([900], 900)
    args = (torch.full_like(args[0], level), *args[1:])
    y, achieved = op(*args)
    assert torch.isfinite(y).all()
    assert torch.isfinite(achieved).all()
    expected = reference.NOMINAL_DB + 5.0 if level < 1e-5 else 5.0
    assert abs(10.0 * torch.log10((y - args[0]).double().square().mean()) - expected) < 0.01


def test_silent_noise_changes_nothing() -> None:
    args = recorded([500] * 4, 500)
    y, achieved = add_recorded(*args)
    assert torch.equal(y[3], args[0][3])
    assert achieved[3] > 100.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [0, 2])
@pytest.mark.parametrize(("op", "in_place"), [(add_generated, add_generated_), (add_recorded, add_recorded_)])
def test_some_rows_in_place_bit_for_bit(op: Any, in_place: Any, channels: int, dtype: torch.dtype) -> None:
    if op is add_generated:
        x, *args = generated([900, 700, 0], 900, [0.0, -1.0, 2.0], channels, dtype)
    else:
        x, *args = recorded([2_500, 700, 0], 2_500, channels, dtype)
    expected, ratios = op(x, *args)
    rows, whole = torch.tensor([1, 3, 4]), torch.full((6, *x.shape[1:]), torch.nan, dtype=dtype)
    whole[rows] = x
    achieved = in_place(whole, rows, *args)
    assert torch.equal(whole[rows], expected)
    assert torch.equal(achieved, ratios)
    assert whole[[0, 2, 5]].isnan().all()
    torch.library.opcheck(in_place, (whole, rows, *args))


@pytest.mark.parametrize("op", [add_generated, add_recorded])
def test_gradients(op: Any) -> None:
    if op is add_generated:
        args = [*generated([20, 17, 20], 20, [0.0, -1.0, 2.0], 2, torch.float64)]
    else:
        args = [*recorded([20, 17, 20, 20], 20, 2, torch.float64)]
    args[0][2] = 0.0
    places = (0, 4, 5) if op is add_generated else (0, 8, 9)
    for place in places:
        args[place].requires_grad_()
    # The silent row lies on the edge of the rule for silence, which no finite difference can cross.
    kept = [row for row in range(args[0].shape[0]) if row != 2]
    torch.autograd.gradcheck(lambda *_: op(*args)[0][kept], [args[place] for place in places], atol=1e-6)
    out_grad = speech(tuple(args[0].shape), args[1], torch.float64)
    plain = reference.add_generated if op is add_generated else reference.add_recorded
    wanted = [args[place] for place in places]
    expected = torch.autograd.grad(plain(*args)[0], wanted, out_grad)
    for got, want in zip(torch.autograd.grad(op(*args)[0], wanted, out_grad), expected, strict=True):
        torch.testing.assert_close(got, want)
    args[0] = args[0].detach().float().requires_grad_()
    (single,) = torch.autograd.grad(op(*args)[0], args[0], out_grad.float())
    torch.testing.assert_close(single.double(), expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
@pytest.mark.parametrize("op", [add_generated, add_recorded])
def test_op_is_registered_as_it_should_be(op: Any) -> None:
    args = [*(generated([40, 30], 40, [0.0, 1.0]) if op is add_generated else recorded([40, 30], 40))]
    torch.library.opcheck(op, tuple(args))
    args[0].requires_grad_()
    torch.library.opcheck(op, tuple(args))
    with FakeTensorMode() as mode:
        fake = [mode.from_tensor(arg) if isinstance(arg, Tensor) else arg for arg in args]
        y, achieved = op(*fake)
    assert (y.shape, achieved.shape, achieved.dtype) == (args[0].shape, (2,), torch.float64)
