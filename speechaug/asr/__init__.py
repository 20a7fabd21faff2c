"""Small speech recognizers: tokens, networks, CTC, decoding, alignment, export, and their LightningModules."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from speechaug.asr.align import Word, align
from speechaug.asr.beam import BeamSearch, Hypothesis
from speechaug.asr.conformer import Conformer
from speechaug.asr.decode import greedy, greedy_decode
from speechaug.asr.loss import ctc_loss
from speechaug.asr.model import ARCHITECTURES, SIZES, QuartzNet
from speechaug.asr.text import Tokenizer, normalise_text

if TYPE_CHECKING:
    from speechaug.asr.classifier import SpeechClassifier
    from speechaug.asr.export import export_onnx, export_torch, load_exported
    from speechaug.asr.module import SpeechRecognizer

__all__ = [
    "ARCHITECTURES",
    "SIZES",
    "BeamSearch",
    "Conformer",
    "Hypothesis",
    "QuartzNet",
    "SpeechClassifier",
    "SpeechRecognizer",
    "Tokenizer",
    "Word",
    "align",
    "ctc_loss",
    "export_onnx",
    "export_torch",
    "greedy",
    "greedy_decode",
    "load_exported",
    "normalise_text",
]

_ON_FIRST_USE = {
    "SpeechClassifier": "speechaug.asr.classifier",
    "SpeechRecognizer": "speechaug.asr.module",
    "export_onnx": "speechaug.asr.export",
    "export_torch": "speechaug.asr.export",
    "load_exported": "speechaug.asr.export",
}
"""Names that bring Lightning or what it takes to export with them."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
