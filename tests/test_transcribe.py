"""Transcription: files and waveforms, long recordings in windows, bad inputs, and nothing left changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechaug import audio
from speechaug.asr import SpeechRecognizer, Tokenizer
from speechaug.asr.blocks import MaskedBatchNorm
from speechaug.asr.decode import greedy
from speechaug.asr.sound import listen
from speechaug.asr.windows import CONTEXT_S, batch_log_probs, evaluating, windowed_log_probs

FIXTURES = Path(__file__).parents[1] / "fixtures"
RATE = 16_000
DIGITS = ["eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero"]

pytestmark = pytest.mark.global_rng  # weights are initialised by torch's global generator


def _recognizer(**options: Any) -> SpeechRecognizer:
    """An untrained recognizer that writes much and depends on everything: on levels, statistics, far frames."""
    torch.manual_seed(0)
    settings = {"unit": "char", "size": "xs", "sample_rate": RATE} | options
    recognizer = SpeechRecognizer(list("abcdefghijklm "), **settings)
    with torch.no_grad():
        for module in recognizer.modules():
            if isinstance(module, MaskedBatchNorm):
                module.bias.uniform_(-1, 1)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    return recognizer


@pytest.fixture(scope="module")
def recognizer() -> SpeechRecognizer:
    return _recognizer()


def _speech(count: int, seed: int, gap_s: tuple[float, float] = (0.05, 0.6)) -> NDArray[np.float32]:
    """Lay words of the fixtures' voices end to end, at levels 40 dB apart, with silence between them."""
    lines = (FIXTURES / "test.jsonl").read_text(encoding="utf-8").splitlines()
    rng = np.random.default_rng(seed)
    parts: list[NDArray[Any]] = []
    for i in rng.integers(len(lines), size=count):
        row = json.loads(lines[i])
        x, _ = audio.read(FIXTURES / row["audio"], offset_s=row["offset"], duration_s=row["duration"])
        parts += [x[0] * 10 ** rng.uniform(-2, 0), np.zeros(int(rng.uniform(*gap_s) * RATE), np.float32)]
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    return _speech(60, seed=0)


def _whole(recognizer: SpeechRecognizer, x: NDArray[np.float32]) -> Tensor:
    with evaluating(recognizer):
        log_probs, frames = batch_log_probs(recognizer, [x])
    return log_probs[0, : int(frames)]


# Long recordings


@pytest.mark.parametrize("options", [
    {}, {"subsampling": 1}, {"subsampling": 3}, {"unit": "word", "size": "l"}, {"sample_rate": 22_050},
])  # fmt: skip
def test_windows_give_what_the_whole_gives(options: dict[str, Any], speech: NDArray[np.float32]) -> None:
    if "unit" in options:
        torch.manual_seed(0)
        recognizer = SpeechRecognizer(DIGITS, **options)
    else:
        recognizer = _recognizer(**options)
    rate = recognizer.features.sample_rate
    x = audio.resample(speech[None, : 40 * RATE], RATE, rate)[0]
    whole = _whole(recognizer, x)
    for seconds in (7.0, 10.3):
        with evaluating(recognizer):
            windows = windowed_log_probs(recognizer, listen(x, rate, array_rate=rate, name="x"), seconds)
        assert windows.shape == whole.shape
        torch.testing.assert_close(windows, whole, atol=2e-4, rtol=0)


@pytest.mark.parametrize("tail", [0, 1, 159, 160, 161, 7 * 160])
def test_windows_at_awkward_ends(tail: int, recognizer: SpeechRecognizer, speech: NDArray[np.float32]) -> None:
    x = speech[RATE : RATE * 13 + tail]
    with evaluating(recognizer):
        windows = windowed_log_probs(recognizer, listen(x, RATE, array_rate=RATE, name="x"), 3.0)
    torch.testing.assert_close(windows, _whole(recognizer, x), atol=2e-4, rtol=0)


@pytest.mark.parametrize(("rate", "ending"), [(16_000, "flac"), (44_100, "wav"), (8_000, "wav"), (48_000, "mp3")])
def test_long_files_read_as_the_whole(
    rate: int, ending: str, recognizer: SpeechRecognizer, speech: NDArray[np.float32], tmp_path: Path
) -> None:
    path = tmp_path / f"Vortrag №1.{ending}"
    x = audio.resample(speech[None, : RATE * 20], RATE, rate)
    x += np.random.default_rng(2).normal(0.0, 0.003, x.shape).astype(np.float32)  # no seam in silence
    soundfile.write(path, np.concatenate([x, 0.5 * x]).T, rate)
    sound = listen(path, RATE, array_rate=None, name="")
    laid = np.concatenate([sound.read(start, start + 8) for start in range(0, 24, 8)])
    mean = audio.read(path, sample_rate=RATE)[0].mean(0)
    np.testing.assert_allclose(laid, mean, atol=1e-6)
    with evaluating(recognizer):
        windows = windowed_log_probs(recognizer, sound, 8.0)
    torch.testing.assert_close(windows, _whole(recognizer, mean), atol=1e-3, rtol=0)
    texts = [recognizer.transcribe([path], window_s=window_s)[0] for window_s in (8.0, 1e6)]
    assert texts[0] == texts[1] == recognizer.transcribe([mean], RATE)[0]
    assert len(set(texts[0])) > 5


def test_long_silence_and_a_conformer(speech: NDArray[np.float32]) -> None:
    for recognizer in (_recognizer(), _recognizer(architecture="conformer")):
        silent, spoken = recognizer.transcribe([np.zeros(RATE * 12), speech[: RATE * 12]], RATE, window_s=4.0)
        assert isinstance(silent, str)
        assert spoken


class Watch:
    """Notes the samples of each batch and the frames of each call of the model."""

    def __init__(self, recognizer: SpeechRecognizer) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.frames: list[int] = []
        self.hooks = [
            recognizer.register_forward_pre_hook(lambda module, inputs: self.batches.append(tuple(inputs[0].shape))),
            recognizer.model.register_forward_pre_hook(lambda module, inputs: self.frames.append(inputs[0].shape[-1])),
        ]

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()


def test_memory_is_bounded_by_window_and_batch(recognizer: SpeechRecognizer, speech: NDArray[np.float32]) -> None:
    short = [speech[i * 4_000 : i * 4_000 + 2_000 * (i % 7 + 1)] for i in range(50)]
    with Watch(recognizer) as watch:
        recognizer.transcribe([*short, speech], RATE, batch_s=5.0, window_s=10.0)
    assert all(rows * samples <= 5 * RATE for rows, samples in watch.batches)
    assert sum(rows for rows, _ in watch.batches) == 50
    assert len(watch.batches) < 20
    assert max(watch.frames) <= (10 + 2 * CONTEXT_S) * 100


def test_inputs_are_read_when_they_are_needed(recognizer: SpeechRecognizer, speech: NDArray[np.float32]) -> None:
    second, waiting, most = speech[:RATE], 0, 0

    def inputs() -> Iterator[NDArray[np.float32]]:
        nonlocal waiting, most
        for _ in range(40):
            waiting += 1
            most = max(most, waiting)
            yield second

    def decoder(log_probs: Tensor, lengths: Tensor, tokenizer: Tokenizer) -> list[str]:
        nonlocal waiting
        waiting -= len(lengths)
        return greedy(log_probs, lengths, tokenizer)

    assert len(recognizer.transcribe(inputs(), RATE, batch_s=2.0, decoder=decoder)) == 40
    assert most <= 4 * 2 + 1


# Inputs


def test_order_batches_and_kinds_of_input(
    recognizer: SpeechRecognizer, speech: NDArray[np.float32], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    rows = [speech[start : start + int(rng.integers(1, 40_000))] for start in rng.integers(0, 300_000, 12)]
    rows.append(speech[: RATE * 20])
    alone = [recognizer.transcribe([row], RATE)[0] for row in rows]
    assert len(set(alone)) > 6
    inputs: list[Any] = [torch.from_numpy(row).double() if i % 3 else row for i, row in enumerate(rows)]
    for i in (2, 5):
        inputs[i] = tmp_path / f"{i}.wav" if i == 2 else str(tmp_path / f"{i}.wav")
        soundfile.write(inputs[i], rows[i], RATE, subtype="FLOAT")
    for options in ({}, {"batch_s": 1.0}, {"window_s": 2.0}):
        assert recognizer.transcribe(inputs, RATE, **options) == alone
    assert recognizer.transcribe((row for row in inputs), RATE) == alone


def test_waveforms_of_another_rate_are_resampled(
    recognizer: SpeechRecognizer, speech: NDArray[np.float32], tmp_path: Path
) -> None:
    x = audio.resample(speech[None, :50_000], RATE, 44_100)[0]
    expected = recognizer.transcribe([audio.resample(x[None], 44_100, RATE)[0]], RATE)
    assert recognizer.transcribe([x], 44_100) == expected
    soundfile.write(tmp_path / "x.wav", x, 44_100, subtype="FLOAT")
    assert recognizer.transcribe([tmp_path / "x.wav"]) == expected


def test_degenerate_waveforms(recognizer: SpeechRecognizer) -> None:
    assert recognizer.transcribe([]) == []
    inputs = [np.zeros(0), np.zeros(1), torch.zeros(RATE), np.full(500, 1e-8), torch.zeros(3, dtype=torch.float16)]
    assert all(isinstance(text, str) for text in recognizer.transcribe(inputs, RATE))
    assert recognizer.transcribe([np.zeros(0)], RATE) == [""]
    assert all(isinstance(text, str) for text in recognizer.transcribe([np.zeros(0), np.zeros(1)], 44_100))


def test_reversed_strided_and_read_only_arrays(recognizer: SpeechRecognizer, speech: NDArray[np.float32]) -> None:
    x = speech[: 2 * RATE]
    fixed = x.copy()
    fixed.flags.writeable = False
    odd = [x[::-1], np.stack([x, x], 1)[:, 1], fixed, torch.from_numpy(x.copy()).requires_grad_()]
    plain = [x[::-1].copy(), x, x, x]
    assert recognizer.transcribe(odd, float(RATE)) == recognizer.transcribe(plain, RATE)  # type: ignore[arg-type]


@pytest.mark.parametrize(("source", "message"), [
    (np.array([0.0, np.nan]), "input 1: holds non-finite samples, the first at sample 1"),
    (torch.tensor([0.0, 0.0, torch.inf]), "input 1: holds non-finite samples, the first at sample 2"),
    (np.zeros(10, np.int16), r"input 1: must be floating point \(T,\), got int16 \(10,\)"),
    (torch.zeros(2, 10), r"input 1: must be floating point \(T,\), got float32 \(2, 10\)"),
    ([0.0, 0.5], "input 1: must be an array, a tensor or a sound file, got list"),
    (None, "input 1: must be an array, a tensor or a sound file, got NoneType"),
])  # fmt: skip
def test_bad_waveforms_are_named(source: Any, message: str, recognizer: SpeechRecognizer) -> None:
    with pytest.raises(ValueError, match=message):
        recognizer.transcribe([np.zeros(100), source], RATE)


def test_waveforms_need_a_rate_and_a_list(recognizer: SpeechRecognizer) -> None:
    for rate in (None, 0, -RATE, 11_025.5, float("nan"), "16000"):
        message = f"input 0: sample_rate must be given with waveforms, in whole Hz, got {rate!r}"
        with pytest.raises(ValueError, match=message):
            recognizer.transcribe([np.zeros(100)], rate)  # type: ignore[arg-type]
    for one in (np.zeros(100), torch.zeros(100), "speech.wav", Path("speech.wav")):
        with pytest.raises(ValueError, match="inputs must be a list of waveforms and files, got one"):
            recognizer.transcribe(one, RATE)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [
    {"batch_s": 0.0}, {"window_s": 0.5}, {"errors": "ignore"}, {"decoder": "beam"},
])  # fmt: skip
def test_bad_options(options: dict[str, Any], recognizer: SpeechRecognizer) -> None:
    with pytest.raises(ValueError, match=f"transcribe: {next(iter(options))} must be"):
        recognizer.transcribe([], RATE, **options)


def _broken(folder: Path, speech: NDArray[np.float32]) -> dict[str, Path]:
    soundfile.write(folder / "good.flac", speech[:RATE], RATE)
    whole = (folder / "good.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "text.wav").write_text("not audio", encoding="utf-8")
    (folder / "empty.wav").touch()
    soundfile.write(folder / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    return {name: folder / name for name in ("cut.flac", "text.wav", "empty.wav", "nan.wav", "missing.wav")}


@pytest.mark.parametrize("name", ["cut.flac", "text.wav", "empty.wav", "nan.wav", "missing.wav"])
def test_broken_files_are_named(
    name: str, recognizer: SpeechRecognizer, speech: NDArray[np.float32], tmp_path: Path
) -> None:
    bad = _broken(tmp_path, speech)[name]
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        recognizer.transcribe([tmp_path / "good.flac", bad])


def test_broken_inputs_can_be_skipped(
    recognizer: SpeechRecognizer, speech: NDArray[np.float32], tmp_path: Path
) -> None:
    bad = _broken(tmp_path, speech)
    inputs = [tmp_path / "good.flac", *bad.values(), np.full(9, np.nan), speech[:RATE]]
    with pytest.warns(UserWarning, match="transcribe: skipped 6 of 8 inputs:") as record:
        texts = recognizer.transcribe(inputs, RATE, errors="skip")
    assert [text is None for text in texts] == [False] + [True] * 6 + [False]
    assert all(name in str(record[0].message) for name in [*bad, "input 6"])
    assert record[0].filename == __file__
    with pytest.raises(ValueError, match="must be floating point"):  # a mistake in the call, not in the data
        recognizer.transcribe([np.zeros(3, np.int16)], RATE, errors="skip")


# What is left behind


def _fails(*arguments: object) -> list[str]:
    raise RuntimeError("no text")


@pytest.mark.parametrize("decoder", [greedy, _fails])
def test_modes_are_restored(decoder: Callable[..., list[str]], speech: NDArray[np.float32]) -> None:
    recognizer = _recognizer().train()
    assert isinstance(recognizer.model, nn.Module)
    recognizer.model.blocks[0].eval()  # somebody froze a part
    before = [module.training for module in recognizer.modules()]
    state = {name: value.clone() for name, value in recognizer.state_dict().items()}
    failing = pytest.raises(RuntimeError) if decoder is _fails else contextlib.nullcontext()
    with failing:
        recognizer.transcribe([speech[:RATE], speech[: RATE * 10]], RATE, decoder=decoder, window_s=4.0)
    assert [module.training for module in recognizer.modules()] == before
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert all(torch.equal(value, state[name]) for name, value in recognizer.state_dict().items())


def test_the_recognizers_own_decoder_is_used_unless_another_is_given(speech: NDArray[np.float32]) -> None:
    recognizer = _recognizer()
    recognizer.decoder = lambda log_probs, lengths, tokenizer: ["own"] * len(lengths)
    assert recognizer.transcribe([speech[:RATE]] * 2, RATE) == ["own", "own"]
    assert recognizer.transcribe([speech[:RATE]], RATE, decoder=greedy) != ["own"]


def test_progress_shows_by_itself_on_a_terminal_in_long_work(
    recognizer: SpeechRecognizer,
    speech: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = {}
    for after_s in (1e6, -1.0):
        monkeypatch.setattr("speechaug._progress.SHOW_AFTER_S", after_s)
        recognizer.transcribe((row for row in [speech[:RATE]] * 2), RATE)
        shown[after_s] = "transcribing" in capsys.readouterr().err
    assert shown == {1e6: False, -1.0: True}


@pytest.mark.parametrize("progress", [True, False, None])
def test_progress_goes_to_stderr_when_asked_for(
    progress: bool | None, recognizer: SpeechRecognizer, speech: NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    recognizer.transcribe([speech[:RATE], speech[: RATE * 10]], RATE, progress=progress, window_s=4.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("transcribing" in err and "2/2" in err) is (progress is True)
