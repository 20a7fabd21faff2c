"""The maths, once: one pure function per effect, every strength a ``(B,)`` tensor, lengths respected."""

from speechaug.functional.filter import bandpass, highpass, lowpass
from speechaug.functional.level import active_level_db, gain, polarity, power, rms_db, valid_mask
from speechaug.functional.limit import into_range
from speechaug.functional.mask import frequency_mask, time_mask
from speechaug.functional.noise import colored_noise, mix_at_snr, white_noise
from speechaug.functional.resample import resample, scaled_lengths
from speechaug.functional.room import reverb
from speechaug.functional.time import time_shift, time_stretch
from speechaug.functional.voice import pitch_shift
from speechaug.functional.warp import time_warp, warp_moments

__all__ = [
    "active_level_db",
    "bandpass",
    "colored_noise",
    "frequency_mask",
    "gain",
    "highpass",
    "into_range",
    "lowpass",
    "mix_at_snr",
    "pitch_shift",
    "polarity",
    "power",
    "resample",
    "reverb",
    "rms_db",
    "scaled_lengths",
    "time_mask",
    "time_shift",
    "time_stretch",
    "time_warp",
    "valid_mask",
    "warp_moments",
    "white_noise",
]
