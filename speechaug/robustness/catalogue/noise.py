"""Additive noise: of any colour, speech-like, recorded, impulsive; levels by the active speech level (ITU-T P.56)."""

from __future__ import annotations

from collections.abc import Callable

from speechaug.robustness.catalogue.corruption import Corruption, fixed, grid
from speechaug.robustness.catalogue.sounds import Sounds
from speechaug.transform import Transform
from speechaug.waveform.interference import AddBabble, AddHum, AddImpulses, AddSpeechShapedNoise
from speechaug.waveform.noise import AddColoredNoise, AddNoise

SNR_DB = (20, 15, 10, 5, 0)


def colored(exponent: float) -> Callable[..., Transform]:
    """Return what adds noise of a colour."""

    def make(_: Sounds, *, snr_db: float) -> Transform:
        return AddColoredNoise(snr_db=fixed(snr_db), exponent=fixed(exponent), reference="active")

    return make


def environment(sounds: Sounds, *, snr_db: float) -> Transform:
    """Add recorded noise."""
    return AddNoise(bank=sounds.noise, snr_db=fixed(snr_db), reference="active")


def music(sounds: Sounds, *, snr_db: float) -> Transform:
    """Add music."""
    return AddNoise(bank=sounds.music, snr_db=fixed(snr_db), reference="active")


def competing_talker(sounds: Sounds, *, snr_db: float) -> Transform:
    """Add one other talker."""
    return AddNoise(bank=sounds.talkers, snr_db=fixed(snr_db), reference="active")


def babble(sounds: Sounds, *, snr_db: float) -> Transform:
    """Add three to seven other talkers."""
    return AddBabble(bank=sounds.talkers, talkers=(3, 7), snr_db=fixed(snr_db), reference="active")


def _speech_shaped(_: Sounds, *, snr_db: float) -> Transform:
    return AddSpeechShapedNoise(snr_db=fixed(snr_db), reference="active")


def _impulsive(_: Sounds, *, rate_per_s: float) -> Transform:
    return AddImpulses(rate_per_s=fixed(rate_per_s), decay_ms=(5.0, 50.0), level_db=fixed(0.0))


def _hum(_: Sounds, *, snr_db: float) -> Transform:
    return AddHum(snr_db=fixed(snr_db), reference="active")


CORRUPTIONS = (
    Corruption("white", "noise", grid(colored(0.0), snr_db=SNR_DB)),
    Corruption("pink", "noise", grid(colored(-1.0), snr_db=SNR_DB)),
    Corruption("brown", "noise", grid(colored(-2.0), snr_db=(10, 5, 0, -5, -10))),
    Corruption("speech_shaped", "noise", grid(_speech_shaped, snr_db=(15, 10, 5, 0, -5))),
    Corruption("babble", "noise", grid(babble, snr_db=SNR_DB)),
    Corruption("competing_talker", "noise", grid(competing_talker, snr_db=SNR_DB)),
    Corruption("environment", "noise", grid(environment, snr_db=SNR_DB)),
    Corruption("music", "noise", grid(music, snr_db=SNR_DB)),
    Corruption("impulsive", "noise", grid(_impulsive, rate_per_s=(1, 2, 4, 8, 16))),
    Corruption("hum", "noise", grid(_hum, snr_db=SNR_DB)),
)
