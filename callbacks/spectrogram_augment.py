"""SpecAugment for any LightningModule that computes features in a module of its own."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.hooks import RemovableHandle

from speechaug._lightning import refuse_foreign
from speechaug.augmenter import BatchAugmenter
from speechaug.callbacks.augment import as_ids, data_epoch
from speechaug.transform import Transform


class SpectrogramAugment(Callback):
    """Mask and warp what your feature module returns, while training only.

    A forward hook on the module: nothing of it reaches ``state_dict``, and it is gone after ``fit``.

    Args:
        policy: a spectrogram policy, such as ``speechaug.presets.specaugment("LD")``.
        module: the feature module's name in your LightningModule, dotted if nested. It returns ``(spec, lengths)`` or
            ``spec`` alone.
        seed: of the draws.
        id_key: where the batch holds the list of ids; None without ids: draws then depend on rank, batch and row.
        time_last: whether spectrograms are ``(B, F, T)``; False for ``(B, T, F)``.

    Raises:
        ValueError: if the policy is for waveforms, or changes lengths and the module returns none; if ids are missing,
            the module does not exist, another ``SpectrogramAugment`` hooks the same one, or the Trainer is one of
            ``pytorch_lightning``.

    Example:
        >>> import speechaug as sa
        >>> from speechaug.callbacks import SpectrogramAugment
        >>> callback = SpectrogramAugment(sa.presets.specaugment("LD"), module="features")
    """

    def __init__(
        self,
        policy: Transform,
        *,
        module: str = "features",
        seed: int = 0,
        id_key: str | None = "id",
        time_last: bool = True,
    ) -> None:
        """Keep the configuration; see the class."""
        super().__init__()
        if policy.domain != "spectrogram":
            raise ValueError(f"SpectrogramAugment: policy must act on spectrograms, got {type(policy).__name__}")
        self.augmenter = BatchAugmenter(policy, seed=seed, place="SpectrogramAugment")
        self.module = module
        self.id_key = id_key
        self.time_last = time_last
        self._handle: RemovableHandle | None = None
        self._epoch = 0
        self._ids: list[str] | None = None
        self._views: list[int] | None = None
        self._fallback = ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse the Trainer of the other Lightning."""
        refuse_foreign(trainer, "SpectrogramAugment")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hook the feature module."""
        same = [c for c in trainer.callbacks if isinstance(c, SpectrogramAugment) and c.module == self.module]  # type: ignore[attr-defined]
        if len(same) > 1:
            raise ValueError(
                f"SpectrogramAugment: one per module, or it is masked twice, got {len(same)} on {self.module!r}"
            )
        try:
            features = pl_module.get_submodule(self.module)
        except AttributeError:
            named = ", ".join(name for name, _ in pl_module.named_children())
            raise ValueError(
                f"SpectrogramAugment: module must be a submodule of {type(pl_module).__name__} ({named}), "
                f"got {self.module!r}"
            ) from None
        self._handle = features.register_forward_hook(self._hook)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember whose features come next."""
        if self.id_key is None:
            self._ids = None
        elif isinstance(batch, dict) and self.id_key in batch:
            self._ids = as_ids(batch[self.id_key])
        else:
            raise ValueError(
                f"SpectrogramAugment: batch must be a dictionary with the key {self.id_key!r}, or id_key None"
            )
        self._views = batch.get("view") if isinstance(batch, dict) else None
        self._epoch = data_epoch(trainer)
        self._fallback = f"{trainer.global_rank}/{batch_idx}"

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Leave whatever runs between the training batches alone."""
        self._fallback = ""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the hook off."""
        self._remove()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the hook off."""
        self._remove()

    def _remove(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _hook(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if not (module.training and self._fallback):
            return None
        spec, lengths = output if isinstance(output, tuple) else (output, None)
        if lengths is None and self.augmenter.policy.changes_length:
            raise ValueError(
                f"SpectrogramAugment: module {self.module!r} must return (spec, lengths): the policy changes them"
            )
        rows = self._ids or [f"{self._fallback}/{row}" for row in range(len(spec))]
        draws = self.augmenter.sample(rows, self._epoch, self._views)
        x = spec if self.time_last else spec.transpose(1, 2)
        y, y_lengths = self.augmenter.apply(x, lengths, draws)
        y = y if self.time_last else y.transpose(1, 2)
        return (y, y_lengths) if isinstance(output, tuple) else y
