"""Texts of any number of waveforms and files of any length, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING

import torch

from speechaug._progress import Advance, progress_bar
from speechaug.asr.decode import Decoder
from speechaug.asr.sound import Input, check_inputs, listen
from speechaug.asr.windows import batch_log_probs, evaluating, windowed_log_probs
from speechaug.audio import AudioError, FloatArray

if TYPE_CHECKING:
    from speechaug.asr.module import SpeechRecognizer

_POOL = 4  # batches read ahead, so that utterances of similar length can share one


def transcribe(
    recognizer: SpeechRecognizer,
    inputs: Iterable[Input],
    sample_rate: int | None,
    *,
    decoder: Decoder,
    batch_s: float,
    window_s: float,
    errors: str,
    progress: bool | None,
) -> list[str | None]:
    """Do what ``SpeechRecognizer.transcribe`` promises; the arguments are described there.

    Args:
        recognizer: whose method it is.
        inputs: waveforms and files.
        sample_rate: of the waveforms, in Hz.
        decoder: makes texts of log-probabilities.
        batch_s: length of a batch.
        window_s: length of a window.
        errors: ``"raise"`` or ``"skip"``.
        progress: whether to show a bar.
    """
    check_inputs("transcribe", inputs)
    _check(decoder, batch_s, window_s, errors)
    rate, texts, skipped = recognizer.features.sample_rate, list[str | None](), list[str]()
    pool = _Pool(recognizer, decoder, batch_s)
    total = len(inputs) if isinstance(inputs, Sized) else None
    with evaluating(recognizer), progress_bar("transcribing", progress, total) as advance:
        for index, source in enumerate(inputs):
            texts.append(None)
            try:
                sound = listen(source, rate, array_rate=sample_rate, name=f"transcribe: input {index}")
                if sound.duration_s <= window_s:
                    pool.add(index, sound.read(0, None))
                else:
                    log_probs = windowed_log_probs(recognizer, sound, window_s, advance)
                    texts[index] = decoder(log_probs[None], torch.tensor([len(log_probs)]), recognizer.tokenizer)[0]
            except (AudioError, OSError) as error:
                if errors == "raise":
                    raise
                skipped.append(str(error))
            pool.empty_into(texts, advance, only_if_full=True)
        pool.empty_into(texts, advance)
    if skipped:
        shown = "".join(f"\n  {line}" for line in skipped[:10]) + ("\n  ..." if len(skipped) > 10 else "")
        warnings.warn(f"transcribe: skipped {len(skipped)} of {len(texts)} inputs:{shown}", UserWarning, stacklevel=3)
    return texts


def _check(decoder: Decoder, batch_s: float, window_s: float, errors: str) -> None:
    if not callable(decoder):
        raise ValueError(f"transcribe: decoder must be a function such as asr.greedy, got {decoder!r}")
    if not batch_s > 0:
        raise ValueError(f"transcribe: batch_s must be positive, got {batch_s}")
    if not window_s >= 1:
        raise ValueError(f"transcribe: window_s must be at least 1, got {window_s}")
    if errors not in ("raise", "skip"):
        raise ValueError(f"transcribe: errors must be 'raise' or 'skip', got {errors!r}")


class _Pool:
    """Waveforms that wait until there are enough of them to make good batches."""

    def __init__(self, recognizer: SpeechRecognizer, decoder: Decoder, batch_s: float) -> None:
        self.recognizer, self.decoder = recognizer, decoder
        self.batch = batch_s * recognizer.features.sample_rate
        self.rows: list[tuple[int, FloatArray]] = []

    def add(self, index: int, samples: FloatArray) -> None:
        self.rows.append((index, samples))

    def empty_into(self, texts: list[str | None], advance: Advance, *, only_if_full: bool = False) -> None:
        if only_if_full and sum(len(samples) for _, samples in self.rows) < _POOL * self.batch:
            return
        for rows in self._batches():
            log_probs, frames = batch_log_probs(self.recognizer, [samples for _, samples in rows])
            for (index, _), text in zip(rows, self.decoder(log_probs, frames, self.recognizer.tokenizer), strict=True):
                texts[index] = text
            advance(len(rows))
        self.rows = []

    def _batches(self) -> Iterator[list[tuple[int, FloatArray]]]:
        """Yield rows of similar length, in all not longer than a batch when padded, but at least one."""
        rows: list[tuple[int, FloatArray]] = []
        for index, samples in sorted(self.rows, key=lambda row: len(row[1])):
            if rows and (len(rows) + 1) * len(samples) > self.batch:
                yield rows
                rows = []
            rows.append((index, samples))
        if rows:
            yield rows
