"""Masks inside their rows with the widths of the papers; time warp against NumPy's interpolation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug.functional import mask, warp
from speechaug.functional.level import valid_mask

LENGTHS = torch.tensor([100, 37, 9, 2, 1, 0])


def batch(dtype: torch.dtype = torch.float32, bins: int = 20) -> torch.Tensor:
    x = torch.from_numpy(np.random.default_rng(7).uniform(1.0, 2.0, (6, bins, 100))).to(dtype)
    return x * valid_mask(x, LENGTHS)


def sample(transform: sa.Transform, rows: int, seed: int = 0) -> sa.Draws:
    return transform.sample(sa.Rng.from_ids(seed=seed, epoch=0, ids=[str(row) for row in range(rows)]))


def stripe(hidden: np.ndarray) -> tuple[int, int]:
    """First place and width of the only run of True."""
    places = np.flatnonzero(hidden)
    assert len(places) == 0 or places[-1] - places[0] == len(places) - 1
    return (int(places[0]) if len(places) else 0), len(places)


def uniform_counts(values: np.ndarray, low: int, high: int) -> None:
    """Whole numbers low .. high, each as often, within five standard deviations."""
    counts = np.bincount(values, minlength=high + 1)
    assert counts[:low].sum() == 0
    assert len(counts) == high + 1
    mean = len(values) / (high - low + 1)
    assert np.abs(counts[low:] - mean).max() < 5.0 * np.sqrt(mean)


def test_frequency_stripes_have_the_papers_distribution() -> None:
    transform = sa.FrequencyMask(width_bins=(0, 7), count=1)
    y, _ = transform(torch.ones(8_000, 10, 1), None, sample(transform, 8_000))
    runs = np.array([stripe(row) for row in (y[..., 0] == 0).numpy()])
    uniform_counts(runs[:, 1], 0, 7)
    for width in (1, 4, 7):
        uniform_counts(runs[runs[:, 1] == width, 0], 0, 10 - width)


def test_time_stripes_have_the_papers_distribution() -> None:
    transform = sa.TimeMask(width_frames=(0, 30), count=1, max_fraction=0.2)
    lengths = torch.tensor([40, 400]).repeat_interleave(6_000)
    x = valid_mask(torch.ones(1, 1, 400), lengths).float()
    y, _ = transform(x, lengths, sample(transform, 12_000))
    hidden = (x != y)[:, 0].numpy()
    runs = np.array([stripe(row) for row in hidden])
    uniform_counts(runs[:6_000, 1], 0, 8)  # a fifth of 40 frames
    uniform_counts(runs[6_000:, 1], 0, 30)
    assert (runs.sum(axis=1) <= lengths.numpy()).all()
    four = runs[:6_000][runs[:6_000, 1] == 4]
    uniform_counts(four[:, 0], 0, 36)


def test_adaptive_masks_follow_the_length() -> None:
    transform = sa.TimeMask(width_fraction=0.04, count_fraction=0.04)
    lengths = torch.tensor([24, 25, 120, 600, 3_000])
    unit = torch.full((5, 20), 0.9999)
    frames = mask.time_mask_widths(unit, lengths, (0, float("inf")), 0.04, 0.04)
    assert (frames > 0).sum(dim=1).tolist() == [0, 1, 4, 20, 20]
    assert frames.max(dim=1).values.tolist() == [0, 1, 4, 24, 120]
    x = valid_mask(torch.ones(1, 1, 3_000), lengths).float()
    y, _ = transform(x, lengths, sample(transform, 5))
    hidden = (x != y)[:, 0].sum(dim=1)
    assert hidden[0] == 0
    assert hidden[4] > 100
    assert sample(transform, 5).values["width"].shape == (5, 20)
    halved = transform.scaled(0.5)
    assert halved.width_fraction == pytest.approx(0.02)
    assert transform.scaled(1.0) == transform


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_masks_are_what_a_loop_makes(fill: str) -> None:
    x = batch(torch.float64)
    rng = np.random.default_rng(2)
    start, share = rng.uniform(size=(6, 3)), rng.uniform(size=(6, 3))
    bins, frames = rng.integers(0, 25, (6, 3)), rng.integers(0, 60, (6, 3))
    by_bins = mask.frequency_mask(x, LENGTHS, torch.from_numpy(start), torch.from_numpy(bins), fill)  # type: ignore[arg-type]
    by_frames = mask.time_mask(x, LENGTHS, torch.from_numpy(share), torch.from_numpy(frames), fill)  # type: ignore[arg-type]
    for row, length in enumerate(LENGTHS.tolist()):
        filling = 0.0 if fill == "zero" or length == 0 else float(x[row, :, :length].mean())
        low, high = x[row].numpy().copy(), x[row].numpy().copy()
        for k in range(3):
            width = min(int(bins[row, k]), 20)
            first = int(start[row, k] * (20 - width + 1))
            low[first : first + width, :length] = filling
            width = min(int(frames[row, k]), length)
            first = int(share[row, k] * (length - width + 1))
            high[:, first : first + width] = filling
        assert np.allclose(by_bins[row].numpy(), low, atol=1e-12)
        assert np.allclose(by_frames[row].numpy(), high, atol=1e-12)


def test_masks_in_one_pass_are_masks_one_after_another() -> None:
    x, rng = batch(), np.random.default_rng(3)
    bins = mask.place_stripes(
        20, torch.from_numpy(rng.uniform(size=(6, 2))), torch.from_numpy(rng.integers(0, 25, (6, 2)))
    )
    start, width = torch.from_numpy(rng.uniform(size=(6, 3))), torch.from_numpy(rng.integers(0, 60, (6, 3)))
    frames = mask.place_stripes(LENGTHS[:, None], start, width)
    one_by_one = mask.masks(mask.masks(x, LENGTHS, bins=bins), LENGTHS, frames=frames)
    assert torch.equal(mask.masks(x, LENGTHS, bins, frames), one_by_one)
    assert torch.equal(mask.masks(x, LENGTHS, frames=frames), mask.time_mask(x, LENGTHS, start, width))
    assert torch.equal(mask.masks(x, LENGTHS), x)
    with pytest.raises(ValueError, match="mask: fill must be 'zero' or 'mean', got 'noise'"):
        mask.masks(x, LENGTHS, fill="noise")  # type: ignore[arg-type]


@pytest.mark.parametrize("transform", [
    sa.FrequencyMask(count=3), sa.TimeMask(max_fraction=0.5), sa.TimeMask(width_fraction=0.1, count_fraction=0.04),
    sa.FrequencyMask(fill="mean"), sa.TimeMask(fill="mean"), sa.TimeWarp(),
], ids=str)  # fmt: skip
def test_a_batch_laid_out_by_frames_stays_so(transform: sa.Transform) -> None:
    x, draws = batch(), sample(transform, 6)
    by_frames = x.mT.contiguous().mT
    y, _ = transform(by_frames, LENGTHS, draws)
    assert y.stride() == by_frames.stride()
    torch.testing.assert_close(y, transform(x, LENGTHS, draws)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("transform", [
    sa.FrequencyMask(count=3), sa.TimeMask(max_fraction=0.5), sa.TimeMask(width_fraction=0.1, count_fraction=0.04),
], ids=str)  # fmt: skip
def test_stripes_are_what_a_mask_hides(transform: sa.FrequencyMask | sa.TimeMask) -> None:
    x, draws = batch(), sample(transform, 6)
    axis, first, width = transform.stripes(LENGTHS, 20, **draws.mirror(x.device))
    bins, frames = ((first, width), None) if axis == 1 else (None, (first, width))
    assert torch.equal(mask.masks(x, LENGTHS, bins, frames), transform(x, LENGTHS, draws)[0])
    assert transform.fusion == "mask"
    assert dataclasses.replace(transform, fill="mean").fusion is None


def test_time_warp_equals_numpy_interpolation() -> None:
    x = batch(torch.float64)
    window = 30.0
    center = torch.tensor([0.0, 0.9, 0.5, 0.3, 0.5, 0.5], dtype=torch.float64)
    shift = torch.tensor([-25.0, 12.5, 30.0, -30.0, 10.0, 10.0], dtype=torch.float64)
    y = warp.time_warp(x, LENGTHS, center, shift, window)
    for row, length in enumerate(LENGTHS.tolist()):
        assert not y[row, :, length:].any()
        if length == 0:
            continue
        last = length - 1
        reach = min(window, last / 2.0)
        source = reach + float(center[row]) * (last - 2.0 * reach)
        target = source + float(shift[row]) * reach / window
        if not 0.0 < target < last:
            continue
        places = np.interp(np.arange(length), [0.0, target, last], [0.0, source, last])
        for bin_ in range(x.shape[1]):
            expected = np.interp(places, np.arange(length), x[row, bin_, :length].numpy())
            assert np.allclose(y[row, bin_, :length].numpy(), expected, atol=1e-12)
        assert torch.equal(y[row, :, 0], x[row, :, 0])
        assert torch.allclose(y[row, :, last], x[row, :, last], atol=1e-12)


def test_moments_go_where_the_frames_go() -> None:
    ramp = torch.arange(200.0, dtype=torch.float64).reshape(1, 1, 200)
    transform = sa.TimeWarp(shift_frames=(-60.0, 60.0))
    for seed in range(20):
        draws = sample(transform, 1, seed)
        lengths = torch.tensor([200 - 9 * seed])
        frames = np.arange(int(lengths))
        y, _ = transform(ramp * valid_mask(ramp, lengths), lengths, draws)
        moments = np.array([0.0, 7.0, 20.0, int(lengths) - 1.0])
        moved = transform.warp_times(moments[None] / 100.0, lengths, draws, sample_rate=100.0)[0] * 100.0
        # Each frame of a ramp says where it came from; between two frames, at the kink, that is good to half a frame.
        found = np.interp(moments, y[0, 0, frames].numpy(), frames)
        assert np.abs(found - moved.numpy()).max() < 0.5
        assert np.abs(found - moved.numpy())[[0, 3]].max() < 1e-9


def test_no_shift_is_the_identity() -> None:
    x = batch()
    assert torch.allclose(warp.time_warp(x, LENGTHS, torch.linspace(0.0, 0.9, 6), torch.zeros(6), 80.0), x)
    none = torch.zeros(6, 2, dtype=torch.int64)
    assert torch.equal(mask.time_mask(x, LENGTHS, torch.full((6, 2), 0.5), none), x)
    assert torch.equal(mask.frequency_mask(x, LENGTHS, torch.full((6, 2), 0.5), none), x)


@pytest.mark.parametrize("shape", [(0, 4, 9), (3, 4, 0), (3, 4, 1), (3, 1, 2)])
def test_degenerate_input(shape: tuple[int, ...]) -> None:
    lengths = torch.arange(shape[0]).clamp(max=shape[-1])
    x = valid_mask(torch.zeros(shape), lengths).expand(shape).float()
    unit, width = torch.full((shape[0], 2), 0.99), torch.full((shape[0], 2), 50)
    for fill in ("zero", "mean"):
        for run in (mask.time_mask, mask.frequency_mask):
            y = run(x, lengths, unit, width, fill)
            assert y.shape == shape
            assert torch.isfinite(y).all()
            assert not (y * ~valid_mask(x, lengths)).any()
    y = warp.time_warp(x, lengths, unit[:, 0], torch.full(shape[:1], -80.0), 80.0)
    assert y.shape == shape
    assert torch.isfinite(y).all()
    assert not (y * ~valid_mask(x, lengths)).any()


@pytest.mark.parametrize("policy", ["LB", "LD", "SM", "SS", "adaptive", "small"])
def test_presets_keep_padding_and_hide_something(policy: str) -> None:
    spec = sa.presets.specaugment(policy)
    lengths = torch.tensor([900, 333, 40, 1])
    x = torch.from_numpy(np.random.default_rng(1).uniform(1.0, 2.0, (4, 80, 900))).float()
    x = x * valid_mask(x, lengths)
    y, y_lengths = spec(x, lengths, sample(spec, 4, seed=3))
    assert torch.equal(y_lengths, lengths)
    assert not (y * ~valid_mask(y, lengths)).any()
    assert int((y[0] == 0.0).sum()) > 0


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="FrequencyMask: width_bins must be whole numbers"):
        sa.FrequencyMask(width_bins=(0.0, 2.5))
    with pytest.raises(ValueError, match="TimeMask: count must be a whole number of at least 1, got 0"):
        sa.TimeMask(count=0)
    with pytest.raises(ValueError, match=r"TimeMask: width_fraction must be in \[0, 1\] or None, got 1.5"):
        sa.TimeMask(width_fraction=1.5)
    with pytest.raises(ValueError, match="TimeMask: fill must be 'zero' or 'mean', got 'noise'"):
        sa.TimeMask(fill="noise")  # type: ignore[arg-type]
