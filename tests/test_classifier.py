"""The keyword classifier: counts against torchmetrics, the picture as drawn, training and use on synthetic voices."""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import speechaug as sa
from speechaug import audio
from speechaug.asr import Conformer, QuartzNet
from speechaug.asr.classifier import SpeechClassifier
from speechaug.asr.model import MaskedBatchNorm
from speechaug.callbacks import Augment, SpectrogramAugment
from speechaug.robustness import Evaluation
from speechaug.robustness.classification import Confusion, count_confusion, plot_confusion, print_classes

pytestmark = pytest.mark.global_rng  # weights are initialised and units dropped by torch's global generator

Batch = dict[str, Any]
RATE = 8_000
WORDS = ["eight", "one", "six", "three"]
FIXTURES = Path(sa.__file__).parent / "fixtures"

# Counts


def random_labels(classes: int, count: int, seed: int, right: float = 0.6) -> tuple[list[str], list[str], list[str]]:
    """Return labels, references without the last class, and hypotheses without the first."""
    rng = np.random.default_rng(seed)
    labels = [f"word {i}" for i in range(classes)]
    said = rng.integers(0, classes - 1, count)
    heard = np.where(rng.random(count) < right, said, rng.integers(0, classes, count))
    heard = np.where(heard == 0, 1, heard)
    return labels, [labels[i] for i in said], [labels[i] for i in heard]


@pytest.mark.parametrize(("classes", "count"), [(2, 30), (3, 1), (10, 200), (35, 400)])
def test_scores_are_those_of_torchmetrics(classes: int, count: int) -> None:
    from torchmetrics.functional import classification as oracle

    labels, said, heard = random_labels(classes, count, seed=classes)
    confusion = count_confusion(labels, said, heard)
    target, preds = (torch.tensor([labels.index(name) for name in names]) for names in (said, heard))
    assert confusion.matrix.tolist() == oracle.multiclass_confusion_matrix(preds, target, classes).tolist()
    for name in ("precision", "recall", "f1"):
        score = getattr(oracle, f"multiclass_{name}_score" if name == "f1" else f"multiclass_{name}")
        expected = score(preds, target, classes, average=None)
        ours = torch.tensor([getattr(each, name) for each in confusion.scores.values()])
        torch.testing.assert_close(ours, expected)
    accuracy = oracle.multiclass_accuracy(preds, target, classes, average="micro")
    assert confusion.accuracy == pytest.approx(float(accuracy))
    macro = oracle.multiclass_f1_score(preds, target, classes, average="macro")
    assert confusion.macro_f1 == pytest.approx(float(macro))


def test_scores_by_hand() -> None:
    said = ["a"] * 4 + ["b"] * 2 + ["c"]
    heard = ["a", "a", "a", "b", "b", "a", "b"]
    confusion = count_confusion(["a", "b", "c", "d"], said, heard)
    assert confusion.counts == ((3, 1, 0, 0), (1, 1, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0))
    a, b, c, d = confusion.scores.values()
    assert (a.precision, a.recall, a.f1, a.support, a.predicted) == (3 / 4, 3 / 4, 3 / 4, 4, 4)
    assert (b.precision, b.recall, b.f1, b.support, b.predicted) == (1 / 3, 1 / 2, 2 / 5, 2, 3)
    assert (c.precision, c.recall, c.f1, c.support, c.predicted) == (0, 0, 0, 1, 0)  # never predicted
    assert (d.precision, d.recall, d.f1, d.support, d.predicted) == (0, 0, 0, 0, 0)  # does not occur: not averaged
    assert confusion.accuracy == 4 / 7
    assert confusion.macro_f1 == pytest.approx((3 / 4 + 2 / 5 + 0) / 3)
    assert json.loads(json.dumps(confusion.to_dict()))["classes"]["b"]["recall"] == 0.5


def test_parts_add_up_and_nothing_is_zero() -> None:
    labels, said, heard = random_labels(5, 60, seed=1)
    parts = [count_confusion(labels, said[i : i + 7], heard[i : i + 7]) for i in range(0, 60, 7)]
    nothing = count_confusion(labels, [], [])
    assert sum(parts, start=nothing) == count_confusion(labels, said, heard)
    assert nothing.accuracy == nothing.macro_f1 == nothing.total == 0


@pytest.mark.parametrize(("labels", "counts"), [
    (("a", "a"), ((0, 0), (0, 0))), (("a", "b"), ((0, 0),)), (("a", "b"), ((0, 0), (0,))), (("a",), ((-1,),)),
    (("a",), ((0.5,),)),
])  # fmt: skip
def test_bad_counts(labels: tuple[str, ...], counts: Any) -> None:
    with pytest.raises(ValueError, match=r"Confusion: (labels|counts) must be"):
        Confusion(labels, counts)


def test_strange_classes_and_unequal_lists_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must hold every class, got \['c'\]"):
        count_confusion(["a", "b"], ["a"], ["c"])
    with pytest.raises(ValueError, match="as many as references, 2, got 1"):
        count_confusion(["a", "b"], ["a", "b"], ["a"])
    with pytest.raises(ValueError, match="to be added"):
        _ = count_confusion(["a"], [], []) + count_confusion(["b"], [], [])


def test_table_shows_every_class() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100)
    confusion = count_confusion(["[red]", "füf"], ["[red]", "füf", "füf"], ["[red]", "[red]", "füf"])
    print_classes({"clean": confusion}, console=console)
    page = console.file.getvalue()  # type: ignore[attr-defined]
    assert "clean: accuracy 66.7%, macro F1 66.7%, 3 utterances" in page
    lines = {line.split()[0]: line.split()[1:] for line in page.splitlines() if line.strip()}
    assert lines["[red]"] == ["50.0", "100.0", "66.7", "1"]
    assert lines["füf"] == ["100.0", "50.0", "66.7", "2"]


# Picture


def luminance(colour: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("classes", [2, 10, 35])
def test_picture_is_readable(classes: int, tmp_path: Path) -> None:
    from matplotlib.colors import to_rgb

    labels, said, heard = random_labels(classes, 40 * classes, seed=2, right=0.95)
    confusion = count_confusion(labels, said, heard)
    figure = plot_confusion(confusion, tmp_path / "new" / "confusion.png", title="noise, 5 dB")
    assert (tmp_path / "new" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    axes = figure.axes[0]
    assert len(axes.texts) == np.count_nonzero(confusion.matrix)
    cell = axes.transData.transform((1, 1)) - axes.transData.transform((0, 0))
    colours = axes.images[0].get_array()
    for text in axes.texts:
        column, row = (int(place) for place in text.get_position())
        assert text.get_text() == str(confusion.matrix[row, column])
        assert text.get_window_extent().width < abs(cell[0])
        light, dark = sorted([luminance(colours[row, column]), luminance(to_rgb(text.get_color()))], reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.0
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels(), figure.axes[0].child_axes[0].get_yticklabels()):
        boxes = [tick.get_window_extent() for tick in ticks]
        assert len(boxes) == classes
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    page = figure.get_tightbbox().padded(-0.01)
    assert page.x0 >= 0 and page.y0 >= 0 and page.x1 <= figure.get_figwidth() and page.y1 <= figure.get_figheight()


def test_picture_of_odd_names_and_of_nothing(tmp_path: Path) -> None:
    odd = count_confusion(["$x^$", "Übung_1", "a" * 40], ["$x^$"], ["Übung_1"])
    figure = plot_confusion(odd, tmp_path / "odd.svg")
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["$x^$", "Übung_1", "a" * 40]
    right = figure.axes[0].child_axes[0]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["0%", "–", "–"]
    plot_confusion(count_confusion(["a", "b"], [], []), tmp_path / "nothing.pdf")


def test_missing_matplotlib_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_confusion(count_confusion(["a", "b"], [], []))


# Training on class folders


def class_folders(folder: Path, side: str) -> Path:
    """Write some of the fixtures' voices as Speech Commands has them: a folder for each word, 8 kHz."""
    takes: dict[tuple[str, str], int] = {}
    for utterance in sa.read_manifest(FIXTURES / f"{side}.jsonl"):
        if utterance.text in WORDS:
            samples, _ = audio.read(
                utterance.audio, sample_rate=RATE, offset_s=utterance.offset, duration_s=utterance.duration
            )
            take = takes[key] = takes.get(key := (utterance.text, utterance.speaker), -1) + 1
            audio.write(
                folder / utterance.text / f"{utterance.speaker.replace('_', '-')}_nohash_{take}.wav", samples, RATE
            )
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("keywords")
    return class_folders(root / "train", "train"), class_folders(root / "test", "test")


def keywords(folders: tuple[Path, Path], **options: Any) -> sa.SpeechDataModule:
    settings = {"pattern": "{text}/{speaker}_nohash_{take}.wav", "sample_rate": RATE, "val_takes": 1, "batch_size": 32}
    noisy = {"clean": None, "noise_5db": sa.AddColoredNoise(snr_db=(5.0, 5.0))}
    return sa.SpeechDataModule(*folders, test_conditions=noisy, **(settings | options))


def a_trainer(folder: Path, **options: Any) -> L.Trainer:
    settings = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(default_root_dir=folder, enable_model_summary=False, **(settings | options))


def a_classifier(**options: Any) -> SpeechClassifier:
    return SpeechClassifier(WORDS, **({"size": "xs", "sample_rate": RATE} | options))


Trained = tuple[SpeechClassifier, L.Trainer, sa.SpeechDataModule]


@pytest.fixture(scope="module")
def trained(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    L.seed_everything(3, verbose=False)
    data, classifier = keywords(folders), a_classifier()
    trainer = a_trainer(tmp_path_factory.mktemp("runs"), max_epochs=15, check_val_every_n_epoch=15)
    trainer.fit(classifier, datamodule=data)
    classifier.fitted = dict(trainer.callback_metrics)  # type: ignore[assignment]
    trainer.test(classifier, datamodule=data, verbose=False)
    return classifier, trainer, data


def test_predictions_are_those_of_the_clean_test(trained: Trained) -> None:
    classifier, _, data = trained
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    rows = [row for batch in trainer.predict(classifier, datamodule=data) for row in batch]
    tested = [row for row in classifier.test_results if row["condition"] == "clean"]
    assert rows == [{name: row[name] for name in ("id", "hypothesis", "probability")} for row in tested]


def test_voices_never_heard_are_recognized(trained: Trained) -> None:
    classifier, trainer, data = trained
    assert sorted(set(data.texts)) == WORDS
    assert set(classifier.fitted) == {
        "train_loss", "train_accuracy", "train_nonfinite", "val_loss", "val_accuracy", "val_f1",
    }  # fmt: skip
    assert classifier.fitted["val_accuracy"] > 0.8 and classifier.fitted["train_accuracy"] > 0.9
    assert classifier.fitted["val_loss"] < 0.7 and classifier.fitted["train_nonfinite"] == 0
    logged = {f"test_{metric}/{name}" for metric in ("accuracy", "f1") for name in ("clean", "noise_5db")}
    assert set(trainer.callback_metrics) == logged
    assert trainer.callback_metrics["test_accuracy/clean"] > 0.7  # a quarter by chance


def test_what_is_logged_and_kept_agrees_with_torchmetrics(trained: Trained) -> None:
    from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_f1_score

    classifier, trainer, data = trained
    assert list(classifier.confusion) == data.test_names
    for condition, confusion in classifier.confusion.items():
        rows = [row for row in classifier.test_results if row["condition"] == condition]
        assert sorted(row["id"] for row in rows) == sorted(utterance.id for utterance in data.test_utterances)
        said, heard = (torch.tensor([WORDS.index(row[k]) for row in rows]) for k in ("reference", "hypothesis"))
        assert confusion.matrix.tolist() == multiclass_confusion_matrix(heard, said, len(WORDS)).tolist()
        logged = trainer.callback_metrics
        assert logged[f"test_accuracy/{condition}"] == pytest.approx(float((said == heard).float().mean()))
        f1 = multiclass_f1_score(heard, said, len(WORDS), average="macro")
        assert logged[f"test_f1/{condition}"] == pytest.approx(float(f1))
        assert all(1 / len(WORDS) <= row["probability"] <= 1 for row in rows)
        assert all(row["id"].startswith(f"{row['reference']}/{row['speaker']}_nohash_") for row in rows)


def test_tables_of_error_rates_serve_classifiers(trained: Trained) -> None:
    classifier, _, _ = trained
    scores = Evaluation.from_results("mine", classifier.test_results).scores()
    for condition, score in scores.conditions.items():
        assert score.wer.value == pytest.approx(1 - classifier.confusion[condition].accuracy)
    assert scores.basis.kind == "speakers"


def test_checkpoint_round_trip(trained: Trained, tmp_path: Path) -> None:
    classifier, trainer, _ = trained
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = SpeechClassifier.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu", weights_only=True)
    assert dict(loaded.hparams) == dict(classifier.hparams)
    assert set(loaded.state_dict()) == set(a_classifier().state_dict())
    noise = np.random.default_rng(0).standard_normal(4_000) * 0.1
    assert loaded.classify([noise], RATE) == classifier.classify([noise], RATE)


# Use


def test_classify_arrays_and_files(trained: Trained, folders: tuple[Path, Path], tmp_path: Path) -> None:
    classifier, _, _ = trained
    files = sorted(folders[1].rglob("*.wav"))[::7]
    arrays = [audio.read(file)[0][0] for file in files]
    expected = {row["id"]: row for row in classifier.test_results if row["condition"] == "clean"}
    rows = [expected[file.relative_to(folders[1]).with_suffix("").as_posix()] for file in files]
    classifier.train()
    found = classifier.classify(files)
    assert classifier.training
    assert [label for label, _ in found] == [row["hypothesis"] for row in rows]
    assert [p for _, p in found] == pytest.approx([row["probability"] for row in rows], abs=1e-4)
    mixed = classifier.classify([*map(str, files[:2]), torch.from_numpy(arrays[2]), arrays[3].astype(float)], RATE)
    assert [label for label, _ in mixed] == [label for label, _ in found[:4]]
    for size in (1, 5):
        again = classifier.classify(iter(arrays), RATE, batch_size=size)
        assert [p for _, p in again] == pytest.approx([p for _, p in found], abs=1e-4)
    stereo = audio.resample(np.stack([arrays[0], arrays[0]]), RATE, 22_050)
    audio.write(tmp_path / "zwei Kanäle.flac", stereo, 22_050)
    for again in (classifier.classify([tmp_path / "zwei Kanäle.flac"]), classifier.classify([stereo[0]], 22_050)):
        assert again[0][0] == found[0][0]


def test_classify_what_is_no_speech(trained: Trained, tmp_path: Path) -> None:
    classifier, _, _ = trained
    assert classifier.classify([]) == []
    for label, probability in classifier.classify([np.zeros(0), np.zeros(1), np.zeros(4_000)], RATE):
        assert label in WORDS and 0 < probability <= 1
    classifier.train()
    (tmp_path / "empty.wav").touch()
    for recordings, rate, message in [
        ([np.zeros(10), np.zeros(10, np.int16)], RATE, r"classify: input 1: must be floating point \(T,\), got int16"),
        ([np.zeros((2, 10))], RATE, r"must be floating point \(T,\), got float64 \(2, 10\)"),
        ([np.zeros(10)], None, "sample_rate must be given"),
        ([np.full(10, np.nan)], RATE, "classify: input 0: holds non-finite samples"),
        ([tmp_path / "empty.wav"], None, "empty.wav: is empty"),
        ("one.wav", None, "classify: inputs must be a list of waveforms and files, got one str"),
        (torch.zeros(2, 10), RATE, "classify: inputs must be a list of waveforms and files, got one Tensor"),
    ]:
        with pytest.raises(ValueError, match=message):
            classifier.classify(recordings, rate)
    with pytest.raises(ValueError, match="classify: batch_size must be positive, got 0"):
        classifier.classify([np.zeros(10)], RATE, batch_size=0)
    with pytest.raises(FileNotFoundError, match=r"absent\.wav"):
        classifier.classify([tmp_path / "absent.wav"])
    assert classifier.training


def test_alone_as_in_a_batch_and_whatever_the_padding(trained: Trained) -> None:
    classifier, _, _ = trained
    classifier.eval()
    lengths = [5_000, 1, 0, 3_777, 80]
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((5, 5_000)) * 0.1).float()
    x *= torch.arange(5_000) < torch.tensor(lengths)[:, None]
    batch = classifier(x, torch.tensor(lengths))
    assert batch.shape == (5, 4) and batch.dtype == torch.float32
    padded = classifier(torch.nn.functional.pad(x, (0, 3_000)), torch.tensor(lengths))
    torch.testing.assert_close(padded, batch, atol=1e-4, rtol=0)
    for i, n in enumerate(lengths):
        torch.testing.assert_close(classifier(x[i : i + 1, :n], torch.tensor([n])), batch[i : i + 1], atol=1e-4, rtol=0)
    assert classifier(x[:0], torch.tensor([], dtype=torch.int64)).shape == (0, 4)


def test_encoding_is_what_the_head_sees_with_zeros_as_padding() -> None:
    model, rng = QuartzNet(40, 5, size="xs", dropout=0.0), np.random.default_rng(4)
    with torch.no_grad():
        for norm in (module for module in model.modules() if isinstance(module, MaskedBatchNorm)):
            norm.bias.copy_(torch.from_numpy(rng.uniform(-1, 1, norm.bias.shape)))
            norm.running_mean.copy_(torch.from_numpy(rng.uniform(-1, 1, norm.bias.shape)))
    spec, lengths = torch.from_numpy(rng.standard_normal((2, 40, 50))).float(), torch.tensor([50, 21])
    for training in (False, True):
        model.train(training)
        x, frames = model.encode(spec, lengths)
        assert frames.tolist() == [25, 11]
        assert not x[1, 11:].any() and bool(x[1, :11].any())
        assert torch.equal(model(spec, lengths)[0], model.head(x).log_softmax(-1))


# Training with what users bring


class Watched(SpeechClassifier):
    """Keeps its gradients and what it was shown."""

    gradients: tuple[Tensor, ...] = ()
    shown: Batch = {}  # noqa: RUF012  replaced, never changed

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        self.shown = batch
        return super().training_step(batch, batch_idx)

    def on_after_backward(self) -> None:
        self.gradients = tuple(p.grad.clone() for p in self.parameters() if p.grad is not None)


def some(utterances: Sequence[tuple[str | None, np.ndarray]]) -> Batch:
    rows = [torch.from_numpy(x.astype(np.float32)) for _, x in utterances]
    return {
        "waveform": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        "lengths": torch.tensor([len(x) for x in rows]),
        "text": [text for text, _ in utterances],
        "id": [f"utt-{i}" for i in range(len(rows))],
        "speaker": ["noise"] * len(rows),
    }


def hiss(seed: int, length: int = 4_000) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(length) * 0.1


def fit(classifier: SpeechClassifier, batches: list[Batch], folder: Path) -> L.Trainer:
    trainer = a_trainer(folder, max_steps=2, max_epochs=1)
    trainer.fit(classifier, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return trainer


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_samples_do_not_poison_training(value: float, tmp_path: Path) -> None:
    bad = hiss(1)
    bad[50] = value
    classifier, alone = (Watched(WORDS, size="xs", sample_rate=RATE, dropout=0.0) for _ in range(2))
    alone.load_state_dict(classifier.state_dict())
    with pytest.warns(UserWarning, match="utterance 'utt-1' has NaN or infinite samples"):
        trainer = fit(classifier, [some([("one", hiss(2)), ("six", bad)])], tmp_path)
    fit(alone, [some([("one", hiss(2))])], tmp_path)
    assert trainer.callback_metrics["train_nonfinite"] == 1
    for one, other in zip(classifier.gradients, alone.gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    for one, other in zip(classifier.buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*(NaN or infinite|returned `None`):UserWarning")
def test_training_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="all 2 training utterances have NaN or infinite samples"):
        fit(a_classifier(), [some([("one", np.full(100, np.nan))])] * 2, tmp_path)


def test_loss_is_torch_cross_entropy(tmp_path: Path) -> None:
    batch = some([("one", hiss(1)), ("SIX ", hiss(2, 2_000))])
    classifier = a_classifier(dropout=0.0, label_smoothing=0.2)
    scores = classifier(batch["waveform"], batch["lengths"]).detach()
    expected = torch.nn.CrossEntropyLoss(label_smoothing=0.2)(scores, torch.tensor([1, 2]))
    trainer = fit(classifier, [batch], tmp_path)
    torch.testing.assert_close(trainer.callback_metrics["train_loss"], expected)
    loader: DataLoader[Any] = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    (logged,) = a_trainer(tmp_path).validate(classifier, loader, verbose=False)
    scores = classifier.eval()(batch["waveform"], batch["lengths"]).detach()
    assert logged["val_loss"] == pytest.approx(float(torch.nn.CrossEntropyLoss()(scores, torch.tensor([1, 2]))))


def test_rows_tell_their_losses() -> None:
    bad = hiss(3)
    bad[7] = np.nan
    batch = some([("one", hiss(1)), ("six", hiss(2, 2_000)), ("six", bad)])
    classifier = a_classifier(label_smoothing=0.2).eval()
    losses = classifier.row_losses(batch)
    scores = classifier(batch["waveform"][:2], batch["lengths"][:2])
    expected = torch.nn.CrossEntropyLoss(label_smoothing=0.2, reduction="none")(scores, torch.tensor([1, 2]))
    torch.testing.assert_close(losses, torch.cat([expected.detach(), torch.zeros(1)]))
    assert not losses.requires_grad


def test_dropout_depends_on_seed_and_step_alone(tmp_path: Path) -> None:
    """Global random state is not in checkpoints, so a resumed training would go another way if it counted."""
    batches = [some([("one", hiss(1)), ("six", hiss(2))])] * 2
    first, second = (a_classifier(dropout=0.5) for _ in range(2))
    second.load_state_dict(first.state_dict())
    for seed, classifier in enumerate((first, second)):
        torch.manual_seed(seed)
        fit(classifier, batches, tmp_path)
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_conformer_trains_and_loads(tmp_path: Path) -> None:
    classifier = a_classifier(architecture="conformer")
    assert isinstance(classifier.model, Conformer)
    assert (classifier.hparams["lr"], a_classifier().hparams["lr"]) == (3e-3, 6e-3)
    fit(classifier, [some([("one", hiss(1)), ("six", hiss(2, 2_000))])] * 2, tmp_path).save_checkpoint(
        tmp_path / "c.ckpt"
    )
    loaded = SpeechClassifier.load_from_checkpoint(tmp_path / "c.ckpt", map_location="cpu", weights_only=True)
    assert loaded.classify([hiss(3), hiss(4, 900)], RATE) == classifier.classify([hiss(3), hiss(4, 900)], RATE)


@pytest.mark.parametrize("text", ["seven", "", None, "one six"])
def test_unknown_label_is_named(text: str | None, tmp_path: Path) -> None:
    batch = some([("one", hiss(1)), (text, hiss(2))])
    loader: DataLoader[Any] = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    message = f"text of utterance 'utt-1' must be one of the labels eight, one, six, three, got {text!r}"
    with pytest.raises(ValueError, match=message):
        fit(a_classifier(), [batch], tmp_path)
    with pytest.raises(ValueError, match=message):
        a_trainer(tmp_path).test(a_classifier(), loader, verbose=False)


def test_broken_and_empty_audio_is_tested_all_the_same(tmp_path: Path) -> None:
    batch = some([("one", np.full(900, np.nan)), ("six", np.zeros(0)), ("six", np.zeros(1))])
    loader: DataLoader[Any] = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    classifier = a_classifier()
    (logged,) = a_trainer(tmp_path).test(classifier, loader, verbose=False)
    assert classifier.confusion["test_0"].total == 3
    assert all(np.isfinite(value) for value in logged.values())


@pytest.mark.parametrize("views", [1, 2])
def test_augmented_batches_and_views(views: int, folders: tuple[Path, Path], tmp_path: Path) -> None:
    data = keywords(folders, policy="small_sample", views=views, batch_size=16)
    classifier = Watched(WORDS, size="xs", sample_rate=RATE)
    masks = SpectrogramAugment(sa.presets.specaugment("small"))
    a_trainer(tmp_path, max_steps=2, callbacks=[masks], limit_val_batches=1).fit(classifier, datamodule=data)
    ids = classifier.shown["id"]
    assert len(ids) == len(classifier.shown["waveform"]) == views * len(set(ids)) > 0
    assert set(classifier.state_dict()) == set(a_classifier().state_dict())
    assert all(p.isfinite().all() for p in classifier.parameters())


def test_augment_callback(folders: tuple[Path, Path], tmp_path: Path) -> None:
    classifier = a_classifier()
    augment = Augment(sa.presets.small_sample(), sample_rate=RATE)
    a_trainer(tmp_path, max_steps=1, callbacks=[augment], limit_val_batches=1).fit(classifier, keywords(folders))
    assert set(classifier.state_dict()) == set(a_classifier().state_dict())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_half_precision(precision: Any, folders: tuple[Path, Path], tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, max_steps=2, precision=precision, limit_val_batches=1, limit_test_batches=1)
    classifier = a_classifier()
    data = keywords(folders, batch_size=8)
    trainer.fit(classifier, datamodule=data)
    assert torch.isfinite(trainer.callback_metrics["train_loss"])
    trainer.test(classifier, datamodule=data, verbose=False)
    assert [confusion.total for confusion in classifier.confusion.values()] == [8, 8]


@pytest.mark.parametrize("options", [
    {"labels": ["one"]}, {"labels": ["one", "One"]}, {"labels": ["one", " "]}, {"labels": [0, 1]}, {"labels": "yes"},
    {"labels": None},
    {"lr": 0.0}, {"weight_decay": -1.0}, {"warmup_share": 1.0}, {"label_smoothing": 1.0}, {"size": "huge"},
    {"dropout": 1.0}, {"subsampling": 0}, {"subsampling": 1.5}, {"architecture": "rnn"}, {"weight_decay": np.nan},
])  # fmt: skip
def test_bad_settings(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        SpeechClassifier(**({"labels": WORDS} | options))


@pytest.mark.filterwarnings("ignore:`max_epochs` was not set:UserWarning")
def test_endless_training_is_refused(tmp_path: Path) -> None:
    loader: DataLoader[Any] = DataLoader([some([("one", hiss(1))])], batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have max_steps or max_epochs"):
        a_trainer(tmp_path, max_epochs=-1).fit(a_classifier(), loader)


def test_labels_keep_their_case(tmp_path: Path) -> None:
    classifier = SpeechClassifier(["Ja", "NEIN"], size="xs", sample_rate=RATE)
    loader: DataLoader[Any] = DataLoader([some([("ja", hiss(1)), ("Nein", hiss(2))])], batch_size=None)  # type: ignore[arg-type]
    a_trainer(tmp_path).test(classifier, loader, verbose=False)
    assert [row["reference"] for row in classifier.test_results] == ["Ja", "NEIN"]


class Telling(SpeechClassifier):
    """Writes down what each rank knows in the end."""

    def on_test_end(self) -> None:
        known = {"rank": self.global_rank, "ids": [row["id"] for row in self.test_results]}
        known["counts"] = {name: confusion.counts for name, confusion in self.confusion.items()}
        folder = Path(self.trainer.default_root_dir)
        (folder / f"rank_{self.global_rank}.json").write_text(json.dumps(known))


@pytest.mark.slow
def test_two_processes_count_like_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    classifier = Telling(WORDS, size="xs", sample_rate=RATE)
    results = {}
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        strategy = "ddp_spawn" if ranks == 2 else "auto"
        trainer = a_trainer(folder, devices=ranks, strategy=strategy)
        (logged, *_) = trainer.test(classifier, datamodule=keywords(folders, batch_size=8), verbose=False)
        told = [json.loads(file.read_text()) for file in sorted(folder.glob("rank_*.json"))]
        assert len(told) == ranks
        assert all(each["counts"] == told[0]["counts"] for each in told)
        assert all(each["ids"] == told[0]["ids"] for each in told)
        results[ranks] = (logged, told[0]["counts"], sorted(told[0]["ids"]))
    assert results[1] == results[2]
