"""Digital faults: overdriven inputs, lost packets, drop-outs, levels and what noise suppressors leave.

The family that is kept out of every training preset, so that something remains that no model of ours was trained for.
"""

from __future__ import annotations

from speechaug.robustness.catalogue.corruption import Corruption, fixed, grid
from speechaug.robustness.catalogue.noise import environment
from speechaug.robustness.catalogue.sounds import Sounds
from speechaug.transform import Transform
from speechaug.waveform.enhancement import SpectralSubtraction
from speechaug.waveform.fault import Dropouts, GainSteps, LowLevel, PacketLoss, PercentileClipping


def _clipping(_: Sounds, *, clipped_fraction: float) -> Transform:
    return PercentileClipping(fraction=fixed(clipped_fraction))


def _packet_loss(_: Sounds, *, loss_rate: float, burst_frames: float) -> Transform:
    return PacketLoss(loss=fixed(loss_rate), burst_frames=fixed(burst_frames))


def _dropouts(_: Sounds, *, rate_per_s: float) -> Transform:
    return Dropouts(rate_per_s=fixed(rate_per_s), duration_ms=(60.0, 125.0))


def _low_level(_: Sounds, *, level_dbfs: float) -> Transform:
    return LowLevel(level_dbfs=fixed(level_dbfs))


def _gain_steps(_: Sounds, *, gain_db: float) -> Transform:
    return GainSteps(gain_db=(-gain_db, gain_db), interval_ms=300.0)


def _enhancement(sounds: Sounds, *, over_subtraction: float) -> tuple[Transform, ...]:
    return environment(sounds, snr_db=10.0), SpectralSubtraction(over_subtraction=fixed(over_subtraction))


CORRUPTIONS = (
    Corruption("clipping", "fault", grid(_clipping, clipped_fraction=(0.01, 0.03, 0.07, 0.15, 0.30)), held_out=True),
    Corruption(
        "packet_loss",
        "fault",
        grid(_packet_loss, loss_rate=(0.02, 0.05, 0.10, 0.20, 0.30), burst_frames=(1, 2, 2, 3, 4)),
        held_out=True,
    ),
    Corruption("dropouts", "fault", grid(_dropouts, rate_per_s=(1, 2, 3, 4, 5)), held_out=True),
    Corruption("low_level", "fault", grid(_low_level, level_dbfs=(-20, -30, -40, -50, -60)), held_out=True),
    Corruption("gain_steps", "fault", grid(_gain_steps, gain_db=(3, 6, 9, 12, 18)), held_out=True),
    Corruption(
        "enhancement",
        "fault",
        grid(_enhancement, over_subtraction=(1, 2, 3, 4, 6)),
        marks=("SpectralSubtraction",),
        held_out=True,
    ),
)
