"""RobustnessEvaluation in real Trainer runs: rates against jiwer and NumPy on utterances that are corrupted alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jiwer
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader
from trainings import RATE, recognizer, speech, trainer, write_tree

import speechaug as sa
from speechaug import audio
from speechaug.asr.classifier import SpeechClassifier
from speechaug.asr.text import normalise_text
from speechaug.callbacks import RobustnessEvaluation
from speechaug.robustness.evaluate import evaluate
from speechaug.robustness.render import render
from speechaug.robustness.suite import load_suite

runs = pytest.mark.global_rng

WORDS = ["one", "two"]
FAN = sa.Bank.from_arrays([np.random.default_rng(5).standard_normal(9_000)], sample_rate=RATE, names=["fan"])
HALL = sa.Bank.from_arrays([np.exp(-np.arange(400) / 60)], sample_rate=RATE, names=["hall"])
CONDITIONS = {"loud": sa.AddNoise(bank=FAN, snr_db=(-10.0, 5.0)), "fast": sa.Speed(factor=(0.5, 2.0)), "clean": None}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"))


def validating(**options):
    return {"limit_val_batches": 1.0, **options}


def guess(x):
    """Hear a sequence of words in samples, whatever was said: any difference in the audio shows."""
    spectrum = np.abs(np.fft.rfft(x, 4_096))
    said = [WORDS[int(part.sum() / 7) % 2] for part in np.array_split(spectrum, 5)]
    return " ".join([*said[: int(np.abs(x).sum() / 9) % 5], "THREE"])


class Mine(pl.LightningModule):
    """A recognizer as a user writes it: what it hears is a function of the samples; it has statistics and dropout."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.BatchNorm1d(1), torch.nn.Dropout(0.5), torch.nn.Conv1d(1, 1, 3))
        self.heard_in = []

    def training_step(self, batch, batch_idx):
        return self.layers(batch["waveform"][:, None]).square().mean()

    def validation_step(self, batch, batch_idx):
        batch["waveform"] = batch["waveform"] * 100  # whoever comes later must not see this

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def transcribe_batch(self, batch):
        self.heard_in.append((self.training, torch.is_grad_enabled()))
        self.layers(batch["waveform"][:, None])
        np.random.standard_normal(3), torch.randn(3)  # noqa: NPY002  a careless one draws from the global states
        return [
            guess(x[:n].numpy().astype(np.float64)) for x, n in zip(batch["waveform"], batch["lengths"], strict=True)
        ]


def expected_rates(tree, ids, hear, conditions=CONDITIONS):
    """Corrupt each recording by itself, and let jiwer count."""
    rates = {}
    for condition, policy in conditions.items():
        references, hypotheses = [], []
        for name in ids:
            x, lengths = torch.from_numpy(audio.read(tree / f"{name}.wav")[0]), None
            if policy is not None:
                draws = policy.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=[name]))
                x, lengths = policy(x, lengths, draws, sample_rate=RATE)
                x = x[:, : lengths[0]]
            references.append(name.partition("_")[0])
            hypotheses.append(normalise_text(hear(x[0])))
        rates[condition] = jiwer.wer(references, hypotheses)
    noisy = [rate for name, rate in rates.items() if conditions[name] is not None]
    return {**rates, "mean_noisy": sum(noisy) / len(noisy)}


def metrics(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if row.get("val_wer/mean_noisy")]


@runs
@pytest.mark.parametrize("setting", [{"batch_size": 1}, {"batch_size": 5}, {"batch_size": 4, "num_workers": 2}])
def test_rates_are_those_of_each_utterance_alone(tree, tmp_path, setting):
    data = speech(tree, sa.Gain(), val_takes=2, **setting)
    run = trainer(tmp_path, [RobustnessEvaluation(CONDITIONS, sample_rate=RATE)], **validating())
    run.fit(Mine(), datamodule=data)
    expected = expected_rates(tree, [u.id for u in data.val_utterances], lambda x: guess(x.numpy().astype(np.float64)))
    assert len({expected[name] for name in CONDITIONS}) == 3, "the conditions must differ for this to tell anything"
    for name, rate in expected.items():
        assert float(run.callback_metrics[f"val_wer/{name}"]) == pytest.approx(rate, rel=1e-6)


@runs
def test_speech_recognizer(tree, tmp_path):
    data = speech(tree, val_takes=3)
    model, evaluation = recognizer(), RobustnessEvaluation(noise=FAN, rooms=HALL, sample_rate=RATE)
    with torch.no_grad():
        model.model.head.bias[0] -= 2.0  # fewer blanks, so that an untrained one says something
    run = trainer(tmp_path, [evaluation], **validating())
    run.validate(model, datamodule=data, verbose=False)
    conditions = {"noise_20db": 20.0, "noise_10db": 10.0, "noise_5db": 5.0, "noise_0db": 0.0}
    policies = {name: sa.AddNoise(bank=FAN, snr_db=(snr, snr)) for name, snr in conditions.items()}
    policies["room"] = sa.Reverb(bank=HALL)
    assert evaluation.conditions == policies

    def hear(x):
        return model.transcribe([x.numpy()], RATE)[0]

    expected = expected_rates(tree, [u.id for u in data.val_utterances], hear, policies)
    logged = {name.removeprefix("val_wer/"): float(value) for name, value in run.callback_metrics.items()}
    assert {name: logged[name] for name in expected} == pytest.approx(expected)
    assert {"val_wer", "val_loss"} == set(logged) - set(expected)


@runs
def test_classifier_logs_accuracy(tree, tmp_path):
    data = speech(tree, val_takes=3)
    pl.seed_everything(1, verbose=False)
    model = SpeechClassifier(["ONE", "two"], size="xs", sample_rate=RATE)
    conditions = {"clean": None, "loud": CONDITIONS["loud"], "soft": sa.Gain(gain_db=(-20.0, -20.0))}
    run = trainer(tmp_path, [RobustnessEvaluation(conditions, sample_rate=RATE)], **validating())
    run.validate(model, datamodule=data, verbose=False)
    right = {name: [] for name in conditions}
    for said in data.val_utterances:
        x = torch.from_numpy(audio.read(tree / f"{said.id}.wav")[0])
        for name, policy in conditions.items():
            y = x
            if policy is not None:
                y, _ = policy(x, None, policy.sample(sa.Rng.from_ids(seed=0, epoch=0, ids=[said.id])), sample_rate=RATE)
            ((heard, _),) = model.classify([y[0].numpy()], RATE)
            right[name].append(heard.lower() == said.text)
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    for name, hits in right.items():
        assert logged[f"val_accuracy/{name}"] == pytest.approx(np.mean(hits))
    noisy = (np.mean(right["loud"]) + np.mean(right["soft"])) / 2
    assert logged["val_accuracy/mean_noisy"] == pytest.approx(noisy)
    assert logged["val_accuracy/clean"] == pytest.approx(logged["val_accuracy"])


class Improving(Mine):
    """Hears everything, but in the second validation of a noise."""

    def __init__(self, wrong=(2,)):
        super().__init__()
        self.wrong, self.validations = wrong, 0

    def on_validation_epoch_start(self):
        self.validations += not self.trainer.sanity_checking

    def transcribe_batch(self, batch):
        self.heard_in.append((self.training, torch.is_grad_enabled()))
        assert not self.trainer.sanity_checking
        return ["nothing" if self.validations in self.wrong else text for text in batch["text"]]


NOISY = {"loud": CONDITIONS["loud"]}


@runs
def test_checkpoints_and_early_stopping_look_at_it(tree, tmp_path):
    keep = ModelCheckpoint(tmp_path, "{epoch}", monitor="val_wer/mean_noisy", save_top_k=1)
    stop = EarlyStopping("val_wer/mean_noisy", patience=2)
    evaluation = RobustnessEvaluation(NOISY, sample_rate=RATE)
    arguments = validating(max_epochs=9, enable_checkpointing=True, num_sanity_val_steps=2)
    run = trainer(tmp_path / "log", [evaluation, keep, stop], **arguments)
    run.fit(Improving(wrong=(1, 3, 4)), datamodule=speech(tree, sa.Gain(), val_takes=1))
    assert [(int(row["epoch"]), float(row["val_wer/loud"])) for row in metrics(tmp_path / "log")] == [
        (0, 1.0),
        (1, 0.0),
        (2, 1.0),
        (3, 1.0),
    ]
    assert Path(keep.best_model_path).name == "epoch=1.ckpt" and float(keep.best_model_score) == 0.0
    assert stop.stopped_epoch == 3 and run.current_epoch == 4
    assert evaluation.state_dict() == {"validations": 4}
    saved = torch.load(keep.best_model_path, weights_only=True)
    assert {"validations": 2} in saved["callbacks"].values()


@runs
@pytest.mark.parametrize(
    ("arguments", "every", "steps"),
    [
        ({"val_check_interval": 2, "check_val_every_n_epoch": None, "max_steps": 9, "max_epochs": -1}, 1, [1, 3, 5, 7]),
        ({"check_val_every_n_epoch": 2, "max_epochs": 4}, 1, [9, 19]),
        ({"val_check_interval": 0.5, "max_epochs": 2, "accumulate_grad_batches": 2}, 2, [0, 3]),
    ],
)
def test_logged_at_the_steps_of_the_validation(tree, tmp_path, arguments, every, steps):
    evaluation = RobustnessEvaluation(NOISY, sample_rate=RATE, every_n_validations=every)
    run = trainer(tmp_path, [evaluation], **validating(**arguments))
    data = speech(tree, sa.Gain(), val_takes=1)  # five batches of four
    run.fit(Improving(), datamodule=data)
    assert [int(row["step"]) for row in metrics(tmp_path)] == steps


@runs
def test_training_does_not_notice(tree, tmp_path):
    states, heard = [], []
    for name, callbacks in {"without": [], "with": [RobustnessEvaluation(CONDITIONS, sample_rate=RATE)]}.items():
        pl.seed_everything(3, verbose=False)
        model = Mine()
        model.layers[0].momentum = 0.5
        arguments = validating(max_epochs=3, num_sanity_val_steps=2)
        run = trainer(tmp_path / name, callbacks, **arguments)
        run.fit(model, datamodule=speech(tree, sa.Gain(), val_takes=1))
        states.append({**model.state_dict(), "rng": torch.get_rng_state()})
        heard = model.heard_in
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert heard == [(False, False)] * (3 * 3)  # three conditions of one batch at three validations, none at the check


@runs
def test_counting_goes_on_after_a_resume(tree, tmp_path):
    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    arguments = {"enable_checkpointing": True, **validating(max_epochs=3)}
    for folder, epochs, ckpt in (("first", 2, None), ("second", 5, tmp_path / "epoch=1.ckpt")):
        evaluation = RobustnessEvaluation(NOISY, sample_rate=RATE, every_n_validations=3)
        run = trainer(tmp_path / folder, [evaluation, keep], **{**arguments, "max_epochs": epochs})
        run.fit(Improving(), datamodule=speech(tree, sa.Gain(), val_takes=1), ckpt_path=ckpt)
    assert [int(row["epoch"]) for row in metrics(tmp_path / "first")] == [0]
    assert [int(row["epoch"]) for row in metrics(tmp_path / "second")] == [3]


def plain_rows(tree, names):
    rows = []
    for name in names:
        x = torch.from_numpy(audio.read(tree / f"{name}.wav")[0][0])
        rows.append({"audio": x[None], "words": name.partition("_")[0].upper(), "name": name})
    return rows


class WithOtherKeys(Mine):
    """A user's module with a loader, keys and channels of its own, and no lengths."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def training_step(self, batch, batch_idx):
        return self.layers(batch["audio"]).square().mean()

    def transcribe_batch(self, batch):
        return [guess(x[0].numpy().astype(np.float64)) for x in batch["audio"]]


KEYS = {"waveform_key": "audio", "lengths_key": None, "text_key": "words", "id_key": "name", "sample_rate": RATE}


@runs
def test_own_keys_and_two_loaders(tree, tmp_path):
    names = ["one_ann_1", "two_ben_3", "two_ann_3"]
    loaders = [DataLoader(plain_rows(tree, part), batch_size=1) for part in (names[:2], names[2:])]
    conditions = {"loud": CONDITIONS["loud"], "clean": None}
    run = trainer(tmp_path, [RobustnessEvaluation(conditions, **KEYS)], **validating())
    run.validate(WithOtherKeys(), loaders, verbose=False)
    expected = expected_rates(tree, names, lambda x: guess(x.numpy().astype(np.float64)), conditions)
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    assert logged == pytest.approx({f"val_wer/{name}": rate for name, rate in expected.items()})


class Telling(WithOtherKeys):
    """Writes down what each rank has logged."""

    def on_validation_end(self):
        known = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        (Path(self.trainer.default_root_dir) / f"rank_{self.global_rank}.json").write_text(json.dumps(known))


@runs
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using `DistributedSampler` with the dataloaders")
def test_two_processes_count_each_utterance_once(tree, tmp_path):
    """Five utterances on two ranks: Lightning's sampler gives one of them to both."""
    names = ["one_ann_0", "two_ben_3", "two_ann_5", "one_ben_2", "one_ann_4"]
    told = {}
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        place = {"devices": ranks, "strategy": "ddp_spawn"} if ranks == 2 else {}
        evaluation = RobustnessEvaluation({"loud": CONDITIONS["loud"]}, **KEYS)
        run = trainer(folder, [evaluation], logger=False, default_root_dir=folder, **validating(**place))
        run.validate(Telling(), DataLoader(plain_rows(tree, names), batch_size=1), verbose=False)
        told[ranks] = [json.loads(file.read_text()) for file in sorted(folder.glob("rank_*.json"))]
    assert len(told[2]) == 2
    assert told[1][0] == told[2][0] == told[2][1]
    expected = expected_rates(tree, names, lambda x: guess(x.numpy().astype(np.float64)), {"loud": CONDITIONS["loud"]})
    assert told[1][0]["val_wer/loud"] == pytest.approx(expected["loud"])


@runs
def test_the_suite_is_that_of_evaluate(tree, tmp_path):
    """What is logged in a validation are the rates of an evaluation of the same utterances."""
    names = ["white:3", "telephone:3", "white:5"]
    data = speech(tree, val_takes=3, batch_size=5)
    model = recognizer()
    with torch.no_grad():
        model.model.head.bias[0] -= 2.0
    evaluation = RobustnessEvaluation(suite=names, sample_rate=RATE)
    run = trainer(tmp_path, [evaluation], **validating())
    run.validate(model, datamodule=data, verbose=False)
    expected = {}
    heard = evaluate(model, data.val_utterances, suite=names, normaliser="text").records
    for name in names:
        rows = [record for record in heard if record["condition"] == name]
        expected[name] = jiwer.wer([r["reference"] for r in rows], [r["hypothesis"] for r in rows])
    assert list(evaluation.conditions) == names and len(set(expected.values())) > 1
    logged = {name.removeprefix("val_wer/"): float(value) for name, value in run.callback_metrics.items()}
    assert {name: logged[name] for name in names} == pytest.approx(expected)
    assert logged["mean_noisy"] == pytest.approx(np.mean(list(expected.values())))


@runs
def test_the_suite_with_own_keys(tree, tmp_path):
    heard = []

    class Hears(WithOtherKeys):
        def transcribe_batch(self, batch):
            heard.extend(batch["audio"].numpy())
            return [""] * len(batch["audio"])

    run = trainer(tmp_path, [RobustnessEvaluation(suite=["white:3"], **KEYS)], **validating())
    run.validate(Hears(), DataLoader(plain_rows(tree, ["one_ann_1"]), batch_size=1), verbose=False)
    condition = load_suite("tiny", sample_rate=RATE)["white:3"]
    samples = audio.read(tree / "one_ann_1.wav")[0][0]
    assert np.array_equal(heard[0], render(condition, samples, RATE, id="one_ann_1").samples[None])
    rows = [{"audio": torch.zeros(2, 900), "words": "ONE", "name": "a"}]
    with pytest.raises(ValueError, match=r"audio must have one channel with a suite, got \(1, 2, 900\)"):
        run.validate(Hears(), DataLoader(rows, batch_size=1), verbose=False)


# What is refused


class Deaf(pl.LightningModule):
    """Cannot transcribe."""

    def validation_step(self, batch, batch_idx):
        pass


@runs
def test_a_module_must_offer_transcribe_batch(tree, tmp_path):
    run = trainer(tmp_path, [RobustnessEvaluation(NOISY, sample_rate=RATE)], **validating())
    with pytest.raises(ValueError, match=r"must offer transcribe_batch\(batch\) -> list\[str\].*got Deaf without"):
        run.validate(Deaf(), datamodule=speech(tree, val_takes=1))


@runs
def test_a_text_for_each_row_and_all_keys(tree, tmp_path):
    class Silent(Mine):
        def transcribe_batch(self, batch):
            return []

    run = trainer(tmp_path, [RobustnessEvaluation(NOISY, sample_rate=RATE)], **validating())
    with pytest.raises(ValueError, match="transcribe_batch must return a text per row, 4, got 0"):
        run.validate(Silent(), datamodule=speech(tree, val_takes=1))
    run = trainer(tmp_path, [RobustnessEvaluation(NOISY, sample_rate=RATE, text_key="words")], **validating())
    with pytest.raises(ValueError, match="batch must be a dictionary with the key 'words', got "):
        run.validate(Mine(), datamodule=speech(tree, val_takes=1))


@runs
def test_clips_that_training_uses_are_refused(tree, tmp_path):
    same = sa.Bank.from_arrays([np.random.default_rng(5).standard_normal(9_000)], sample_rate=RATE, names=["other"])
    data = speech(tree, sa.AddNoise(bank=same), val_takes=1)
    run = trainer(tmp_path, [RobustnessEvaluation(NOISY, sample_rate=RATE)], **validating(max_steps=1))
    with pytest.raises(ValueError, match=r"leak: 1 clips are in banks of both sides .* other = fan"):
        run.fit(Mine(), datamodule=data)


@runs
def test_clips_of_the_test_are_told(tree, tmp_path):
    audio.write(tmp_path / "test" / "one_cem_0.wav", 0.1 * np.random.default_rng(9).standard_normal(900), RATE)
    test = {"test": str(tmp_path / "test"), "test_conditions": {"noisy": NOISY["loud"]}}
    data = speech(tree, sa.Gain(), val_takes=1, **test)
    run = trainer(tmp_path / "log", [RobustnessEvaluation(NOISY, sample_rate=RATE)], **validating(max_steps=1))
    with pytest.warns(UserWarning, match="1 clips are in the test conditions too"):
        run.fit(Mine(), datamodule=data)


@runs
def test_what_can_be_known_before_the_first_batch(tree, tmp_path):
    cases = [
        (RobustnessEvaluation(NOISY, sample_rate=RATE), {}, {}, "there must be something to validate on"),
        (
            RobustnessEvaluation(NOISY, sample_rate=RATE),
            {"val_takes": 1},
            {"limit_val_batches": 0},
            "limit_val_batches must not be 0",
        ),
        (
            RobustnessEvaluation(noise="absent/", sample_rate=RATE),
            {"val_takes": 1},
            {},
            "folder must be an existing folder, got 'absent/'",
        ),
        (
            RobustnessEvaluation({"soft": sa.Gain()}, sample_rate=16_000),
            {"val_takes": 1},
            {},
            "sample_rate must be that of the DataModule, 8000 Hz, got 16000 Hz",
        ),
    ]
    for callback, arguments, options, message in cases:
        run = trainer(tmp_path, [callback], **validating(max_steps=1, **options))
        with pytest.raises(ValueError, match=message):
            run.fit(Mine(), datamodule=speech(tree, sa.Gain(), **arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "noise, rooms or conditions that are not clean must be given, got none"),
        ({"conditions": {"clean": None}}, "noise, rooms or conditions that are not clean must be given"),
        ({"conditions": {}}, "RobustnessEvaluation: conditions must hold at least one"),
        ({"conditions": NOISY, "noise": FAN}, "conditions must be None with noise or rooms"),
        ({"conditions": NOISY, "suite": "tiny"}, "conditions must be None with a suite, which has its own"),
        ({"suite": "huge"}, "subset must be tiny, standard, full or srb, got 'huge'"),
        ({"suite": ["clean"]}, "noise, rooms or conditions that are not clean must be given"),
        ({"conditions": {"mean_noisy": sa.Gain()}}, "conditions must not be named 'mean_noisy'"),
        ({"conditions": {"far": "absent.yaml"}}, "RobustnessEvaluation: conditions.far must be none, small_sample or"),
        ({"conditions": {"masked": sa.presets.specaugment("LD")}}, "conditions.masked must act on waveforms"),
        ({"noise": FAN, "sample_rate": 16_000}, "RobustnessEvaluation: a bank must have the sample_rate 16000"),
        ({"noise": FAN, "every_n_validations": 0}, "every_n_validations must be >= 1, got 0"),
        ({"conditions": {"fast": sa.Speed()}, "lengths_key": None}, "lengths_key must be given, since 'fast' changes"),
    ],
)
def test_bad_configuration(arguments, message):
    with pytest.raises(ValueError, match=message):
        RobustnessEvaluation(**{"sample_rate": RATE, **arguments})


def test_conditions_from_a_file(tmp_path):
    sa.save_policy(sa.Gain(gain_db=(-3.0, -3.0)), tmp_path / "soft.yaml")
    evaluation = RobustnessEvaluation({"soft": str(tmp_path / "soft.yaml")}, sample_rate=RATE)
    assert evaluation.conditions == {"soft": sa.Gain(gain_db=(-3.0, -3.0))}
