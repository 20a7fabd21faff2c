"""Rooms: linear convolution against SciPy, and the direct path where the speech was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal
from scipy.fft import next_fast_len

import speechaug as sa
from speechaug.functional import room
from speechaug.functional.level import rms_db, valid_mask

RATE = 16_000


def responses(rows: int = 4, length: int = 3_000) -> torch.Tensor:
    """Decaying noise after a direct path that differs from row to row, something before it; padded with zeros."""
    rng = np.random.default_rng(3)
    h = np.zeros((rows, length))
    for row in range(rows):
        peak, end = 40 + 37 * row, length - 500 * (row % 2)
        time = np.arange(end - peak)
        h[row, peak:end] = 0.1 * rng.standard_normal(end - peak) * np.exp(-time / 400.0)
        h[row, peak] = 1.0
        h[row, peak - 20 : peak] = 0.05 * rng.standard_normal(20)
    return torch.from_numpy(h)


def batch(dtype: torch.dtype = torch.float64, width: int = 5_001) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([width, width // 2, 700, 1])
    x = torch.from_numpy(np.random.default_rng(6).standard_normal((4, 2, width))).to(dtype)
    return x * valid_mask(x, lengths), lengths


def scipy_reverb(x: torch.Tensor, lengths: torch.Tensor, h: torch.Tensor, wet: float) -> np.ndarray:
    y = np.zeros(x.shape)
    for row, length in enumerate(lengths.tolist()):
        kernel = h[row].numpy().copy()
        peak = int(np.abs(kernel).argmax())
        kernel[np.abs(np.arange(len(kernel)) - peak) > 0.0025 * RATE] *= wet
        kernel /= np.sqrt(np.sum(kernel**2))
        for channel in range(x.shape[1]):
            whole = signal.fftconvolve(x[row, channel, :length].double().numpy(), kernel)
            y[row, channel, :length] = whole[peak : peak + length]
    return y


@pytest.mark.parametrize("wet", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 5e-6)])
def test_equals_scipy(wet: float, dtype: torch.dtype, tolerance: float) -> None:
    x, lengths = batch(dtype)
    h = responses()
    y = room.reverb(x, lengths, h.to(dtype), room.direct_path(h), torch.full((4,), wet), RATE)
    assert y.dtype == dtype
    assert np.abs(y.double().numpy() - scipy_reverb(x, lengths, h.to(dtype).double(), wet)).max() < tolerance


@pytest.mark.parametrize("width", [10, 900, 2_999, 3_001])
def test_nothing_wraps_around(width: int) -> None:
    h = responses(1)
    x = torch.zeros(1, width, dtype=torch.float64)
    x[0, -1] = 1.0
    y = room.reverb(x, torch.tensor([width]), h, room.direct_path(h), torch.ones(1), RATE)
    before = h[0, :40].flip(0)[: width - 1].flip(0) / h.square().sum().sqrt()
    assert torch.allclose(y[0, width - 1 - len(before) : -1], before, atol=1e-12)
    assert not (y[0, : max(width - 41, 0)].abs() > 1e-12).any()


def test_peak_stays_in_place() -> None:
    x, lengths = batch()
    h = responses()
    y = room.reverb(x, lengths, h, room.direct_path(h), torch.ones(4), RATE)
    for row in range(3):
        correlation = signal.correlate(y[row, 0].numpy(), x[row, 0].numpy(), mode="full")
        assert abs(int(correlation.argmax()) - (x.shape[-1] - 1)) <= 1


def test_gain_does_not_depend_on_the_speech() -> None:
    x, lengths = batch()
    h = responses()
    peak, wet = room.direct_path(h), torch.ones(4)
    y = room.reverb(x, lengths, h, peak, wet, RATE)
    assert torch.allclose(room.reverb(x * 3.0, lengths, h * 0.1, peak, wet, RATE), y * 3.0, atol=1e-11)
    assert (rms_db(y, lengths) - rms_db(x, lengths))[:2].abs().max() < 0.5


def test_matched_level() -> None:
    x, lengths = batch()
    h = responses()
    y = room.reverb(x, lengths, h, room.direct_path(h), torch.ones(4), RATE, "matched")
    assert torch.allclose(rms_db(y, lengths), rms_db(x, lengths), atol=1e-9)
    silent = room.reverb(0.0 * x, lengths, h, room.direct_path(h), torch.ones(4), RATE, "matched")
    assert not silent.any()


def test_silent_response_changes_nothing() -> None:
    x, lengths = batch()
    h = torch.zeros(4, 100, dtype=torch.float64)
    y = room.reverb(x, lengths, h, room.direct_path(h), torch.ones(4), RATE)
    assert torch.allclose(y, x, atol=1e-12)


def test_direct_path_is_the_first_of_equals() -> None:
    h = torch.tensor([[0.0, -1.0, 1.0], [0.5, 0.2, 0.5], [0.0, 0.0, 0.0]])
    assert room.direct_path(h).tolist() == [1, 0, 0]
    assert room.direct_path(torch.zeros(2, 0)).tolist() == [0, 0]


def test_good_size_is_the_smallest() -> None:
    sizes = [*range(1, 3_000), 64_001, 72_341, 10**6 + 1]
    assert [room.good_size(n) for n in sizes] == [next_fast_len(n, real=True) for n in sizes]


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 1), (2, 3, 64)])
@pytest.mark.parametrize("length", [0, 1, 300])
@pytest.mark.parametrize("level", ["response", "matched"])
def test_degenerate_input(shape: tuple[int, ...], length: int, level: str) -> None:
    lengths = torch.arange(shape[0]).clamp(max=shape[-1])
    x = valid_mask(torch.zeros(shape), lengths).expand(shape).float()
    h = torch.ones(shape[0], length)
    y = room.reverb(x, lengths, h, room.direct_path(h), torch.ones(shape[0]), RATE, level)  # type: ignore[arg-type]
    assert y.shape == shape
    assert torch.isfinite(y).all()


def test_transform_takes_each_rows_room() -> None:
    h = responses(2)
    bank = sa.Bank.from_arrays([h[0].numpy(), h[1, :2_500].numpy()], sample_rate=RATE)
    transform = sa.Reverb(bank=bank, wet=(0.3, 1.5))
    x, lengths = batch()
    draws = transform.sample(sa.Rng.from_ids(seed=2, epoch=0, ids=list("abcd")))
    y, _ = transform(x, lengths, draws, sample_rate=RATE)
    assert len(set(draws.values["clip"])) == 2
    for row in range(4):
        clip, wet = int(draws.values["clip"][row]), float(draws.values["wet"][row])
        one = slice(row, row + 1)
        alone = scipy_reverb(x[one], lengths[one], h[clip : clip + 1], wet)
        assert np.abs(y[one].numpy() - alone).max() < 2e-3  # the bank holds 16 bits


def test_measured_rooms_keep_words_in_place(shared_data: Path) -> None:
    bank = sa.Bank.from_folder(shared_data / "rir", sample_rate=RATE)
    transform = sa.Reverb(bank=bank)
    x, lengths = batch(torch.float32, 20_000)
    for seed in range(5):
        draws = transform.sample(sa.Rng.from_ids(seed=seed, epoch=0, ids=list("abcd")))
        y, _ = transform(x, lengths, draws, sample_rate=RATE)
        correlation = signal.correlate(y[0, 0].numpy(), x[0, 0].numpy(), mode="full")
        assert abs(int(np.abs(correlation).argmax()) - (x.shape[-1] - 1)) <= 1


def test_bad_settings_are_refused() -> None:
    bank = sa.Bank.from_arrays([np.ones(10)], sample_rate=RATE)
    with pytest.raises(ValueError, match="Reverb: level must be 'response' or 'matched', got 'loud'"):
        sa.Reverb(bank=bank, level="loud")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Reverb: wet must be at least 0"):
        sa.Reverb(bank=bank, wet=(-1.0, 1.0))
