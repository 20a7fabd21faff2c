"""The recognizer: tokens, model, loss, decoding, training, evaluation, transcription."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jiwer
import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from speechaug.asr import SIZES, QuartzNet, SpeechRecognizer, Tokenizer, ctc_loss, greedy_decode, normalise_text
from speechaug.asr.loss import frames_needed
from speechaug.asr.model import ARCHITECTURES, MaskedBatchNorm
from speechaug.asr.optim import one_cycle

pytestmark = pytest.mark.global_rng  # weights are initialised and units dropped by torch's global generator

Batch = dict[str, Any]


# Tokens


def test_characters_round_trip() -> None:
    tokenizer = Tokenizer.from_texts(["Zwölf  Äpfel", "a\tb"])
    assert tokenizer.vocabulary == tuple(sorted(set("zwölf äpfel a b")))
    assert tokenizer.decode(tokenizer.encode(" zwölf\nÄPFEL ")) == "zwölf äpfel"
    assert Tokenizer(**tokenizer.to_dict()) == tokenizer
    assert len(tokenizer) == len(tokenizer.vocabulary) + 1
    assert 0 not in tokenizer.encode("zwölf")


def test_words_round_trip() -> None:
    tokenizer = Tokenizer.from_texts(["seven one", "Two"], unit="word")
    assert tokenizer.vocabulary == ("one", "seven", "two")
    assert tokenizer.encode("TWO one") == [3, 1]
    assert tokenizer.decode([3, 1]) == "two one"


def test_composed_and_decomposed_accents_are_one_token() -> None:
    assert normalise_text("E\u0301") == "\u00e9"


def test_token_outside_the_vocabulary_is_named() -> None:
    with pytest.raises(ValueError, match=r"\['one', 'two'\].*'nine' in 'one nine'"):
        Tokenizer(("one", "two"), "word").encode("one nine")


@pytest.mark.parametrize(("vocabulary", "unit"), [
    ((), "char"), (("a", "a"), "char"), (("ab",), "char"), (("A",), "char"), ((" ",), "word"), (("a b",), "word"),
    (("",), "word"), (("a",), "phone"), ("one", "word"), ((1, 2), "word"), (None, "char"),
])  # fmt: skip
def test_bad_vocabulary(vocabulary: Any, unit: str) -> None:
    with pytest.raises(ValueError, match="Tokenizer: "):
        Tokenizer(vocabulary, unit)


# Model


def _spec(lengths: Sequence[int], n_mels: int = 40) -> tuple[Tensor, Tensor]:
    frames = torch.tensor(lengths)
    values = np.random.default_rng(1).standard_normal((len(lengths), n_mels, max(lengths)))
    return torch.from_numpy(values).float() * (torch.arange(max(lengths)) < frames[:, None, None]), frames


def _trained_a_little(model: QuartzNet) -> QuartzNet:
    """Give the running statistics and biases values that a forgotten mask would show."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.bias.uniform_(-1, 1)
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("size", SIZES)
def test_sizes_span_the_promised_range(size: str) -> None:
    for n_mels in (40, 64):
        assert 100_000 <= sum(p.numel() for p in QuartzNet(n_mels, 11, size=size).parameters()) <= 720_000


@pytest.mark.parametrize("subsampling", [1, 2, 4])
def test_alone_equals_in_batch(subsampling: int) -> None:
    lengths = [200, 1, 2, 57, 0, 131]
    spec, frames = _spec(lengths)
    model = _trained_a_little(QuartzNet(40, 11, size="xs", subsampling=subsampling))
    batch, out = model(spec, frames)
    assert out.tolist() == [-(-n // subsampling) for n in lengths]
    assert batch.shape == (6, int(out.max()), 11)
    torch.testing.assert_close(batch.exp().sum(-1), torch.ones(batch.shape[:2]))
    for i, n in enumerate(lengths):
        alone, _ = model(spec[i : i + 1, :, :n], frames[i : i + 1])
        torch.testing.assert_close(batch[i : i + 1, : int(out[i])], alone, atol=1e-4, rtol=0)


def test_padding_changes_neither_gradients_nor_statistics() -> None:
    spec, frames = _spec([90, 40])
    model = QuartzNet(40, 5, size="xs", dropout=0.0)
    results = []
    for padding in (0, 37):
        copy = QuartzNet(40, 5, size="xs", dropout=0.0)
        copy.load_state_dict(model.state_dict())
        log_probs, out = copy(torch.nn.functional.pad(spec, (0, padding)), frames)
        log_probs[0, : int(out[0]), 1].sum().backward()
        results.append([p.grad for p in copy.parameters()] + list(copy.buffers()))
    for alone, padded in zip(*results, strict=True):
        torch.testing.assert_close(alone, padded, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values())
def test_widths_for_a_gpu_change_no_score(architecture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, frames = _spec([90, 41])
    model = architecture(n_mels=40, tokens=5, size="xs").eval()
    expected, lengths = model(spec, frames)
    widths: list[int] = []
    monkeypatch.setattr("speechaug.asr.blocks.frame_multiple", lambda device: 64)
    monkeypatch.setattr(model, "encode", lambda x, n, encode=model.encode: widths.append(x.shape[-1]) or encode(x, n))
    scores, same = model(spec, frames)
    assert widths == [128]
    assert torch.equal(lengths, same)
    for row, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(scores[row, :n], expected[row, :n], atol=1e-5, rtol=0)
    assert scores.shape == expected.shape


@pytest.mark.parametrize("shape", [(0, 40, 50), (2, 40, 0), (2, 40, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_degenerate_batches(shape: tuple[int, int, int], training: bool) -> None:
    model = QuartzNet(40, 5, size="xs").train(training)
    log_probs, _ = model(torch.zeros(shape), torch.full(shape[:1], shape[2]))
    assert log_probs.shape == (shape[0], -(-shape[2] // 2), 5)
    log_probs.sum().backward()
    assert all(b.isfinite().all() for b in model.buffers())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_no_host_read() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        model = QuartzNet(40, 5, size="xs")
        log_probs, _ = model(torch.empty(3, 40, 100), torch.empty(3, dtype=torch.int64))
    assert log_probs.shape == (3, 50, 5)


def test_masked_norm_equals_batch_norm_of_the_valid_frames() -> None:
    x = torch.from_numpy(np.random.default_rng(2).normal(3.0, 2.0, (3, 20, 4))).float()
    mask = (torch.arange(20) < torch.tensor([20, 1, 7])[:, None]).float().unsqueeze(-1)
    ours, theirs = MaskedBatchNorm(4), torch.nn.BatchNorm1d(4)
    for _ in range(2):
        y = ours(x * mask, mask)
        expected = theirs(x[mask[..., 0] > 0])
    torch.testing.assert_close(y[mask[..., 0] > 0], expected, atol=1e-5, rtol=1e-5)
    assert not (y * (1 - mask)).any()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x * mask, mask)[0], theirs.eval()(x[0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(dtype: torch.dtype) -> None:
    spec, frames = _spec([120, 60])
    model = QuartzNet(40, 5, size="xs", dropout=0.0)
    with torch.no_grad():
        expected, _ = model(spec, frames)
        with torch.autocast("cpu", dtype=dtype):
            mixed, _ = model(spec, frames)
        cast, _ = model.to(dtype)(spec, frames)
    assert mixed.dtype == cast.dtype == torch.float32
    torch.testing.assert_close(mixed, expected, atol=0.15, rtol=0)
    torch.testing.assert_close(cast, expected, atol=0.3, rtol=0)


@pytest.mark.parametrize("options", [{"size": "xxl"}, {"subsampling": 0}, {"dropout": 1.0}])
def test_bad_model_settings(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"QuartzNet: {next(iter(options))} must be"):
        QuartzNet(40, 5, **options)


# Decoding and loss


def _collapse(path: Sequence[int]) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def test_greedy_decoding_of_every_short_path() -> None:
    paths = list(itertools.product(range(3), repeat=5))
    log_probs = torch.nn.functional.one_hot(torch.tensor(paths), 3).float().log()
    for length in range(6):
        decoded = greedy_decode(log_probs, torch.full((len(paths),), length))
        assert [tuple(row) for row in decoded] == [_collapse(path[:length]) for path in paths]


def test_loss_is_the_sum_over_all_paths_and_leaves_out_what_cannot_be_spelled() -> None:
    scores = torch.from_numpy(np.random.default_rng(3).standard_normal((4, 5, 3))).requires_grad_()
    tokens = [[1, 1], [2], [1, 1, 1, 2], [1, 2]]
    lengths = torch.tensor([5, 4, 5, 5])
    loss = ctc_loss(scores.log_softmax(-1), lengths, tokens, torch.tensor([True, True, True, False]))
    expected = []
    for row, length in ((0, 5), (1, 4)):
        p = scores[row].softmax(-1).detach().numpy()
        paths = [q for q in itertools.product(range(3), repeat=length) if _collapse(q) == tuple(tokens[row])]
        total = sum(np.prod([p[t, k] for t, k in enumerate(q)]) for q in paths)
        expected.append(-np.log(total) / len(tokens[row]))
    assert loss.count == 2
    assert loss.infeasible == {2: (6, 5)}
    assert loss.total.item() == pytest.approx(sum(expected), rel=1e-4)
    assert loss.mean.item() == pytest.approx(sum(expected) / 2, rel=1e-4)
    loss.mean.backward()
    assert scores.grad is not None
    assert scores.grad[:2].any()
    assert not scores.grad[2:].any()


def test_loss_of_a_batch_in_which_nothing_counts_is_zero_with_a_graph() -> None:
    scores = torch.zeros(1, 2, 3, requires_grad=True)
    loss = ctc_loss(scores.log_softmax(-1), torch.tensor([2]), [[1, 2, 1]], torch.tensor([True]))
    assert (loss.count, loss.mean.item()) == (0, 0.0)
    loss.mean.backward()
    assert scores.grad is not None
    assert not scores.grad.any()


def test_frames_needed_counts_the_blank_between_equal_tokens() -> None:
    assert [frames_needed(row) for row in ([], [1], [1, 1], [1, 2, 1], [3, 3, 3])] == [0, 1, 3, 3, 5]


# Recognizer

RATE = 8_000
TONES_HZ = {"la": 400.0, "mi": 900.0, "so": 1_700.0}


def _say(words: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    parts = [np.zeros(int(rng.integers(100, 600)))]
    for word in words:
        t = np.arange(int(rng.integers(900, 1_500))) / RATE
        parts += [0.3 * np.sin(2 * np.pi * TONES_HZ[word] * t), np.zeros(int(rng.integers(300, 800)))]
    x = np.concatenate(parts)
    return (x + 0.003 * rng.standard_normal(len(x))).astype(np.float32)


def _batch(utterances: Sequence[tuple[str, np.ndarray]], first: int = 0) -> Batch:
    rows = [torch.from_numpy(x) for _, x in utterances]
    return {
        "waveform": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        "lengths": torch.tensor([len(x) for x in rows]),
        "text": [text for text, _ in utterances],
        "id": [f"utt-{first + i}" for i in range(len(rows))],
        "speaker": ["tone"] * len(rows),
    }


def _tone_batches(count: int, size: int, seed: int) -> list[Batch]:
    rng = np.random.default_rng(seed)
    batches = []
    for i in range(count):
        texts = [list(rng.choice(list(TONES_HZ), rng.integers(1, 5))) for _ in range(size)]
        batches.append(_batch([(" ".join(words), _say(words, rng)) for words in texts], first=i * size))
    return batches


class Tones(L.LightningDataModule):
    """Words that are pure tones, easy enough to be learnt without an error in seconds."""

    test_names = ("clean", "noise_0db")

    def __init__(self, train: list[Batch], test: list[Batch]) -> None:
        super().__init__()
        self.train, self.test = train, test

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train, batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.test, batch_size=None)  # type: ignore[arg-type]

    def test_dataloader(self) -> list[DataLoader[Any]]:
        return [self.val_dataloader(), self.val_dataloader()]


def _trainer(folder: Path, **options: Any) -> L.Trainer:
    settings = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(default_root_dir=folder, enable_model_summary=False, **(settings | options))


def _recognizer(**options: Any) -> SpeechRecognizer:
    settings = {"vocabulary": ["la", "mi", "so"], "unit": "word", "size": "xs", "sample_rate": RATE}
    return SpeechRecognizer(**(settings | options))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpeechRecognizer, L.Trainer, Tones]:
    L.seed_everything(3, verbose=False)
    data = Tones(_tone_batches(16, 8, seed=1), _tone_batches(2, 8, seed=2))
    recognizer = _recognizer()
    trainer = _trainer(
        tmp_path_factory.mktemp("tones"), max_epochs=10, check_val_every_n_epoch=5, enable_checkpointing=True
    )
    trainer.fit(recognizer, datamodule=data)
    return recognizer, trainer, data


def test_training_reaches_no_errors_and_logs(trained: tuple[SpeechRecognizer, L.Trainer, Tones]) -> None:
    recognizer, trainer, data = trained
    metrics = trainer.callback_metrics
    assert metrics["val_wer"] == 0.0
    assert metrics["val_loss"] < 0.2
    assert metrics["train_infeasible"] == metrics["train_nonfinite"] == 0
    assert metrics["train_loss"] < 0.5
    (logged,) = {tuple(sorted(result)) for result in trainer.test(recognizer, data, verbose=False)[:1]}
    assert logged == ("test_wer/clean", "test_wer/noise_0db")
    assert len(recognizer.test_results) == 32
    assert recognizer.test_results[0]["condition"] == "clean"
    assert set(recognizer.test_results[0]) == {
        "condition", "id", "speaker", "reference", "hypothesis", "substitutions", "deletions", "insertions", "words",
    }  # fmt: skip


def test_other_loaders_after_a_training_are_numbered(trained: tuple[SpeechRecognizer, L.Trainer, Tones]) -> None:
    recognizer, trainer, data = trained
    for count in (1, 3):  # the data module has two test sets with names
        logged = trainer.test(recognizer, [data.val_dataloader()] * count, verbose=False)
        assert {name for row in logged for name in row} == {f"test_wer/test_{i}" for i in range(count)}
    assert {row["condition"] for row in recognizer.test_results} == {"test_0", "test_1", "test_2"}


def test_predictions_are_what_was_said(trained: tuple[SpeechRecognizer, L.Trainer, Tones]) -> None:
    recognizer, trainer, data = trained
    batches = trainer.predict(recognizer, data.val_dataloader())
    heard = [row for batch in batches for row in batch]
    assert [row["id"] for row in heard] == [name for batch in data.test for name in batch["id"]]
    assert [row["hypothesis"] for row in heard] == [text for batch in data.test for text in batch["text"]]


def test_samples_before_augmentation_are_refused(tmp_path: Path) -> None:
    batch = _batch([("la", _say(["la"], np.random.default_rng(5)))])
    raw = batch | {"waveform": (batch["waveform"] * 32_767).short()}
    with pytest.raises(ValueError, match=r"SpeechRecognizer: waveform must be in floating point, got torch\.int16"):
        _fit(_recognizer(), [raw], tmp_path)
    with pytest.raises(ValueError, match="pass datamodule=data"):
        _recognizer().transcribe_batch(raw)


def test_data_of_another_rate_are_refused(tmp_path: Path) -> None:
    data = Tones(_tone_batches(1, 1, seed=1), _tone_batches(1, 1, seed=2))
    data.sample_rate = 2 * RATE  # type: ignore[attr-defined]
    message = "SpeechRecognizer: sample_rate must be that of the DataModule, 16000 Hz, got 8000 Hz"
    with pytest.raises(ValueError, match=message):
        _trainer(tmp_path, max_steps=1).fit(_recognizer(), datamodule=data)


def test_learning_rate_rises_and_falls(trained: tuple[SpeechRecognizer, L.Trainer, Tones]) -> None:
    _, trainer, _ = trained
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-6)
    values = [one_cycle(step, 120, 0.1) for step in range(121)]
    assert values.index(max(values)) in (11, 12)
    assert max(values) == 1.0
    assert values[0] > 0.0
    assert one_cycle(500, 120, 0.1) == values[-1] == 0.0


def test_vocabulary_of_an_array_is_kept_as_plain_texts(tmp_path: Path) -> None:
    torch.save(dict(_recognizer(vocabulary=np.array(["la", "mi"])).hparams), tmp_path / "settings")
    assert torch.load(tmp_path / "settings", weights_only=True)["vocabulary"] == ["la", "mi"]


def test_checkpoint_round_trip(trained: tuple[SpeechRecognizer, L.Trainer, Tones], tmp_path: Path) -> None:
    recognizer, trainer, data = trained
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = SpeechRecognizer.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu", weights_only=True)
    assert dict(loaded.hparams) == dict(recognizer.hparams)
    assert loaded.tokenizer == recognizer.tokenizer
    batch = data.test[0]
    recognizer.eval()
    loaded.eval()
    torch.testing.assert_close(
        loaded(batch["waveform"], batch["lengths"])[0], recognizer(batch["waveform"], batch["lengths"])[0]
    )


def test_transcription(trained: tuple[SpeechRecognizer, L.Trainer, Tones]) -> None:
    recognizer, _, data = trained
    batch = data.test[0]
    rows = [x[:n] for x, n in zip(batch["waveform"], batch["lengths"], strict=True)]
    recognizer.train()
    assert recognizer.transcribe(rows, RATE, batch_s=3.0) == batch["text"]
    assert recognizer.training
    assert recognizer.transcribe([row.double().numpy() for row in rows[:2]], RATE) == batch["text"][:2]
    assert recognizer.transcribe([], RATE) == []


class Watched(SpeechRecognizer):
    """Keeps its gradients."""

    gradients: tuple[Tensor, ...] = ()

    def on_after_backward(self) -> None:
        self.gradients = tuple(p.grad.clone() for p in self.parameters() if p.grad is not None)


class Scripted(SpeechRecognizer):
    """Says what it is told to, so that the error rates are known."""

    said: tuple[str, ...] = ()

    def _decode(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        return list(self.said[: len(lengths)])


def test_error_rate_is_of_the_sums_and_never_nan(tmp_path: Path) -> None:
    references = ["la mi so la", "mi", "", "so so"]
    said = ("la la so", "mi la mi", "so", "")
    batch = _batch([(text, _say(text.split(), np.random.default_rng(4))) for text in references])
    recognizer = Scripted(["la", "mi", "so"], "word", size="xs", sample_rate=RATE)
    recognizer.said = said
    loader: DataLoader[Any] = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    trainer = _trainer(tmp_path)
    (first,) = trainer.test(recognizer, loader, verbose=False)
    oracle = jiwer.process_words(references, list(said))
    errors = oracle.substitutions + oracle.deletions + oracle.insertions
    assert first == {"test_wer/test_0": pytest.approx(errors / 7)}
    assert sum(r["words"] for r in recognizer.test_results) == 7
    assert [r["insertions"] for r in recognizer.test_results] == [0, 2, 1, 0]
    (second,) = trainer.validate(recognizer, loader, verbose=False)
    assert second["val_wer"] == pytest.approx(errors / 7)
    assert np.isfinite(second["val_loss"])
    only_empty: DataLoader[Any] = DataLoader([_batch([("", np.zeros(800, np.float32))])], batch_size=None)  # type: ignore[arg-type]
    recognizer.said = ("la mi",)
    assert trainer.test(recognizer, only_empty, verbose=False) == [{"test_wer/test_0": 2.0}]


def _fit(recognizer: SpeechRecognizer, batches: list[Batch], folder: Path) -> L.Trainer:
    trainer = _trainer(folder, max_steps=2, max_epochs=1)
    trainer.fit(recognizer, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return trainer


def test_text_too_long_for_its_audio_is_left_out_counted_and_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    batch = _batch([("la", _say(["la"], rng)), ("mi mi mi", np.zeros(100, np.float32))])
    with pytest.warns(UserWarning, match="utterance 'utt-1' needs 5 output frames, its audio gives 1") as caught:
        trainer = _fit(_recognizer(), [batch, batch], tmp_path)
    assert len([w for w in caught if "output frames" in str(w.message)]) == 1
    assert trainer.callback_metrics["train_infeasible"] == 2
    assert torch.isfinite(trainer.callback_metrics["train_loss"])


@pytest.mark.filterwarnings("ignore:.*(output frames|NaN or infinite|returned `None`):UserWarning")
def test_training_on_nothing_is_refused(tmp_path: Path) -> None:
    long = _batch([("mi mi mi", np.zeros(100, np.float32)), ("la", np.full(4_000, np.nan, np.float32))])
    recognizer = _recognizer()
    before = [p.detach().clone() for p in recognizer.parameters()]
    message = "no training transcript fits its audio: of 4 utterances 2 need more output frames .* 2 have NaN"
    with pytest.raises(ValueError, match=message):
        _fit(recognizer, [long, long], tmp_path)
    assert all(torch.equal(p, old) for p, old in zip(recognizer.parameters(), before, strict=True))


@pytest.mark.filterwarnings("ignore:.*(output frames|returned `None`):UserWarning")
def test_a_batch_without_a_usable_utterance_does_not_count(tmp_path: Path) -> None:
    nothing = _batch([("mi mi mi", np.zeros(100, np.float32))] * 3)
    good = _batch([("la", _say(["la"], np.random.default_rng(5)))])
    losses = []
    for batches in ([good], [good, nothing]):
        torch.manual_seed(0)
        losses.append(_fit(_recognizer(), batches, tmp_path).callback_metrics["train_loss"])
    assert losses[0] == losses[1] > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_samples_do_not_poison_training(value: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    good, bad = _say(["la", "mi"], rng), _say(["so"], rng)
    bad[50] = value
    recognizer, alone = (Watched(["la", "mi", "so"], "word", sample_rate=RATE, dropout=0.0) for _ in range(2))
    alone.load_state_dict(recognizer.state_dict())
    with pytest.warns(UserWarning, match="utterance 'utt-1' has NaN or infinite samples"):
        trainer = _fit(recognizer, [_batch([("la mi", good), ("so", bad)])], tmp_path)
    _fit(alone, [_batch([("la mi", good)])], tmp_path)
    assert trainer.callback_metrics["train_nonfinite"] == 1
    for one, other in zip(recognizer.gradients, alone.gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    for one, other in zip(recognizer.buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("text", "message"), [
    ("", "utterance 'utt-0' must not be empty.*missing transcript"),
    (None, "missing transcript"),
    ("la do", "utterance 'utt-0'.*'do'"),
])  # fmt: skip
def test_bad_transcripts(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        _fit(_recognizer(), [_batch([(text, np.zeros(8_000, np.float32))])], tmp_path)


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"weight_decay": -1.0}, {"warmup_share": 1.0}, {"size": "huge"}])
def test_bad_settings(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        _recognizer(**options)


@pytest.mark.filterwarnings("ignore:`max_epochs` was not set:UserWarning")
def test_endless_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must have max_steps or max_epochs"):
        _trainer(tmp_path, max_epochs=-1).fit(_recognizer(), _tone_batches(1, 2, seed=0))


def test_spectrogram_hook_reaches_the_model(tmp_path: Path) -> None:
    recognizer = _recognizer().eval()
    batch = _tone_batches(1, 2, seed=7)[0]
    before, _ = recognizer(batch["waveform"], batch["lengths"])
    recognizer.features.register_forward_hook(lambda module, inputs, output: (output[0] * 0.0, output[1]))
    after, _ = recognizer(batch["waveform"], batch["lengths"])
    assert not torch.equal(before, after)
