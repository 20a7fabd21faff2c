"""What ``import speechaug`` offers of the core, gathered here so that the package itself imports without torch.

``speechaug doctor`` must be able to say that torch is what is broken.
"""

from __future__ import annotations

from speechaug.banks import Bank
from speechaug.clip import augment
from speechaug.compose import Compose, OneOf, SomeOf
from speechaug.draws import Draws
from speechaug.interop.external import External
from speechaug.policy_file import load_policy, save_policy
from speechaug.rng import Rng
from speechaug.spectrogram.mask import FrequencyMask, TimeMask
from speechaug.spectrogram.warp import TimeWarp
from speechaug.transform import TRANSFORMS, Augmented, Transform, from_dict, span
from speechaug.waveform.air import AirAbsorption
from speechaug.waveform.codec import Downsample, Mp3, MuLaw, Opus
from speechaug.waveform.distortion import Clipping, Quantization, TanhDistortion
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

__all__ = [
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
    "Speed",
    "TRANSFORMS",
    "TanhDistortion",
    "TimeMask",
    "TimeShift",
    "TimeStretch",
    "TimeWarp",
    "Transform",
    "Tremolo",
    "VocalTractLength",
    "Whisper",
    "augment",
    "from_dict",
    "load_policy",
    "save_policy",
    "span",
]
