"""The phase vocoder: the kernel against the reference, gradients, degenerate rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from speechaug.ops.vocoder import vocoder
from tests.kernels import cpu, reference

SHAPES = {
    "ragged": (2, 1_200, [1_200, 801, 63, 100], [0.8, 1.3, 0.6, 1.0]),
    "extremes": (1, 900, [900, 899, 500], [0.25, 3.9, 0.5]),
    "tiny": (1, 8, [8, 3, 2, 1, 0], [0.7, 0.25, 0.25, 0.25, 0.5]),
    "long": (1, 9_000, [9_000, 4_000], [0.9, 1.2]),
}


def batch(shape, scale=1.0):
    channels, width, lengths, rates = SHAPES[shape]
    rng = np.random.default_rng(len(lengths))
    lengths, rate = torch.tensor(lengths), torch.tensor(rates, dtype=torch.float64)
    x = torch.from_numpy(rng.standard_normal((len(lengths), channels, width))).float() * scale
    width = max(1, int(torch.round(lengths / rate).max()))
    return x * (torch.arange(x.shape[-1]) < lengths[:, None, None]), lengths, rate, width


@pytest.mark.parametrize("scale", [1.0, 0.0, 1e-8, 3e4])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_agrees_with_the_reference(shape, scale):
    """Of noise, whose bins disagree most: rounding is amplified some 20 times."""
    x, lengths, rate, width = batch(shape, scale)
    got, expected = (run(vocoder, x, lengths, rate, width, 16) for run in (cpu, reference))
    assert got.shape == (*x.shape[:2], width)
    torch.testing.assert_close(got, expected, atol=1e-4 * scale, rtol=0.0)


def test_frames_centred_on_the_right_samples_add_up_to_the_signal():
    """At a rate next to 1 every step is there, turns and windows cancel: 0.02 dB softer at most."""
    x, lengths, _, _ = batch("long")
    y = cpu(vocoder, x, lengths, torch.full((2,), 1.0 + 1e-9, dtype=torch.float64), 9_000, 160)
    assert (y - x).square().sum() < 1e-4 * x.square().sum()


def test_rows_do_not_know_their_batch_and_threads_do_not_matter():
    x, lengths, rate, width = batch("ragged")
    y = cpu(vocoder, x, lengths, rate, width, 16)
    for row, length in enumerate(lengths.tolist()):
        short = x[row : row + 1, :, :length].contiguous()
        alone = cpu(vocoder, short, lengths[row : row + 1], rate[row : row + 1], width, 16)
        torch.testing.assert_close(alone[0], y[row], atol=1e-4, rtol=0.0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = cpu(vocoder, x, lengths, rate, width, 16)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(again, y, atol=1e-4, rtol=0.0)


def test_what_is_not_a_number_stays_in_its_row():
    x, lengths, rate, width = batch("ragged")
    clean = cpu(vocoder, x, lengths, rate, width, 16)
    x[1, 0, 100] = math.nan
    assert torch.equal(cpu(vocoder, x, lengths, rate, width, 16)[[0, 2, 3]], clean[[0, 2, 3]])


def test_gradients():
    x, lengths, rate, width = batch("ragged")
    g = torch.from_numpy(np.random.default_rng(5).standard_normal((*x.shape[:2], width))).float()

    def gradient():
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(vocoder(leaf, lengths, rate, width, 16), leaf, g)[0]

    with vocoder.set_kernel_enabled("cpu", False):
        expected = gradient()
    assert torch.isfinite(expected).all()
    assert torch.equal(gradient(), expected)
    short = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 1, 30))).requires_grad_()
    args = torch.tensor([30, 21]), torch.tensor([0.8, 1.3], dtype=torch.float64), 38, 4
    assert torch.autograd.gradcheck(lambda z: vocoder(z, *args), short, atol=1e-6, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_the_op_keeps_the_rules_of_ops():
    x, lengths, rate, width = batch("extremes")
    torch.library.opcheck(vocoder, (x.requires_grad_(), lengths, rate, width, 200))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert vocoder(mode.from_tensor(x.detach()), lengths, rate, width, 200).shape == (3, 1, width)


def test_no_rows_at_all():
    none = torch.zeros(0, dtype=torch.int64)
    for run in (reference, cpu):
        assert run(vocoder, torch.zeros(0, 1, 50), none, none.double(), 60, 16).shape == (0, 1, 60)
