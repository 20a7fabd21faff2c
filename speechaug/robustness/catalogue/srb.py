"""The parameters of Speech Robust Bench's signal corruptions: 22 of its 25, four severities each.

Same effects and strengths as Speech Robust Bench (Shah et al., ICLR 2025, arXiv 2403.07937), done by our transforms
and with our sounds: numbers are near those of its tables, not equal to them. Its noise levels are over the whole
utterance (RMS), as here. Its four sets of recorded noise are one here, its rooms are sorted by our measures into
our first four severities, and its voices (synthetic speech, accents), field recordings and adversarial attacks are left
out. Its effects of SoX have their parameters here, not their filters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from speechaug.robustness.catalogue import channel, room, speaker, spectral
from speechaug.robustness.catalogue.corruption import Corruption, Step, fixed, grid
from speechaug.robustness.catalogue.sounds import Rooms, Sounds
from speechaug.transform import Transform
from speechaug.waveform.distortion import Clipping
from speechaug.waveform.echo import Phaser
from speechaug.waveform.equalize import HighShelf, LowShelf
from speechaug.waveform.modulation import Tremolo
from speechaug.waveform.noise import AddColoredNoise, AddNoise
from speechaug.waveform.room import Reverb

SNR_DB = (30, 20, 10, 0)
FASTER = (1.25, 1.5, 1.75, 2.0)
SLOWER = (0.875, 0.75, 0.625, 0.5)
SEMITONES = (3, 6, 9, 12)


def _gaussian(_: Sounds, *, snr_db: float) -> Transform:
    return AddColoredNoise(snr_db=fixed(snr_db), exponent=fixed(0.0))


def _environment(sounds: Sounds, *, snr_db: float) -> Transform:
    return AddNoise(bank=sounds.noise, snr_db=fixed(snr_db))


def _music(sounds: Sounds, *, snr_db: float) -> Transform:
    return AddNoise(bank=sounds.music, snr_db=fixed(snr_db))


def _crosstalk(sounds: Sounds, *, snr_db: float) -> Transform:
    return AddNoise(bank=sounds.talkers, snr_db=fixed(snr_db))


def _gain(_: Sounds, *, gain_db: float) -> Transform:
    """Amplify by a factor and clamp: relative to the peak, what is clamped is above one over the factor."""
    return Clipping(threshold_db=fixed(-gain_db))


def _phaser(_: Sounds, *, decay: float) -> Transform:
    return Phaser(decay=fixed(decay))


def _tremolo(_: Sounds, *, depth: float) -> Transform:
    return Tremolo(depth=fixed(depth), rate_hz=fixed(20.0))


def _bass(_: Sounds, *, gain_db: float) -> Transform:
    return LowShelf(gain_db=fixed(gain_db), cutoff_hz=fixed(100.0))


def _treble(_: Sounds, *, gain_db: float) -> Transform:
    return HighShelf(gain_db=fixed(gain_db), cutoff_hz=fixed(3_000.0))


def _rooms(choose: Callable[[Sounds], Sequence[Rooms]]) -> Callable[[Sounds], list[Step]]:
    def steps(sounds: Sounds) -> list[Step]:
        return [Step(rooms.nominal, (Reverb(bank=rooms.bank),)) for rooms in choose(sounds)[:4]]

    return steps


CORRUPTIONS = (
    Corruption("gnoise", "noise", grid(_gaussian, snr_db=SNR_DB)),
    Corruption("env_noise", "noise", grid(_environment, snr_db=SNR_DB)),
    Corruption("music", "noise", grid(_music, snr_db=SNR_DB)),
    Corruption("crosstalk", "noise", grid(_crosstalk, snr_db=SNR_DB)),
    Corruption("rir", "room", _rooms(lambda sounds: sounds.rooms)),
    Corruption("real_rir", "room", _rooms(lambda sounds: sounds.measured_rooms)),
    Corruption("echo", "room", grid(room.echo, delay_ms=(125, 250, 500, 1000))),
    Corruption(
        "lowpass",
        "channel",
        grid(channel.low_pass, cutoff_hz=(4000, 2833, 1666, 500)),
        min_sample_rates=(11_025, 8_000, 8_000, 8_000),
    ),
    Corruption("highpass", "channel", grid(channel.high_pass, cutoff_hz=(500, 1333, 2166, 3000))),
    Corruption("resample", "channel", grid(channel.downsample, factor=(0.75, 0.5, 0.25, 0.125))),
    Corruption("gain", "fault", grid(_gain, gain_db=(20.0, 26.02, 29.54, 32.04))),
    Corruption("speedup", "speaker", grid(speaker.speed, factor=FASTER)),
    Corruption("slowdown", "speaker", grid(speaker.speed, factor=SLOWER)),
    Corruption("tempo_up", "speaker", grid(speaker.tempo, rate=FASTER)),
    Corruption("tempo_down", "speaker", grid(speaker.tempo, rate=SLOWER)),
    Corruption("pitch_up", "speaker", grid(speaker.pitch, semitones=SEMITONES)),
    Corruption("pitch_down", "speaker", grid(speaker.pitch, semitones=[-step for step in SEMITONES])),
    Corruption("bass", "spectral", grid(_bass, gain_db=(20, 30, 40, 50))),
    Corruption("treble", "spectral", grid(_treble, gain_db=(10, 23, 36, 50))),
    Corruption("chorus", "spectral", grid(spectral.chorus, delay_ms=(30, 50, 70, 90))),
    Corruption("phaser", "spectral", grid(_phaser, decay=(0.3, 0.5, 0.7, 0.9))),
    Corruption("tremolo", "spectral", grid(_tremolo, depth=(0.50, 0.66, 0.83, 1.00))),
)
