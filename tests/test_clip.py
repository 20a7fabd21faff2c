"""The convenience for NumPy users."""

from __future__ import annotations

import numpy as np
import pytest

import speechaug as sa

TONE = np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000) * 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(8_000,), (1, 8_000), (2, 8_000)])
def test_shape_and_type_come_back(dtype, shape):
    samples = np.broadcast_to(TONE, shape).astype(dtype)
    out = sa.augment(samples, 16_000, sa.Gain(gain_db=(-6.0, -6.0)))
    assert out.dtype == dtype
    np.testing.assert_allclose(out, samples * 10 ** (-6 / 20), atol=2e-3)


def test_the_seed_decides():
    first, again, other = (sa.augment(TONE, 16_000, sa.Gain(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_the_id_decides_too():
    lengths = {len(sa.augment(TONE, 16_000, sa.Speed(), seed=1, id=f"file-{i}")) for i in range(5)}
    assert len(lengths) == 5


def test_read_only_samples_are_fine():
    samples = TONE.copy()
    samples.setflags(write=False)
    assert sa.augment(samples, 16_000, sa.Gain()).shape == samples.shape


def test_int16_saturates_and_never_wraps():
    loud = (TONE * 60_000).clip(-32768, 32767).astype(np.int16)
    out = sa.augment(loud, 16_000, sa.Gain(gain_db=(12.0, 12.0)))
    assert out.dtype == np.int16
    assert out.max() == 32767
    assert out.min() == -32768
    assert (np.sign(out[np.abs(loud) > 100]) == np.sign(loud[np.abs(loud) > 100])).all()


def test_length_changes():
    assert sa.augment(TONE, 16_000, sa.Speed(factor=(0.8, 0.8))).shape == (10_000,)


@pytest.mark.parametrize(
    ("samples", "policy", "kind", "message"),
    [
        (np.zeros((1, 2, 3)), sa.Gain(), ValueError, r"must be \(T,\) or \(C, T\)"),
        (np.zeros((16_000, 2)), sa.Gain(), ValueError, "transpose them"),
        (np.zeros(9, np.int32), sa.Gain(), TypeError, "floating or int16"),
        (np.array([0.0, np.nan]), sa.Gain(), ValueError, "finite, got 1"),
        (np.zeros(9), sa.TimeMask(), ValueError, "single waveforms, got TimeMask"),
    ],
)
def test_bad_input(samples, policy, kind, message):
    with pytest.raises(kind, match=message):
        sa.augment(samples, 16_000, policy)


def test_one_sample_and_nothing():
    assert sa.augment(np.ones(1), 16_000, sa.PitchShift()).shape == (1,)
    assert sa.augment(np.ones(0), 16_000, sa.LowPass()).shape == (0,)
