"""speechaug: speech recognizers that survive noise, rooms, telephones and strangers, from little data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechaug import presets
    from speechaug.asr import SpeechClassifier, SpeechRecognizer, Tokenizer
    from speechaug.banks import Bank
    from speechaug.clip import augment
    from speechaug.compose import Compose, OneOf, SomeOf
    from speechaug.data import SpeechDataModule, Utterance, read_manifest, write_manifest
    from speechaug.draws import Draws
    from speechaug.features import LogMel
    from speechaug.folders import augment_folder, augment_manifest
    from speechaug.interop.external import External
    from speechaug.policy_file import load_policy, save_policy
    from speechaug.rng import Rng
    from speechaug.spectrogram.mask import FrequencyMask, TimeMask
    from speechaug.spectrogram.warp import TimeWarp
    from speechaug.transform import TRANSFORMS, Augmented, Transform, from_dict, span
    from speechaug.waveform.air import AirAbsorption
    from speechaug.waveform.codec import Downsample, Mp3, MuLaw, Opus
    from speechaug.waveform.echo import Chorus, Echo, Phaser
    from speechaug.waveform.enhancement import SpectralSubtraction
    from speechaug.waveform.equalize import Equalizer, HighShelf, LowShelf
    from speechaug.waveform.fault import Dropouts, GainSteps, LowLevel, PacketLoss, PercentileClipping
    from speechaug.waveform.filter import BandPass, HighPass, LowPass
    from speechaug.waveform.interference import AddBabble, AddHum, AddImpulses, AddSpeechShapedNoise
    from speechaug.waveform.level import Gain, Polarity, Rescale
    from speechaug.waveform.microphone import Microphone
    from speechaug.waveform.modulation import Tremolo
    from speechaug.waveform.noise import AddColoredNoise, AddNoise
    from speechaug.waveform.room import Reverb
    from speechaug.waveform.time import Speed, TimeShift, TimeStretch
    from speechaug.waveform.tract import VocalTractLength, Whisper
    from speechaug.waveform.voice import PitchShift

__version__ = "0.1.0"

__all__ = [
    "TRANSFORMS",
    "AddBabble",
    "AddColoredNoise",
    "AddHum",
    "AddImpulses",
    "AddNoise",
    "AddSpeechShapedNoise",
    "AirAbsorption",
    "Augmented",
    "BandPass",
    "Bank",
    "Chorus",
    "Clipping",
    "Compose",
    "Downsample",
    "Draws",
    "Dropouts",
    "Echo",
    "Equalizer",
    "External",
    "FrequencyMask",
    "Gain",
    "GainSteps",
    "HighPass",
    "HighShelf",
    "LogMel",
    "LowLevel",
    "LowPass",
    "LowShelf",
    "Microphone",
    "Mp3",
    "MuLaw",
    "OneOf",
    "Opus",
    "PacketLoss",
    "PercentileClipping",
    "Phaser",
    "PitchShift",
    "Polarity",
    "Quantization",
    "Rescale",
    "Reverb",
    "Rng",
    "SomeOf",
    "SpectralSubtraction",
    "SpeechClassifier",
    "SpeechDataModule",
    "SpeechRecognizer",
    "Speed",
    "TanhDistortion",
    "TimeMask",
    "TimeShift",
    "TimeStretch",
    "TimeWarp",
    "Tokenizer",
    "Transform",
    "Tremolo",
    "Utterance",
    "VocalTractLength",
    "Whisper",
    "augment",
    "augment_folder",
    "augment_manifest",
    "from_dict",
    "load_policy",
    "presets",
    "read_manifest",
    "save_policy",
    "span",
    "write_manifest",
]

_ON_FIRST_USE = {
    "LogMel": "speechaug.features",
    "SpeechClassifier": "speechaug.asr",
    "SpeechDataModule": "speechaug.data",
    "SpeechRecognizer": "speechaug.asr",
    "Tokenizer": "speechaug.asr",
    "Utterance": "speechaug.data",
    "augment_folder": "speechaug.folders",
    "augment_manifest": "speechaug.folders",
    "read_manifest": "speechaug.data",
    "write_manifest": "speechaug.data",
}
"""Names that bring Lightning or file I/O with them."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    if name in ("asr", "audio", "callbacks", "data", "folders", "interop", "presets", "robustness", "testing"):
        return importlib.import_module(f"speechaug.{name}")
    if name in __all__:
        return getattr(importlib.import_module("speechaug._core"), name)
    raise AttributeError(f"module 'speechaug' has no attribute {name!r}")
