"""OverAugmentationGuard: figures against NumPy, whom it names, and that training does not notice it."""

from __future__ import annotations

import re
import warnings

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from trainings import RATE, Save, command_line, logged, recognizer, speech, trainer, write_tree

import speechaug as sa
from speechaug.augmenter import augmenters
from speechaug.callbacks import Augment, AugmentationLog, OverAugmentationGuard, SpectrogramAugment, StrengthSchedule

pytestmark = pytest.mark.global_rng

LOUD = sa.Gain(gain_db=(20.0, 20.0), p=0.5)
LOUDER = sa.OneOf([sa.Gain(gain_db=(30.0, 30.0)), sa.Polarity(p=1.0)])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"))


class Level(pl.LightningModule):
    """A model whose loss of a row is its mean level in nats above 1e-3: what augmentation costs can be computed."""

    def __init__(self, losses=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.norm, self.dropout = nn.BatchNorm1d(1), nn.Dropout(0.5)
        self.frozen = nn.BatchNorm1d(1)
        self.losses = losses
        self.modes = []

    def on_train_start(self):
        self.frozen.eval()  # as users freeze a part

    def row_losses(self, batch):
        self.modes.append((self.training, self.norm.training, torch.is_grad_enabled()))
        x, lengths = batch["waveform"], batch["lengths"]
        self.norm(self.dropout(x[:, None])), torch.rand(3)  # these leave traces if they can
        if self.losses is not None:
            return self.losses(batch)
        return (x.square().sum(1) / lengths).sqrt().log() - np.log(1e-3)

    def training_step(self, batch, _):
        level = self.norm(self.dropout(batch["waveform"][:, None])).square().mean()
        return (self.weight - level - torch.rand(())).square()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Ear(pl.Callback):
    """Keeps every batch before and after."""

    def __init__(self):
        self.heard = []

    def on_train_start(self, trainer, pl_module):
        for augmenter in augmenters(trainer).values():
            augmenter.observers.append(self)

    def began(self, augmenter):
        pass

    def done(self, augmenter, applied):
        self.heard.append(applied)


def fit(tree, folder, callbacks, model=None, *, policy=None, ckpt_path=None, views=1, **arguments):
    pl.seed_everything(3, verbose=False)
    model = model if model is not None else Level()
    run = trainer(folder, callbacks, **arguments)
    run.fit(model, datamodule=speech(tree, policy, views=views), ckpt_path=ckpt_path)
    return run, model


def level(x, lengths):
    return np.log(np.sqrt(np.square(x.double().numpy()).sum(1) / lengths.numpy()) / 1e-3)


def test_figures_against_numpy(tree, tmp_path):
    ear, guard = Ear(), OverAugmentationGuard(every_n_steps=2, max_excess=10.0)
    _, model = fit(tree, tmp_path, [guard, ear], policy=sa.Compose([LOUD, LOUDER]), max_epochs=2)
    for logged_at, step in ((1, 0), (3, 2), (5, 4), (7, 6)):  # a probe waits for the next step that is logged
        applied = ear.heard[step]
        clean, augmented = level(applied.x, applied.lengths).mean(), level(applied.y, applied.y_lengths).mean()
        assert logged(tmp_path, "guard/clean_loss")[logged_at] == pytest.approx(clean, abs=1e-4)
        assert logged(tmp_path, "guard/augmented_loss")[logged_at] == pytest.approx(augmented, abs=1e-4)
        assert logged(tmp_path, "guard/gap")[logged_at] == pytest.approx(augmented - clean, abs=1e-4)
    assert set(model.modes) == {(False, False, False)}
    assert set(model.state_dict()) == set(Level().state_dict())


def test_the_warning_names_the_member_that_costs_most(tree, tmp_path):
    """Gains add up in this loss, so what each member costs is its own gain in nats on its share of the rows."""
    ear, guard = Ear(), OverAugmentationGuard(every_n_steps=1, warmup_steps=2, max_excess=1.0)
    policy = sa.Compose([LOUD, LOUDER])
    with pytest.warns(UserWarning, match="OverAugmentationGuard") as caught:
        fit(tree, tmp_path, [guard, ear], policy=policy, max_epochs=2, log_every_n_steps=1)
    said = [text for text in (str(warning.message) for warning in caught) if "OverAugmentationGuard" in text]
    assert [re.findall(r"at step (\d+)", text)[0] for text in said] == ["2", "6"]  # once an epoch, after the warm-up
    draws = [applied.draws for applied in ear.heard]
    louder = [d.members["OneOf"].members["Gain"].on.mean() * 30 * np.log(10) / 20 for d in draws]
    loud = [d.members["Gain"].on.mean() * 20 * np.log(10) / 20 for d in draws]
    assert f"OneOf/Gain alone accounts for {np.mean(louder[:3]):.2g} over the last 3 probes" in said[0]
    assert f"OneOf/Gain alone accounts for {np.mean(louder[3:7]):.2g} over the last 4 probes" in said[1]
    for text in said:
        assert "more than max_excess=1. Weaken it: a smaller p than 1, or OneOf/Gain.scaled(0.5)" in text
        assert "which has gain_db=(15, 15)" in text
    for name, expected in {"OneOf/Gain": louder, "Gain": loud, "OneOf/Polarity": [0.0] * 12}.items():
        excess = logged(tmp_path, f"guard/{name}_excess")
        assert [excess[step] for step in range(12)] == pytest.approx(expected, abs=1e-4)


def test_two_that_would_each_do_share_the_blame(tree, tmp_path):
    """Whichever clips first leaves nothing for the other: alone each costs all, left out neither does."""

    def clipped(batch):
        return 1.0 + (batch["waveform"].abs().amax(1) > 0.5).float()

    twice = sa.Compose([sa.Gain(gain_db=(20.0, 20.0)), sa.Gain(gain_db=(20.0, 20.0)), sa.Polarity(p=1.0)])
    guard = OverAugmentationGuard(every_n_steps=1, warmup_steps=0, max_excess=0.6)
    fit(tree, tmp_path, [guard], Level(clipped), policy=twice, max_steps=3, log_every_n_steps=1)  # no warning
    assert set(logged(tmp_path, "guard/gap").values()) == {1.0}
    for name, part in {"Gain": 0.5, "Gain.1": 0.5, "Polarity": 0.0}.items():
        assert logged(tmp_path, f"guard/{name}_excess") == {0: part, 1: part, 2: part}
    guard = OverAugmentationGuard(every_n_steps=1, warmup_steps=0, max_excess=0.4)
    with pytest.warns(UserWarning, match=r"step 1 .* clean 1\. Gain alone accounts for 0\.5 over the last 2 probes"):
        fit(tree, tmp_path / "b", [guard], Level(clipped), policy=twice, max_steps=3)


def test_a_mild_policy_is_not_taken_apart(tree, tmp_path):
    guard = OverAugmentationGuard(every_n_steps=1, warmup_steps=0)
    _, model = fit(tree, tmp_path, [guard], policy=sa.Gain(gain_db=(2.0, 2.0)))
    assert len(model.modes) == 12  # six probes of two passes


def test_training_does_not_notice(tree, tmp_path):
    """Dropout, batch norm, gradients gathered over batches, all three random states: bit for bit the same."""

    def callbacks():
        return [AugmentationLog(str(tmp_path / "draws.jsonl")), SpectrogramAugment(sa.presets.specaugment("small"))]

    guard = OverAugmentationGuard(every_n_steps=1, warmup_steps=0, max_excess=1e-6)
    gathered = {"policy": sa.Compose([LOUD, LOUDER]), "accumulate_grad_batches": 2, "max_epochs": 2, "views": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run, watched = fit(tree, tmp_path / "a", [guard, *callbacks()], recognizer(), **gathered)
    trail = (tmp_path / "draws.jsonl").read_text(encoding="utf-8")
    random = torch.get_rng_state()
    _, plain = fit(tree, tmp_path / "b", callbacks(), recognizer(), **gathered)
    assert len(guard._gaps) == 4
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in watched.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert trail == (tmp_path / "draws.jsonl").read_text(encoding="utf-8")
    assert all(not augmenter.observers for augmenter in augmenters(run).values())
    _, watched = fit(tree, tmp_path / "c", [OverAugmentationGuard(every_n_steps=1, warmup_steps=99)], policy=LOUD)
    _, plain = fit(tree, tmp_path / "d", [], policy=LOUD)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in watched.state_dict().items())
    assert watched.norm.training and not watched.frozen.training


def test_masks_within_the_model_count(tree, tmp_path):
    """The loss is the share of masked cells; the two passes differ by the masks alone."""

    class Masked(Level):
        def __init__(self):
            super().__init__()
            self.features = sa.LogMel(RATE, 20)

        def row_losses(self, batch):
            spec, _ = self.features(batch["waveform"], batch["lengths"])
            return 1.0 + (spec == 0).all(-1).float().sum(1)

        def training_step(self, batch, _):
            self.features(batch["waveform"], batch["lengths"])
            return self.weight.square()

    masks = sa.Compose([sa.FrequencyMask(width_bins=(5, 5), count=1), sa.FrequencyMask(width_bins=(2, 2), p=0.0)])
    guard = OverAugmentationGuard(every_n_steps=1, warmup_steps=0, max_excess=1.0)
    with pytest.warns(UserWarning, match=r"FrequencyMask alone accounts for 5 over the last 2 probes"):
        fit(tree, tmp_path, [guard, SpectrogramAugment(masks)], Masked(), max_steps=2, log_every_n_steps=1)
    assert logged(tmp_path, "guard/gap") == {0: 5.0, 1: 5.0}
    assert logged(tmp_path, "guard/FrequencyMask_excess") == {0: 5.0, 1: 5.0}
    assert logged(tmp_path, "guard/FrequencyMask.1_excess") == {0: 0.0, 1: 0.0}


def test_other_keys_and_callbacks_in_any_order(tree, tmp_path):
    class Renames(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            batch["audio"], batch["n"] = batch.pop("waveform"), batch.pop("lengths")

    def losses(batch):
        return (batch["audio"].square().sum(1) / batch["n"]).sqrt().log() - np.log(1e-3)

    class Mine(Level):
        def row_losses(self, batch):
            return losses(batch)

        def training_step(self, batch, _):
            return self.weight.square()

    augment = Augment(sa.Gain(gain_db=(20.0, 20.0)), sample_rate=RATE, waveform_key="audio", lengths_key="n")
    for order in ((0, 1), (1, 0)):
        guard = OverAugmentationGuard(every_n_steps=2, max_excess=10.0)
        pair = [augment, guard]
        folder = tmp_path / str(order)
        fit(tree, folder, [Renames(), *(pair[i] for i in order)], Mine(), max_steps=2, log_every_n_steps=1)
        assert logged(folder, "guard/gap")[0] == pytest.approx(np.log(10), abs=1e-4)


def test_rows_that_are_left_out(tree, tmp_path):
    def losses(batch):
        rows = batch["waveform"].abs().amax(1).clone()
        rows[0], rows[1] = 0.0, float("inf")
        return rows

    ear, guard = Ear(), OverAugmentationGuard(every_n_steps=1, max_excess=10.0)
    policy = sa.Gain(gain_db=(6.0, 6.0))
    fit(tree, tmp_path, [guard, ear], Level(losses), policy=policy, max_steps=1, log_every_n_steps=1)
    expected = ear.heard[0].x[2:].abs().amax(1).mean().item()
    assert logged(tmp_path, "guard/clean_loss")[0] == pytest.approx(expected)
    guard = OverAugmentationGuard(every_n_steps=1)
    fit(tree, tmp_path / "none", [guard], Level(lambda b: 0 * b["waveform"][:, 0]), policy=policy, max_steps=2)
    assert guard._gaps == []


def test_state_goes_on_after_a_resume(tree, tmp_path):
    def guard():
        return OverAugmentationGuard(every_n_steps=1, warmup_steps=0, max_excess=1.0)

    loud = sa.Gain(gain_db=(30.0, 30.0))
    whole = guard()
    callbacks = [whole, StrengthSchedule({0: 0.5, 9: 1.0}), Save(tmp_path)]
    with pytest.warns(UserWarning, match="at step 1"):
        fit(tree, tmp_path / "a", callbacks, policy=loud, enable_checkpointing=True)
    again = guard()
    callbacks = [again, StrengthSchedule({0: 0.5, 9: 1.0})]
    fit(tree, tmp_path / "b", callbacks, policy=loud, ckpt_path=tmp_path / "3.ckpt")  # warned in this epoch already
    assert again.state_dict() == whole.state_dict()
    state = torch.load(tmp_path / "3.ckpt", weights_only=True)["callbacks"]["OverAugmentationGuard"]
    assert (state["warned_epoch"], state["next"], len(state["gaps"]), len(state["excesses"])) == (0, 3, 3, 3)


def test_what_is_wrong_is_said(tree, tmp_path):
    for name, value in (("every_n_steps", 0), ("every_n_steps", 1.5), ("warmup_steps", -1)):
        with pytest.raises(ValueError, match=f"{name} must be a whole number >= ., got {value}"):
            OverAugmentationGuard(**{name: value})
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="max_excess must be positive and finite"):
            OverAugmentationGuard(max_excess=value)
    with pytest.raises(ValueError, match=r"the Trainer must augment, .* found none"):
        fit(tree, tmp_path, [OverAugmentationGuard()])

    class Mute(Level):
        row_losses = None

    with pytest.raises(ValueError, match=r"Mute must have a method row_losses\(batch\)"):
        fit(tree, tmp_path, [OverAugmentationGuard()], Mute(), policy=LOUD)
    with pytest.raises(ValueError, match=r"Level.row_losses must return shape \(4,\), got \(\)"):
        fit(tree, tmp_path, [OverAugmentationGuard()], Level(lambda batch: batch["waveform"].mean()), policy=LOUD)


def test_from_yaml_and_a_recognizer(tree, tmp_path, capsys):
    init_args = {"every_n_steps": 1, "warmup_steps": 2, "max_excess": 50.0}
    callbacks = [{"class_path": "speechaug.callbacks.OverAugmentationGuard", "init_args": init_args}]
    with pytest.raises(SystemExit):
        command_line(tmp_path, tree, callbacks, "print_config")
    printed = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    assert printed[0]["init_args"] == init_args
    command_line(tmp_path, tree, printed)
    assert set(logged(tmp_path, "guard/clean_loss")) == {1, 3}


def test_tensorboard(tree, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    guard = OverAugmentationGuard(every_n_steps=2, max_excess=10.0)
    fit(tree, tmp_path, [guard], policy=LOUD, logger=TensorBoardLogger(tmp_path, name="", version=""))
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("guard/gap")] == [1, 3, 5]


def test_a_training_that_drowns_and_one_that_does_not(tree, tmp_path):
    """Two tones are learned in forty steps; noise that hides more than half of them costs 0.6 log 2 or more."""
    hiss = sa.Bank.from_arrays([np.random.default_rng(5).standard_normal(9_000)], sample_rate=RATE)

    def train(folder, snr_db):
        policy = sa.Compose([sa.Gain(gain_db=(-6.0, 6.0)), sa.AddNoise(bank=hiss, snr_db=snr_db, p=0.6), sa.Polarity()])
        guard = OverAugmentationGuard(every_n_steps=5, warmup_steps=40, max_excess=0.25)
        data = {"policy": policy, "batch_size": 12}
        run = trainer(folder, [guard], max_steps=50, max_epochs=-1, log_every_n_steps=5)
        run.fit(recognizer(lr=3e-3), datamodule=speech(tree, **data))
        return logged(folder, "guard/clean_loss")

    assert train(tmp_path / "sane", (5.0, 20.0))[44] < 0.1  # learned; a warning would be an error
    with pytest.warns(UserWarning, match=r"AddNoise alone accounts for 0\.[4-9]"):
        assert train(tmp_path / "absurd", (-40.0, -30.0))[44] < 0.1
