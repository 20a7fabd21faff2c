"""Augmentation that grows, or fades, while training."""

from __future__ import annotations

import math
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from speechaug.augmenter import BatchAugmenter, augmenters
from speechaug.callbacks.augment import data_epoch

Unit = Literal["step", "epoch"]
Shape = Literal["linear", "cosine"]
Which = Literal["both", "waveform", "spectrogram"]


class StrengthSchedule(Callback):
    """Set how strong augmentation is, by optimizer step or by epoch.

    Strength 0 is no augmentation, 1 the policy as it is, beyond 1 it moves toward its limits: see ``Policy.scaled``.
    A model that has to learn from little data often learns faster from clean speech first. The strength is a function
    of the step alone, so a resumed training goes on bit for bit. After the training it is 1 again.

    Logged is ``augment_strength``, or ``augment_strength/<domain>`` where only one domain is scheduled.

    Args:
        points: strength by step or epoch. Between two points it moves along ``shape``; before the first and after the
            last it stays.
        unit: what the points count: optimizer steps (``Trainer.global_step``), or epochs, in which it is constant.
        shape: ``"linear"``, or ``"cosine"`` for half a cosine, which starts and ends slowly.
        domain: which policy is scheduled: ``"waveform"``, ``"spectrogram"``, or ``"both"`` for what there is. Two
            schedules can share a Trainer, one for each.

    Raises:
        ValueError: if the points are not whole numbers of at least 0 with finite strengths of at least 0; when the
            training starts, if there is nothing to schedule or another schedule for it.

    Example:
        >>> from speechaug.callbacks import StrengthSchedule
        >>> schedule = StrengthSchedule({0: 0.0, 2_000: 1.0})
        >>> [schedule.at(step) for step in (0, 500, 2_000, 9_000)]
        [0.0, 0.25, 1.0, 1.0]
    """

    def __init__(
        self,
        points: dict[int, float],
        *,
        unit: Unit = "step",
        shape: Shape = "linear",
        domain: Which = "both",
    ) -> None:
        """Keep and check the configuration; see the class."""
        super().__init__()
        _check(points)
        for name, value, allowed in (
            ("unit", unit, ("step", "epoch")),
            ("shape", shape, ("linear", "cosine")),
            ("domain", domain, ("both", "waveform", "spectrogram")),
        ):
            if value not in allowed:
                raise ValueError(f"StrengthSchedule: {name} must be one of {list(allowed)}, got {value!r}")
        self.points = {place: float(points[place]) for place in sorted(points)}
        self.unit, self.shape, self.domain = unit, shape, domain
        self._strength = 1.0

    def at(self, place: int) -> float:
        """Return the strength at a step or epoch."""
        places = list(self.points)
        if place <= places[0] or place >= places[-1]:
            return self.points[places[0] if place <= places[0] else places[-1]]
        after = next(i for i, other in enumerate(places) if other > place)
        low, high = places[after - 1], places[after]
        way = (place - low) / (high - low)
        if self.shape == "cosine":
            way = (1.0 - math.cos(math.pi * way)) / 2.0
        return self.points[low] + way * (self.points[high] - self.points[low])

    @property
    def state_key(self) -> str:
        """Name of the state in a checkpoint; schedules of two domains have two."""
        return self._generate_state_key(domain=self.domain)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a Trainer with nothing to schedule, or with another schedule for it."""
        if stage != "fit":
            return
        if not self._scheduled(trainer):
            there = sorted(augmenters(trainer)) or "none"
            raise ValueError(
                f"StrengthSchedule: the Trainer must augment (domain {self.domain!r}) through "
                f"SpeechDataModule(policy=...), Augment or SpectrogramAugment, got {there}"
            )
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        rivals = [c.domain for c in callbacks if isinstance(c, StrengthSchedule)]
        if rivals.count(self.domain) > 1 or (len(rivals) > 1 and "both" in rivals):
            raise ValueError(f"StrengthSchedule: each policy must have at most one, got schedules of {rivals}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the strength of the first batch, after a resume too."""
        self._set(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the strength of the epoch's first batch."""
        self._set(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log the strength this batch had and set that of the next, which the DataModule augments before any hook."""
        name = "augment_strength" if self.domain == "both" else f"augment_strength/{self.domain}"
        pl_module.log(name, self._strength, on_step=True, on_epoch=False, batch_size=1)
        self._set(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the policies as they were."""
        self._restore(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the policies as they were."""
        self._restore(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule and the strength of the next batch."""
        points = [list(point) for point in self.points.items()]
        return {"points": points, "unit": self.unit, "shape": self.shape, "strength": self._strength}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Warn where the schedule is another than that of the checkpoint."""
        points = {place: strength for place, strength in state_dict["points"]}
        if (points, state_dict["unit"], state_dict["shape"]) != (self.points, self.unit, self.shape):
            rank_zero_warn(
                f"StrengthSchedule: the checkpoint was trained with {points} by {state_dict['unit']} "
                f"({state_dict['shape']}); training goes on with {self.points} by {self.unit} ({self.shape})"
            )

    def _scheduled(self, trainer: Trainer) -> list[BatchAugmenter]:
        found = augmenters(trainer).values()
        return [augmenter for augmenter in found if self.domain in ("both", augmenter.policy.domain)]

    def _set(self, trainer: Trainer) -> None:
        self._strength = self.at(trainer.global_step if self.unit == "step" else data_epoch(trainer))
        for augmenter in self._scheduled(trainer):
            augmenter.strength = self._strength

    def _restore(self, trainer: Trainer) -> None:
        for augmenter in self._scheduled(trainer):
            augmenter.strength = 1.0


def _check(points: Any) -> None:
    owner = "StrengthSchedule: points must"
    if not isinstance(points, dict) or not points:
        raise ValueError(f"{owner} be a dictionary of strengths by step or epoch, got {points!r}")
    for place, strength in points.items():
        if isinstance(place, bool) or not isinstance(place, int) or place < 0:
            raise ValueError(f"{owner} have whole numbers >= 0 as keys, got {place!r}")
        if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0.0 <= strength < math.inf:
            raise ValueError(f"{owner} hold finite strengths >= 0, got {strength!r}")
