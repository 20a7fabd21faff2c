"""Batches of similar length, the same on every rank and with any number of workers, that can be resumed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, DistributedSampler

from speechaug.data.batches import POOL, Batch, cut_by_rows, cut_by_seconds, cut_to
from speechaug.data.strings import Joined
from speechaug.rng import Rng


class BucketSampler(DistributedSampler[Batch]):
    """Yields whole batches: tuples that say everything about their rows, so that workers hold no random state.

    Rows are sorted by length within pools of some batches, cut into batches of nearly equal size, and the batches
    shuffled. Every row comes exactly once, ranks share nothing and have equally many batches, of similar length at the
    same step. For ``DataLoader(dataset, batch_size=None, sampler=...)``; a ``DistributedSampler``, so that Lightning
    leaves it in place and announces epochs to it.

    With ``max_batch_s`` short rows make large batches and long ones small batches. Epochs still have equally many:
    Lightning counts them once, and learning-rate schedules rely on that. The first epoch says how many. Where joined
    strings make epochs differ, 2 % are added, so that later epochs fit too; one that does not gets as many seconds more
    as it needs.

    Args:
        plan: returns the rows of an epoch, as many in each.
        batch_size: most rows in a batch; two with a batch size of 1 where ranks could not share the rows evenly.
        max_batch_s: most seconds of audio in a batch, padding included; a longer row makes a batch of its own. None
            for no limit.
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
        >>> [[row.id for row in batch] for batch in BucketSampler(lambda epoch: rows, 8, max_batch_s=4, shuffle=False)]
        [['4'], ['3'], ['2'], ['1', '0']]
    """

    def __init__(
        self,
        plan: Callable[[int], Sequence[Joined]],
        batch_size: int,
        *,
        max_batch_s: float | None = None,
        shuffle: bool = True,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        """Plan nothing yet; see the class."""
        super().__init__(range(0), num_replicas=num_replicas, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.plan = plan
        self.batch_size = batch_size
        self.max_batch_s = max_batch_s
        self.start = 0
        self.lag = 0
        self._count: int | None = None
        self._planned: tuple[int, list[Batch]] = (-1, [])

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does so.

        An epoch resumed in its middle is finished first. Lightning may count that as an epoch more (after ``max_steps``
        it does): from then on the epochs here lag behind, so that none is left out.
        """
        if self.start:
            self.lag = epoch - self.epoch
        else:
            super().set_epoch(epoch - self.lag)

    def __len__(self) -> int:
        """Return the number of batches of this rank, the same in every epoch."""
        return len(self._batches())

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of this rank that are left of the epoch."""
        start, self.start = self.start, 0  # when the first is asked for: with workers the loader makes two iterators
        yield from self._batches()[start:]

    def _batches(self) -> list[Batch]:
        if self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._plan_batches())
        return self._planned[1]

    def _plan_batches(self) -> list[Batch]:
        rows = list(self.plan(self.epoch))
        if 0 < len(rows) < self.num_replicas:
            raise ValueError(f"BucketSampler: each of {self.num_replicas} ranks needs a row, got {len(rows)} in all")
        if self._count is None:
            self._count = self._count_batches(rows)
        batches = self._cut(rows, self._count)
        steps = self._order(len(batches) // self.num_replicas)
        return [batches[step * self.num_replicas + self.rank] for step in steps]

    def _count_batches(self, rows: Sequence[Joined]) -> int:
        """Return how many batches all ranks have together, in every epoch."""
        if self.max_batch_s is None:
            needed = math.ceil(len(rows) / self.batch_size)
        else:
            first, second = (self.plan(epoch) for epoch in (0, 1))
            needed = len(cut_by_seconds(first, self.max_batch_s, most=self.batch_size, pool=self._pool(len(first))))
            if sorted(row.duration_s for row in first) != sorted(row.duration_s for row in second):
                needed += math.ceil(0.02 * needed)
        steps = min(math.ceil(needed / self.num_replicas), len(rows) // self.num_replicas)
        return steps * self.num_replicas

    def _cut(self, rows: Sequence[Joined], count: int) -> list[Batch]:
        pool = self._pool(count)
        if self.max_batch_s is None:
            return cut_by_rows(rows, count, pool=pool)
        return cut_to(count, rows, self.max_batch_s, most=self.batch_size, pool=pool)

    def _pool(self, count: int) -> int:
        return POOL * self.num_replicas if self.shuffle else max(count, 1)

    def _order(self, steps: int) -> Sequence[int]:
        if not self.shuffle:
            return range(steps)
        rng = Rng.from_ids(seed=self.seed, epoch=self.epoch, ids=[f"batch-{step}" for step in range(steps)])
        order: list[int] = np.argsort(rng.uniform(), kind="stable").tolist()
        return order


class ResumableLoader(DataLoader[Any]):
    """A data loader that knows how many batches were used, so that training resumes within an epoch at the next one.

    Attributes:
        progress: tells how many batches of the epoch were trained on and how many it has; None where each batch that
            was given counts. With it a batch whose step was interrupted comes again after resuming.
    """

    progress: Callable[[], tuple[float, float]] | None = None
    _given, _before = 0, 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield batches; nothing is planned before the first is asked for, when the epoch is known."""
        self._given = self.sampler.start if isinstance(self.sampler, BucketSampler) else 0
        self._before = self._given - int(self.progress()[0]) if self.progress else 0
        for batch in super().__iter__():
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and how many of its batches were used; after the last, the next epoch."""
        sampler = self.sampler
        epoch, lag = (sampler.epoch, sampler.lag) if isinstance(sampler, BucketSampler) else (0, 0)
        trained, of = self.progress() if self.progress else (self._given, len(self))
        used, done = self._before + int(trained), trained >= of
        return {"epoch": epoch + done, "batches": 0 if done else used, "of": len(self), "lag": lag}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where :meth:`state_dict` was taken.

        Where there are more or fewer batches now, because of another batch size or number of ranks, the epoch goes on
        at the same share of it, with a warning: some utterances then come twice in this epoch, others not at all.
        """
        if not isinstance(self.sampler, BucketSampler):
            return
        self.sampler.epoch, self.sampler.lag = state["epoch"], state["lag"]
        start, before, now = state["batches"], state["of"], len(self)
        if start and now != before:
            start = round(start * now / before)
            if self.sampler.rank == 0:
                warnings.warn(
                    f"SpeechDataModule: the epoch had {before} batches for each rank when the checkpoint was saved and "
                    f"has {now} now; it goes on at batch {start}, and some utterances come twice or not at all in it",
                    UserWarning,
                    stacklevel=2,
                )
        self.sampler.start = self._given = start
