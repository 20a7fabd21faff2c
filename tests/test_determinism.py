"""The same training, however it is loaded and however often it is interrupted."""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from small_runs import RATE, WORDS, Seen, make_voices, recognizer, same_weights, trainer, voices
from torch.utils.data import DataLoader

import speechaug as sa
from speechaug.asr import SpeechClassifier
from speechaug.callbacks import Augment, SpectrogramAugment

pytestmark = [
    pytest.mark.global_rng,
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning"),
]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_voices(tmp_path_factory.mktemp("voices"))


class Ear(pl.LightningModule):
    """Learns next to nothing, fast: one weight per word, and a schedule that asks for the number of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.features = sa.LogMel(RATE, 20)
        self.head = torch.nn.Linear(20, 3, bias=False)
        torch.nn.init.constant_(self.head.weight, 0.1)

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        spec, frames = self.features(batch["waveform"], batch["lengths"])
        scores = self.head((spec.square().sum(-1) / frames[:, None]).to(self.head.weight.dtype))
        return scores.square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def masks() -> SpectrogramAugment:
    return SpectrogramAugment(sa.presets.specaugment("small"))


# What is drawn does not depend on how the data are loaded


@pytest.fixture(scope="module")
def reference(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    seen = Seen()
    trainer(tmp_path_factory.mktemp("reference"), seen, masks()).fit(Ear(), datamodule=voices(folder))
    return seen


@pytest.mark.parametrize(
    "loading",
    [
        {"num_workers": 2},
        {"num_workers": 2, "persistent_workers": False, "multiprocessing_context": "fork", "cache_mb": 0.0},
        pytest.param({"num_workers": 1, "multiprocessing_context": "spawn"}, marks=pytest.mark.slow),
        {"num_workers": 2, "seed_everything": 3},
        {"seed_everything": 4},
        {"batch_size": 7},
        {"batch_size": 30, "max_batch_s": 1.5},
        {"transport": "float32", "pin_memory": False, "prefetch_factor": 1},
    ],
    ids=lambda loading: ",".join(f"{name}={value}" for name, value in loading.items()),
)
def test_draws_do_not_depend_on_loading(
    folder: Path, reference: Seen, loading: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = dict(loading)
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that it is taken away again
        monkeypatch.delenv(name)
    if "seed_everything" in loading:
        pl.seed_everything(loading.pop("seed_everything"), workers=True, verbose=False)
    seen = Seen()
    trainer(tmp_path, seen, masks()).fit(Ear(), datamodule=voices(folder, **loading))
    assert seen.draws == reference.draws
    assert seen.samples.keys() == reference.samples.keys()
    same_batches = not {"batch_size", "max_batch_s"} & loading.keys()
    assert (seen.batches == reference.batches) == same_batches
    for key, samples in seen.samples.items():
        torch.testing.assert_close(samples, reference.samples[key], rtol=0, atol=0 if same_batches else 2e-6)


def test_every_utterance_and_epoch_draws_for_itself(reference: Seen) -> None:
    for domain in ("waveform", "spectrogram"):
        drawn = [draws for (kind, *_), draws in reference.draws.items() if kind == domain]
        assert len(drawn) == 60
        assert len(set(drawn)) > 0.9 * len(drawn)
    for (epoch, view, name), samples in reference.samples.items():
        assert epoch == 1 or not torch.equal(samples, reference.samples[1, view, name])


def test_the_global_generators_are_left_alone(folder: Path, tmp_path: Path) -> None:
    class Watch(pl.Callback):
        def on_train_start(self, *_: Any) -> None:
            self.before = self.states()

        def on_train_end(self, *_: Any) -> None:
            self.after = self.states()

        def states(self) -> list[Any]:
            return [torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]  # noqa: NPY002

    watch = Watch()
    model = recognizer(dropout=0.5)
    trainer(tmp_path, watch, masks()).fit(model, datamodule=voices(folder, num_workers=2, views=2))
    assert watch.before == watch.after


# Interrupted and resumed


def keeping(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)


@pytest.mark.parametrize(
    ("steps", "loading", "options", "training"),
    [
        ((5, 8, 11), {}, {}, {}),
        ((11,), {"num_workers": 2}, {}, {}),
        ((3,), {"batch_size": 30, "max_batch_s": 2.0}, {"architecture": "conformer"}, {}),
        ((2, 4), {}, {}, {"accumulate_grad_batches": 3}),
        ((11,), {"views": 2}, {"consistency": "cr_ctc"}, {}),
        ((4,), {"views": 2, "clean_view": True}, {"consistency": "jsd"}, {"precision": "bf16-mixed"}),
    ],
    ids=["plain", "workers", "max_batch_s", "accumulation", "cr_ctc", "jsd"],
)
def test_resumed_is_uninterrupted_bit_for_bit(
    folder: Path,
    steps: tuple[int, ...],
    loading: dict[str, Any],
    options: dict[str, Any],
    training: dict[str, Any],
    tmp_path: Path,
) -> None:
    whole, seen = recognizer(**options), Seen()
    run = trainer(tmp_path, masks(), seen, keeping(tmp_path), **training)
    run.fit(whole, datamodule=voices(folder, **loading))
    assert run.global_step > max(steps)
    for step in steps:
        rest, again = recognizer(**options), Seen()
        resumed = trainer(tmp_path, masks(), again, **training)
        with torch.random.fork_rng([]):
            torch.rand(step)  # another process has other global generators
            resumed.fit(rest, datamodule=voices(folder, **loading), ckpt_path=tmp_path / f"step={step}.ckpt")
        assert again.batches == seen.batches[len(seen.batches) - len(again.batches) :]
        assert again.draws.items() <= seen.draws.items()
        assert all(torch.equal(samples, seen.samples[key]) for key, samples in again.samples.items())
        assert same_weights(rest.state_dict(), whole.state_dict())


def test_a_classifier_resumes_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    def classifier() -> SpeechClassifier:
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(1)
            return SpeechClassifier(list(WORDS), size="xs", sample_rate=RATE, dropout=0.3)

    whole, rest = classifier(), classifier()
    trainer(tmp_path, masks(), keeping(tmp_path)).fit(whole, datamodule=voices(folder))
    trainer(tmp_path, masks()).fit(rest, datamodule=voices(folder), ckpt_path=tmp_path / "step=11.ckpt")
    assert same_weights(rest.state_dict(), whole.state_dict())


class Interrupt(pl.Callback):
    """Stops a training, as the user or an error does, and saves what there is."""

    def __init__(self, at: int, hook: str, error: BaseException) -> None:
        def stop(trainer: pl.Trainer, *_: Any) -> None:
            if trainer.fit_loop.total_batch_idx == at:
                raise error

        setattr(self, hook, stop)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "exception.ckpt")


@pytest.fixture
def _signals() -> Iterator[None]:
    """Give Ctrl-C its meaning back: Lightning takes it away while it shuts down."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize(
    ("error", "hook", "num_workers"),
    [
        (KeyboardInterrupt(), "on_train_batch_start", 2),
        (RuntimeError("out of memory"), "on_before_backward", 0),
        (KeyboardInterrupt(), "on_train_batch_end", 0),
    ],
    ids=repr,
)
def test_a_step_that_was_interrupted_comes_again(
    folder: Path, error: BaseException, hook: str, num_workers: int, tmp_path: Path
) -> None:
    whole, seen = recognizer(), Seen()
    trainer(tmp_path, seen).fit(whole, datamodule=voices(folder))
    with pytest.raises((SystemExit, RuntimeError)):
        trainer(tmp_path, Interrupt(11, hook, error)).fit(
            recognizer(), datamodule=voices(folder, num_workers=num_workers)
        )
    rest, again = recognizer(), Seen()
    trainer(tmp_path, again).fit(rest, datamodule=voices(folder), ckpt_path=tmp_path / "exception.ckpt")
    assert again.batches == seen.batches[11 + (hook == "on_train_batch_end") :]
    # Once an interrupted step has been through the model, the running statistics have seen its batch twice.
    names = dict(whole.named_parameters() if hook == "on_before_backward" else whole.state_dict())
    assert all(torch.equal(weight, rest.state_dict()[name]) for name, weight in names.items())


@pytest.mark.parametrize("stop", [3, 11])
def test_after_max_steps_training_goes_on_as_if_it_had_not_stopped(folder: Path, stop: int, tmp_path: Path) -> None:
    def run(steps: int, ckpt_path: Path | None = None) -> tuple[Ear, Seen, pl.Trainer]:
        model, seen = Ear(), Seen()
        runner = trainer(tmp_path, masks(), seen, max_epochs=-1, max_steps=steps)
        runner.fit(model, datamodule=voices(folder), ckpt_path=ckpt_path)
        return model, seen, runner

    whole, seen, _ = run(28)  # an epoch has 8 batches
    run(stop)[2].save_checkpoint(tmp_path / "stopped.ckpt")
    _, _, again = run(20, tmp_path / "stopped.ckpt")
    again.save_checkpoint(tmp_path / "again.ckpt")
    rest, last, _ = run(28, tmp_path / "again.ckpt")
    assert last.batches == seen.batches[20:]
    assert last.draws.items() <= seen.draws.items()
    assert same_weights(rest.state_dict(), whole.state_dict())


def test_limited_epochs_resume_with_the_next_one(folder: Path, tmp_path: Path) -> None:
    limited = {"limit_train_batches": 3, "max_epochs": 3}
    seen, again = Seen(), Seen()
    trainer(tmp_path, seen, keeping(tmp_path), **limited).fit(Ear(), datamodule=voices(folder))
    trainer(tmp_path, again, **limited).fit(Ear(), datamodule=voices(folder), ckpt_path=tmp_path / "step=3.ckpt")
    assert again.batches == seen.batches[3:]


def test_gradients_accumulated_before_a_checkpoint_are_lost_but_no_batch_is(folder: Path, tmp_path: Path) -> None:
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, module: Any, out: Any, batch: Any, batch_idx: int) -> None:
            trainer.save_checkpoint(tmp_path / f"epoch={trainer.current_epoch}-batch={batch_idx}.ckpt")

    seen, again = Seen(), Seen()
    run = trainer(tmp_path, seen, Save(), accumulate_grad_batches=3)
    run.fit(Ear(), datamodule=voices(folder))
    resumed = trainer(tmp_path, again, accumulate_grad_batches=3)
    resumed.fit(Ear(), datamodule=voices(folder), ckpt_path=tmp_path / "epoch=1-batch=1.ckpt")
    assert again.batches == seen.batches[10:]
    assert resumed.global_step == run.global_step


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"max_batch_s": 1.0}], ids=repr)
def test_resuming_with_other_batches_is_told_and_the_next_epoch_is_whole(
    folder: Path, change: dict[str, Any], tmp_path: Path
) -> None:
    trainer(tmp_path, keeping(tmp_path), max_epochs=1).fit(Ear(), datamodule=voices(folder))
    seen = Seen()
    with pytest.warns(UserWarning, match="had 8 batches for each rank when the checkpoint was saved and has"):
        trainer(tmp_path, seen).fit(Ear(), datamodule=voices(folder, **change), ckpt_path=tmp_path / "step=4.ckpt")
    second = [name for epoch, _, name in seen.samples if epoch == 1]
    assert sorted(second) == sorted(u.id for u in voices(folder).train_utterances)
    assert 0 < len([epoch for epoch, *_ in seen.samples if epoch == 0]) < 30


# A user's own loader and the callback


class Spoken:
    """Utterances by number, with their numbers as ids."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        x = np.random.default_rng(index).standard_normal(2_000).astype(np.float32)
        return {"waveform": 0.1 * torch.from_numpy(x), "lengths": 2_000, "id": index}


class Watched(Augment):
    """Keeps the draws of the callback, and what comes out, by epoch and id."""

    def __init__(self) -> None:
        super().__init__(sa.Compose([sa.Gain(), sa.AddColoredNoise()]), sample_rate=RATE)
        self.draws: dict[tuple[int, int], str] = {}
        self.samples: dict[tuple[int, int], torch.Tensor] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        names = batch["id"].tolist()
        draws = self.augmenter.sample([str(name) for name in names], trainer.current_epoch)
        for row, name in enumerate(names):
            self.draws[trainer.current_epoch, name] = repr(draws.row(row))
            self.samples[trainer.current_epoch, name] = batch["waveform"][row].clone()


@pytest.mark.parametrize(
    ("batch_size", "workers"), [(2, {}), (4, {"num_workers": 2, "persistent_workers": True}), (8, {"num_workers": 1})]
)
@pytest.mark.parametrize("seed", [None, 5])
def test_the_callback_draws_the_same_with_any_loader_and_after_a_resume(
    batch_size: int, workers: dict[str, Any], seed: int | None, tmp_path: Path
) -> None:
    def loader(size: int, **workers: Any) -> DataLoader[Any]:
        return DataLoader(Spoken(), batch_size=size, shuffle=True, **workers)  # type: ignore[arg-type]

    whole, first, rest = Watched(), Watched(), Watched()
    trainer(tmp_path, whole).fit(Ear(), loader(2))
    if seed is not None:
        pl.seed_everything(seed, workers=True, verbose=False)
    trainer(tmp_path, first, ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1), max_epochs=1).fit(
        Ear(), loader(batch_size, **workers)
    )
    trainer(tmp_path, rest).fit(Ear(), loader(batch_size, **workers), ckpt_path=tmp_path / "epoch=0.ckpt")
    assert [{epoch for epoch, _ in half.draws} for half in (first, rest)] == [{0}, {1}]
    assert first.draws | rest.draws == whole.draws
    assert len(set(whole.draws.values())) == 16
    for key, samples in (first.samples | rest.samples).items():
        torch.testing.assert_close(samples, whole.samples[key], rtol=0, atol=2e-6)
