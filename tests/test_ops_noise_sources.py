"""Noise before it is mixed in, and mixing what is given: CPU kernels against their references, NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from speechaug.functional.level import cut
from speechaug.functional.noise import colored_noise, philox
from speechaug.ops.noise import mix, reference
from speechaug.ops.noise.sources import babble, bursts, white
from tests import kernels

RATE = 16_000
LENGTHS = [9_000, 8_999, 4_097, 255, 1, 0]
KEYS = torch.arange(6) * -0x123456789ABCDEF + 5


def of_white(width: int = 9_000, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    return KEYS, torch.tensor(LENGTHS).clamp(max=width), width, dtype


def of_babble(width: int = 9_000, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    """Up to four talkers in recordings of different lengths, one of a single sample."""
    rng = np.random.default_rng(1)
    pcm = torch.from_numpy(rng.integers(-32767, 32768, 3_000).astype(np.int16))
    bank = torch.tensor([0, 1_000, 2_999]), torch.tensor([1_000, 1_999, 1]), torch.tensor([5e-5, 1e-5, 8e-5])
    clip, offset = torch.from_numpy(rng.integers(0, 3, (6, 4))), torch.from_numpy(rng.uniform(size=(6, 4)))
    level = torch.from_numpy(rng.uniform(0.5, 2.0, (6, 4)) * (np.arange(4) < rng.integers(0, 5, (6, 1))))
    return clip, offset, level, pcm, *bank, torch.tensor(LENGTHS).clamp(max=width), width, dtype


def of_bursts(width: int = 9_000, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    chance = torch.tensor([20.0, 100.0, 0.0, 60.0, 16_000.0, 5.0], dtype=torch.float64) / RATE
    keep = torch.tensor([0.99, 0.9995, 0.9, 0.0, 0.99, 0.5], dtype=torch.float64)
    exponent = torch.tensor([0.0, -1.0, -0.5, 2.0, 0.0, -2.0], dtype=torch.float64)
    return KEYS, chance, keep, exponent, torch.tensor(LENGTHS).clamp(max=width), width, RATE, dtype


def of_mix(
    channels: int = 0, lines: int = 0, dtype: torch.dtype = torch.float32, width: int = 9_000
) -> tuple[Any, ...]:
    """Speech of one or more channels and noise of one or as many; one row of each is silent."""
    rng, valid = np.random.default_rng(2), torch.tensor(LENGTHS).clamp(max=width)
    made = [rng.standard_normal((6, count, width) if count else (6, width)) * 0.1 for count in (channels, lines)]
    x, noise = (torch.from_numpy(part).to(dtype) for part in made)
    x[1], noise[2] = 0.0, 0.0
    return x, valid, noise, torch.linspace(-5.0, 25.0, 6).double(), torch.linspace(0.0, 3.0, 6).double()


SHAPES = [(0, 0), (2, 0), (2, 2)]


@pytest.mark.parametrize("width", [9_000, 300, 63, 0])
@pytest.mark.parametrize(("op", "make"), [(white, of_white), (babble, of_babble), (bursts, of_bursts)])
def test_kernels_agree(op: Any, make: Any, width: int) -> None:
    *args, dtype = make(width)
    got, expected, exact = op(*args, dtype), kernels.reference(op, *args, dtype), op(*args, torch.float64)
    if op is bursts:
        assert torch.equal(got[1], expected[1])
        got, expected, exact = got[0], expected[0], exact[0]
    assert (got.dtype, exact.dtype) == (torch.float32, torch.float64)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if op is bursts else {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(got, expected, **tolerance)
    torch.testing.assert_close(got.double(), exact, **tolerance)
    assert torch.equal(got, cut(got, torch.tensor(LENGTHS)))


@pytest.mark.parametrize(("channels", "lines"), SHAPES)
def test_mixing_agrees(channels: int, lines: int) -> None:
    args = of_mix(channels, lines)
    y, achieved = mix(*args)
    expected, ratios = reference.mix(*(part.double() if part.is_floating_point() else part for part in args))
    torch.testing.assert_close(y.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(achieved, ratios, rtol=1e-6, atol=1e-5)
    assert torch.equal(y[2], cut(args[0], args[1])[2])


def test_babble_is_the_sum_of_recordings() -> None:
    *args, _ = of_babble()
    clip, offset, level, pcm, start, period, scale, lengths, width = (
        part.numpy() if isinstance(part, Tensor) else part for part in args
    )
    got = babble(*args, torch.float32).numpy()
    for row in range(6):
        expected = np.zeros(width)
        for which, where, loud in zip(clip[row], offset[row], level[row], strict=True):
            again = np.tile(pcm[start[which] : start[which] + period[which]], 2 + width // period[which])
            expected += loud * scale[which] * again[int(where * period[which]) :][:width]
        np.testing.assert_allclose(got[row, : lengths[row]], expected[: lengths[row]], rtol=1e-5, atol=1e-5)


def test_bursts_are_noise_in_an_envelope() -> None:
    _, chance, keep, exponent, lengths, width, *_ = args = of_bursts()
    got, counts = bursts(*args)
    begins = (philox(KEYS, width).double() < chance[:, None] * 2.0**32).numpy()
    noise = colored_noise(KEYS ^ 1, exponent, width, RATE, torch.float64).numpy()
    for row, length in enumerate(lengths.tolist()):
        begun = begins[row, :length]
        expected = signal.lfilter([1.0], [1.0, -keep[row].item()], begun) * noise[row, :length]
        expected /= np.abs(expected).max() if begun.any() else 1.0
        np.testing.assert_allclose(got[row, :length], expected, atol=1e-5)
        assert counts[row] == begun.sum()


@pytest.mark.parametrize(
    ("op", "args"),
    [
        (white, of_white()),
        (babble, of_babble()),
        (bursts, of_bursts()),
        *((mix, of_mix(channels, lines)) for channels, lines in SHAPES),
    ],
)
def test_rows_keep_their_bits(op: Any, args: tuple[Any, ...]) -> None:
    def first(result: Any) -> Tensor:
        return result[0] if isinstance(result, tuple) else result

    lengths = args[1] if op in (white, mix) else args[-4 if op is bursts else -3]
    whole, threads = first(op(*args)), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(first(op(*args)), whole)
    finally:
        torch.set_num_threads(threads)
    shared = range(3, 7) if op is babble else ()  # the bank
    for row, length in enumerate(lengths.tolist()):
        width = length + 7
        alone = [
            part[row : row + 1] if isinstance(part, Tensor) and place not in shared else part
            for place, part in enumerate(args)
        ]
        if op is mix:
            alone[0], alone[2] = (torch.nn.functional.pad(alone[place], (0, 7))[..., :width] for place in (0, 2))
        else:
            alone[-3 if op is bursts else -2] = width
        assert torch.equal(first(op(*alone))[0, ..., :length], whole[row, ..., :length])


def test_nan_stays_in_its_row() -> None:
    args = of_mix(2)
    expected, _ = mix(*args)
    args[0][0, 1, 7], args[2][3, 9] = torch.nan, torch.nan
    y, achieved = mix(*args)
    assert torch.equal(y.isnan(), cut(reference.mix(*args)[0].isnan(), args[1]))
    assert achieved[0].isnan()
    assert torch.equal(y[[1, 2, 4, 5]], expected[[1, 2, 4, 5]])


@pytest.mark.parametrize(("channels", "lines"), SHAPES)
def test_gradients_of_a_mixture(channels: int, lines: int) -> None:
    args = [*of_mix(channels, lines, torch.float64, 20)]
    wanted = [args[place].requires_grad_() for place in (0, 2, 3, 4)]
    # Silence lies on the edge of a rule, which no finite difference can cross.
    sound = [0, 3, 4, 5]
    torch.autograd.gradcheck(lambda *_: mix(*args)[0][sound], wanted, atol=1e-6)
    toward = torch.from_numpy(np.random.default_rng(3).standard_normal(args[0].shape))
    expected = torch.autograd.grad(reference.mix(*args)[0], wanted, toward)
    for got, want in zip(torch.autograd.grad(mix(*args)[0], wanted, toward), expected, strict=True):
        torch.testing.assert_close(got, want)
    single = [args[place].detach().float().requires_grad_() for place in (0, 2)]
    mixed, _ = mix(single[0], args[1], single[1], *args[3:])
    for got, want in zip(torch.autograd.grad(mixed, single, toward.float()), expected, strict=False):
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-5)


def none_of(args: tuple[Any, ...], lengths: Tensor) -> list[Any]:
    """Of tensors with as many rows as there are lengths, no row."""
    return [part[:0] if isinstance(part, Tensor) and len(part) == len(lengths) else part for part in args]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
@pytest.mark.parametrize(
    ("op", "args"),
    [(white, of_white(40)), (babble, of_babble(40)), (bursts, of_bursts(40)), (mix, of_mix(2, 0, width=40))],
)
def test_op_is_registered_as_it_should_be(op: Any, args: tuple[Any, ...]) -> None:
    torch.library.opcheck(op, args)
    result = op(*args)
    with FakeTensorMode() as mode:
        fake = op(*(mode.from_tensor(part) if isinstance(part, Tensor) else part for part in args))
    nothing = op(*none_of(args, torch.tensor(LENGTHS)))
    for got, real, empty in zip(
        *((part if isinstance(part, tuple) else (part,)) for part in (fake, result, nothing)), strict=True
    ):
        assert (got.shape, got.dtype) == (real.shape, real.dtype)
        assert (empty.shape, empty.dtype) == ((0, *real.shape[1:]), real.dtype)
