"""What augmentation does to a few utterances, to hear and to see, in the loggers of the Trainer or as files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor

from speechaug import audio
from speechaug._lightning import refuse_foreign
from speechaug.augmenter import Applied, BatchAugmenter, augmenters
from speechaug.callbacks.augment import data_epoch
from speechaug.data.leak import banks_of

Floats = NDArray[np.float32]

_UNSAFE = re.compile(r"[^\w.-]+")
_KEY = re.compile(r"\bkey=\d+(, )?")  # which noise is made: a number that tells nobody anything


class Kept(NamedTuple):
    """Rows of a batch as they were before augmentation; views are the first of each utterance, None without views."""

    ids: list[str]
    views: list[int] | None
    x: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Example:
    """One utterance before and after; spectrograms ``(F, T)`` have no sample rate."""

    name: str
    row: int
    kind: str
    before: Floats
    after: Floats
    sample_rate: int | None
    done: str

    @property
    def tag(self) -> str:
        """A name for folders and loggers, whatever the id holds."""
        return f"{self.row}_{_UNSAFE.sub('_', self.name)[:50]}"

    def picture(self) -> NDArray[np.uint8]:
        """Both spectrograms as an image ``(height, width, 3)``."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        from speechaug.page.pictures import before_after, masks_before_after

        if self.sample_rate is None:
            figure = masks_before_after(self.before, self.after, title=self.name, done=self.done)
        else:
            rate = self.sample_rate
            figure = before_after((self.before, rate), (self.after, rate), title=self.name, done=self.done)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        image: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
        return image


class Listen(Callback):
    """Let you hear and see what augmentation does to a few training utterances, again and again as training goes on.

    The first rows of the first training batch are kept as they were before augmentation. At every occasion they get
    what they get in the training of that epoch at the strength of that moment, so that epochs can be compared: the same
    utterance, the same seed. (Where a policy mixes the rows of a batch, they are mixed with each other only; masks act
    on the features of the first batch.) Each gives its sound before and after, a picture of both spectrograms on the
    same scales, and in words what was drawn.

    They go to every logger that takes sounds and pictures, TensorBoard and W&B, under ``listen/<row>_<id>/``. Without
    such a logger, or with ``folder``, they are files: WAV, PNG and text in a folder for each utterance. One process
    does this, without touching the model; a picture takes about 0.3 s of a CPU core.

    Args:
        rows: how many utterances.
        seconds: how much of each is heard and seen, from its start, in seconds.
        every_n_epochs: occasions are the first batch of the training and of every n-th epoch.
        every_n_steps: optimizer steps between two occasions, instead of epochs; for epochs that last long.
        folder: where files go, in any case; None for ``listen`` in the log folder, if no logger takes them.

    Raises:
        ValueError: if a number is out of range; when training begins, if nothing augments.

    Example:
        >>> from speechaug.callbacks import Listen
        >>> callback = Listen(rows=2, every_n_epochs=20)
    """

    def __init__(
        self,
        *,
        rows: int = 3,
        seconds: float = 5.0,
        every_n_epochs: int = 10,
        every_n_steps: int | None = None,
        folder: str | Path | None = None,
    ) -> None:
        """Keep and check the configuration; see the class."""
        super().__init__()
        for name, value in {"rows": rows, "every_n_epochs": every_n_epochs, "every_n_steps": every_n_steps}.items():
            if value is not None and (isinstance(value, bool) or value < 1):
                raise ValueError(f"Listen: {name} must be >= 1, got {value!r}")
        if not 0 < seconds <= 60:
            raise ValueError(f"Listen: seconds must be in (0, 60], got {seconds!r}")
        self.rows, self.seconds = rows, seconds
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.folder = folder
        self._root = Path()
        self._augmenters: dict[str, BatchAugmenter] = {}
        self._kept: dict[str, Kept] = {}
        self._last: tuple[int, int] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a Trainer without augmentation, and that of the other Lightning."""
        refuse_foreign(trainer, "Listen")
        if stage == "fit" and not augmenters(trainer):
            raise ValueError(
                "Listen: the Trainer must augment, through SpeechDataModule(policy=...), Augment or "
                "SpectrogramAugment; found none"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to listen to what augments."""
        root = trainer.log_dir or trainer.default_root_dir  # every rank must ask
        self._root = Path(self.folder if self.folder is not None else Path(root) / "listen")
        self._kept, self._last = {}, None
        if trainer.is_global_zero:
            self._augmenters = augmenters(trainer)
            for augmenter in self._augmenters.values():
                augmenter.observers.append(self)

    def began(self, augmenter: BatchAugmenter) -> None:
        """Nothing to do before a batch is augmented."""

    def done(self, augmenter: BatchAugmenter, applied: Applied) -> None:
        """Keep the first rows with anything in them, and hear no more."""
        usable = (applied.lengths > 0).tolist() if applied.lengths is not None else [True] * len(applied.x)
        firsts = [view == 0 for view in applied.views] if applied.views is not None else [True] * len(applied.x)
        chosen = [row for row, both in enumerate(zip(usable, firsts, strict=True)) if all(both)][: self.rows]
        if not chosen:
            return
        x = applied.x[chosen].detach()
        widths = torch.full((len(applied.x),), x.shape[-1]) if applied.lengths is None else applied.lengths
        views = None if applied.views is None else [0] * len(chosen)
        name = next(name for name, other in self._augmenters.items() if other is augmenter)
        self._kept[name] = Kept([applied.ids[row] for row in chosen], views, x, widths.to(x.device)[chosen])
        augmenter.observers.remove(self)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Show what happens to the kept rows, when it is time."""
        epoch = data_epoch(trainer)
        if self._kept and self._is_due(epoch, trainer.global_step):
            self._last = epoch, trainer.global_step
            for name, kept in self._kept.items():
                for example in self._examples(name, kept, epoch):
                    self._send(trainer, example, epoch)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop listening."""
        self._leave()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop listening."""
        self._leave()

    def _leave(self) -> None:
        for augmenter in self._augmenters.values():
            if self in augmenter.observers:
                augmenter.observers.remove(self)

    def _is_due(self, epoch: int, step: int) -> bool:
        if self._last is None:
            return True
        if self.every_n_steps is not None:
            return step // self.every_n_steps > self._last[1] // self.every_n_steps
        return epoch // self.every_n_epochs > self._last[0] // self.every_n_epochs

    def _examples(self, place: str, kept: Kept, epoch: int) -> list[Example]:
        """Do to the kept rows what this epoch does to them."""
        augmenter = self._augmenters[place]
        rate = augmenter.sample_rate
        draws = augmenter.sample(kept.ids, epoch, kept.views)
        with torch.no_grad():
            y, y_lengths = augmenter.current(kept.x, kept.lengths, draws, sample_rate=rate)
        clips = {
            h: name for bank in banks_of(augmenter.policy) for h, name in zip(bank.hashes, bank.names, strict=True)
        }
        said = _KEY.sub("", str(draws)).splitlines()
        words = [re.sub(r"\w+", lambda word: clips.get(word[0], word[0]), line) for line in said]
        longest = None if rate is None else round(self.seconds * rate)
        kind = place.replace("waveform", "sound").replace("spectrogram", "features")
        return [
            Example(
                name,
                row,
                kind,
                _excerpt(kept.x[row], int(kept.lengths[row]), longest),
                _excerpt(y[row], int(y_lengths[row]), longest),
                rate,
                words[row].partition("] ")[2],
            )
            for row, name in enumerate(kept.ids)
        ]

    def _send(self, trainer: Trainer, example: Example, epoch: int) -> None:
        step, taken, picture = trainer.global_step, False, example.picture()
        for logger in trainer.loggers:
            experiment = getattr(logger, "experiment", None)
            if hasattr(experiment, "add_audio") and hasattr(experiment, "add_image"):
                _to_tensorboard(experiment, example, picture, step)
            elif hasattr(logger, "log_audio") and hasattr(logger, "log_image"):
                _to_wandb(logger, example, picture, step)
            else:
                continue
            taken = True
        if self.folder is not None or not taken:
            folder = self._root / example.tag
            if not self._root.is_dir():
                rank_zero_info(f"Listen: sounds and pictures go to {self._root}")
            _to_files(folder, example, picture, f"epoch{epoch:03d}_step{step:06d}")


def _excerpt(x: Tensor, length: int, longest: int | None) -> Floats:
    """Return the start of a row, first channel, on the host; what is not finite is silent, or nobody could hear it."""
    valid: Floats = x[..., : min(length, longest or length)].detach().float().cpu().numpy()
    valid = np.nan_to_num(valid, nan=0.0, posinf=0.0, neginf=0.0)
    if longest is None:
        return valid
    channel = np.atleast_2d(valid)[0]
    return np.pad(channel, (0, max(0, 2 - len(channel)))).clip(-1.0, 1.0)  # a sound has two samples at least


def _sounds(example: Example) -> dict[str, Floats]:
    return {} if example.sample_rate is None else {"before": example.before, "after": example.after}


def _to_tensorboard(writer: Any, example: Example, picture: NDArray[np.uint8], step: int) -> None:
    place = f"listen/{example.tag}"
    for name, sound in _sounds(example).items():
        writer.add_audio(f"{place}/{name}", torch.from_numpy(sound)[None], step, example.sample_rate)
    writer.add_image(f"{place}/{example.kind}", picture, step, dataformats="HWC")
    writer.add_text(f"{place}/{example.kind}_drawn", example.done, step)


def _to_wandb(logger: Any, example: Example, picture: NDArray[np.uint8], step: int) -> None:
    place = f"listen/{example.tag}"
    for name, sound in _sounds(example).items():
        said = example.done if name == "after" else "as recorded"
        logger.log_audio(f"{place}/{name}", [sound], step, sample_rate=[example.sample_rate], caption=[said])
    logger.log_image(f"{place}/{example.kind}", [picture], step, caption=[example.done])


def _to_files(folder: Path, example: Example, picture: NDArray[np.uint8], moment: str) -> None:
    from matplotlib.image import imsave

    folder.mkdir(parents=True, exist_ok=True)
    for name, sound in _sounds(example).items():
        audio.write(
            folder / ("before.wav" if name == "before" else f"{moment}_after.wav"), sound, example.sample_rate or 0
        )
    imsave(folder / f"{moment}_{example.kind}.png", picture)
    (folder / f"{moment}_{example.kind}.txt").write_text(f"{example.name}\n{example.done}\n", encoding="utf-8")
