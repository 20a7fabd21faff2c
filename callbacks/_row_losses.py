"""What the rows of a training batch cost the model: clean, augmented, and with members of the policies left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import eq, ne
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from speechaug.augmenter import Applied, BatchAugmenter, leaves
from speechaug.callbacks.augment import Augment
from speechaug.callbacks.spectrogram_augment import SpectrogramAugment
from speechaug.draws import Draws
from speechaug.transform import Transform

Change = Callable[[Draws], Draws]


class RowLosses:
    """The losses of a batch's rows under one treatment or another.

    Args:
        trainer: who trains.
        module: with ``row_losses(batch)``.
        batch: as it is trained on.
        heard: what was done to it, and by whom.
    """

    def __init__(
        self, trainer: Trainer, module: LightningModule, batch: Any, heard: Mapping[BatchAugmenter, Applied]
    ) -> None:
        """Look up who augments; see the class."""
        self._trainer, self._module, self._batch, self._heard = trainer, module, batch, dict(heard)
        self._waveform = next((each for each in heard if each.policy.domain == "waveform"), None)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        self._masks = [each for each in callbacks if isinstance(each, SpectrogramAugment) and each.augmenter in heard]
        own = next((callback for callback in callbacks if isinstance(callback, Augment)), None)
        self._keys = (own.waveform_key, own.lengths_key) if own is not None else ("waveform", "lengths")

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluate within this block; afterwards nothing of it is left: modes, gradients, random states."""
        modes = [(module, module.training) for module in self._module.modules()]
        self._module.eval()
        try:
            with isolate_rng(), torch.no_grad(), self._trainer.precision_plugin.forward_context():
                yield
        finally:
            for module, mode in modes:
                module.training = mode

    def clean(self) -> Tensor:
        """Return the losses of the rows before augmentation."""
        return self._of(self._with(_nothing), {})

    def augmented(self) -> Tensor:
        """Return the losses of the rows as they are trained on."""
        return self._of(self._batch, dict.fromkeys(self._masks, _everything))

    def excesses(self, clean: Tensor, augmented: Tensor) -> dict[str, float]:
        """Return what each member adds to the mean loss.

        That is the mean of what it adds to clean rows and of what leaving it out takes from augmented ones: of two
        noises either of which would do, each is given its half (the Shapley value, for two members).
        """
        found: dict[str, float] = {}
        for name, alone, without in self._trials():
            counted = counted_rows(clean, augmented, alone, without)
            excess = (alone - clean + augmented - without)[counted].sum() / 2
            total, rows = self.sum_over_ranks(excess, counted.sum())
            found[name] = total / max(1.0, rows)
        return found

    def members(self) -> dict[str, Transform]:
        """Return the members of the policies by place."""
        return {
            place or type(member).__name__: member
            for augmenter in self._heard
            for place, member in leaves(augmenter.current)
        }

    def sum_over_ranks(self, *values: Tensor | int) -> list[float]:
        """Return each value summed over all ranks."""
        local = torch.stack([torch.as_tensor(value, device=self._module.device).float() for value in values])
        summed: list[float] = self._trainer.strategy.reduce(local, reduce_op="sum").tolist()
        return summed

    def _trials(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield each member with the losses of the rows with it alone and with all but it."""
        everything = dict.fromkeys(self._masks, _everything)
        for augmenter in self._heard:
            for place, member in leaves(augmenter.current):
                one, others = partial(_choose, keep=partial(eq, place)), partial(_choose, keep=partial(ne, place))
                if augmenter is self._waveform:
                    alone, without = self._of(self._with(one), {}), self._of(self._with(others), everything)
                else:
                    callback = next(each for each in self._masks if each.augmenter is augmenter)
                    alone = self._of(self._with(_nothing), {callback: one})
                    without = self._of(self._batch, {**everything, callback: others})
                yield place or type(member).__name__, alone, without

    def _with(self, change: Change) -> Any:
        """Return the batch as it was before augmentation, with changed draws applied to it."""
        if self._waveform is None:
            return self._batch
        applied, waveforms = self._heard[self._waveform], self._waveform
        x, lengths = applied.x, applied.lengths
        if change is not _nothing:
            x, lengths = waveforms.current(x, lengths, change(applied.draws), sample_rate=waveforms.sample_rate)
        waveform_key, lengths_key = self._keys
        batch = {**self._batch, waveform_key: x}
        return batch if lengths_key is None else {**batch, lengths_key: lengths}

    def _of(self, batch: Any, masking: Mapping[SpectrogramAugment, Change]) -> Tensor:
        with ExitStack() as stack:
            for callback, change in masking.items():
                stack.enter_context(callback.augmenter.apart(change))
                stack.enter_context(_training_itself(self._module.get_submodule(callback.module)))
            losses: Tensor = self._module.row_losses(batch)  # type: ignore[operator]
        rows = sum(len(applied.draws) for applied in list(self._heard.values())[:1])
        if not isinstance(losses, Tensor) or losses.shape != (rows,):
            owner, got = type(self._module).__name__, tuple(getattr(losses, "shape", ()))
            raise ValueError(f"OverAugmentationGuard: {owner}.row_losses must return shape ({rows},), got {got}")
        return losses.detach().float()


@contextmanager
def _training_itself(module: torch.nn.Module) -> Iterator[None]:
    """Set one module to training, for its hook to act, and leave what is inside it in evaluation."""
    module.training = True
    try:
        yield
    finally:
        module.training = False


def counted_rows(*losses: Tensor) -> Tensor:
    """Return the rows that no treatment leaves out."""
    together = torch.stack(losses)
    return (together.isfinite() & (together != 0)).all(0)


def _nothing(draws: Draws) -> Draws:
    return _choose(draws, keep=lambda place: False)


def _everything(draws: Draws) -> Draws:
    return draws


def _choose(draws: Draws, keep: Callable[[str], bool], place: str = "") -> Draws:
    """Return the draws with those members off that are not to be kept."""
    if not draws.members:
        on = draws.on & keep(place)
        return Draws(on, draws.values, draws.labels)
    members = {
        name: _choose(member, keep, f"{place}/{name}" if place else name) for name, member in draws.members.items()
    }
    return Draws(np.any([member.on for member in members.values()], axis=0), {}, members=members)
