"""StrengthSchedule in real Trainer runs: the strength of each batch, what is logged, what a checkpoint brings back."""

from __future__ import annotations

from itertools import pairwise

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from trainings import Save, command_line, logged, recognizer, speech, trainer, write_tree

import speechaug as sa
from speechaug.augmenter import augmenters
from speechaug.callbacks import Augment, SpectrogramAugment, StrengthSchedule

pytestmark = pytest.mark.global_rng

POLICY = sa.Compose([sa.Gain(gain_db=(-12.0, 12.0)), sa.AddColoredNoise(snr_db=(0.0, 10.0), p=0.5)])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"))


class Strengths(pl.Callback):
    """Hears the strength that every batch was augmented with."""

    def __init__(self):
        self.heard = []

    def on_train_start(self, trainer, pl_module):
        for augmenter in augmenters(trainer).values():
            augmenter.observers.append(self)

    def began(self, augmenter):
        pass

    def done(self, augmenter, applied):
        self.heard.append((augmenter.policy.domain, augmenter.strength))


def fit(tree, folder, schedules, *, policy=POLICY, callbacks=(), ckpt_path=None, views=1, **arguments):
    strengths = Strengths()
    run = trainer(folder, [*schedules, strengths, *callbacks], **arguments)
    model = recognizer(dropout=0.0)  # its random state is not in a checkpoint
    run.fit(model, datamodule=speech(tree, policy, views=views), ckpt_path=ckpt_path)
    return run, model, strengths.heard


def test_piecewise_linear_and_cosine():
    points = {10: 0.5, 0: 0.0, 30: 2.0, 40: 1.0}
    linear, cosine = StrengthSchedule(points), StrengthSchedule(points, shape="cosine")
    steps = np.arange(50)
    knots = sorted(points)
    expected = np.interp(steps, knots, [points[knot] for knot in knots])
    np.testing.assert_allclose([linear.at(step) for step in steps], expected, rtol=1e-12)
    for low, high in pairwise(knots):
        for step in range(low, high + 1):
            way = 0.5 - 0.5 * np.cos(np.pi * (step - low) / (high - low))
            assert cosine.at(step) == pytest.approx(points[low] + way * (points[high] - points[low]))
    assert {StrengthSchedule({5: 0.3}).at(step) for step in (0, 5, 9)} == {0.3}


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({}, "be a dictionary of strengths by step or epoch, got {}"),
        ([0.0, 1.0], "be a dictionary of strengths"),
        ({-1: 0.0}, "whole numbers >= 0 as keys, got -1"),
        ({0.5: 0.0}, "whole numbers >= 0 as keys, got 0.5"),
        ({0: -0.1}, "finite strengths >= 0, got -0.1"),
        ({0: float("nan")}, "finite strengths >= 0, got nan"),
        ({0: float("inf")}, "finite strengths >= 0, got inf"),
        ({0: "1"}, "finite strengths >= 0, got '1'"),
    ],
)
def test_bad_points(points, message):
    with pytest.raises(ValueError, match=f"StrengthSchedule: points must .*{message}"):
        StrengthSchedule(points)


@pytest.mark.parametrize("option", [{"unit": "batch"}, {"shape": "square"}, {"domain": "image"}])
def test_bad_options(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"StrengthSchedule: {name} must be one of"):
        StrengthSchedule({0: 1.0}, **option)


def test_every_batch_has_the_strength_of_its_step(tree, tmp_path):
    schedule = StrengthSchedule({0: 0.0, 5: 1.0, 8: 0.4})
    masks = SpectrogramAugment(sa.presets.specaugment("small"))
    run, model, heard = fit(tree, tmp_path, [schedule], callbacks=[masks], max_epochs=2)
    expected = np.interp(np.arange(12), [0, 5, 8], [0.0, 1.0, 0.4])
    for domain in ("waveform", "spectrogram"):
        np.testing.assert_allclose([s for d, s in heard if d == domain], expected, rtol=1e-12)
    at = logged(tmp_path, "augment_strength")
    assert set(at) == {1, 3, 5, 7, 9, 11}
    assert [at[step] for step in sorted(at)] == pytest.approx(expected[1::2])
    assert all(augmenter.strength == 1.0 for augmenter in augmenters(run).values())
    assert set(model.state_dict()) == set(recognizer().state_dict())


def test_batches_of_one_step_share_a_strength(tree, tmp_path):
    _, _, heard = fit(tree, tmp_path, [StrengthSchedule({0: 0.0, 3: 0.9})], accumulate_grad_batches=2, views=2)
    assert [strength for _, strength in heard] == pytest.approx([0.0, 0.0, 0.3, 0.3, 0.6, 0.6])


def test_by_epoch_in_a_module_of_the_users_own(tree, tmp_path):
    augment = Augment(POLICY, sample_rate=8_000)
    schedule = StrengthSchedule({0: 0.2, 2: 1.2}, unit="epoch")
    _, _, heard = fit(tree, tmp_path, [augment, schedule], policy=None, max_epochs=4)
    assert [strength for _, strength in heard] == pytest.approx(np.repeat([0.2, 0.7, 1.2, 1.2], 6))
    assert augment.augmenter.strength == 1.0


def test_strength_zero_is_no_augmentation(tree, tmp_path):
    _, without, _ = fit(tree, tmp_path / "a", [], policy=None)
    _, silent, _ = fit(tree, tmp_path / "b", [StrengthSchedule({0: 0.0})])
    _, loud, _ = fit(tree, tmp_path / "c", [])
    same = [torch.equal(a, b) for a, b in zip(without.parameters(), silent.parameters(), strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(without.parameters(), loud.parameters(), strict=True))


def test_two_domains_two_schedules(tree, tmp_path):
    schedules = [
        StrengthSchedule({0: 0.5}, domain="waveform"),
        StrengthSchedule({0: 0.0, 6: 1.0}, domain="spectrogram"),
    ]
    masks = SpectrogramAugment(sa.presets.specaugment("small"))
    _, _, heard = fit(tree, tmp_path, schedules, callbacks=[masks])
    assert {strength for domain, strength in heard if domain == "waveform"} == {0.5}
    assert [s for domain, s in heard if domain == "spectrogram"] == pytest.approx(np.arange(6) / 6)
    assert set(logged(tmp_path, "augment_strength/waveform").values()) == {0.5}
    assert len(logged(tmp_path, "augment_strength/spectrogram")) == 3


@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_a_resumed_training_goes_on_bit_for_bit(tree, tmp_path, unit):
    def schedule():
        return StrengthSchedule({0: 0.0, 9: 1.0} if unit == "step" else {0: 0.2, 2: 1.0}, unit=unit)

    both = {"max_epochs": 2, "enable_checkpointing": True}
    _, whole, heard = fit(tree, tmp_path / "whole", [schedule()], callbacks=[Save(tmp_path)], **both)
    for step in (4, 6, 8):  # inside an epoch, between two, inside the next
        _, rest, again = fit(
            tree, tmp_path / f"{step}", [schedule()], ckpt_path=tmp_path / f"{step}.ckpt", max_epochs=2
        )
        assert again == heard[step:]
        for name, value in whole.state_dict().items():
            assert torch.equal(value, rest.state_dict()[name]), name
    state = torch.load(tmp_path / "4.ckpt", weights_only=True)["callbacks"]
    (saved,) = [value for key, value in state.items() if "StrengthSchedule" in key]
    assert saved["strength"] == heard[4][1]


def test_by_epoch_after_max_steps_ended_within_one(tree, tmp_path):
    def schedule():
        return StrengthSchedule({0: 0.0, 4: 1.0}, unit="epoch")

    first, _, heard = fit(tree, tmp_path / "first", [schedule()], max_steps=8, max_epochs=9)
    first.save_checkpoint(tmp_path / "ended.ckpt")  # Lightning takes the epoch for done, the data do not
    ended = {"max_steps": 14, "max_epochs": 9, "ckpt_path": tmp_path / "ended.ckpt"}
    _, _, rest = fit(tree, tmp_path / "rest", [schedule()], **ended)
    assert [strength for _, strength in heard + rest] == [0.25 * (step // 6) for step in range(14)]


def test_another_schedule_than_the_checkpoints_is_said(tree, tmp_path):
    fit(tree, tmp_path, [StrengthSchedule({0: 0.0, 9: 1.0})], callbacks=[Save(tmp_path)], enable_checkpointing=True)
    with pytest.warns(UserWarning, match=r"was trained with \{0: 0.0, 9: 1.0\} by step .* goes on with \{0: 1.0\}"):
        fit(tree, tmp_path / "b", [StrengthSchedule({0: 1.0})], ckpt_path=tmp_path / "2.ckpt")


def test_an_error_leaves_the_policy_as_it_was(tree, tmp_path):
    class Fails(pl.Callback):
        def on_train_batch_end(self, *_):
            raise RuntimeError("user error")

    augment = Augment(POLICY, sample_rate=8_000)
    with pytest.raises(RuntimeError, match="user error"):
        fit(tree, tmp_path, [augment, StrengthSchedule({0: 0.5})], policy=None, callbacks=[Fails()])
    assert augment.augmenter.strength == 1.0


def test_nothing_to_schedule_or_too_many_schedules(tree, tmp_path):
    one = StrengthSchedule({0: 0.5})
    with pytest.raises(ValueError, match=r"Trainer must augment \(domain 'both'\) .*, got none"):
        fit(tree, tmp_path, [one], policy=None)
    with pytest.raises(ValueError, match=r"domain 'spectrogram'\) .*, got \['waveform'\]"):
        fit(tree, tmp_path, [StrengthSchedule({0: 0.5}, domain="spectrogram")])
    with pytest.raises(ValueError, match=r"at most one, got schedules of \['both', 'waveform'\]"):
        fit(tree, tmp_path, [one, StrengthSchedule({0: 0.5}, domain="waveform")])
    with pytest.raises(RuntimeError, match="more than one stateful callback of type `StrengthSchedule`"):
        fit(tree, tmp_path, [one, StrengthSchedule({0: 0.7})])  # Lightning's own check comes first


def test_from_yaml(tree, tmp_path, capsys):
    init_args = {"points": {0: 0.0, 4: 1.0}, "shape": "cosine"}
    callbacks = [{"class_path": "speechaug.callbacks.StrengthSchedule", "init_args": init_args}]
    with pytest.raises(SystemExit):
        command_line(tmp_path, tree, callbacks, "print_config")
    printed = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    ran = command_line(tmp_path, tree, printed)
    (schedule,) = [each for each in ran.trainer.callbacks if isinstance(each, StrengthSchedule)]
    assert (schedule.points, schedule.shape, schedule.unit) == ({0: 0.0, 4: 1.0}, "cosine", "step")
    assert logged(tmp_path, "augment_strength")[3] == pytest.approx(0.5 - 0.5 * np.cos(np.pi * 3 / 4))


def test_tensorboard(tree, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(tree, tmp_path, [StrengthSchedule({0: 0.0, 4: 1.0})], logger=TensorBoardLogger(tmp_path, name="", version=""))
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.value for event in events.Scalars("augment_strength")] == pytest.approx([0.25, 0.75, 1.0])
