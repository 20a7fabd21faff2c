"""Batches with a budget of seconds: nothing is lost, nothing comes twice, no batch is over the budget."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import make_voices, voices

from speechaug.data import BucketSampler, Joined, SpeechDataModule, Utterance, plan_strings
from speechaug.data.batches import cut_by_rows, cut_by_seconds, cut_to


def rows(durations_s: Sequence[float]) -> list[Joined]:
    return [Joined(f"r{i}", (i,), (), float(duration)) for i, duration in enumerate(durations_s)]


def spread(count: int, seed: int = 0) -> list[Joined]:
    """Utterances as LibriSpeech has them: 1.5 to 17 s, most of them long."""
    return rows(np.clip(np.random.default_rng(seed).normal(12.0, 4.0, count), 1.5, 17.0))


def shuffled(planned: list[Joined], epoch: int) -> list[Joined]:
    return [planned[i] for i in np.random.default_rng(epoch).permutation(len(planned))]


def cost_s(batch: Sequence[Joined]) -> float:
    return len(batch) * max(row.duration_s for row in batch)


def fewest(durations_s: Sequence[float], seconds: float, most: int) -> int:
    """The fewest batches of rows in order of length, by trying every way to cut."""
    ordered = sorted(durations_s, reverse=True)
    for number in range(1, len(ordered) + 1):
        for edges in itertools.combinations(range(1, len(ordered)), number - 1):
            parts = [ordered[low:high] for low, high in itertools.pairwise((0, *edges, len(ordered)))]
            if all(len(part) == 1 or (len(part) <= most and len(part) * part[0] <= seconds) for part in parts):
                return number
    return 0


@pytest.mark.parametrize("seed", range(20))
def test_no_other_cut_needs_fewer_batches(seed: int) -> None:
    generator = np.random.default_rng(seed)
    durations_s = generator.uniform(0.5, 6.0, 9).round(2)
    most, seconds = int(generator.integers(1, 6)), 8.0
    batches = cut_by_seconds(rows(durations_s), seconds, most=most, pool=16)
    assert len(batches) == fewest(durations_s.tolist(), seconds, most)
    assert all(len(batch) == 1 or (len(batch) <= most and cost_s(batch) <= seconds) for batch in batches)
    assert sorted(row.id for batch in batches for row in batch) == sorted(row.id for row in rows(durations_s))


def test_nothing_to_cut() -> None:
    assert cut_by_rows([], 0, pool=16) == cut_by_seconds([], 1.0, most=4, pool=16) == []
    assert cut_to(0, [], 1.0, most=4, pool=16) == []
    silent = cut_by_seconds(rows([0.0] * 5), 1.0, most=2, pool=16)
    assert [len(batch) for batch in silent] in ([2, 2, 1], [2, 1, 2], [1, 2, 2])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("count", "ranks"), [(600, 1), (601, 2), (97, 3), (3, 3), (5, 2)])
def test_every_row_once_within_the_budget_on_equally_many_batches(count: int, ranks: int, shuffle: bool) -> None:
    planned = spread(count)
    samplers = [
        BucketSampler(
            lambda epoch: shuffled(planned, epoch), 16, max_batch_s=80.0, shuffle=shuffle, num_replicas=ranks, rank=rank
        )
        for rank in range(ranks)
    ]
    lengths = set()
    for epoch in range(3):
        seen: list[str] = []
        steps = []
        for sampler in samplers:
            sampler.set_epoch(epoch)
            steps.append(list(sampler))
            lengths.add(len(sampler))
            assert all(cost_s(batch) <= 80.0 and len(batch) <= 16 for batch in steps[-1])
            seen += [row.id for batch in steps[-1] for row in batch]
        assert sorted(seen) == sorted(row.id for row in planned)
        if count > 500:  # no rank waits for another, and little is padding
            longest = np.array([[max(row.duration_s for row in batch) for batch in rank] for rank in steps])
            assert (longest.max(0) - longest.min(0)).mean() < 0.3
            batches = [batch for rank in steps for batch in rank]
            assert sum(row.duration_s for row in planned) > 0.93 * sum(map(cost_s, batches))
            assert np.mean([cost_s(batch) for batch in batches]) > 0.8 * 80.0
    assert len(lengths) == 1


def test_batches_are_other_ones_in_each_epoch() -> None:
    planned = spread(600)
    sampler = BucketSampler(lambda epoch: shuffled(planned, epoch), 16, max_batch_s=80.0)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        epochs.append([tuple(row.id for row in batch) for batch in sampler])
    assert epochs[0] == epochs[2]
    assert len(set(epochs[0]) & set(epochs[1])) < 0.1 * len(epochs[0])


@pytest.mark.parametrize(("count", "seconds"), [(300, 15.0), (300, 30.0), (1_200, 30.0)])
def test_strings_fit_although_every_epoch_joins_others(count: int, seconds: float) -> None:
    lengths = np.random.default_rng(1).uniform(0.25, 0.75, count)
    spoken = [Utterance(f"u{i}", "", "x", speaker=f"s{i % 3}", duration=float(s)) for i, s in enumerate(lengths)]
    sampler = BucketSampler(
        lambda epoch: plan_strings(spoken, concat=(1, 6), seed=3, epoch=epoch), 64, max_batch_s=seconds
    )
    numbers = set()
    for epoch in range(10):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        numbers.add(len(batches))
        used = Counter(part for batch in batches for row in batch for part in row.parts)
        assert used == Counter(range(count))
        assert max(map(cost_s, batches)) <= seconds
    assert len(numbers) == 1


def test_an_epoch_that_needs_more_batches_gets_more_seconds_instead() -> None:
    harder = [rows([1.0] * 12), rows([1.0] * 6 + [2.0] * 6)]
    sampler = BucketSampler(lambda epoch: harder[min(epoch, 1)], 12, max_batch_s=4.0)
    assert len(sampler) == 4  # 12 s need 3 batches of 4 s, and one is added because epochs differ
    sampler.set_epoch(1)
    batches = list(sampler)
    assert sum(map(len, batches)) == 12 and len(batches) == 4
    assert 4.0 < max(map(cost_s, batches)) <= 6.0 * 1.02  # 18 s in 4 batches


def test_rows_longer_than_the_budget_are_alone() -> None:
    sampler = BucketSampler(lambda _: rows([9.0, 1.0, 2.0, 7.0, 1.0]), 8, max_batch_s=6.0)
    assert sorted([row.duration_s for row in batch] for batch in sampler) == [[2.0, 1.0, 1.0], [7.0], [9.0]]


@pytest.mark.parametrize("max_batch_s", [None, 1.0])
@pytest.mark.parametrize(("count", "ranks"), [(5, 2), (7, 3), (4, 4), (9, 4)])
def test_batches_of_one_row_are_shared_evenly(count: int, ranks: int, max_batch_s: float | None) -> None:
    planned = spread(count)
    shares = [
        list(BucketSampler(lambda _: planned, 1, max_batch_s=max_batch_s, num_replicas=ranks, rank=rank))
        for rank in range(ranks)
    ]
    assert {len(share) for share in shares} == {count // ranks}
    assert Counter(row.id for share in shares for batch in share for row in batch) == Counter(row.id for row in planned)
    assert max(len(batch) for share in shares for batch in share) == (2 if count % ranks else 1)


# In the DataModule


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_voices(tmp_path_factory.mktemp("voices"))


@pytest.mark.parametrize("views", [{}, {"views": 2}, {"views": 2, "clean_view": True}])
def test_views_count_in_training_only(folder: Path, views: dict[str, Any]) -> None:
    data = voices(folder, batch_size=30, max_batch_s=3.0, val_takes=1, **views)
    number = views.get("views", 1) + views.get("clean_view", False)
    for loader, times in (
        (data.train_dataloader(), number),
        (data.val_dataloader(), 1),
        (data.test_dataloader()[0], 1),
    ):
        seconds = [times * batch["waveform"].numel() / 8_000 for batch in loader]
        assert max(seconds) <= 3.0
        assert max(seconds) > 1.8
        assert len(loader) == len(seconds)


def test_recordings_longer_than_the_budget_are_named(folder: Path) -> None:
    data = voices(folder, max_batch_s=0.5, views=2)
    with pytest.warns(UserWarning, match=r"recordings \(train, views: 2\) exceed max_batch_s, 0\.5 s, .* own: la_ann_"):
        batches = list(data.train_dataloader())
    assert sorted(name for batch in batches for name in batch["id"]) == sorted(u.id for u in data.train_utterances)
    long = {u.id for u in data.train_utterances if (u.duration or 0) > 0.25}
    assert all(len(batch["id"]) == 1 for batch in batches if long & set(batch["id"]))


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), True, "60"])
def test_a_budget_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="SpeechDataModule: max_batch_s must be > 0 or None, got"):
        SpeechDataModule("train.jsonl", max_batch_s=value)


def test_start_methods_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiprocessing_context must be one of .*'spawn'.* got 'thread'"):
        SpeechDataModule("train.jsonl", multiprocessing_context="thread")  # type: ignore[arg-type]
