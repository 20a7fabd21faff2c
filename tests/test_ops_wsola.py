"""WSOLA: what the kernels decide and lay down against the reference, and the reference against a loop in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from speechaug.ops.wsola import wsola, wsola_adjoint
from tests.kernels import cpu, cuda, kernels, reference

SMALL = (40, 32, 4)  # hop, reach and coarse step of a rate of 4 kHz
SHAPES = {
    "ragged": (2, 600, [600, 401, 63, 100], [0.8, 1.3, 0.6, 1.0]),
    "extremes": (1, 300, [300, 299, 200], [0.25, 3.9, 0.5]),
    "tiny": (1, 8, [8, 3, 2, 1, 0], [0.7, 0.25, 0.25, 0.25, 0.5]),
    "one row": (3, 500, [450], [0.9]),
}
KINDS = ["noise", "voice", "silence", "full scale", "1e-8", "opposite"]


def batch(shape, kind="noise", dtype=torch.float32):
    channels, width, lengths, rates = SHAPES[shape]
    rng = np.random.default_rng(len(lengths))
    x = rng.standard_normal((len(lengths), channels, width))
    if kind == "voice":
        x = np.sin(0.11 * np.arange(width)) ** 5 + 0.02 * x
    if kind == "opposite":
        x = x[:, :1] * (-1.0) ** np.arange(channels)[:, None]
    x = {"silence": 0.0 * x, "full scale": np.sign(x), "1e-8": 1e-8 * x}.get(kind, x)
    lengths = torch.tensor(lengths)
    x = torch.from_numpy(x).to(dtype) * (torch.arange(width) < lengths[:, None, None])
    rate = torch.tensor(rates, dtype=torch.float64)
    return x, lengths, rate, max(1, int(torch.round(lengths / rate).max()))


def slow_wsola(x, rate, hop, reach, coarse):
    """Starts and samples of one row of one channel, by the book, in whole numbers of any size."""
    length, out = len(x), round(len(x) / rate)
    step = min(max(length // 4, 1), hop)
    around = reach * step // hop
    peak, shift = math.isqrt((2**31 - 1) // hop), math.ceil(math.log2(coarse) / 2)
    padded = np.concatenate([x, np.zeros(4 * (hop + reach), np.float32)])

    def best(old, new, starts, at, centre):
        scores = []
        for s, place in zip(starts, at, strict=True):
            run = [int(v) for v in new[place : place + len(old)]]
            dot = sum(a * b for a, b in zip(run, old, strict=True))
            weight = float(3 * around - 2 * abs(s - centre))
            score = float(dot) * float(abs(dot)) / float(max(1, sum(a * a for a in run))) * weight
            scores.append((-score, abs(s - centre), s))
        return min(scores)[2]

    starts, y, start = [], np.zeros(out), -step
    for k in range(-(-out // step)):
        want, rest = start + step, out - k * step
        most = max(length - min(2 * step, rest), 0)
        centre = min(int(k * step * rate), most)
        start = want
        if abs(want - centre) > around // 2 or want > most:
            low, high = max(centre - around, 0), min(centre + around, most)
            old, new = padded[want : want + step], padded[low : high + step]
            loudest = max(np.abs(old).max(), np.abs(new).max())
            scale = np.float32(peak / float(loudest)) if loudest > 1e-30 else np.float32(0)
            old, new = [int(v) for v in old * scale], [int(v) for v in new * scale]
            sums = [
                [sum(q[i : i + coarse]) >> shift for i in range(0, len(q) - coarse + 1, coarse)] for q in (old, new)
            ]
            places = range((high - low) // coarse + 1)
            rough = best(sums[0], sums[1], [low + coarse * p for p in places], places, centre)
            near = range(max(low, rough - coarse + 1), min(high, rough + coarse - 1) + 1)
            start = best(old, new, near, [s - low for s in near], centre)
        t = (np.arange(min(step, rest)) + 0.5) / step
        fade = t * t * (3 - 2 * t)
        old, new = padded[want : want + len(t)], padded[start : start + len(t)]
        y[k * step : k * step + len(t)] = (1 - fade) * old + fade * new
        starts.append(start)
    return starts, y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["extremes", "tiny"])
def test_the_reference_is_what_the_book_says(shape, kind):
    x, lengths, rate, width = batch(shape, kind)
    y, starts = reference(wsola, x, lengths, rate, width, *SMALL)
    for row, length in enumerate(lengths.tolist()):
        if length:
            expected, samples = slow_wsola(x[row, 0, :length].numpy(), float(rate[row]), *SMALL)
            assert starts[row, : len(expected)].tolist() == expected
            np.testing.assert_allclose(y[row, 0, : len(samples)].numpy(), samples, atol=1e-6)
            assert not y[row, 0, len(samples) :].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_decide_and_sound_as_the_reference(shape, kind):
    x, lengths, rate, width = batch(shape, kind)
    y, starts = reference(wsola, x, lengths, rate, width, *SMALL)
    for name, (got, got_starts) in kernels(wsola, x, lengths, rate, width, *SMALL):
        assert torch.equal(got_starts, starts), name
        torch.testing.assert_close(got, y, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint_kernels_agree_with_the_reference(shape):
    x, lengths, rate, width = batch(shape)
    starts = cpu(wsola, x, lengths, rate, width, *SMALL)[1]
    g = torch.from_numpy(np.random.default_rng(5).standard_normal((*x.shape[:2], width))).float()
    expected = reference(wsola_adjoint, g, starts, lengths, rate, x.shape[-1], SMALL[0])
    for name, got in kernels(wsola_adjoint, g, starts, lengths, rate, x.shape[-1], SMALL[0]):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5, msg=name)


def test_hardly_a_decision_of_many_differs():
    """At 16 kHz, with rows of noise, voices and both: 0.1 % are allowed to, none does."""
    rng, t = np.random.default_rng(0), np.arange(16_000) / 16_000
    pitch = 2 * np.pi * np.cumsum(rng.uniform(80, 300, (8, 1)) * (1 + 0.1 * np.sin(9 * t))) / 16_000
    voices = sum(np.cos(k * pitch.reshape(8, -1)[:, :16_000] + k * k) / k for k in range(1, 20))
    x = torch.from_numpy(np.stack([voices + level * rng.standard_normal((8, 16_000)) for level in (0.01, 1.0)], 1))
    lengths, rate = torch.full((8,), 16_000), torch.from_numpy(rng.uniform(0.5, 2.0, 8))
    args = (x.float(), lengths, rate, 32_000, 160, 128, 4)
    starts = reference(wsola, *args)[1]
    moved = (starts[:, 1:] - starts[:, :-1] != 160).float().mean()
    assert 0.1 < moved < 0.9
    assert (cpu(wsola, *args)[1] != starts).float().mean() <= 0.001
    doubled = reference(wsola, x, *args[1:])[1]
    assert (doubled != starts).float().mean() < 0.02  # unrounded samples: other ties, hardly other places


def test_channels_of_opposite_sign_decide_as_equal_ones():
    """Their sum is silence, in which every place is alike."""
    x, lengths, rate, width = batch("one row", "voice")
    one = x[:, :1]
    y, starts = cpu(wsola, torch.cat([one, -one], 1), lengths, rate, width, *SMALL)
    assert torch.equal(y[:, 1], -y[:, 0])
    for expected in (
        cpu(wsola, one, lengths, rate, width, *SMALL)[1],
        cpu(wsola, one.repeat(1, 2, 1), lengths, rate, width, *SMALL)[1],
    ):
        assert torch.equal(starts, expected)


def test_rows_do_not_know_their_batch_and_threads_do_not_matter():
    x, lengths, rate, width = batch("ragged", "voice")
    y, starts = cpu(wsola, x, lengths, rate, width, *SMALL)
    for row, length in enumerate(lengths.tolist()):
        short = x[row : row + 1, :, :length].contiguous()
        alone, _ = cpu(wsola, short, lengths[row : row + 1], rate[row : row + 1], width, *SMALL)
        assert torch.equal(alone[0], y[row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again, again_starts = cpu(wsola, x, lengths, rate, width, *SMALL)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(again, y) and torch.equal(again_starts, starts)


def test_what_is_not_a_number_stays_in_its_row():
    x, lengths, rate, width = batch("ragged")
    clean = cpu(wsola, x, lengths, rate, width, *SMALL)[0]
    x[1, 0, 100] = math.nan
    x[2, 0, 10] = math.inf
    y = cpu(wsola, x, lengths, rate, width, *SMALL)[0]
    assert torch.equal(y[[0, 3]], clean[[0, 3]])
    assert not y[1, 0].isfinite().all()


def test_a_rate_of_one_copies():
    x, lengths, _, _ = batch("ragged")
    rate = torch.ones(4, dtype=torch.float64)
    for _, (y, _) in kernels(wsola, x, lengths, rate, 600, *SMALL):
        assert torch.equal(y, x)


def test_gradients():
    x, lengths, rate, width = batch("ragged")
    g = torch.from_numpy(np.random.default_rng(5).standard_normal((*x.shape[:2], width))).float()

    def gradient(dtype):
        leaf = x.to(dtype).requires_grad_()
        y, _ = wsola(leaf, lengths, rate, width, *SMALL)
        return torch.autograd.grad(y, leaf, g.to(dtype))[0]

    with wsola.set_kernel_enabled("cpu", False), wsola_adjoint.set_kernel_enabled("cpu", False):
        expected = gradient(torch.float32)
    torch.testing.assert_close(gradient(torch.float32), expected, atol=1e-5, rtol=1e-5)
    short = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 1, 60))).requires_grad_()
    args = torch.tensor([60, 41]), torch.tensor([0.8, 1.3], dtype=torch.float64), 75, 8, 6, 2
    assert torch.autograd.gradcheck(lambda z: wsola(z, *args)[0], short)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_the_op_keeps_the_rules_of_ops():
    x, lengths, rate, width = batch("ragged")
    torch.library.opcheck(wsola, (x.requires_grad_(), lengths, rate, width, *SMALL))
    starts = wsola(x, lengths, rate, width, *SMALL)[1]
    torch.library.opcheck(wsola_adjoint, (torch.ones(4, 2, width), starts, lengths, rate, 600, SMALL[0]))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = wsola(mode.from_tensor(x.detach()), lengths, rate, width, *SMALL)
    assert [part.shape for part in fake] == [(4, 2, width), starts.shape]


def test_no_rows_at_all():
    empty, none = torch.zeros(0, 1, 50), torch.zeros(0, dtype=torch.int64)
    for run in (reference, cpu, cuda):
        y, starts = run(wsola, empty, none, none.double(), 60, *SMALL)
        assert y.shape == (0, 1, 60) and starts.shape[0] == 0
        assert run(wsola_adjoint, y, starts, none, none.double(), 50, SMALL[0]).shape == (0, 1, 50)
