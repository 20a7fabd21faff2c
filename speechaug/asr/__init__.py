"""A small speech recognizer: tokens, mini-QuartzNet with CTC, greedy decoding, and its LightningModule."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from speechaug.asr.decode import greedy_decode
from speechaug.asr.loss import ctc_loss
from speechaug.asr.model import SIZES, QuartzNet
from speechaug.asr.text import Tokenizer, normalise_text

if TYPE_CHECKING:
    from speechaug.asr.classifier import SpeechClassifier
    from speechaug.asr.module import SpeechRecognizer

__all__ = [
    "SIZES",
    "QuartzNet",
    "SpeechClassifier",
    "SpeechRecognizer",
    "Tokenizer",
    "ctc_loss",
    "greedy_decode",
    "normalise_text",
]

_ON_FIRST_USE = {"SpeechClassifier": "speechaug.asr.classifier", "SpeechRecognizer": "speechaug.asr.module"}
"""Names that bring Lightning with them."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
