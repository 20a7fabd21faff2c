"""AugmentationLog in real Trainer runs: figures against NumPy on what the batches were, and the trail replayed."""

from __future__ import annotations

import json
import time

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from trainings import RATE, Save, command_line, logged, recognizer, speech, trainer, write_tree

import speechaug as sa
from speechaug.augmenter import augmenters
from speechaug.callbacks import Augment, AugmentationLog, SpectrogramAugment, StrengthSchedule

pytestmark = pytest.mark.global_rng

NOISE = sa.Bank.from_arrays([np.random.default_rng(5).standard_normal(9_000)], sample_rate=RATE)
POLICY = sa.Compose(
    [
        sa.Gain(gain_db=(-6.0, 6.0), p=0.5),
        sa.OneOf([sa.AddNoise(bank=NOISE, snr_db=(0.0, 20.0)), sa.Polarity(p=1.0)]),
    ]
)
MASKS = sa.presets.specaugment("small")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"))


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
        self.heard.append((augmenter.policy.domain, applied))


def fit(tree, folder, callbacks, *, policy=POLICY, ckpt_path=None, views=1, model=None, **arguments):
    run = trainer(folder, callbacks, **arguments)
    model = model or recognizer(dropout=0.0)
    run.fit(model, datamodule=speech(tree, policy, views=views), ckpt_path=ckpt_path)
    return run, model


def test_drawn_parameters_against_numpy(tree, tmp_path):
    ear = Ear()
    fit(tree, tmp_path, [AugmentationLog(), ear, SpectrogramAugment(MASKS)], max_epochs=2)
    for last in (1, 3, 11):  # each interval is two steps long
        waves = [applied.draws for domain, applied in ear.heard if domain == "waveform"][last - 1 : last + 1]
        gains = np.concatenate([d.members["Gain"].values["gain_db"][d.members["Gain"].on] for d in waves])
        share = np.mean([d.members["Gain"].on for d in waves])
        noisy = np.mean([d.members["OneOf"].members["AddNoise"].on for d in waves])
        read = {
            name: logged(tmp_path, f"augment/{name}").get(last)
            for name in (
                "Gain_share",
                "Gain.gain_db_mean",
                "Gain.gain_db_min",
                "Gain.gain_db_max",
                "OneOf/AddNoise_share",
            )
        }
        assert read["Gain_share"] == pytest.approx(share)
        assert read["OneOf/AddNoise_share"] == pytest.approx(noisy)
        assert read["Gain.gain_db_mean"] == pytest.approx(gains.mean(), rel=1e-6)
        assert read["Gain.gain_db_min"] == pytest.approx(gains.min(), rel=1e-6)
        assert read["Gain.gain_db_max"] == pytest.approx(gains.max(), rel=1e-6)
    assert all(0 <= value <= 8 for value in logged(tmp_path, "augment/FrequencyMask.width_bins_max").values())
    assert set(logged(tmp_path, "augment/TimeMask_share").values()) == {1.0}
    names = next(tmp_path.rglob("metrics.csv")).read_text(encoding="utf-8").splitlines()[0]
    assert "clip" not in names and "offset" not in names  # numbers without a meaning


def test_achieved_snr_against_what_the_batches_hold(tree, tmp_path):
    noisy = sa.Compose([sa.AddNoise(bank=NOISE, snr_db=(0.0, 20.0), p=0.7)])
    ear = Ear()
    fit(tree, tmp_path, [ear, AugmentationLog()], policy=noisy, log_every_n_steps=6)
    measured = []
    for _, applied in ear.heard:
        for row in np.flatnonzero(applied.draws.members["AddNoise"].on):
            length = int(applied.lengths[row])
            x = applied.x[row, :length].double().numpy()
            added = applied.y[row, :length].double().numpy() - x
            measured.append(10 * np.log10((x**2).sum() / (added**2).sum()))
    assert 10 < len(measured) < 24
    for name, value in {"mean": np.mean(measured), "min": min(measured), "max": max(measured)}.items():
        assert logged(tmp_path, f"augment/AddNoise.achieved_snr_db_{name}")[5] == pytest.approx(value, abs=0.01)


def test_a_member_that_never_acts_has_a_share_and_no_mean(tree, tmp_path):
    never = sa.Compose([sa.Gain(p=0.0), sa.AddNoise(bank=NOISE, p=0.0), sa.Polarity(p=1.0)])
    fit(tree, tmp_path, [AugmentationLog()], policy=never)
    assert set(logged(tmp_path, "augment/Gain_share").values()) == {0.0}
    assert not logged(tmp_path, "augment/Gain.gain_db_mean")
    assert not logged(tmp_path, "augment/AddNoise.achieved_snr_db_mean")


def test_a_policy_of_one_transform_and_a_module_of_the_users_own(tree, tmp_path):
    noisy = sa.AddNoise(bank=NOISE, snr_db=(5.0, 5.0))
    callbacks = [AugmentationLog(), Augment(noisy, sample_rate=RATE)]
    _, model = fit(tree, tmp_path, callbacks, policy=None, accumulate_grad_batches=2, log_every_n_steps=1)
    reached = logged(tmp_path, "augment/AddNoise.achieved_snr_db_mean")
    assert reached == pytest.approx({0: 5.0, 1: 5.0, 2: 5.0}, abs=0.01)
    assert set(logged(tmp_path, "augment/AddNoise_share").values()) == {1.0}
    assert set(model.state_dict()) == set(recognizer().state_dict())


def test_time_is_that_of_augmentation_and_of_the_whole_step(tree, tmp_path, monkeypatch):
    """A clock that moves only where the test moves it."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow(method, seconds):
        def slower(*arguments, **options):
            clock[0] += seconds
            return method(*arguments, **options)

        return slower

    monkeypatch.setattr(sa.Compose, "sample", slow(sa.Compose.sample, 0.25))
    monkeypatch.setattr(sa.Compose, "run", slow(sa.Compose.run, 0.5))
    model = recognizer()
    monkeypatch.setattr(model, "training_step", slow(model.training_step, 1.25))
    monkeypatch.setattr(model, "validation_step", slow(model.validation_step, 100.0))
    validated = {"limit_val_batches": 1, "val_check_interval": 1}
    run = trainer(tmp_path, [AugmentationLog()], **validated)
    run.fit(model, datamodule=speech(tree, POLICY, val_takes=1))
    assert logged(tmp_path, "augment_ms") == pytest.approx({1: 750.0, 3: 750.0})
    assert logged(tmp_path, "augment_share") == pytest.approx({1: 0.375, 3: 0.375})


def test_the_audit_trail_replays(tree, tmp_path):
    ear, path = Ear(), tmp_path / "audit" / "draws.jsonl"
    callbacks = [AugmentationLog(str(path)), ear, SpectrogramAugment(MASKS), StrengthSchedule({0: 0.5, 6: 1.0})]
    fit(tree, tmp_path, callbacks, views=2, accumulate_grad_batches=2, max_epochs=2)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(ear.heard) == 24
    for line, (domain, applied) in zip(lines, ear.heard, strict=True):
        assert (line["domain"], line["ids"], line["epoch"]) == (domain, list(applied.ids), applied.epoch)
        policy = (POLICY if domain == "waveform" else MASKS).scaled(line["strength"])
        replayed = policy.replay(line["draws"])
        assert replayed == applied.draws
        y, _ = policy(applied.x, applied.lengths, replayed, sample_rate=RATE)
        assert torch.equal(y, applied.y)
        rng = sa.Rng.from_ids(seed=line["seed"], epoch=line["epoch"], ids=line["ids"], views=line["views"])
        assert policy.sample(rng if domain == "waveform" else rng.fork("SpectrogramAugment")) == applied.draws
    waves = [line for line in lines if line["domain"] == "waveform"]
    assert [line["batch"] for line in waves] == list(range(12))
    assert [line["step"] for line in waves] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [line["epoch"] for line in waves] == [0] * 6 + [1] * 6
    assert waves[0]["views"] == [0] * 4 + [1] * 4
    assert len({line["strength"] for line in waves}) == 6


def test_a_resumed_training_goes_on_with_the_trail(tree, tmp_path):
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    fit(tree, tmp_path / "a", [AugmentationLog(str(whole))], max_epochs=2)
    for step in (2, 6):
        kept = [AugmentationLog(str(part)), Save(tmp_path)]
        fit(tree, tmp_path / f"b{step}", kept, max_epochs=2, enable_checkpointing=True)  # a new file each time
        with part.open("a", encoding="utf-8") as file:
            file.write('{"batch": 13, "st')  # killed while writing
        fit(
            tree, tmp_path / f"c{step}", [AugmentationLog(str(part))], max_epochs=2, ckpt_path=tmp_path / f"{step}.ckpt"
        )
        assert part.read_text(encoding="utf-8") == whole.read_text(encoding="utf-8")


def test_training_is_the_same_with_and_without(tree, tmp_path):
    masks = SpectrogramAugment(MASKS)
    run, loud = fit(tree, tmp_path / "a", [AugmentationLog(str(tmp_path / "draws.jsonl")), masks])
    _, plain = fit(tree, tmp_path / "b", [SpectrogramAugment(MASKS)])
    assert all(torch.equal(a, b) for a, b in zip(loud.parameters(), plain.parameters(), strict=True))
    assert all(not augmenter.observers for augmenter in augmenters(run).values())


def test_no_logging_keeps_nothing(tree, tmp_path):
    callback = AugmentationLog()
    fit(tree, tmp_path, [callback], log_every_n_steps=0, logger=False)
    assert callback._interval._kept == {}


def test_nothing_to_log(tree, tmp_path):
    with pytest.raises(ValueError, match=r"AugmentationLog: the Trainer must augment, .* found none"):
        fit(tree, tmp_path, [AugmentationLog()], policy=None)


def test_an_error_closes_the_file(tree, tmp_path):
    class Fails(pl.Callback):
        def on_train_batch_end(self, *_):
            raise RuntimeError("user error")

    callback = AugmentationLog(str(tmp_path / "draws.jsonl"))
    with pytest.raises(RuntimeError, match="user error"):
        fit(tree, tmp_path, [callback, Fails()])
    assert callback._file is None
    assert len((tmp_path / "draws.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_from_yaml(tree, tmp_path, capsys):
    path = tmp_path / "Zeichnung ä.jsonl"
    callbacks = [{"class_path": "speechaug.callbacks.AugmentationLog", "init_args": {"path": str(path)}}]
    with pytest.raises(SystemExit):
        command_line(tmp_path, tree, callbacks, "print_config")
    printed = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    command_line(tmp_path, tree, printed)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4
    assert set(logged(tmp_path, "augment/Gain_share").values()) == {1.0}


def test_tensorboard(tree, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(tree, tmp_path, [AugmentationLog()], logger=TensorBoardLogger(tmp_path, name="", version=""))
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("augment/OneOf/AddNoise_share")] == [1, 3, 5]
    assert all(event.value > 0 for event in events.Scalars("augment_share"))
