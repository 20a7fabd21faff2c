"""Whatever recognizes speech, as one thing: a module for each kind, and here what tells them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechaug.robustness.recognizers.bundle import from_bundle
from speechaug.robustness.recognizers.checkpoint import from_checkpoint
from speechaug.robustness.recognizers.command import TIMEOUT_S, from_command
from speechaug.robustness.recognizers.hugging_face import from_hugging_face
from speechaug.robustness.recognizers.recognizer import SAMPLE_RATE, Devices, Recognizer, Transcribe, from_function

__all__ = [
    "TIMEOUT_S",
    "Devices",
    "Recognizer",
    "Transcribe",
    "as_recognizer",
    "from_bundle",
    "from_checkpoint",
    "from_command",
    "from_function",
    "from_hugging_face",
]


def as_recognizer(
    source: Any, *, sample_rate: int | None = None, devices: Devices = "auto", name: str | None = None
) -> Recognizer:
    """Return a recognizer for anything that is one.

    Args:
        source: a :class:`Recognizer`; a ``SpeechRecognizer`` or its checkpoint (a file); a folder of a Hugging Face
            model, or a pair of model and processor; a torchaudio pipeline bundle; a command with ``{wav}`` in it; or a
            function from a list of float32 waveforms ``(T,)`` to as many texts, with an attribute ``sample_rate`` if
            that is not 16,000 Hz.
        sample_rate: what a function or a command hears, in Hz; None for what it declares. Others know their own.
        devices: where a model runs; ``"auto"`` leaves a model where it is, and puts one that is loaded from a file on
            every CUDA device there is, or on the CPU. A function or a command chooses for itself.
        name: of a function, for tables and the cache of transcripts; give another name for another model. None for its
            qualified name, in the cache together with its code and what it uses, see
            :func:`speechaug.robustness.fingerprints.function_fingerprint`.

    Raises:
        ValueError: if it is none of these, hears another rate than the one given, or cannot be put on devices.

    Example:
        >>> as_recognizer(lambda waves: ["seven"] * len(waves), sample_rate=8_000).sample_rate
        8000
    """
    from speechaug.asr import SpeechRecognizer

    is_path = isinstance(source, (str, Path))
    if isinstance(source, Recognizer):
        found = source
    elif isinstance(source, SpeechRecognizer):
        found = from_checkpoint(source, devices=devices)
    elif isinstance(source, str) and "{wav}" in source:
        found = from_command(source, sample_rate=sample_rate or SAMPLE_RATE)
    elif isinstance(source, tuple) or (is_path and Path(source).is_dir()):
        found = from_hugging_face(source, devices=devices)
    elif is_path:
        found = from_checkpoint(source, devices=devices)
    elif callable(getattr(source, "get_model", None)):
        found = from_bundle(source, devices=devices)
    elif callable(source):
        found = from_function(source, sample_rate=sample_rate, name=name)
    else:
        raise ValueError(
            "evaluate: transcribe must be a function, a SpeechRecognizer or its checkpoint, a Hugging Face model and "
            f"processor or their folder, a torchaudio bundle or a command with {{wav}}, got {type(source).__name__}"
        )
    if sample_rate not in (None, found.sample_rate):
        raise ValueError(f"evaluate: sample_rate must be the recognizer's, {found.sample_rate}, got {sample_rate}")
    if devices != "auto" and found.kind in ("function", "command"):
        raise ValueError(f"evaluate: devices must be 'auto' for a {found.kind}, which chooses its own, got {devices!r}")
    return found
