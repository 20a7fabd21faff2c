"""The contract every transform keeps, as checks you can run on your own.

    from speechaug.testing import check_transform
    check_transform(MyTransform())

Each ``check_*`` takes one transform and raises AssertionError with what went wrong.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from speechaug.banks import Bank
from speechaug.compose import Compose, OneOf, SomeOf
from speechaug.draws import Draws
from speechaug.ops._op import available
from speechaug.policy_file import load_policy, save_policy
from speechaug.rng import Rng
from speechaug.transform import Transform, from_dict
from speechaug.waveform.level import Gain, Polarity
from speechaug.waveform.time import Speed

if not __debug__:
    raise RuntimeError("speechaug.testing: the checks are assertions, run Python without -O")

SAMPLE_RATE = 16_000
TOLERANCES = {torch.float64: 1e-6, torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference allowed where a result may differ by rounding, relative to the largest value: float32 FFTs of
some 10^5 samples lose about 2^-24 x 10 bits; half types are compared after their own rounding."""


def example(cls: type[Transform]) -> Transform:
    """Build a transform of a registered class: defaults, with a bank, members or a transform where it needs them."""
    fields = {field.name for field in dataclasses.fields(cls)}
    needed: dict[str, Any] = {}
    if "bank" in fields:
        clips = [_noise(5, length) * np.exp(-np.arange(length) / 300.0) for length in (900, 2400)]
        needed["bank"] = Bank.from_arrays(clips, sample_rate=SAMPLE_RATE)
    if "transform" in fields:
        needed["transform"] = "torch.nn.Tanh"
    if "members" in fields:
        needed["members"] = (Gain(), Speed(p=0.5), Polarity(p=0.5))
    return cls(**needed)


def _noise(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape) * 0.1


def _batch(transform: Transform, dtype: torch.dtype = torch.float32, rows: int = 5) -> tuple[Tensor, Tensor]:
    """Return a ragged batch: full, odd, short, one sample, nothing; two channels."""
    spectrogram = transform.domain == "spectrogram"
    width, inner = (150, 40) if spectrogram else (6_000, 2)
    lengths = torch.tensor([width, width * 2 // 3 + 1, width // 4, 1, 0])[:rows]
    x = torch.from_numpy(_noise(3, rows, inner, width)).to(dtype)
    return x * (torch.arange(width) < lengths[:, None, None]), lengths


def _ids(rows: int) -> list[str]:
    return [f"utt-{row}" for row in range(rows)]


def _draws(transform: Transform, rows: int, seed: int = 1, only: int | None = None) -> Draws:
    ids = _ids(rows) if only is None else [_ids(rows)[only]]
    return transform.sample(Rng.from_ids(seed=seed, epoch=0, ids=ids))


def _call(transform: Transform, x: Tensor, lengths: Tensor | None, draws: Any) -> tuple[Tensor, Tensor]:
    return transform(x, lengths, draws, sample_rate=None if transform.domain == "spectrogram" else SAMPLE_RATE)


def _always(transform: Transform) -> Transform:
    return dataclasses.replace(transform, p=1.0)


def _assert_close(a: Tensor, b: Tensor, what: str, factor: float = 1.0) -> None:
    assert a.shape == b.shape, f"{what}: shapes differ, {tuple(a.shape)} and {tuple(b.shape)}"
    if a.numel() == 0:
        return
    scale = max(float(b.double().abs().max()), 1e-3)
    worst = float((a.double() - b.double()).abs().max())
    assert worst <= factor * TOLERANCES[a.dtype] * scale, f"{what}: differs by {worst:.2e} of {scale:.2e}"


def _assert_same_bits(a: Tensor, b: Tensor, what: str) -> None:
    differ = int((a != b).sum())
    assert differ == 0, (
        f"{what}: {differ} of {a.numel()} values differ in their last bits. Sums over padded time, products of "
        "matrices and of complex numbers, torch.pow and torch.exp2 round a number by what stands beside it, transforms "
        "by their size: choose sizes by a row's own length; the guide on reproducibility says what to use instead"
    )


def check_shape_and_lengths(transform: Transform) -> None:
    """Rank, rows and channels stay; lengths are int64 within the width; out_lengths tells them beforehand."""
    x, lengths = _batch(transform)
    draws = _draws(transform, len(x))
    for given in [x] if transform.domain == "spectrogram" else [x, x[:, 0]]:
        y, y_lengths = _call(transform, given, lengths, draws)
        assert y.shape[:-1] == given.shape[:-1], f"shape {tuple(given.shape)} became {tuple(y.shape)}"
        assert y_lengths.dtype == torch.int64
        assert y_lengths.shape == lengths.shape
        assert bool((y_lengths >= 0).all() and (y_lengths <= y.shape[-1]).all()), "lengths leave the width"
        assert bool(torch.isfinite(y).all()), "output is not finite"
    ends = transform.warp_times(lengths[:, None] / SAMPLE_RATE, lengths, draws, sample_rate=SAMPLE_RATE)
    assert bool((ends[:, 0] * SAMPLE_RATE <= y_lengths + 1e-6).all()), "a moment lies beyond the new end"


def check_channels_share(transform: Transform) -> None:
    """All channels of a row get the same effect."""
    if transform.domain == "spectrogram":
        return
    x, lengths = _batch(transform)
    draws = _draws(transform, len(x))
    same = x[:, :1].expand(-1, 2, -1)
    y, _ = _call(transform, same, lengths, draws)
    assert torch.equal(y[:, 0], y[:, 1]), "channels differ"
    _assert_close(_call(transform, x[:, 0], lengths, draws)[0], y[:, 0], "one channel and two")


def check_dtype(transform: Transform) -> None:
    """The dtype stays, and half precision is close to float32."""
    for dtype in TOLERANCES:
        x, lengths = _batch(transform, dtype)
        draws = _draws(transform, len(x))
        y, _ = _call(transform, x, lengths, draws)
        assert y.dtype == dtype, f"{dtype} became {y.dtype}"
        if dtype in (torch.float16, torch.bfloat16):
            _assert_close(y, _call(transform, x.float(), lengths, draws)[0].to(dtype), f"{dtype}")


def check_autocast(transform: Transform) -> None:
    """Inside ``torch.autocast`` the result is the same: half precision is the model's business."""
    x, lengths = _batch(transform)
    draws = _draws(transform, len(x))
    expected, _ = _call(transform, x, lengths, draws)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = _call(transform, x, lengths, draws)
    assert torch.equal(y, expected), "autocast changed the result"


def check_by_products(transform: Transform) -> None:
    """What ``run`` reports is there for every batch, NaN exactly where a row was off, in both executions."""
    x, lengths = _batch(transform)
    rate = None if transform.domain == "spectrogram" else SAMPLE_RATE
    for p in (0.0, 0.5, 1.0):
        some = dataclasses.replace(transform, p=p)
        draws = _draws(some, len(x))
        for given in (draws, draws.tensors()):
            extras = some.run(x, lengths, given, sample_rate=rate).extras
            assert set(extras) >= set(transform.by_products), f"{sorted(transform.by_products)} not in {sorted(extras)}"
            for name in transform.by_products:
                assert torch.equal(torch.isnan(extras[name]), torch.from_numpy(~draws.on)), (
                    f"{name} is not NaN where off"
                )


def check_padding(transform: Transform) -> None:
    """Samples beyond the new lengths are exactly zero, on or off."""
    x, lengths = _batch(transform)
    for seed in range(3):
        y, y_lengths = _call(transform, x, lengths, _draws(transform, len(x), seed))
        beyond = torch.arange(y.shape[-1]) >= y_lengths[:, None, None]
        assert not bool((y * beyond).any()), "padding is not zero"


def check_degenerate(transform: Transform) -> None:
    """No rows, no samples, one sample, silence, constants, tiny and full scale, strided input: finite, no error."""
    always, (x, _) = _always(transform), _batch(transform)
    inner = x.shape[1]
    scales = [
        torch.zeros(2, inner, 300),
        torch.ones(2, inner, 300),
        torch.full((2, inner, 300), 1e-8),
        -torch.ones(2, inner, 1),
    ]
    strided = x[:2, :, :600].transpose(1, 2).contiguous().transpose(1, 2)
    for given in [torch.zeros(0, inner, 9), torch.zeros(2, inner, 0), *scales, strided]:
        y, y_lengths = _call(always, given, None, _draws(always, len(given)))
        assert y.shape[:2] == given.shape[:2], f"{tuple(given.shape)} became {tuple(y.shape)}"
        assert bool(torch.isfinite(y).all()), f"not finite for {tuple(given.shape)}"
        assert bool((y_lengths <= y.shape[-1]).all())


def check_same_rng_same_bits(transform: Transform) -> None:
    """The same draws give the same bits, another seed another result, a repeated id another draw."""
    x, lengths = _batch(transform)
    first, second = (_call(transform, x, lengths, _draws(transform, len(x))) for _ in range(2))
    assert torch.equal(first[0], second[0]), "the same draws gave other bits"
    assert torch.equal(first[1], second[1]), "the same draws gave other lengths"
    drawn = [_draws(transform, len(x), seed) for seed in range(8)]
    varies = any(one.values or one.members for _, one in drawn[0].walk()) or 0.0 < transform.p < 1.0
    fixed = all(low == high for low, high in (getattr(transform, name) for name in transform._spans()))
    only_fixed = bool(transform._spans()) and fixed and set(drawn[0].values) <= set(transform._spans())
    if varies and not only_fixed:
        assert any(one != drawn[0] for one in drawn[1:]), "another seed drew the same"
    twice = transform.sample(Rng.from_ids(seed=1, epoch=0, ids=["a"] * 64))
    if varies and not only_fixed:
        assert len({json.dumps(twice.row(index)) for index in range(64)}) > 1, "a repeated id drew the same"


def check_probability(transform: Transform) -> None:
    """p=0 is the identity bit for bit, p is the share of rows that are on, strength 0 is off."""
    x, lengths = _batch(transform)
    for off in (dataclasses.replace(transform, p=0.0), transform.scaled(0.0)):
        y, y_lengths = _call(off, x, lengths, _draws(off, len(x)))
        assert torch.equal(y, x), "p=0 changed the input"
        assert torch.equal(y_lengths, lengths), "p=0 changed the lengths"
        assert y.data_ptr() != x.data_ptr(), "the output shares memory with the input"
        assert y_lengths.data_ptr() != lengths.data_ptr(), "the lengths share memory with the input's"
    half = dataclasses.replace(transform, p=0.5)
    if all(isinstance(getattr(m, "p", 1.0), float) and m.p == 1.0 for m in getattr(transform, "members", ())):
        on = half.sample(Rng.from_ids(seed=1, epoch=0, ids=_ids(2_000))).on.mean()
        assert abs(on - 0.5) < 0.06, f"p=0.5 was on for {on:.3f} of the rows"


def check_row_alone(transform: Transform) -> None:
    """A row alone, without padding, gives to the last bit what it gives in a batch, in whatever place.

    That is float32 on a CPU, where numba works; without numba, it is the same to rounding.
    """
    if transform.mixes_rows:
        return
    x, lengths = _batch(transform)
    always = _always(transform)
    whole, whole_lengths = _call(always, x, lengths, _draws(always, len(x)))
    for row, length in enumerate(lengths.tolist()):
        draws = _draws(always, len(x), only=row)
        alone, alone_lengths = _call(always, x[row : row + 1, :, :length], lengths[row : row + 1], draws)
        assert int(alone_lengths[0]) == int(whole_lengths[row]), f"row {row} alone has another length"
        valid, what = int(alone_lengths[0]), f"row {row} alone and in the batch"
        _assert_close(alone[0, :, :valid], whole[row, :, :valid], what)
        if available("cpu"):
            _assert_same_bits(alone[0, :, :valid], whole[row, :, :valid], what)


def check_pure(transform: Transform) -> None:
    """Inputs, and every global random state, are untouched."""
    x, lengths = _batch(transform)
    draws = _draws(transform, len(x))
    kept, versions = x.clone(), (x._version, lengths._version)
    states = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # type: ignore[index]  # noqa: NPY002
    _call(transform, x, lengths, draws)
    _draws(transform, len(x))
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # type: ignore[index]  # noqa: NPY002
    assert (x._version, lengths._version) == versions, "an input was written to"
    assert torch.equal(x, kept), "an input was changed"
    assert states[:2] == after[:2], "a global random state moved"
    assert torch.equal(states[2], after[2]), "torch's global random state moved"


def check_no_host_read(transform: Transform) -> None:
    """``apply`` reads no tensor value back: it runs on tensors that hold none. What says ``on_host`` is exempt."""
    if transform.on_host:
        return
    x, lengths = _batch(transform)
    always = _always(transform)
    for draws in (_draws(transform, len(x)), _draws(always, len(x))):
        expected, _ = _call(transform, x, lengths, draws)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            y, _ = _call(transform, mode.from_tensor(x), mode.from_tensor(lengths), draws)
        assert y.shape == expected.shape, "shapes depend on tensor values"


def check_fixed_shapes(transform: Transform) -> None:
    """The execution with fixed shapes gives what the eager one gives, within the promised growth."""
    x, lengths = _batch(transform)
    for seed in range(2):
        draws = _draws(transform, len(x), seed)
        y, y_lengths = _call(transform, x, lengths, draws)
        fixed, fixed_lengths = _call(transform, x, lengths, draws.tensors())
        assert torch.equal(y_lengths, fixed_lengths), "lengths differ"
        assert not bool(fixed[..., y.shape[-1] :].any()), "more samples than in eager execution"
        wide = max(y.shape[-1], fixed.shape[-1])
        padded = [torch.nn.functional.pad(z, (0, wide - z.shape[-1])) for z in (fixed, y)]
        _assert_close(padded[0], padded[1], "fixed shapes and eager")
        most = int(np.ceil(x.shape[-1] * transform.most()))
        assert max(y.shape[-1], fixed.shape[-1]) <= most, "longer than growth allows"


def check_compiles(transform: Transform) -> None:
    """``torch.compile(fullgraph=True)`` gives what eager execution gives. What says ``on_host`` is exempt."""
    if transform.on_host:
        return
    x, lengths = _batch(transform)
    tree = _draws(transform, len(x)).tensors()
    torch._dynamo.reset()
    compiled = torch.compile(lambda *args: _call(transform, *args), fullgraph=True, backend="aot_eager", dynamic=False)
    y, y_lengths = compiled(x, lengths, tree)
    expected, expected_lengths = _call(transform, x, lengths, tree)
    assert torch.equal(y_lengths, expected_lengths), "lengths differ"
    _assert_close(y, expected, "compiled and eager")


def check_gradient(transform: Transform) -> None:
    """Where promised, gradients reach the input, are finite and agree with finite differences along a direction."""
    if not transform.differentiable:
        return
    x, lengths = _batch(transform, torch.float64)
    draws = _draws(_always(transform), len(x))
    x = x.requires_grad_()
    y, _ = _call(transform, x, lengths, draws)
    towards = torch.from_numpy(_noise(9, *y.shape))
    (gradient,) = torch.autograd.grad((y * towards).sum(), x)
    assert bool(torch.isfinite(gradient).all()), "gradient is not finite"
    step = torch.from_numpy(_noise(11, *x.shape)) * (x.detach() != 0)
    with torch.no_grad():
        ends = [(_call(transform, x + sign * 1e-6 * step, lengths, draws)[0] * towards).sum() for sign in (1, -1)]
    slope, expected = float((ends[0] - ends[1]) / 2e-6), float((gradient * step).sum())
    assert abs(slope - expected) <= 1e-3 * max(abs(expected), 1e-2), f"gradient {expected:.6f}, slope {slope:.6f}"


def check_round_trips(transform: Transform) -> None:
    """Plain data, JSON, YAML, pickle and repr keep the transform; draws survive JSON and pickle."""
    assert from_dict(json.loads(json.dumps(transform.to_dict()))) == transform, "JSON"
    assert pickle.loads(pickle.dumps(transform)) == transform, "pickle"
    assert hash(pickle.loads(pickle.dumps(transform))) == hash(transform), "hash"
    assert type(transform).__name__ in repr(transform)
    with tempfile.TemporaryDirectory() as folder:
        save_policy(transform, Path(folder) / "policy.yaml")
        banks = {type(transform).__name__: transform.bank} if _has_bank(transform) else {}  # type: ignore[attr-defined]
        assert load_policy(Path(folder) / "policy.yaml", banks=banks) == transform, "YAML"
    draws = _draws(transform, 4)
    assert transform.replay(json.loads(json.dumps(draws.to_dict()))) == draws, "draws through JSON"
    assert pickle.loads(pickle.dumps(draws)) == draws, "draws through pickle"


def check_strength(transform: Transform) -> None:
    """Strength 1 is the policy itself; any strength gives a valid policy; ranges declare where they come from."""
    assert transform.scaled(1.0) == transform, "scaled(1) is not the policy"
    for strength in (0.25, 1.5, 4.0):
        scaled = transform.scaled(strength)
        x, lengths = _batch(scaled)
        assert bool(torch.isfinite(_call(scaled, x, lengths, _draws(scaled, len(x)))[0]).all())
    for name, spread in transform._spans().items():
        assert np.isfinite([spread.neutral, *spread.limit]).all(), f"{name}: neutral and limits must be finite"


def check_documented(transform: Transform) -> None:
    """The docstring's Args are the fields, and it has a Shape and an Example."""
    text = type(transform).__doc__ or ""
    listed = re.search(r"Args:\n((?: {4,}.*\n)+)", text)
    names = re.findall(r"^ {8}(\w+):", listed.group(1), re.MULTILINE) if listed else []
    fields = {field.name for field in dataclasses.fields(transform)}
    assert set(names) == fields, f"Args {sorted(names)} are not the fields {sorted(fields)}"
    for section in ("Shape:", "Example:"):
        assert section in text, f"the docstring has no {section}"


def _has_bank(transform: Transform) -> bool:
    return getattr(transform, "bank", None) is not None


CHECKS: tuple[Callable[[Transform], None], ...] = (
    check_shape_and_lengths,
    check_channels_share,
    check_dtype,
    check_autocast,
    check_by_products,
    check_padding,
    check_degenerate,
    check_same_rng_same_bits,
    check_probability,
    check_row_alone,
    check_pure,
    check_no_host_read,
    check_fixed_shapes,
    check_compiles,
    check_gradient,
    check_round_trips,
    check_strength,
    check_documented,
)
"""Every check of the contract."""


def check_transform(transform: Transform) -> None:
    """Run every check on one transform.

    Raises:
        AssertionError: naming the check that failed and why.

    Example:
        >>> import speechaug as sa
        >>> check_transform(sa.Gain())
    """
    for check in CHECKS:
        try:
            check(transform)
        except AssertionError as error:
            raise AssertionError(f"{type(transform).__name__} fails {check.__name__}: {error}") from error


def policy_example() -> Compose:
    """Return a policy with every kind of nesting, for tests."""
    choice = OneOf([Gain(), Speed(p=0.5), Speed(factor=(0.8, 1.0))], weights=(1.0, 2.0, 2.0), p=0.8)
    some = SomeOf([Gain(), Polarity(), Gain(p=0.5)], count=(1, 3))
    return Compose([Gain(p=0.5), choice, some, Polarity()], range_policy="rescale", p=0.9)
