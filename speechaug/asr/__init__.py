"""A small speech recognizer: tokens, mini-QuartzNet with CTC, greedy decoding, and its LightningModule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechaug.asr.decode import greedy_decode
from speechaug.asr.loss import ctc_loss
from speechaug.asr.model import SIZES, QuartzNet
from speechaug.asr.text import Tokenizer, normalise_text

if TYPE_CHECKING:
    from speechaug.asr.module import SpeechRecognizer

__all__ = ["SIZES", "QuartzNet", "SpeechRecognizer", "Tokenizer", "ctc_loss", "greedy_decode", "normalise_text"]


def __getattr__(name: str) -> Any:
    """Import Lightning only for those who train or load a recognizer."""
    if name == "SpeechRecognizer":
        from speechaug.asr.module import SpeechRecognizer

        return SpeechRecognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
