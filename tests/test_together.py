"""Copies that are augmented together: what comes of each is what comes of it alone, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile

import speechaug as sa
from speechaug.folders import together
from speechaug.folders.copies import CopyWork
from speechaug.folders.items import Item, Made, Recording
from speechaug.folders.local import in_batches
from speechaug.folders.together import Part, augment_pieces, augment_together

RATE = 8_000
POLICY = sa.Compose(
    [
        sa.TimeStretch(rate=(0.8, 1.2), p=0.5),
        sa.PitchShift(p=0.5),
        sa.AddColoredNoise(snr_db=(0.0, 20.0), p=0.5),
        sa.AddHum(p=0.3),
        sa.HighPass(cutoff_hz=(100.0, 400.0), p=0.5),
        sa.Clipping(p=0.5),
        sa.Gain(),
    ],
    max_growth=4.0,
)


def parts(count: int, channels: int = 1) -> list[Part]:
    rng = np.random.default_rng(count)
    lengths = [1, *rng.integers(200, 6_000, count - 1)]
    return [
        Part(f"{i // 3}", 1 + i % 3, (0.1 * rng.standard_normal((channels, length))).astype(np.float32))
        for i, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_beside_a_part_changes_nothing(channels: int):
    some = parts(14, channels)
    whole = augment_together(POLICY, some, RATE, seed=5)
    backwards = augment_together(POLICY, some[::-1], RATE, seed=5)[::-1]
    for part, one, again in zip(some, whole, backwards, strict=True):
        (alone,) = augment_together(POLICY, [part], RATE, seed=5)
        assert one.part is part
        assert np.array_equal(one.samples, alone.samples) and np.array_equal(again.samples, alone.samples)
        assert one.transforms == again.transforms == alone.transforms
        assert one.snr_db == again.snr_db == alone.snr_db
        assert one.draws.take(one.row) == alone.draws and one.transforms == alone.draws.to_dict()


def test_parts_are_what_the_library_gives_one_by_one():
    for one in augment_together(POLICY, parts(9), RATE, seed=5):
        draws = POLICY.sample(sa.Rng.from_ids(seed=5, epoch=one.part.copy - 1, ids=[one.part.name]))
        assert draws.to_dict() == one.transforms
        if one.part.copy == 1 and one.part.samples.shape[1] > 1:
            assert np.array_equal(one.samples, sa.augment(one.part.samples, RATE, POLICY, seed=5, id=one.part.name))


def test_the_ratio_is_that_of_the_samples():
    noisy = sa.AddColoredNoise(snr_db=(0.0, 20.0), p=0.6)
    silent = Part("silent", 1, np.zeros((1, 500), np.float32))
    changed = augment_together(noisy, [*parts(12), silent], RATE, seed=1)
    assert changed[-1].snr_db is None
    for one in changed[1:-1]:
        noise = one.samples.astype(np.float64) - one.part.samples
        if not noise.any():
            assert one.snr_db is None
            continue
        measured = 10.0 * np.log10(np.mean(one.part.samples.astype(np.float64) ** 2) / np.mean(noise**2))
        assert one.snr_db == pytest.approx(measured, abs=0.02)


def test_pieces_have_names_of_their_own():
    whole = np.ones((1, 300), np.float32)
    one, two = augment_pieces(sa.Gain(), [whole[:, :200], whole[:, 200:]], RATE, seed=0, id="u", copy=2)
    assert [(one.part.name, one.part.first), (two.part.name, two.part.first)] == [("u", 0), ("u#1", 200)]
    assert one.part.copy == two.part.copy == 2 and one.transforms != two.transforms


def test_a_part_that_cannot_be_augmented_keeps_no_other_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", np.full(400, 0.1), RATE)
    items = [
        Item(recording=Recording(id=f"{n}.wav", source=tmp_path / f"{n}.wav", name=str(n)), copy=1) for n in range(6)
    ]
    seen: list[int] = []
    padded = together._padded

    def fragile(samples: Sequence[np.ndarray]) -> object:
        seen.append(len(samples))
        if len(samples) > 1 or len(seen) == 4:
            raise RuntimeError("too much")
        return padded(samples)

    monkeypatch.setattr(together, "_padded", fragile)
    made = list(chain.from_iterable(CopyWork(tmp_path / "out", sa.Gain(), 0, "wav", None)(items)))
    assert seen == [6, 1, 1, 1, 1, 1, 1]
    assert [one.reason for one in made] == ["", "", "RuntimeError: too much", "", "", ""]
    assert [one.item for one in made] == items


def test_results_come_in_the_order_of_the_items(tmp_path: Path):
    """Whatever their rates and channels, of which those that are alike run together, and with what is broken."""
    shapes = [(8_000, 1), (16_000, 1), (8_000, 2), (8_000, 1), (16_000, 1), (8_000, 2)]
    for number, (rate, channels) in enumerate(shapes):
        soundfile.write(tmp_path / f"{number}.wav", np.full((400, channels), 0.1), rate)
    (tmp_path / "2.wav").write_bytes(b"no sound")
    items = [
        Item(recording=Recording(id=f"{n}.wav", source=tmp_path / f"{n}.wav", name=str(n)), copy=copy)
        for n in range(6)
        for copy in (1, 2)
    ]
    made: Iterator[Made] = chain.from_iterable(CopyWork(tmp_path / "out", sa.Gain(), 0, "wav", None)(items))
    rows = [(one.item, one.row and one.row["sample_rate"]) for one in made]
    assert [item for item, _ in rows] == items
    assert [rate for _, rate in rows] == [
        8_000,
        8_000,
        16_000,
        16_000,
        None,
        None,
        8_000,
        8_000,
        *[16_000] * 2,
        *[8_000] * 2,
    ]


def test_groups_are_bounded_with_their_padding(tmp_path: Path):
    """A file among shorter ones must not make them all as long; a long one is by itself, and told when it is done."""
    lengths = [*[0.1] * 9, 30.0, *[0.1] * 3, 41.0, 0.1, 30.0, 30.0]
    for number, length_s in enumerate(lengths):
        soundfile.write(tmp_path / f"{number}.wav", np.full(round(length_s * 44_100), 0.1), 44_100)
    items = [
        Item(recording=Recording(id=f"{n}.wav", source=tmp_path / f"{n}.wav", name=str(n)), copy=1)
        for n in range(len(lengths))
    ]
    told = [[one.item for one in made] for made in CopyWork(tmp_path / "out", sa.Gain(), 0, "wav", None)(items)]
    assert [len(made) for made in told] == [9, 1, 3, 1, 1, 1, 1]
    assert list(chain.from_iterable(told)) == items


@pytest.mark.parametrize(
    ("count", "workers", "sizes"), [(1, 4, [1]), (100, 2, [3] * 33 + [1]), (5_000, 0, [64] * 78 + [8])]
)
def test_batches_are_small_enough_for_all_workers(count: int, workers: int, sizes: list[int]):
    items = [Item(recording=Recording(id="a", source="", name="a"), copy=number) for number in range(count)]
    batches = in_batches(items, workers)
    assert [len(batch) for batch in batches] == sizes
    assert [item for batch in batches for item in batch] == items
