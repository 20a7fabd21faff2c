"""Faults are exactly as many and as long as asked for, counted in the output by NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug import functional as F
from speechaug.testing import check_transform

RATE = 16_000


def _run(transform: sa.Transform, x: torch.Tensor, lengths: torch.Tensor | None = None, rate: int = RATE):
    ids = [f"utt-{row}" for row in range(len(x))]
    draws = transform.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=ids))
    return transform.run(x, lengths, draws, sample_rate=rate)


def _keys(rows: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 2**62, rows))


def _runs(flags: np.ndarray) -> np.ndarray:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return edges[1::2] - edges[::2]


# Lost packets


@pytest.mark.parametrize("frame_ms", [10.0, 20.0, 33.3])
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.05, 0.1, 0.3, 0.9, 1.0])
def test_exactly_the_share_asked_for_is_lost(loss, frame_ms):
    lengths = torch.tensor([80_000, 79_999, 16_001, 4_000, 321, 1, 0])
    x = (torch.arange(80_000) < lengths[:, None]).float()
    lossy = sa.PacketLoss(loss=(loss, loss), burst_frames=(2.0, 2.0), frame_ms=frame_ms)
    y, _, extras = _run(lossy, x, lengths)
    size = round(frame_ms * 16)
    for row, length in enumerate(lengths.tolist()):
        frames = [y[row, start : min(start + size, length)] for start in range(0, length, size)]
        lost = [not frame.any() for frame in frames]
        assert all(bool(frame.all()) for frame, gone in zip(frames, lost, strict=True) if not gone)
        assert sum(lost) == round(loss * len(frames))
        assert float(extras["loss_rate"][row]) == sum(lost) / max(len(frames), 1)


@pytest.mark.parametrize("burst", [1.0, 1.5, 2.0, 4.0])
def test_bursts_are_as_long_as_asked_for_on_average(burst):
    frames = torch.full((200,), 250)
    lost = F.lost_frames(_keys(200), frames, torch.full((200,), 0.2), torch.full((200,), burst), 250).numpy()
    for row in lost:
        runs = _runs(row)
        assert runs.sum() == 50 and len(runs) == round(50 / burst)
    assert lost.mean(axis=0).std() < 1.5 * np.sqrt(0.2 * 0.8 / 200), "every frame is as likely to be lost"


def test_every_layout_is_as_likely():
    """All ways to lose 3 of 7 frames in 2 bursts, listed, against 24,000 rows."""
    layouts = [set(c) for c in itertools.combinations(range(7), 3)]
    flags = [np.isin(np.arange(7), list(layout)) for layout in layouts]
    listed = {tuple(flag) for flag in flags if len(_runs(flag)) == 2}
    rows = 24_000
    lost = F.lost_frames(_keys(rows), torch.full((rows,), 7), torch.full((rows,), 0.43), torch.full((rows,), 1.5), 9)
    assert not lost[:, 7:].any()
    found, counts = np.unique(lost[:, :7].numpy(), axis=0, return_counts=True)
    assert {tuple(row) for row in found} == listed
    expected = rows / len(listed)
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = len(listed) - 1
    assert statistic < degrees + 4 * np.sqrt(2 * degrees), "chi-square, four standard deviations"


def test_losses_do_not_depend_on_the_batch():
    frames, loss, burst = torch.tensor([40]), torch.tensor([0.25]), torch.tensor([2.0])
    narrow, wide = (F.lost_frames(torch.tensor([5]), frames, loss, burst, width) for width in (40, 3_000))
    assert torch.equal(narrow, wide[:, :40]) and not wide[:, 40:].any()


def test_the_last_good_frame_is_repeated():
    """Sample by sample: lost frames read the last one received; joints come from the samples before, mirrored."""
    size, fade, length = 320, 40, 16_000 - 100
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 16_000)))
    x[:, length:] = 0.0
    key, loss, burst = torch.tensor([11]), torch.tensor([0.3]), torch.tensor([2.0])
    lengths = torch.tensor([length])
    y, _ = F.packet_loss(x, lengths, key, loss, burst, concealment="repeat", sample_rate=RATE)
    lost = F.lost_frames(key, torch.tensor([50]), loss, burst, 50)[0].numpy()
    source, expected, good = [-1] * 50, np.zeros(16_000), x[0].numpy()
    for frame in range(50):
        source[frame] = (source[frame - 1] if frame else -1) if lost[frame] else frame
        before = source[frame - 1] if frame else -1
        for i in range(size):
            new = good[source[frame] * size + i] if source[frame] >= 0 else 0.0
            if i < fade and frame and source[frame] != before + 1:
                old = good[before * size + size - 1 - i] if before >= 0 else 0.0
                new += (old - new) * (fade - i) / (fade + 1)
            expected[frame * size + i] = new
    expected[length:] = 0.0
    np.testing.assert_allclose(y[0].numpy(), expected, atol=1e-12)
    assert lost.sum() == 15


def test_repeating_has_no_clicks():
    """A tone of one frame's period: joints are no steeper than the tone."""
    x = torch.sin(torch.arange(RATE) * (2 * torch.pi * 150.0 / RATE))[None]
    key, loss, burst = torch.tensor([4]), torch.tensor([0.2]), torch.tensor([2.0])
    y, _ = F.packet_loss(x, torch.tensor([RATE]), key, loss, burst, concealment="repeat", sample_rate=RATE)
    first = int((y[0] != 0).nonzero()[0])
    assert float(y[0, first:].diff().abs().max()) < 2 * float(x.diff().abs().max())


# Drop-outs


@pytest.mark.parametrize("per_second", [1.0, 3.0, 5.0])
def test_as_many_dropouts_as_asked_for(per_second):
    x = torch.ones(50, 4 * RATE)
    loose = sa.Dropouts(rate_per_s=(per_second, per_second), duration_ms=(60.0, 125.0))
    y, _, extras = _run(loose, x)
    for row, share in zip(y.numpy(), extras["dropped_fraction"].tolist(), strict=True):
        runs = _runs(row == 0)
        assert share == pytest.approx(runs.sum() / len(row), abs=1e-12)
        assert len(runs) <= 4 * per_second and runs.sum() >= 4 * per_second * 959  # neighbours may touch
        assert runs.min() >= 959
    durations = np.concatenate([_runs(row == 0) for row in y.numpy()])
    single = durations[durations <= 2_000]
    assert len(single) > 0.95 * 50 * 4 * per_second
    assert single.mean() == pytest.approx(16 * 92.5, rel=0.03)


def test_chance_rounds_the_number_of_dropouts():
    x = torch.ones(2_000, 2_000)  # an eighth of a second: 0.25 of a drop-out
    y, _, _ = _run(sa.Dropouts(rate_per_s=(2.0, 2.0), duration_ms=(20.0, 20.0)), x)
    assert float((y == 0).any(dim=1).float().mean()) == pytest.approx(0.25, abs=0.03)
    places = np.array([np.flatnonzero(row == 0)[0] for row in y.numpy() if (row == 0).any()])
    assert places.mean() == pytest.approx((2_000 - 320) / 2, rel=0.1)


# Gain steps


def test_gains_hold_for_an_interval_and_change_within_5_ms():
    pumping = sa.GainSteps(gain_db=(-18.0, 18.0), interval_ms=300.0)
    y, _, _ = _run(pumping, torch.ones(40, 10 * RATE))
    db = 20 * np.log10(y.numpy())
    assert np.abs(db).max() <= 18.0 and db.std() == pytest.approx(36 / np.sqrt(12), rel=0.1)
    for row in db:
        moving = np.abs(np.diff(row)) > 2e-3  # a change of less than 0.16 dB is not seen
        assert 30 <= len(_runs(moving)) <= 34
        assert (np.abs(_runs(moving)[1:-1] - 80) <= 2).all()
        starts = np.flatnonzero(moving & ~np.roll(moving, 1))
        assert ((np.diff(starts) + 2) % 4_800 <= 4).all()


def test_gains_between_two_steps_are_straight_in_db():
    x = torch.ones(1, 4_000, dtype=torch.float64)
    y = F.gain_steps(x, torch.tensor([8]), torch.tensor([0.25]), (-12.0, 12.0), 50.0, RATE)
    db = 20 * np.log10(y[0].numpy())
    held = db[[0, 1_300, 2_100, 2_900, 3_700]]  # a quarter of the first interval of 800 samples is over
    knots = [0, *np.add.outer([600, 1_400, 2_200, 3_000], [0, 80]).ravel(), 3_800]
    np.testing.assert_allclose(db[:3_800], np.interp(np.arange(3_800), knots, np.repeat(held, 2)), atol=1e-9)


# Clipping by share


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.03, 0.07, 0.15, 0.3, 1.0])
def test_exactly_the_share_asked_for_is_clipped(fraction):
    lengths = torch.tensor([8_000, 5_001, 100, 1, 0])
    x = torch.from_numpy(np.random.default_rng(2).laplace(size=(5, 2, 8_000))).float()
    x = x * (torch.arange(8_000) < lengths[:, None, None])
    y, _, extras = _run(sa.PercentileClipping(fraction=(fraction, fraction)), x, lengths)
    for row, length in enumerate(lengths.tolist()):
        before, after = x[row, :, :length].numpy(), y[row, :, :length].numpy()
        changed = np.count_nonzero(before != after)
        assert abs(changed - fraction * before.size) <= 1
        assert float(extras["clipped_fraction"][row]) == changed / max(before.size, 1)
        if length > 1:
            quantiles = [np.clip(1 - fraction + side / before.size, 0, 1) for side in (-1, 1)]
            low, high = np.quantile(np.abs(before), quantiles)
            assert low <= np.abs(after).max() <= high
        top = np.abs(after).max(initial=0)
        np.testing.assert_array_equal(after, np.clip(before, -top, top))


# Low level


@pytest.mark.parametrize("level_db", [-20.0, -30.0, -40.0, -50.0, -60.0])
@pytest.mark.parametrize("loudness", [0.3, 1e-3])
def test_the_level_is_reached_in_16_bits(level_db, loudness):
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((1, RATE))).float().clip(-3, 3) * loudness
    y, _, extras = _run(sa.LowLevel(level_dbfs=(level_db, level_db)), x)
    steps = y[0].double().numpy() * 32_768
    np.testing.assert_array_equal(steps, np.rint(steps))
    reached = 20 * np.log10(np.sqrt(np.mean((steps / 32_768) ** 2)))
    assert reached == pytest.approx(level_db, abs=0.05)
    assert float(extras["level_dbfs"]) == pytest.approx(reached, abs=1e-4)
    exact = x[0].double().numpy() * 10 ** (level_db / 20) / np.sqrt(np.mean(x[0].double().numpy() ** 2)) * 32_768
    assert np.abs(steps - exact).max() <= 0.5 + 1e-4 * np.abs(exact).max()


def test_pauses_do_not_lower_an_active_level():
    speech = torch.from_numpy(np.random.default_rng(4).standard_normal(2 * RATE)).float() * 0.1
    x = torch.stack([speech, torch.where(torch.arange(2 * RATE) < RATE, speech, 0.0)])
    y, _, extras = _run(sa.LowLevel(level_dbfs=(-40.0, -40.0), reference="active"), x)
    levels = 20 * np.log10(y[:, 1_000 : RATE - 1_000].double().square().mean(dim=1).sqrt().numpy())
    np.testing.assert_allclose(levels, -40.0, atol=1.2)  # the hangover counts 0.2 s of the pause: 0.8 dB
    np.testing.assert_allclose(extras["level_dbfs"].numpy(), -40.0, atol=0.1)


def test_silence_stays_silence():
    faint = torch.full((1, 400), 1e-5)
    y, _, extras = _run(sa.LowLevel(level_dbfs=(-20.0, -20.0)), torch.cat([torch.zeros(1, 400), faint]))
    assert not y.any() and extras["level_dbfs"].tolist() == [-200.0, -200.0]


VARIANTS = [sa.PacketLoss(loss=(0.3, 0.3), concealment="repeat"), sa.LowLevel(reference="active")]


@pytest.mark.parametrize("variant", VARIANTS, ids=repr)
def test_variants_keep_the_contract(variant):
    check_transform(variant)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sa.PacketLoss(loss=(0.5, 1.5)), "PacketLoss: loss must be at most 1"),
        (lambda: sa.PacketLoss(loss=(-0.1, 0.1)), "PacketLoss: loss must be at least 0"),
        (lambda: sa.PacketLoss(burst_frames=(0.5, 2.0)), "PacketLoss: burst_frames must be at least 1"),
        (lambda: sa.PacketLoss(frame_ms=0.0), "PacketLoss: frame_ms must be positive"),
        (lambda: sa.PacketLoss(concealment="copy"), "PacketLoss: concealment must be 'zero' or 'repeat'"),
        (lambda: sa.Dropouts(rate_per_s=(-1.0, 1.0)), "Dropouts: rate_per_s must be at least 0"),
        (lambda: sa.GainSteps(interval_ms=2.0), "GainSteps: interval_ms must be at least 5"),
        (lambda: sa.PercentileClipping(fraction=(0.0, 1.1)), "PercentileClipping: fraction must be at most 1"),
        (lambda: sa.LowLevel(level_dbfs=(-10.0, 3.0)), "LowLevel: level_dbfs must be at most 0"),
        (lambda: sa.LowLevel(reference="peak"), "LowLevel: reference must be 'rms' or 'active'"),
    ],
)
def test_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_functions_refuse_what_they_do_not_know():
    x, one = torch.zeros(1, 4), torch.ones(1)
    with pytest.raises(ValueError, match="packet_loss: concealment must be 'zero' or 'repeat', got 'copy'"):
        F.packet_loss(x, torch.tensor([4]), torch.tensor([1]), one, one, concealment="copy", sample_rate=RATE)
    with pytest.raises(ValueError, match="low_level: reference must be 'rms' or 'active', got 'peak'"):
        F.low_level(x, torch.tensor([4]), -one, reference="peak", sample_rate=RATE)
