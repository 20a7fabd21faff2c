"""The random streams: known answers, independence of everything but their keys, distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug.rng import _compiled, philox4x32, philox_blocks, philox_key, philox_units


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    words = philox4x32(np.array(counter, np.uint32), np.array(key, np.uint32))
    assert " ".join(f"{word:08x}" for word in words) == expected


def test_a_stream_is_its_own_whatever_stands_beside_it():
    names = [f"utt-{i}" for i in range(20)]
    whole = sa.Rng.from_ids(seed=3, epoch=1, ids=names)
    drawn = [whole.uniform(), whole.uniform(size=3), whole.key(), whole.integers(9), whole.choice([1.0, 2.0])]
    for row in (0, 7, 19):
        alone = sa.Rng.from_ids(seed=3, epoch=1, ids=[names[row]])
        again = [alone.uniform(), alone.uniform(size=3), alone.key(), alone.integers(9), alone.choice([1.0, 2.0])]
        assert all(np.array_equal(a[row : row + 1], b) for a, b in zip(drawn, again, strict=True))


def test_seed_epoch_id_place_and_occurrence_all_matter():
    def first(**changed):
        arguments = {"seed": 1, "epoch": 2, "ids": ["a"], **changed}
        return sa.Rng.from_ids(**arguments).uniform()[-1]

    rng = sa.Rng.from_ids(seed=1, epoch=2, ids=["a"])
    values = [
        first(),
        first(seed=2),
        first(epoch=3),
        first(ids=["b"]),
        first(ids=["a", "a"]),
        rng.fork("x").uniform()[0],
    ]
    values += [rng.fork("x").fork("y").uniform()[0], rng.fork("xy").uniform()[0]]
    assert len(set(values)) == len(values)


def test_ids_that_only_read_alike_differ():
    pairs = [(1, "23"), (12, "3")]
    drawn = {sa.Rng.from_ids(seed=seed, epoch=0, ids=[name]).uniform()[0] for seed, name in pairs}
    assert len(drawn) == 2


def test_distributions():
    rng = sa.Rng.from_ids(seed=0, epoch=0, ids=[str(i) for i in range(4_000)])
    from scipy import stats

    assert stats.kstest(rng.uniform(), "uniform").pvalue > 0.01
    assert stats.kstest(np.log(rng.log_uniform(0.5, 2.0)), stats.uniform(np.log(0.5), np.log(4.0)).cdf).pvalue > 0.01
    assert stats.chisquare(np.bincount(rng.integers(7), minlength=7)).pvalue > 0.01
    weights = np.array([1.0, 0.0, 3.0])
    counts = np.bincount(rng.choice(weights), minlength=3)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2]], 4_000 * weights[[0, 2]] / 4).pvalue > 0.01
    assert abs(np.corrcoef(rng.uniform(), rng.uniform())[0, 1]) < 0.05


def test_rows_may_have_epochs_of_their_own():
    names, epochs = ["a", "b", "a", "a", "a"], [0, 3, 1, 1, 0]
    drawn = sa.Rng.from_ids(seed=1, epoch=epochs, ids=names).uniform()
    for epoch in (0, 1, 3):
        rows = [row for row, one in enumerate(epochs) if one == epoch]
        alone = sa.Rng.from_ids(seed=1, epoch=epoch, ids=[names[row] for row in rows]).uniform()
        assert np.array_equal(drawn[rows], alone)
    assert len(set(drawn)) == len(names)
    with pytest.raises(ValueError, match="epoch must be one number or 5, got 2"):
        sa.Rng.from_ids(seed=1, epoch=[0, 1], ids=names)


def test_one_text_is_not_a_list_of_ids():
    with pytest.raises(TypeError, match="ids must be a list"):
        sa.Rng.from_ids(seed=0, epoch=0, ids="utt-1")


@pytest.mark.parametrize(("first", "size"), [(0, 1), (5, 7), (2**31, 3), (2**32 - 2, 2), (0, 0)])
def test_compiled_units_are_those_of_numpy_and_of_whole_numbers(first, size):
    keys = np.random.default_rng(0).integers(0, 2**32, (5, 2), dtype=np.uint32)
    place = np.array([2**32 - 1, 7], np.uint32)
    compiled_units, compiled_key = _compiled()
    units = compiled_units(keys, place, first, size)
    words = philox_blocks(keys, place, first, size).astype(object)
    assert units.tolist() == ((words[..., 0] // 32 * 2**26 + words[..., 1] // 64) / 2**53).tolist()
    assert (units == philox_units(keys, place, first, size)).all()
    assert compiled_units is not philox_units
    assert (compiled_key(keys, place, first) == philox_key(keys, place, first)).all()
    whole = philox_blocks(keys, place, first, 1).astype(object)[:, 0]
    drawn = [int(key) % 2**64 for key in compiled_key(keys, place, first)]
    assert drawn == (whole[:, 0] + 2**32 * whole[:, 1]).tolist()


def test_parameters_on_the_cpu_are_the_host_arrays_and_stay_as_they_are():
    policy = sa.Compose([sa.LowPass(p=0.5), sa.Gain(), sa.TimeShift(p=0.5), sa.AddColoredNoise()])
    draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b", "c"]))
    before = draws.to_dict()
    gain = draws.to("cpu").members["Gain"]
    assert np.shares_memory(gain.mirror(torch.device("cpu"))["gain_db"].numpy(), gain.values["gain_db"])
    y, _ = policy(torch.ones(3, 800), None, draws, sample_rate=16_000)
    y.mul_(2.0)
    assert draws.to_dict() == before
    packed = draws.pack().clone()
    tree = draws.unpack(packed).tensors()
    assert torch.equal(tree["Gain"]["gain_db"], gain.mirror(torch.device("cpu"))["gain_db"])
    assert not np.shares_memory(tree["Gain"]["gain_db"].numpy(), gain.values["gain_db"])


def test_what_is_certain_is_drawn_like_what_is_not():
    rng = sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b", "c"])
    other = sa.Rng.from_ids(seed=1, epoch=0, ids=["a", "b", "c"])
    assert (rng.chance(0.4) == (other.uniform() < 0.4)).all()
    assert rng.chance(1.0).all()
    assert not rng.chance(0.0).any()
    other.uniform(size=2)
    assert (rng.uniform() == other.uniform()).all()
