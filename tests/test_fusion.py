"""Members that run together give what they give one by one, and the repr says which do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import speechaug as sa
from speechaug.policy_file import load_policy, save_policy
from speechaug.testing import example

RATE = 16_000
ROWS = 12
POINTWISE = [
    sa.Gain(gain_db=(-12.0, 18.0), p=0.6),
    sa.Polarity(p=0.5),
    sa.Clipping(p=0.4),
    sa.TanhDistortion(p=0.4),
    sa.Gain(p=0.5),
]


def _batch(channels: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([3_000, 1, 0, *range(500, 2_750, 250)])
    shape = (ROWS, channels, 3_000) if channels else (ROWS, 3_000)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32)) * 0.3
    inside = torch.arange(3_000) < lengths[:, None]
    return x * (inside[:, None] if channels else inside), lengths


def _draws(policy: sa.Transform, seed: int = 1) -> sa.Draws:
    return policy.sample(sa.Rng.from_ids(seed=seed, epoch=0, ids=[str(row) for row in range(ROWS)]))


def _both(policy: sa.Compose, channels: int = 0, tensors: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """What a policy gives together and one by one, for the same draws."""
    (x, lengths), draws = _batch(channels), _draws(policy)
    alone = dataclasses.replace(policy, fuse=False)
    given = draws.tensors() if tensors else draws
    rate = RATE if policy.domain == "waveform" else None
    return policy(x, lengths, given, sample_rate=rate)[0], alone(x, lengths, given, sample_rate=rate)[0]


@pytest.mark.parametrize("tensors", [False, True], ids=["eager", "fixed shapes"])
@pytest.mark.parametrize("channels", [0, 2])
@pytest.mark.parametrize("range_policy", ["none", "rescale", "clip"])
def test_pointwise(range_policy, channels, tensors):
    together, alone = _both(sa.Compose(POINTWISE, range_policy=range_policy), channels, tensors)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tensors", [False, True], ids=["eager", "fixed shapes"])
def test_masks(tensors):
    members = [
        sa.FrequencyMask(p=0.7, width_bins=(0, 2)),
        sa.TimeMask(p=0.7, max_fraction=0.3),
        sa.FrequencyMask(count=1),
    ]
    together, alone = _both(sa.Compose(members), 5, tensors)
    assert torch.equal(together, alone)
    assert not torch.equal(together, _batch(5)[0])


@pytest.mark.parametrize(
    "choose", [lambda m: sa.OneOf(m), lambda m: sa.SomeOf(m, count=(0, 3))], ids=["OneOf", "SomeOf"]
)
def test_choices_run_together_too(choose):
    together, alone = _both(choose(POINTWISE))
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_nothing_on_is_the_identity_bit_for_bit():
    policy = sa.Compose([dataclasses.replace(member, p=0.0) for member in POINTWISE], range_policy="clip")
    x, lengths = _batch()
    x = x * 10
    y, _ = policy(x, lengths, _draws(policy), sample_rate=RATE)
    assert torch.equal(y, x)


def test_the_callers_batch_is_never_written_into():
    policy = sa.Compose(
        [sa.TimeShift(p=0.5), sa.Gain(p=0.5), sa.TimeShift(p=0.5), sa.LowPass(p=0.5), sa.TimeShift(p=0.5)]
    )
    x, lengths = _batch()
    before = x.clone()
    for seed in range(5):
        policy(x, lengths, _draws(policy, seed), sample_rate=RATE)
    assert torch.equal(x, before)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Given(sa.Transform):
    """Returns what it was given, and keeps it as a by-product."""

    by_products = ("batch",)

    def draw(self, rng):
        return {}

    def apply(self, x, lengths, context):
        context.record("batch", x)
        return x, lengths


class _View(_Given):
    def apply(self, x, lengths, context):
        return x[..., :], lengths


class _FirstChannel(_Given):
    def apply(self, x, lengths, context):
        return x[:, :1].expand_as(x), lengths


@pytest.mark.parametrize("channels", [0, 2])
@pytest.mark.parametrize("second", [_Given, _View, _FirstChannel])
@pytest.mark.parametrize("first", [_Given, _View, _FirstChannel, sa.TimeShift, sa.Gain])
@pytest.mark.parametrize("chances", [(0.5, 1.0), (1.0, 0.5), (1.0, 1.0)])
def test_what_others_hold_is_never_written_into(first, second, chances, channels):
    middle = (cls(p=p) for cls, p in zip((first, second), chances, strict=True))
    policy = sa.Compose([sa.TimeShift(p=0.5), *middle, sa.TimeShift(p=0.5)])
    (x, lengths), draws = _batch(channels), _draws(policy)
    before = x.clone()
    y, _, extras = policy.run(x, lengths, draws, sample_rate=RATE)
    assert torch.equal(x, before)
    expected, reached, kept = x, lengths, {}
    for place, member in sa.transform.places(policy.members):
        expected, reached, found = member.run(expected.clone(), reached, draws.members[place], sample_rate=RATE)
        kept |= {f"{place}.{name}": values for name, values in found.items()}
    torch.testing.assert_close(y, expected)
    assert extras.keys() == kept.keys()
    for name, values in kept.items():
        torch.testing.assert_close(extras[name], values, equal_nan=True)


@pytest.mark.parametrize("cls", [_Given, _View, _FirstChannel])
@pytest.mark.parametrize("channels", [0, 2])
def test_the_caller_may_write_into_the_result(cls, channels):
    x, lengths = _batch(channels)
    before, policy = x.clone(), cls()
    y, _ = policy(x, lengths, _draws(policy), sample_rate=RATE)
    y += 1.0
    assert torch.equal(x, before)


@pytest.mark.parametrize("rows_on", [0.5, 1.0])
def test_filters_and_responses_with_shapes_alone_and_compiled(rows_on):
    """How long filters ring is worked out from numbers, where the batch has none."""
    policy = sa.Compose([sa.LowPass(p=rows_on), dataclasses.replace(example(sa.Reverb), p=0.5), sa.Equalizer()])
    (x, lengths), draws = _batch(), _draws(policy)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        shape = policy(mode.from_tensor(x), mode.from_tensor(lengths), draws, sample_rate=RATE)[0].shape
    assert shape == x.shape
    torch._dynamo.reset()
    call = torch.compile(lambda *args: policy(*args, sample_rate=RATE)[0], fullgraph=True, backend="aot_eager")
    tree = draws.tensors()
    torch.testing.assert_close(call(x, lengths, tree), policy(x, lengths, tree, sample_rate=RATE)[0])


def test_rows_that_are_off_keep_their_bits():
    policy = sa.Compose(
        [sa.Speed(p=0.3), sa.Gain(p=0.3), sa.AddColoredNoise(p=0.3), sa.LowPass(p=0.3), sa.Clipping(p=0.3)],
        range_policy="rescale",
    )
    (x, lengths), draws = _batch(), _draws(policy)
    y, y_lengths = policy(x, lengths, draws, sample_rate=RATE)
    off = ~draws.on
    assert 0 < off.sum() < ROWS
    assert torch.equal(y[off][:, :3_000], x[off])
    assert torch.equal(y_lengths[off], lengths[off])


def test_gradients_pass_through_a_group_and_through_rows_written_in_place():
    policy = sa.Compose([sa.TimeShift(p=0.5), sa.Gain(p=0.7), sa.Polarity(), sa.TimeShift(p=0.5)])
    x, lengths = _batch()
    gradients = []
    for fuse in (True, False):
        leaf = x.clone().requires_grad_()
        y, _ = dataclasses.replace(policy, fuse=fuse)(leaf, lengths, _draws(policy), sample_rate=RATE)
        y.square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize("p", [0.4, 1.0])
def test_written_in_place_or_not_is_the_same(p):
    policy = sa.Compose([sa.AddColoredNoise(p=p), sa.Gain(p=p), sa.AddColoredNoise(p=p), sa.TanhDistortion(p=p)])
    x, lengths = _batch()
    in_place = policy.run(x, lengths, _draws(policy), sample_rate=RATE)
    pure = policy.run(x.clone().requires_grad_(), lengths, _draws(policy), sample_rate=RATE)
    assert torch.equal(in_place.x, pure.x)
    for name, values in pure.extras.items():
        torch.testing.assert_close(in_place.extras[name], values, rtol=0.0, atol=0.0, equal_nan=True)


def test_repr_joins_what_runs_together():
    policy = sa.Compose([sa.Gain(), sa.Polarity(), sa.Speed(), sa.Clipping(p=0.5)])
    assert repr(policy) == "Compose([Gain() + Polarity(), Speed(), Clipping(p=0.5)])"
    assert repr(sa.Compose([sa.HighPass(), sa.LowPass()])) == "Compose([HighPass() + LowPass()])"
    assert repr(dataclasses.replace(policy, fuse=False)) == (
        "Compose([Gain(), Polarity(), Speed(), Clipping(p=0.5)], fuse=False)"
    )


def test_switching_it_off_survives_a_file(tmp_path):
    policy = sa.Compose([sa.Gain(), sa.Polarity()], fuse=False)
    save_policy(policy, tmp_path / "policy.yaml")
    assert load_policy(tmp_path / "policy.yaml") == policy
