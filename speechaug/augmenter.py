"""A policy at work in a training: what the DataModule and the callbacks share, and what other callbacks look into."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from speechaug.draws import Draws
from speechaug.rng import Rng
from speechaug.transform import Transform, places


class Applied(NamedTuple):
    """One batch that was augmented.

    Attributes:
        draws: what was decided.
        x: the batch before.
        lengths: its valid samples or frames; None when all are valid.
        y: the batch after.
        y_lengths: its valid samples or frames.
        extras: by-products of the policy, such as the achieved ``AddNoise.snr_db``; NaN where a row was off.
        sample_s: how long the host took to decide, in seconds.
        ids: of the rows.
        epoch: in which they were drawn.
        views: which view of its utterance each row is; None for one view of each.
    """

    draws: Draws
    x: Tensor
    lengths: Tensor | None
    y: Tensor
    y_lengths: Tensor
    extras: dict[str, Tensor]
    sample_s: float
    ids: tuple[str, ...]
    epoch: int
    views: tuple[int, ...] | None


class Observer(Protocol):
    """Somebody who wants to know what augmentation does, such as ``AugmentationLog``."""

    def began(self, augmenter: BatchAugmenter) -> None:
        """Hear that a batch is about to be augmented."""

    def done(self, augmenter: BatchAugmenter, applied: Applied) -> None:
        """Hear what was done to it; tensors are not to be changed."""


class BatchAugmenter:
    """Draws for batches and applies, at a strength that can be changed while training.

    Args:
        policy: a waveform or spectrogram policy.
        seed: of the draws.
        sample_rate: of waveforms, in Hz; None for spectrograms.
        place: a name forked from the streams, for a policy beside another one with the same ids.

    Attributes:
        observers: who is told about each batch.

    Raises:
        ValueError: if there is no sample rate for waveforms.

    Example:
        >>> import speechaug as sa
        >>> augmenter = BatchAugmenter(sa.Gain(gain_db=(-6.0, 6.0)), seed=7, sample_rate=16_000)
        >>> augmenter.strength = 0.5
        >>> augmenter.current
        Gain(gain_db=(-3.0, 3.0))
    """

    def __init__(self, policy: Transform, *, seed: int, sample_rate: int | None = None, place: str = "") -> None:
        """Keep the configuration; see the class."""
        if policy.domain == "waveform" and sample_rate is None:
            raise ValueError("BatchAugmenter: sample_rate must be given for waveforms, got None")
        self.policy = policy
        self.seed = seed
        self.sample_rate = sample_rate
        self.place = place
        self.observers: list[Observer] = []
        self._strength, self._current = 1.0, policy
        self._sampled: tuple[float, tuple[str, ...], int, tuple[int, ...] | None] = (0.0, (), 0, None)
        self._change: Callable[[Draws], Draws] | None = None

    @property
    def strength(self) -> float:
        """How strong the policy is: 0 is the identity, 1 the policy itself, see ``Transform.scaled``."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        if value != self._strength:
            self._current = self.policy if value == 1.0 else self.policy.scaled(value)
            self._strength = value

    @property
    def current(self) -> Transform:
        """The policy at the strength of now."""
        return self._current

    def sample(self, ids: Sequence[str], epoch: int, views: Sequence[int] | None = None) -> Draws:
        """Decide on the host about a batch, see ``Rng.from_ids``."""
        began = time.perf_counter()
        rng = Rng.from_ids(seed=self.seed, epoch=epoch, ids=ids, views=views)
        draws = self._current.sample(rng.fork(self.place) if self.place else rng)
        if self._change is not None:
            return self._change(draws)
        which = None if views is None else tuple(views)
        self._sampled = (time.perf_counter() - began, tuple(ids), epoch, which)
        return draws

    def apply(self, x: Tensor, lengths: Tensor | None, draws: Draws) -> tuple[Tensor, Tensor]:
        """Do on the device what was decided.

        Args:
            x: waveforms ``(B, T)`` or ``(B, C, T)``, or spectrograms ``(B, F, T)``.
            lengths: valid samples or frames, ``(B,)``; None when all are valid.
            draws: from :meth:`sample`.
        """
        if not self.observers:
            return self._current(x, lengths, draws, sample_rate=self.sample_rate)
        observers = tuple(self.observers)  # one may leave when it has heard enough
        for observer in observers:
            observer.began(self)
        y, y_lengths, extras = self._current.run(x, lengths, draws, sample_rate=self.sample_rate)
        applied = Applied(draws, x, lengths, y, y_lengths, extras, *self._sampled)
        for observer in observers:
            observer.done(self, applied)
        return y, y_lengths

    @contextmanager
    def apart(self, change: Callable[[Draws], Draws]) -> Iterator[None]:
        """Let whatever augments within this block do ``change`` to its draws, unknown to the observers: a trial."""
        observers, self.observers, self._change = self.observers, [], change
        try:
            yield
        finally:
            self.observers, self._change = observers, None


def leaves(policy: Transform, place: str = "") -> Iterator[tuple[str, Transform]]:
    """Yield each transform of a policy with its place, as ``Draws.walk`` does.

    Example:
        >>> import speechaug as sa
        >>> policy = sa.Compose([sa.Gain(), sa.OneOf([sa.Polarity(), sa.Gain()])])
        >>> [place for place, _ in leaves(policy)]
        ['Gain', 'OneOf/Polarity', 'OneOf/Gain']
    """
    members = getattr(policy, "members", ())
    if not members:
        yield place, policy
    for name, member in places(members):
        yield from leaves(member, f"{place}/{name}" if place else name)


def augmenters(trainer: Any) -> dict[str, BatchAugmenter]:
    """Return what augments in a Trainer: under ``waveform`` and ``spectrogram``, from the DataModule and callbacks.

    Where several modules have their spectrograms augmented, the second is found under ``spectrogram.1``.

    Example:
        >>> import lightning.pytorch as pl
        >>> import speechaug as sa
        >>> from speechaug.callbacks import Augment
        >>> callback = Augment(sa.Gain(), sample_rate=16_000)
        >>> trainer = pl.Trainer(callbacks=[callback], logger=False, accelerator="cpu", enable_checkpointing=False)
        >>> augmenters(trainer)["waveform"].policy
        Gain()
    """
    owners = [getattr(trainer, "datamodule", None), *trainer.callbacks]
    found = [owner.augmenter for owner in owners if isinstance(getattr(owner, "augmenter", None), BatchAugmenter)]
    named: dict[str, BatchAugmenter] = {}
    for augmenter in found:
        domain: str = augmenter.policy.domain
        ordinal = sum(other.policy.domain == domain for other in named.values())
        named[domain if ordinal == 0 else f"{domain}.{ordinal}"] = augmenter
    return named
