"""A warning where augmentation asks for more than the model can learn, with the member to weaken."""

from __future__ import annotations

import dataclasses
import math
from statistics import fmean
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from speechaug.augmenter import Applied, BatchAugmenter, augmenters
from speechaug.callbacks._row_losses import RowLosses, counted_rows
from speechaug.transform import Transform

PROBES = 4
"""How many of the last probes a warning rests on: 128 rows of batches of 32."""
FEWEST = 2
"""How many it takes at least: members' excesses on 32 rows vary by half."""


class OverAugmentationGuard(Callback):
    """Compare the loss of augmented rows with that of the same rows clean, and warn where one member costs too much.

    At a probe the model sees the batch in evaluation mode, without gradients, once as it was before augmentation and
    once as it is trained on, masks of ``SpectrogramAugment`` included. Where the gap exceeds ``max_excess``, the batch
    is tried with each member of the policies alone and with all but it, which shares the gap out among them, and where
    one member's part exceeds ``max_excess`` by itself, a warning names it, at most once an epoch. Training goes on bit
    for bit as without the guard.

    A gap by itself is no fault: many mild members together make rows as hard as one that drowns the speech, and the
    model learns from them. In trainings of 600 to 800 steps on spoken digits with ``small_sample`` and masks the gap
    was 0.7 and no member's part, over four probes, above 0.32; noise of -20 to -10 dB on 80 % of the rows cost 0.9.
    Noise of -10 to 0 dB on all rows cost 0.3 to 0.4: the recognizer learned to hear through it.

    The module must have ``row_losses(batch) -> (B,)``, as ``SpeechRecognizer`` has: the loss of each row, in nats per
    token, so that an excess of 0.5 says that the right token has lost 40 % of its probability. A row whose loss is
    zero or not finite counts as left out.

    A policy from which nothing at all can be learned leaves no gap: then neither loss falls, which is for the eye.

    Logged are ``guard/clean_loss``, ``guard/augmented_loss`` and ``guard/gap``, and where the gap is shared out
    ``guard/<member>_excess``, over all rows, also those on which the member did not act.

    Args:
        every_n_steps: optimizer steps between two probes. Each costs two forward passes, and two more for each member
            where the gap is shared out.
        warmup_steps: optimizer steps before the first warning. Before anything is learned the losses say little.
        max_excess: how much one member may add to the loss, in the unit of ``row_losses``, over the last 4 probes.

    Raises:
        ValueError: if an argument is out of range, nothing augments in the Trainer, or the module has no
            ``row_losses``.

    Example:
        >>> from speechaug.callbacks import OverAugmentationGuard
        >>> OverAugmentationGuard(every_n_steps=100).max_excess
        0.5
    """

    def __init__(self, *, every_n_steps: int = 200, warmup_steps: int = 400, max_excess: float = 0.5) -> None:
        """Keep and check the configuration; see the class."""
        super().__init__()
        for name, value, least in (("every_n_steps", every_n_steps, 1), ("warmup_steps", warmup_steps, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"OverAugmentationGuard: {name} must be a whole number >= {least}, got {value!r}")
        if not 0.0 < max_excess < math.inf:
            raise ValueError(f"OverAugmentationGuard: max_excess must be positive and finite, got {max_excess!r}")
        self.every_n_steps, self.warmup_steps, self.max_excess = every_n_steps, warmup_steps, max_excess
        self._gaps: list[float] = []
        self._excesses: list[dict[str, float]] = []
        self._warned_epoch = -1
        self._next = 0
        self._due = False
        self._batch: Any = None
        self._heard: dict[BatchAugmenter, Applied] = {}
        self._figures: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a Trainer without augmentation and a module without losses of rows."""
        if stage != "fit":
            return
        if not augmenters(trainer):
            raise ValueError(
                "OverAugmentationGuard: the Trainer must augment, through SpeechDataModule(policy=...), Augment or "
                "SpectrogramAugment; found none"
            )
        if not callable(getattr(pl_module, "row_losses", None)):
            raise ValueError(
                f"OverAugmentationGuard: {type(pl_module).__name__} must have a method row_losses(batch) that returns "
                "the loss of each row, (B,)"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to listen to the augmenters."""
        for augmenter in augmenters(trainer).values():
            augmenter.observers.append(self)
        self._due = trainer.global_step >= self._next

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the batch where a probe is due."""
        self._batch = batch if self._due else None

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Probe: the batch has been augmented by now, the weights are those it was trained on."""
        if self._batch is None or not self._heard:
            return
        losses = RowLosses(trainer, pl_module, self._batch, self._heard)
        self._batch, self._due = None, False
        self._next = (trainer.global_step // self.every_n_steps + 1) * self.every_n_steps
        with losses.evaluating():
            self._judge(trainer, losses)
        self._heard = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log, until a logger has taken it, and see whether the next batch is to be probed."""
        for name, value in self._figures.items():
            pl_module.log(f"guard/{name}", value, on_step=True, on_epoch=False, batch_size=1)
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step % every == 0:
            self._figures = {}
        self._batch, self._heard = None, {}
        self._due = trainer.global_step >= self._next

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no longer."""
        self._leave(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no longer."""
        self._leave(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far."""
        seen: dict[str, Any] = {"gaps": list(self._gaps), "excesses": [dict(parts) for parts in self._excesses]}
        return seen | {"warned_epoch": self._warned_epoch, "next": self._next}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._gaps, self._excesses = list(state_dict["gaps"]), [dict(parts) for parts in state_dict["excesses"]]
        self._warned_epoch, self._next = state_dict["warned_epoch"], state_dict["next"]

    def began(self, augmenter: BatchAugmenter) -> None:
        """Nothing to do before a batch is augmented."""

    def done(self, augmenter: BatchAugmenter, applied: Applied) -> None:
        """Keep the batch as it was and what was drawn, where a probe is due."""
        if self._due:
            self._heard[augmenter] = applied

    def _leave(self, trainer: Trainer) -> None:
        self._batch, self._heard = None, {}
        for augmenter in augmenters(trainer).values():
            if self in augmenter.observers:
                augmenter.observers.remove(self)

    def _judge(self, trainer: Trainer, losses: RowLosses) -> None:
        clean, augmented = losses.clean(), losses.augmented()
        counted = counted_rows(clean, augmented)
        sums = losses.sum_over_ranks(clean[counted].sum(), augmented[counted].sum(), counted.sum())
        if not sums[2]:
            return
        one, other = sums[0] / sums[2], sums[1] / sums[2]
        self._figures = {"clean_loss": one, "augmented_loss": other, "gap": other - one}
        self._gaps = [*self._gaps, other - one][-PROBES:]
        if fmean(self._gaps) <= self.max_excess:
            self._excesses = []
            return
        excesses = losses.excesses(clean, augmented)
        self._figures |= {f"{name}_excess": value for name, value in excesses.items()}
        self._excesses = [*self._excesses, excesses][-PROBES:]
        self._warn(trainer, losses)

    def _warn(self, trainer: Trainer, losses: RowLosses) -> None:
        late, new = trainer.global_step >= self.warmup_steps, trainer.current_epoch > self._warned_epoch
        if not (late and new) or len(self._excesses) < FEWEST:
            return
        places = {place for parts in self._excesses for place in parts}
        parts = {place: fmean(parts.get(place, 0.0) for parts in self._excesses) for place in sorted(places)}
        place = max(parts, key=lambda each: parts[each])
        if parts[place] <= self.max_excess:
            return
        self._warned_epoch = trainer.current_epoch
        rank_zero_warn(
            f"OverAugmentationGuard: at step {trainer.global_step} augmented rows have a loss of "
            f"{self._figures['augmented_loss']:.3g}, the same rows clean {self._figures['clean_loss']:.3g}. {place} "
            f"alone accounts for {parts[place]:.2g} over the last {len(self._excesses)} probes, more than "
            f"max_excess={self.max_excess:g}. Weaken it: {_milder(place, losses.members()[place])}",
            stacklevel=2,
        )


def _milder(place: str, member: Transform) -> str:
    milder = member.scaled(0.5)
    names = [field.name for field in dataclasses.fields(member)]
    changed = {name: getattr(milder, name) for name in names if getattr(milder, name) != getattr(member, name)}
    has = ", ".join(f"{name}={_spell(value)}" for name, value in changed.items())
    return f"a smaller p than {member.p:g}, or {place}.scaled(0.5), which has {has}"


def _spell(value: Any) -> str:
    return f"({', '.join(map(_spell, value))})" if isinstance(value, tuple) else f"{value:.3g}"
