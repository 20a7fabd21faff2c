"""Linear effects as one: convolution in frames, spectra kept, groups fused and not, against SciPy."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from scipy import signal

import speechaug as sa
from speechaug import functional as F
from speechaug.functional.linear import Member, run_group
from speechaug.functional.overlap_save import frame_size
from speechaug.ops import bank_response as kept
from speechaug.ops.bank_response import bank_response
from speechaug.ops.convolve import convolve
from speechaug.transform import Context

RATE = 16_000


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def spectrum_of(h: torch.Tensor, before: int, size: int) -> torch.Tensor:
    """The transfer function of ``(B, L)`` responses whose sample ``before`` is at time 0."""
    circle = torch.zeros(len(h), size, dtype=h.dtype)
    circle[:, (torch.arange(h.shape[1]) - before) % size] = h
    return torch.fft.rfft(circle)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 30), (20, 0), (17, 30)])
@pytest.mark.parametrize("width", [1, 63, 100, 700])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_convolution_equals_scipy(before: int, after: int, width: int, dtype: torch.dtype, tolerance: float) -> None:
    lengths = torch.tensor([width, width // 2, 0])
    x, h = noise(3, 2, width) * (torch.arange(width) < lengths[:, None, None]), noise(3, before + 1 + after, seed=2)
    y = F.apply_responses(x.to(dtype), lengths, spectrum_of(h.to(dtype), before, 128), before, after)
    assert y.dtype == dtype
    for row, length in enumerate(lengths.tolist()):
        for channel in range(2 if length else 0):
            whole = signal.fftconvolve(x[row, channel, :length].numpy(), h[row].numpy())
            assert np.abs(y[row, channel, :length].numpy() - whole[before : before + length]).max() < tolerance
        assert not y[row, :, length:].any()


@pytest.mark.global_rng  # gradgradcheck draws from it
def test_convolution_gradient() -> None:
    h, lengths = noise(2, 8, seed=2), torch.tensor([30, 11])
    spectrum = spectrum_of(h, 3, 16)
    x = noise(2, 1, 30).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: convolve(z, lengths, [spectrum], [], 3, [4], False), x)
    assert torch.autograd.gradgradcheck(lambda z: convolve(z, lengths, [spectrum], [], 3, [4], False), x)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_registered() -> None:
    spectrum = spectrum_of(noise(2, 8, seed=2).float(), 3, 16)
    x = noise(2, 1, 30).float().requires_grad_()
    torch.library.opcheck(convolve, (x, torch.tensor([30, 11]), [spectrum], [], 3, [4], False))
    bank = sa.Bank.from_arrays([noise(50).numpy(), noise(30).numpy()], sample_rate=RATE)
    clips = bank._clips(torch.arange(2))
    tables = (clips.pcm, clips.scale, clips.start, clips.length, clips.peak)
    torch.library.opcheck(bank_response, (torch.tensor([1, 0, 1]), noise(3, 2), *tables, 5, 50, 64))


def test_too_small_a_transform_is_refused() -> None:
    with pytest.raises(ValueError, match="apply_responses: spectrum must have more than 16 // 2"):
        F.apply_responses(torch.ones(1, 4), torch.tensor([4]), torch.ones(1, 9, dtype=torch.complex64), 8, 8)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 2, 5), (2, 2, 0)])
def test_nothing_in_nothing_out(shape: tuple[int, ...]) -> None:
    lengths = torch.zeros(shape[0], dtype=torch.int64)
    spectrum = torch.ones(shape[0], 9, dtype=torch.complex64)
    assert F.apply_responses(torch.zeros(shape), lengths, spectrum, 2, 2).shape == shape


def test_sizes_are_few_and_large_enough() -> None:
    for extent in (0, 1, 700, 8_000, 33_000):
        sizes = {frame_size(extent, width) for width in range(1, 400_000, 777)}
        assert min(sizes) > extent
        assert len(sizes) <= (20 if extent < 100 else 9)  # short rows need small transforms where responses are short
        assert all(size % 2 == 0 for size in sizes)


def rooms(count: int = 3, length: int = 1_500) -> sa.Bank:
    decay = np.exp(-np.arange(length) / 200.0)
    clips = [0.2 * noise(length - 100 * k, seed=k).numpy() * decay[: length - 100 * k] for k in range(count)]
    for k, clip in enumerate(clips):
        clip[30 + 10 * k] = -1.0 if k % 2 else 1.0
    return sa.Bank.from_arrays(clips, sample_rate=RATE)


def test_kept_spectra_are_bounded_and_go_with_the_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    one = (1 << 11) * 8 + 8
    monkeypatch.setattr(kept, "KEPT_BYTES", 4 * one)
    bank, wet = rooms(6), torch.full((6,), 0.7, dtype=torch.float64)
    clip = torch.arange(6)
    sizes = len(kept._banks)
    expected = bank.response(clip, bank.gains(clip, None), 1 << 12)
    for order in (clip, clip.flip(0), clip[[2, 2, 5, 0, 1, 4]]):
        for _ in range(3):
            assert torch.equal(bank.response(order, bank.gains(order, None), 1 << 12), expected[order])
            bank.response(order, bank.gains(order, wet), 1 << 12)
            held = kept._banks[bank._clips(clip).pcm]
            assert held.held == sum(spectra.nbytes for spectra in held.values()) <= 4 * one
            assert all(spectra.untyped_storage().nbytes() == spectra.nbytes for spectra in held.values())
    assert len(kept._banks) == sizes + 1
    del bank, held
    gc.collect()
    assert len(kept._banks) == sizes


@pytest.mark.parametrize("wet", [None, torch.full((6,), 0.7, dtype=torch.float64)])
def test_spectra_do_not_know_what_was_kept_before(wet: torch.Tensor | None) -> None:
    clip, size = torch.arange(6), 3 << 13
    bank = rooms(6)
    together = bank.response(clip, bank.gains(clip, wet), size)
    for group in ([0], [1, 2], [3, 4, 5]):
        fresh, some = rooms(6), torch.tensor(group)
        response = fresh.response(some, fresh.gains(some, None if wet is None else wet[some]), size)
        assert torch.equal(response, together[some])


def test_rooms_spectrum_is_that_of_the_scaled_response() -> None:
    bank, clip = rooms(), torch.tensor([2, 0, 1])
    wet = torch.tensor([0.0, 0.6, 1.7], dtype=torch.float64)
    got = bank.response(clip, bank.gains(clip, wet), 4_096)
    samples, peak = bank.take(clip)
    for row in range(3):
        h = samples[row].double().numpy().copy()
        h[np.abs(np.arange(len(h)) - int(peak[row])) > 40] *= float(wet[row])
        h /= np.sqrt(np.sum(h**2))
        expected = spectrum_of(torch.from_numpy(h)[None], int(peak[row]), 4_096)[0]
        assert torch.allclose(got[row].to(expected.dtype), expected, atol=1e-5)
    assert torch.allclose(
        bank.response(clip, bank.gains(clip, None), 4_096),
        bank.response(clip, bank.gains(clip, torch.ones(3).double()), 4_096),
        atol=1e-5,
    )


def chain() -> list[sa.Transform]:
    return [
        sa.HighPass(order=4),
        sa.AirAbsorption(distance_m=(20.0, 90.0)),
        sa.Reverb(bank=rooms(), wet=(0.4, 1.5)),
        sa.Equalizer(),
        sa.Microphone(bank=rooms(2, 300), amount=(0.2, 1.0)),
        sa.BandPass(),
        sa.LowPass(),
    ]


def group(members: list[sa.Transform], on: np.ndarray, host: bool) -> list[Member]:
    """Draw parameters for each member, ``on`` being ``(members, rows)``."""
    rng = sa.Rng.from_ids(seed=4, epoch=0, ids=[str(row) for row in range(on.shape[1])])
    drawn = [member.draw(rng.fork(type(member).__name__)) for member in members]
    return [
        Member(
            member,
            torch.from_numpy(gate),
            {name: torch.from_numpy(value) for name, value in values.items()},
            gate if host else None,
        )
        for member, gate, values in zip(members, on, drawn, strict=True)
    ]


def step_by_step(x: torch.Tensor, lengths: torch.Tensor, members: list[Member]) -> np.ndarray:
    """SciPy: each member's impulse response from its own transfer function, convolved in turn, cut once at the end."""
    out, size = np.zeros(x.shape), 1 << 16
    for row, length in enumerate(lengths.tolist()):
        y, origin = x[row, 0, :length].double().numpy(), 0
        for member in members:
            if not bool(member.on[row]) or length == 0:
                continue
            params = {name: value[row : row + 1] for name, value in member.params.items()}
            before, after = member.transform.reach(RATE)
            response = member.transform.response(size, Context(RATE, 0), **params)[0].to(torch.complex128)
            circle = torch.fft.irfft(response, size).numpy()
            y, origin = (
                signal.fftconvolve(y, np.concatenate([circle[size - before :], circle[: after + 1]])),
                (origin + before),
            )
        out[row, 0, :length] = y[origin : origin + length]
    return out


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("picked", [range(7), (0, 3, 5, 6), (2,), (1, 4), (0, 2), (6, 1)], ids=str)
def test_a_group_is_the_same_fused_and_not(picked: tuple[int, ...], host: bool) -> None:
    members = [chain()[index] for index in picked]
    lengths = torch.tensor([9_000, 6_001, 9_000, 300, 1, 0])
    x = (noise(6, 1, 9_000) * 0.1 * (torch.arange(9_000) < lengths[:, None, None])).float()
    on = np.random.default_rng(7).uniform(size=(len(members), 6)) < 0.6
    on[:, 0] = True
    on[0] |= ~on.any(axis=0)
    held, context = group(members, on, host), Context(RATE, 9_000)
    expected = torch.from_numpy(step_by_step(x, lengths, held))
    largest = float(expected.abs().max())
    for fused in (True, False):
        y = run_group(x, lengths, held, context, fused)
        assert float((y - expected).abs().max()) < 3e-6 * largest, f"fused={fused}"
        assert not (y * (torch.arange(9_000) >= lengths[:, None, None])).any()


def test_filters_that_ring_too_long_run_beside_the_fft() -> None:
    members = [sa.HighPass(cutoff_hz=(2.0, 2.0)), sa.AirAbsorption(), sa.Reverb(bank=rooms())]
    lengths = torch.tensor([9_000, 4_000])
    x = (noise(2, 1, 9_000) * (torch.arange(9_000) < lengths[:, None, None])).float()
    held, context = group(members, np.ones((3, 2), bool), True), Context(RATE, 9_000)
    assert sa.HighPass(cutoff_hz=(2.0, 2.0)).reach(RATE)[1] > 20_000
    together, apart = (run_group(x, lengths, held, context, fused) for fused in (True, False))
    assert float((together - apart).abs().max()) < 3e-6 * float(apart.abs().max())


@pytest.mark.parametrize("fused", [True, False])
def test_gradient_of_a_group(fused: bool) -> None:
    lengths = torch.tensor([2_000, 900])
    held = group(chain(), np.ones((7, 2), bool), True)
    x = noise(2, 1, 2_000).requires_grad_()
    y = run_group(x, lengths, held, Context(RATE, 2_000), fused)
    towards, step = noise(2, 1, 2_000, seed=5), noise(2, 1, 2_000, seed=6)
    step = step * (torch.arange(2_000) < lengths[:, None, None])
    (gradient,) = torch.autograd.grad((y * towards).sum(), x)
    moved = run_group(step, lengths, held, Context(RATE, 2_000), fused)
    assert float((gradient * step).sum()) == pytest.approx(float((moved * towards).sum()), rel=1e-5)


@pytest.mark.parametrize("transform", chain(), ids=lambda transform: type(transform).__name__)
def test_apply_response_and_reach_agree(transform: sa.Transform) -> None:
    """On a click, ``apply`` gives what ``response`` says, and beyond ``reach`` there is nothing above -120 dB."""
    params = {
        name: torch.from_numpy(value)
        for name, value in transform.draw(sa.Rng.from_ids(seed=3, epoch=0, ids=list("abcdefgh"))).items()
    }
    x, lengths, context = torch.zeros(8, 1, 12_000), torch.full((8,), 12_000), Context(RATE, 12_000)
    x[:, :, 5_000] = 1.0
    y, _ = transform.apply(x, lengths, context, **params)
    whole = torch.fft.irfft(transform.response(1 << 16, context, **params).to(torch.complex128))
    expected = whole.roll(5_000, dims=1)[:, :12_000]
    largest = float(expected.abs().max())
    assert float((y[:, 0] - expected).abs().max()) < 3e-6 * largest
    before, after = transform.reach(RATE)
    assert float(whole[:, after + 1 : (1 << 16) - before].abs().max()) < 1e-6 * largest


def test_only_linear_rooms_are_fused() -> None:
    assert all(transform.fusion == "linear" for transform in chain())
    assert sa.Reverb(bank=rooms(), level="matched").fusion is None


def test_microphones_colour_and_keep_time_and_polarity() -> None:
    bank = rooms(2, 300)
    transform = sa.Microphone(bank=bank)
    x, lengths = noise(4, 1, 3_000).float(), torch.full((4,), 3_000)
    draws = transform.sample(sa.Rng.from_ids(seed=2, epoch=0, ids=list("abcd")))
    y, _ = transform(x, lengths, draws, sample_rate=RATE)
    clips, peaks = bank.take(torch.from_numpy(draws.values["clip"]))
    assert set(draws.values["clip"].tolist()) == {0, 1}
    for row in range(4):
        h, peak = clips[row].double().numpy(), int(peaks[row])
        h = h * np.sign(h[peak]) / np.sqrt(np.sum(h**2))
        expected = signal.fftconvolve(x[row, 0].double().numpy(), h)[peak : peak + 3_000]
        assert np.abs(y[row, 0].numpy() - expected).max() < 1e-5
        assert float((y[row, 0] * x[row, 0]).sum()) > 0.0
    off = sa.Microphone(bank=bank, amount=(0.0, 0.0))
    same, _ = off(x, lengths, off.sample(sa.Rng.from_ids(seed=2, epoch=0, ids=list("abcd"))), sample_rate=RATE)
    assert torch.allclose(same, x, atol=1e-6)


def test_one_response_may_serve_all_rows() -> None:
    taps = torch.zeros(256)
    taps[0], taps[3] = 1.0, 0.5
    x, lengths = torch.randn(3, 2, 500, generator=torch.Generator().manual_seed(0)), torch.tensor([500, 300, 1])
    x[1, :, 300:] = x[2, :, 1:] = 0.0
    shared = F.apply_responses(x, lengths, torch.fft.rfft(taps)[None], 0, 3)
    for row, length in zip(range(3), lengths.tolist(), strict=True):
        expected = signal.lfilter(taps[:4].numpy(), [1.0], x[row, :, :length].numpy())
        assert np.abs(shared[row, :, :length].numpy() - expected).max() < 1e-5
    with pytest.raises(RuntimeError, match="expand"):
        F.apply_responses(x, lengths[:2], torch.fft.rfft(taps)[None], 0, 3)


def test_a_fixed_response_in_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transform of someone else may have the same response for every row."""
    monkeypatch.setattr(sa.AirAbsorption, "response", lambda self, size, context, **_: _delays(size))
    group = sa.Compose([sa.AirAbsorption(), sa.AirAbsorption()])
    x = torch.zeros(3, 2_000)
    x[:, 10] = 1.0
    draws = group.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=["a", "b", "c"]))
    y, _ = group(x, torch.tensor([2_000, 1_000, 400]), draws, sample_rate=16_000)
    assert torch.allclose(y, x.roll(2, dims=1), atol=1e-6)


def _delays(size: int) -> torch.Tensor:
    taps = torch.zeros(1, size)
    taps[0, 1] = 1.0
    return torch.fft.rfft(taps)
