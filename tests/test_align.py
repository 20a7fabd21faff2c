"""Forced alignment: against every path, known peaks, known joins, and times that augmentation moved."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import speechaug as sa
from speechaug import _torchaudio, audio
from speechaug.asr import SpeechRecognizer, Tokenizer, ctc_loss
from speechaug.asr.align import Word, align, align_tokens
from speechaug.features import mel_filters

pytestmark = pytest.mark.global_rng  # weights are initialised by torch's global generator

needs_torchaudio = pytest.mark.skipif(not _torchaudio.available(), reason=_torchaudio.why_not())

FIXTURES = Path(__file__).parents[1] / "fixtures"


# Tokens and frames


@needs_torchaudio
@pytest.mark.parametrize("tokens", [[1], [1, 2], [1, 1], [2, 1, 2], [1, 2, 2]])
def test_best_of_all_paths(tokens: list[int]) -> None:
    rng = np.random.default_rng(len(tokens))
    for _ in range(5):
        table = np.log(rng.dirichlet(np.ones(3), 6))
        spelling = [
            path
            for path in itertools.product(range(3), repeat=6)
            if [token for token, _ in itertools.groupby(path) if token] == tokens
        ]
        best = max(spelling, key=lambda path: sum(table[t, token] for t, token in enumerate(path)))
        expected, at = [], 0
        for token, group in itertools.groupby(best):
            end = at + len(list(group))
            if token:
                expected.append((token, at, end, table[at:end, token].mean()))
            at = end
        found = align_tokens(torch.from_numpy(table), tokens)
        assert [(span.token, span.start, span.end) for span in found] == [row[:3] for row in expected]
        assert [span.log_prob for span in found] == pytest.approx([row[3] for row in expected], abs=1e-5)


def _certain(path: Sequence[int], tokens: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(path), tokens).float().mul(0.97).add(0.01).log()


@needs_torchaudio
def test_as_many_frames_as_are_needed_are_enough() -> None:
    spans = align_tokens(_certain([1, 0, 1, 2], 3), [1, 1, 2])
    assert [(span.token, span.start, span.end) for span in spans] == [(1, 0, 1), (1, 2, 3), (2, 3, 4)]
    assert align_tokens(torch.zeros(0, 3), []) == []
    with pytest.raises(ValueError, match="text must fit its audio, got 3 tokens that need 4 frames, and 3 frames"):
        align_tokens(_certain([1, 1, 2], 3), [1, 1, 2])


class Script(nn.Module):
    """Says a fixed path, whatever it hears: one row of tokens for the whole utterance."""

    def __init__(self, path: Sequence[int], tokens: int, subsampling: int) -> None:
        super().__init__()
        self.path, self.tokens, self.subsampling = list(path), tokens, subsampling

    def forward(self, spec: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames = -(-spec.shape[-1] // self.subsampling)
        assert frames == len(self.path)
        return _certain(self.path, self.tokens)[None], torch.tensor([frames])


def _recognizer(vocabulary: Sequence[str], unit: str, model: nn.Module, sample_rate: int = 8_000) -> SpeechRecognizer:
    recognizer = SpeechRecognizer(list(vocabulary), unit, size="xs", sample_rate=sample_rate)
    recognizer.model = model  # type: ignore[assignment]
    return recognizer


@needs_torchaudio
def test_peaks_of_words_have_exact_times() -> None:
    path = [0, 0, 1, 0, 0, 2, 2, 0, 1, 0, 0]  # 11 frames of 40 ms: 0.4 s, the last one at its end
    recognizer = _recognizer(["one", "two"], "word", Script(path, 3, 4))
    words = align(recognizer, np.zeros(3_200), " One two\tONE", sample_rate=8_000)
    expected = [("one", 0.06, 0.10), ("two", 0.18, 0.26), ("one", 0.30, 0.34)]
    assert [word.text for word in words] == ["one", "two", "one"]
    assert [(w.start_s, w.end_s) for w in words] == [pytest.approx(times, abs=1e-9) for _, *times in expected]
    assert [word.score for word in words] == pytest.approx([0.98] * 3, rel=1e-5)


@needs_torchaudio
def test_words_of_characters_go_from_their_first_to_their_last() -> None:
    text, path = "ab ba a", [1, 1, 0, 2, 3, 2, 0, 0, 1, 0, 3, 0, 1]
    recognizer = _recognizer(["a", "b", " "], "char", Script(path, 4, 2))
    words = align(recognizer, np.zeros(1_960), text, sample_rate=8_000)  # 25 frames of 10 ms, 13 of 20 ms
    assert [word.text for word in words] == ["ab", "ba", "a"]
    times = [(0.0, 0.07), (0.09, 0.17), (0.23, 0.245)]  # both ends lie within the recording
    assert [(w.start_s, w.end_s) for w in words] == [pytest.approx(pair, abs=1e-9) for pair in times]


@needs_torchaudio
def test_a_word_that_was_not_said_has_a_low_score() -> None:
    recognizer = _recognizer(["one", "two"], "word", Script([0, 1, 1, 0, 0, 0], 3, 4))
    one, two = align(recognizer, np.zeros(1_600), "one two", sample_rate=8_000)
    assert one.score > 0.9
    assert two.score < 0.05


# Words that are tones, and a model that hears them

RATE = 8_000
TONES_HZ = {"la": 500.0, "mi": 1_000.0, "so": 1_900.0}


class Ear(nn.Module):
    """Scores a tone word by the band of the spectrogram its tone is in; silence is the blank."""

    subsampling = 2

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filters(RATE, 256, 40, 20.0, RATE / 2)
        self.bands = [int(filters[round(hz * 256 / RATE)].argmax()) for hz in TONES_HZ.values()]

    def forward(self, spec: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        heard = torch.stack([spec[:, band - 2 : band + 3].amax(1) for band in self.bands], 1)
        heard = nn.functional.avg_pool1d(heard, 5, stride=self.subsampling, padding=2).transpose(1, 2)
        logits = torch.cat([torch.zeros_like(heard[..., :1]), 8.0 * (heard - 1.2)], -1)
        return logits.log_softmax(-1), (lengths + self.subsampling - 1) // self.subsampling


def _tones(words: Sequence[str], seed: int) -> tuple[NDArray[np.float32], list[tuple[float, float]]]:
    """Say some words with silence between them; return samples, and where each word begins and ends."""
    rng = np.random.default_rng(seed)
    parts, times, at = [np.zeros(1_200)], [], 1_200
    for word in words:
        length, gap = int(rng.integers(1_500, 3_000)), int(rng.integers(1_000, 3_000))
        parts += [0.3 * np.sin(2 * np.pi * TONES_HZ[word] * np.arange(length) / RATE), np.zeros(gap)]
        times.append((at / RATE, (at + length) / RATE))
        at += length + gap
    x = np.concatenate(parts)
    return (x + 0.01 * rng.standard_normal(len(x))).astype(np.float32), times


def _assert_times(words: Sequence[Word], times: Sequence[Sequence[float]], tolerance_s: float) -> None:
    found = np.array([(word.start_s, word.end_s) for word in words])
    np.testing.assert_allclose(found, np.array(times), rtol=0, atol=tolerance_s)


FRAME_S = 0.02
EDGE_S = 0.0125 + 0.02 + FRAME_S / 2  # half a window of the features, half the ear's mean, half a frame

SAID = ["la", "so", "so", "mi", "la", "mi"]


@needs_torchaudio
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_waveform_and_file_of_any_rate(rate: int, tmp_path: Path) -> None:
    recognizer = _recognizer(list(TONES_HZ), "word", Ear()).train()
    x, times = _tones(SAID, seed=0)
    y = audio.resample(x[None], RATE, rate)[0]
    path = tmp_path / "gesungen ♪.wav"
    soundfile.write(path, np.stack([y, y], 1), rate)
    for words in (align(recognizer, y, " ".join(SAID), sample_rate=rate), align(recognizer, path, " ".join(SAID))):
        assert [word.text for word in words] == SAID
        assert min(word.score for word in words) > 0.9
        _assert_times(words, times, EDGE_S)
    assert recognizer.training
    assert torch.is_grad_enabled()


@needs_torchaudio
def test_long_recording_in_windows() -> None:
    recognizer = _recognizer(list(TONES_HZ), "word", Ear())
    said = SAID * 25
    x, times = _tones(said, seed=1)
    assert len(x) > 60 * RATE
    _assert_times(align(recognizer, torch.from_numpy(x), " ".join(said), sample_rate=RATE), times, EDGE_S)


@needs_torchaudio
@pytest.mark.parametrize("factor", [0.9, 1.07])
def test_times_follow_augmentation(factor: float) -> None:
    recognizer = _recognizer(list(TONES_HZ), "word", Ear())
    x, times = _tones(SAID, seed=2)
    policy = sa.Compose([sa.Speed(factor=(factor, factor), p=1.0), sa.TimeShift(shift_ms=(40.0, 40.0), p=1.0)])
    draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["sung"]))
    lengths = torch.tensor([len(x)])
    y, y_lengths = policy(torch.from_numpy(x)[None], lengths, draws, sample_rate=RATE)
    before = align(recognizer, x, " ".join(SAID), sample_rate=RATE)
    after = align(recognizer, y[0, : int(y_lengths[0])], " ".join(SAID), sample_rate=RATE)
    moments = [[moment for word in before for moment in (word.start_s, word.end_s)]]
    warped = policy.warp_times(moments, lengths, draws, sample_rate=RATE).reshape(-1, 2).tolist()
    _assert_times(after, warped, FRAME_S * 1.5)  # each side is rounded to frames
    unmoved = np.array([(word.start_s, word.end_s) for word in before])
    assert np.abs(np.array(warped) - unmoved).max() > 4 * FRAME_S
    truth = policy.warp_times([[moment for pair in times for moment in pair]], lengths, draws, sample_rate=RATE)
    _assert_times(after, truth.reshape(-1, 2).tolist(), EDGE_S)


# Speech


def _digits(path: str, voice: str) -> list[tuple[str, NDArray[np.float32]]]:
    rows = [json.loads(line) for line in (FIXTURES / path).read_text(encoding="utf-8").splitlines()]
    return [
        (row["text"], audio.read(FIXTURES / row["audio"], offset_s=row["offset"], duration_s=row["duration"])[0][0])
        for row in rows
        if row["speaker"] == voice
    ]


def _joined(digits: list[tuple[str, NDArray[np.float32]]], rng: np.random.Generator) -> tuple[str, Tensor, list[float]]:
    """Say some digits in a random order; return the text, the samples, and where each digit begins, and the end."""
    chosen = [digits[i] for i in rng.permutation(len(digits))[: rng.integers(3, 8)]]
    x = torch.from_numpy(np.concatenate([samples for _, samples in chosen]))
    joins = np.cumsum([0, *(len(samples) for _, samples in chosen)]) / 16_000
    return " ".join(text for text, _ in chosen), x, joins.tolist()


@needs_torchaudio
@pytest.mark.slow
def test_words_of_speech_lie_between_their_joins() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    digits = _digits("test.jsonl", "us_m4")
    tokenizer = Tokenizer.from_texts([text for text, _ in digits], unit="word")
    recognizer = SpeechRecognizer(list(tokenizer.vocabulary), "word", size="xs", dropout=0.0)
    optimizer = torch.optim.AdamW(recognizer.parameters(), lr=6e-3)
    for _ in range(60):
        texts, rows, _ = zip(*(_joined(digits, rng) for _ in range(8)), strict=True)
        x = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        log_probs, frames = recognizer(x, torch.tensor([len(row) for row in rows]))
        tokens = [tokenizer.encode(text) for text in texts]
        optimizer.zero_grad()
        ctc_loss(log_probs, frames, tokens, torch.ones(8, dtype=torch.bool)).mean.backward()
        optimizer.step()
    inside = []
    for _ in range(20):
        text, x, joins = _joined(digits, rng)
        for word, (start_s, end_s) in zip(
            align(recognizer, x, text, sample_rate=16_000), itertools.pairwise(joins), strict=True
        ):
            inside.append(start_s - 0.08 <= word.start_s and word.end_s <= end_s + 0.08)  # two frames
    assert np.mean(inside) > 0.97


# Errors


@needs_torchaudio
def test_what_cannot_be_aligned_is_named(tmp_path: Path) -> None:
    recognizer = _recognizer(list(TONES_HZ), "word", Ear())
    x = np.zeros(RATE, np.float32)
    with pytest.raises(ValueError, match=r"\['la', 'mi', 'so'\], got 'fa' in 'la fa'"):
        align(recognizer, x, "la fa", sample_rate=RATE)
    with pytest.raises(ValueError, match="text must fit its audio, got 40 tokens that need 79 frames, and 51 frames"):
        align(recognizer, x, "la " * 40, sample_rate=RATE)
    with pytest.raises(ValueError, match="sample_rate must be given"):
        align(recognizer, x, "la")
    with pytest.raises(ValueError, match="align: source: holds non-finite samples, the first at sample 3"):
        align(recognizer, np.array([0.0, 0.0, 0.0, np.nan]), "la", sample_rate=RATE)
    (tmp_path / "x.wav").write_text("no audio", encoding="utf-8")
    with pytest.raises(ValueError, match=r"x\.wav"):
        align(recognizer, tmp_path / "x.wav", "la")
    with pytest.raises(ValueError, match="1 tokens that need 1 frames, and 0 frames"):
        align(recognizer, np.zeros(0), "la", sample_rate=RATE)
    assert align(recognizer, x, "  ", sample_rate=RATE) == []


@needs_torchaudio
def test_silence_and_one_sample_are_finite() -> None:
    recognizer = SpeechRecognizer(["la", "mi"], "word", size="xs", sample_rate=RATE)
    for samples in (np.zeros(1), np.zeros(RATE), np.full(RATE, 1e-8)):
        (word,) = align(recognizer, samples, "mi", sample_rate=RATE)
        assert 0 <= word.start_s <= word.end_s <= len(samples) / RATE
        assert 0 <= word.score <= 1


def test_without_torchaudio_the_remedy_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_torchaudio, "_load", lambda: (None, "OSError: libc10_cuda.so"))
    recognizer = _recognizer(["la"], "word", Ear())
    with pytest.raises(ImportError, match=r"forced alignment needs torchaudio.*libc10_cuda\.so"):
        align(recognizer, np.zeros(RATE), "la", sample_rate=RATE)
