"""When each word of a known transcript was said: forced alignment, through torchaudio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from speechaug import _torchaudio
from speechaug.asr.loss import frames_needed
from speechaug.asr.sound import Input, listen
from speechaug.asr.text import BLANK, normalise_text
from speechaug.asr.windows import batch_log_probs, evaluating, windowed_log_probs

if TYPE_CHECKING:
    from speechaug.asr.module import SpeechRecognizer

_WINDOW_S = 30.0


@dataclass(frozen=True)
class Word:
    """A word and when it was said.

    Args:
        text: the word, normalised.
        start_s: where it begins, in seconds.
        end_s: where it ends, in seconds.
        score: probability of its frames, their geometric mean: near 1 the recognizer hears the word there, near 0 it
            does not.
    """

    text: str
    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class Span:
    """A token and the frames it was aligned with.

    Args:
        token: index of the token.
        start: its first frame.
        end: the frame after its last.
        log_prob: mean log-probability of the token in these frames.
    """

    token: int
    start: int
    end: int
    log_prob: float


def align(recognizer: SpeechRecognizer, source: Input, text: str, *, sample_rate: int | None = None) -> list[Word]:
    """Find when each word of a transcript was said.

    The most probable way to speak exactly this text is found, whether or not the recognizer would write it. A CTC
    recognizer needs a word to be said once, not for as long as it lasts: it may mark a part of it, so a word's times
    lie inside the word, within a few frames, rather than at its ends. Those of characters (first to last) come closer
    to the ends than those of a recognizer of words.

    Args:
        recognizer: a trained recognizer; it is left as it is.
        source: a waveform ``(T,)`` in floating point, or a sound file of any rate.
        text: what is said in it, normalised here; without words there is nothing to align.
        sample_rate: of a waveform, in Hz.

    Returns: the words in their order. Frames are ``subsampling`` steps of the features long, 20 or 40 ms by default.
    Raises:
        ImportError: if torchaudio cannot be imported.
        FileNotFoundError: if there is no such file.
        ValueError: if the text has tokens outside the vocabulary or needs more frames than there are, or the waveform
            or file cannot be used.

    Source: Graves et al. (2006), section 4, with the maximum in place of the sum; ``torchaudio.functional``.

    Example:
        >>> align(recognizer, "take.wav", "one two")  # doctest: +SKIP
        [Word(text='one', start_s=0.42, end_s=0.5, score=0.98), Word(text='two', start_s=0.98, end_s=1.1, score=0.99)]
    """
    _torchaudio.require("forced alignment")
    tokens = recognizer.tokenizer.encode(text)
    sound = listen(source, recognizer.features.sample_rate, array_rate=sample_rate, name="align: source")
    with evaluating(recognizer):
        if sound.duration_s > _WINDOW_S:
            log_probs = windowed_log_probs(recognizer, sound, _WINDOW_S)
        else:
            rows, frames = batch_log_probs(recognizer, [sound.read(0, None)])
            log_probs = rows[0, : int(frames)].cpu()
        spans = align_tokens(log_probs, tokens)
    frame_s = recognizer.model.subsampling / recognizer.features.frame_rate
    words = normalise_text(text).split()
    return [_word(*pair, frame_s, sound.duration_s) for pair in zip(words, _by_word(spans, words), strict=True)]


def _by_word(spans: Sequence[Span], words: Sequence[str]) -> Iterator[Sequence[Span]]:
    """Give each word its spans: one where tokens are words; where they are characters, not the space behind it."""
    if len(spans) == len(words):
        yield from ([span] for span in spans)
        return
    at = 0
    for word in words:
        yield spans[at : at + len(word)]
        at += len(word) + 1


def _word(text: str, spans: Sequence[Span], frame_s: float, duration_s: float) -> Word:
    # A frame stands for the time around its middle, half a step to either side.
    start_s, end_s = ((frame - 0.5) * frame_s for frame in (spans[0].start, spans[-1].end))
    frames = sum(span.end - span.start for span in spans)
    mean = sum(span.log_prob * (span.end - span.start) for span in spans) / frames
    return Word(text, max(0.0, start_s), min(end_s, duration_s), math.exp(mean))


def align_tokens(log_probs: Tensor, tokens: Sequence[int]) -> list[Span]:
    """Find the frames of each token on the most probable path that spells them.

    Args:
        log_probs: log-probabilities of the frames.
        tokens: what is spelled, without blanks.

    Shape: log_probs ``(frames, tokens)``.
    Raises:
        ImportError: if torchaudio cannot be imported.
        ValueError: if the tokens need more frames than there are.
    """
    functional = _torchaudio.require("forced alignment").functional
    if frames_needed(tokens) > len(log_probs):
        raise ValueError(
            f"align: text must fit its audio, got {len(tokens)} tokens that need {frames_needed(tokens)} frames, "
            f"and {len(log_probs)} frames"
        )
    if not len(tokens):
        return []
    targets = torch.tensor([list(tokens)], dtype=torch.int32, device=log_probs.device)
    path, scores = functional.forced_align(log_probs[None].float(), targets, blank=BLANK)
    merged = functional.merge_tokens(path[0], scores[0], blank=BLANK)
    return [Span(span.token, span.start, span.end, span.score) for span in merged]
