"""On a CPU a row comes out to the last bit as if it were alone: random policies, lengths, companies, threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import speechaug as sa
from speechaug.functional.level import power
from speechaug.functional.powers import exp2, power_of
from speechaug.ops.product import product


def clips(rate: int, tail: float) -> sa.Bank:
    rng = np.random.default_rng(7)
    arrays = []
    for place, length in enumerate((rate // 20, rate // 3, rate // 2 + 17)):
        arrays.append(rng.standard_normal(length) * np.exp(-np.arange(length) / (length * tail)))
        arrays[-1][20 + 7 * place] = 3.0
    return sa.Bank.from_arrays(arrays, sample_rate=rate)


def kinds(rate: int) -> list[tuple[type[sa.Transform], dict[str, object]]]:
    """What policies are made of: every way to compute, and every option that chooses another."""
    rooms, sounds = clips(rate, 1 / 6), clips(rate, 100.0)
    linear = [
        (sa.Reverb, {"bank": rooms}),
        (sa.Reverb, {"bank": rooms, "wet": (0.3, 1.5)}),
        (sa.Microphone, {"bank": rooms, "amount": (0.3, 1.0)}),
        (sa.AirAbsorption, {}),
        (sa.LowPass, {"cutoff_hz": (0.1 * rate, 0.4 * rate)}),
        (sa.HighPass, {"cutoff_hz": (50.0, 300.0)}),
        (sa.HighPass, {"cutoff_hz": (5.0, 30.0), "order": 6}),
        (sa.Equalizer, {}),
    ]
    added = [
        (sa.AddNoise, {"bank": sounds, "reference": "active"}),
        (sa.AddBabble, {"bank": sounds}),
        (sa.AddSpeechShapedNoise, {}),
        (sa.AddHum, {}),
        (sa.AddImpulses, {}),
        (sa.AddColoredNoise, {}),
    ]
    others = [
        (sa.Reverb, {"bank": rooms, "level": "matched"}),
        (sa.TimeStretch, {"quality": "high"}),
        (sa.PitchShift, {"keep_formants": True}),
        (sa.Speed, {}),
        (sa.Whisper, {}),
        (sa.SpectralSubtraction, {}),
        (sa.PacketLoss, {"concealment": "repeat"}),
        (sa.LowLevel, {}),
        (sa.TanhDistortion, {}),
        (sa.Gain, {}),
        (sa.Quantization, {}),
    ]
    return [*linear, *linear, *added, *others]


def policy(rng: np.random.Generator, rate: int) -> sa.Transform:
    choice = kinds(rate)
    members = []
    for index in rng.integers(len(choice), size=rng.integers(4, 10)).tolist():
        cls, options = choice[index]
        members.append(cls(**options, p=float(rng.choice([0.4, 0.6, 1.0]))))
    ways = [sa.Compose, sa.SomeOf, sa.OneOf]
    some = ways[rng.integers(3)](members[2:], max_growth=99.0, fuse=bool(rng.integers(2)))
    around = {"range_policy": str(rng.choice(["none", "rescale", "clip"])), "max_growth": 99.0}
    return sa.Compose([*members[:2], some], **around) if rng.integers(2) else sa.Compose(members, **around)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def speech(rng: np.random.Generator, channels: int, lengths: list[int]) -> torch.Tensor:
    x = torch.zeros(len(lengths), channels, max(lengths) + int(rng.choice([0, 777])))
    for row, length in zip(x, lengths, strict=True):
        swing = np.abs(np.sin(np.arange(length) / 900.0)) * 10.0 ** rng.uniform(-3.0, 0.0)
        row[:, :length] = torch.from_numpy(rng.standard_normal((channels, length)) * swing)
    return x


def compare(policy: sa.Transform, x: torch.Tensor, lengths: list[int], rate: int, order: list[int]) -> None:
    """Some rows in some order against each of them alone, without padding; by-products too."""

    def run(rows: list[int], width: int) -> sa.Augmented:
        draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=[f"row {row}" for row in rows]))
        return policy.run(x[rows, :, :width], torch.tensor(lengths)[rows], draws, sample_rate=rate)

    together = run(order, x.shape[-1])
    for place, row in enumerate(order):
        alone = run([row], lengths[row])
        length = int(alone.lengths[0])
        assert int(together.lengths[place]) == length
        assert torch.equal(together.x[place, :, :length], alone.x[0, :, :length]), f"row {row} of {policy!r}"
        for name, values in together.extras.items():
            torch.testing.assert_close(values[place], alone.extras[name][0], rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 120))])
def test_a_row_in_any_company_is_the_row_alone(seed: int, threads: int) -> None:
    rng = np.random.default_rng(seed)
    rate, channels = int(rng.choice([8_000, 16_000, 22_050])), int(rng.choice([1, 1, 2, 5]))
    longest = float(rng.choice([0.3, 0.8, 1.5]))
    lengths = [0, 1, *(rng.uniform(0.02, longest, 4) * rate).astype(int).tolist()]
    x = speech(rng, channels, lengths)
    compare(policy(rng, rate), x, lengths, rate, rng.permutation(len(lengths)).tolist())


def test_long_rows_beside_short_ones(threads: int) -> None:
    rate, rng = 8_000, np.random.default_rng(0)
    lengths = [6 * rate, rate // 5, 3 * rate + 1]
    rooms = clips(rate, 1 / 6)
    members = [sa.Reverb(bank=rooms, p=0.5), sa.Microphone(bank=rooms, p=0.5), sa.LowPass(p=0.5), sa.AddHum()]
    compare(sa.Compose(members), speech(rng, 1, lengths), lengths, rate, [0, 1, 2])


def test_numbers_alone_decide_on_powers_products_and_levels() -> None:
    rng = np.random.default_rng(3)
    values = torch.from_numpy(rng.standard_normal(99))
    a, b = torch.view_as_complex(torch.from_numpy(rng.standard_normal((2, 4, 99, 2)))).to(torch.complex64)
    for start in range(99):
        part = slice(start, start + 1)
        assert torch.equal(power_of(10.0, values[part]), power_of(10.0, values)[part])
        assert torch.equal(exp2(values[part]), exp2(values)[part])
        assert torch.equal(product(a[:, part].contiguous(), b[:, part].contiguous()), product(a, b)[:, part])
    torch.testing.assert_close(exp2(values), torch.from_numpy(np.exp2(values.numpy())), rtol=1e-15, atol=0.0)
    x = torch.from_numpy(rng.standard_normal((1, 5, 9_000))).float()
    wide = torch.nn.functional.pad(x, (0, 5_000))
    assert torch.equal(power(wide, torch.tensor([9_000])), power(x, torch.tensor([9_000])))
