"""Batches of similar length, the same on every rank and with any number of workers, that can be resumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, DistributedSampler

from speechaug.data.strings import Joined
from speechaug.rng import Rng

Batch = tuple[Joined, ...]

_POOL = 16
"""Batches sorted together: more waste less padding, fewer leave more to chance."""


class BucketSampler(DistributedSampler[Batch]):
    """Yields whole batches: tuples that say everything about their rows, so that workers hold no random state.

    Rows are sorted by length within pools of some batches, cut into batches of nearly equal size, and the batches
    shuffled. Every row comes exactly once, ranks share nothing and have equally many batches, of similar length at the
    same step. For ``DataLoader(dataset, batch_size=None, sampler=...)``; a ``DistributedSampler``, so that Lightning
    leaves it in place and announces epochs to it.

    Args:
        plan: returns the rows of an epoch, as many in each.
        batch_size: most rows in a batch.
        shuffle: False for evaluation: everything sorted, the longest first.
        seed: of the order of the batches.
        num_replicas: number of ranks.
        rank: which of them this is.

    Raises:
        ValueError: while iterating, if there are fewer rows than ranks.

    Example:
        >>> rows = [Joined(str(i), (i,), (), duration_s=float(i)) for i in range(5)]
        >>> [[row.id for row in batch] for batch in BucketSampler(lambda epoch: rows, 2, shuffle=False)]
        [['4'], ['3', '2'], ['1', '0']]
    """

    def __init__(
        self,
        plan: Callable[[int], Sequence[Joined]],
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        """Plan nothing yet; see the class."""
        super().__init__(range(0), num_replicas=num_replicas, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.plan = plan
        self.batch_size = batch_size
        self.start = 0
        self._planned: tuple[int, list[Batch]] = (-1, [])

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does so. An epoch resumed in its middle is finished first."""
        if self.start == 0:
            super().set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of batches of this rank, the same in every epoch."""
        return len(self._batches())

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of this rank that are left of the epoch."""
        start, self.start = self.start, 0
        return islice(iter(self._batches()), start, None)

    def _batches(self) -> list[Batch]:
        if self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._plan_batches())
        return self._planned[1]

    def _plan_batches(self) -> list[Batch]:
        rows = list(self.plan(self.epoch))
        steps = math.ceil(len(rows) / (self.batch_size * self.num_replicas))
        count = steps * self.num_replicas
        if 0 < len(rows) < count:
            raise ValueError(f"BucketSampler: each of {self.num_replicas} ranks needs a row, got {len(rows)} in all")
        edges = [len(rows) * number // max(count, 1) for number in range(count + 1)]
        pool = _POOL * self.num_replicas if self.shuffle else max(count, 1)
        for first in range(0, count, pool):
            piece = slice(edges[first], edges[min(first + pool, count)])
            rows[piece] = sorted(rows[piece], key=lambda row: -row.duration_s)
        batches = [tuple(rows[low:high]) for low, high in pairwise(edges)]
        return [batches[step * self.num_replicas + self.rank] for step in self._order(steps)]

    def _order(self, steps: int) -> Sequence[int]:
        if not self.shuffle:
            return range(steps)
        rng = Rng.from_ids(seed=self.seed, epoch=self.epoch, ids=[f"batch-{step}" for step in range(steps)])
        order: list[int] = np.argsort(rng.uniform(), kind="stable").tolist()
        return order


class ResumableLoader(DataLoader[Any]):
    """A data loader that knows how many batches it gave, so that training resumes within an epoch at the next one."""

    _given = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield batches; nothing is planned before the first is asked for, when the epoch is known."""
        self._given = self.sampler.start if isinstance(self.sampler, BucketSampler) else 0
        for batch in super().__iter__():
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and how many of its batches were given; after the last, the next epoch."""
        epoch = self.sampler.epoch if isinstance(self.sampler, BucketSampler) else 0
        done = self._given >= len(self)
        return {"epoch": epoch + done, "batches": 0 if done else self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        if isinstance(self.sampler, BucketSampler):
            self.sampler.epoch = state["epoch"]
            self.sampler.start = self._given = state["batches"]
