"""A ``SpeechRecognizer`` or its checkpoint."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from speechaug.data.conditions import resolve_policy
from speechaug.robustness.fingerprints import file_fingerprint, model_fingerprint
from speechaug.robustness.recognizers.recognizer import Devices, Recognizer, Training, Transcribe, places
from speechaug.transform import Transform

if TYPE_CHECKING:
    from speechaug.asr import SpeechRecognizer

_OTHER_FILES = (LookupError, TypeError, AttributeError, ImportError, RuntimeError, EOFError, ValueError)
"""What reading a file as a checkpoint raises if it is something else."""


def from_checkpoint(source: SpeechRecognizer | str | Path, *, devices: Devices = "auto") -> Recognizer:
    """Return a recognizer for a ``SpeechRecognizer``, decoded as it decodes, or for the file of its checkpoint.

    Args:
        source: the module, or the path of a checkpoint.
        devices: as in :func:`as_recognizer`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint of a ``SpeechRecognizer``.
    """
    from speechaug.asr import SpeechRecognizer

    if isinstance(source, SpeechRecognizer):
        fingerprint = model_fingerprint([dict(source.hparams), repr(source.decoder)], source)
        models = [source] if devices == "auto" else _copies(source, devices)
        return _recognizer("SpeechRecognizer", fingerprint, models, Training())
    path = Path(source)
    fingerprint = file_fingerprint(path)
    return _recognizer(_checkpoint_name(path), fingerprint, _copies(_load_checkpoint(path), devices), _training(path))


def _recognizer(name: str, fingerprint: str, models: Sequence[SpeechRecognizer], training: Training) -> Recognizer:
    rate = int(models[0].features.sample_rate)

    def hearing(model: SpeechRecognizer) -> Transcribe:
        return lambda waves: model.transcribe(waves, rate, progress=False)

    return Recognizer(
        kind="checkpoint",
        name=name,
        fingerprint=fingerprint,
        sample_rate=rate,
        copies=tuple(map(hearing, models)),
        training=training,
    )


def _copies(model: SpeechRecognizer, devices: Devices) -> list[SpeechRecognizer]:
    return [_again(model).to(place) for place in places(devices)]


def _again(model: SpeechRecognizer) -> SpeechRecognizer:
    """Return a copy without the Trainer that a module drags along."""
    made = type(model)(**model.hparams)
    made.load_state_dict(model.state_dict())
    made.decoder = model.decoder
    return made


def _checkpoint_name(path: Path) -> str:
    """Return the file's name, or where that is the one that every training writes, its folder's."""
    return path.resolve().parent.name if path.name == "model.ckpt" else path.stem


def _training(path: Path) -> Training:
    """Return what a SpeechDataModule trained on, by its state and hyper-parameters; nothing if another one did."""
    held = torch.load(path, map_location="cpu", weights_only=True)
    states = [state for name, state in held.items() if name.endswith("DataModule") and isinstance(state, dict)]
    speakers, recordings = (
        frozenset(each for state in states for each in state.get(what, ())) for what in ("speakers", "recordings")
    )
    policy = held.get("datamodule_hyper_parameters", {}).get("policy") if speakers or recordings else None
    return Training(speakers, recordings, _policy(policy, path))


def _policy(plain: Any, path: Path) -> Transform | None:
    """Return the policy of a training; None without one, or where it is made of what is not here."""
    try:
        return None if plain is None else resolve_policy(plain)
    except ValueError as error:
        warnings.warn(f"{path}: the policy of its training cannot be read, nothing is marked: {error}", stacklevel=2)
        return None


def _load_checkpoint(path: Path) -> SpeechRecognizer:
    from speechaug.asr import SpeechRecognizer

    try:
        return SpeechRecognizer.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (*_OTHER_FILES, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: is not a checkpoint of a SpeechRecognizer ({reason})") from error
