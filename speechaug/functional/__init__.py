"""The maths, once: one pure function per effect, every strength a ``(B,)`` tensor, lengths respected."""

from speechaug.functional.air import absorption_db
from speechaug.functional.codec import downsample, mp3, mu_law, opus, sample_and_hold
from speechaug.functional.distortion import clipping, quantize, tanh_distortion
from speechaug.functional.echo import chorus, echo, phaser
from speechaug.functional.enhancement import spectral_subtraction
from speechaug.functional.fault import dropouts, gain_steps, lost_frames, low_level, packet_loss, percentile_clipping
from speechaug.functional.filter import bandpass, equalize, high_shelf, highpass, in_series, low_shelf, lowpass
from speechaug.functional.interference import (
    add_babble,
    add_hum,
    add_impulses,
    add_speech_shaped_noise,
    hum,
    speech_shaped_noise,
)
from speechaug.functional.level import active_level_db, gain, polarity, power, rms_db, valid_mask
from speechaug.functional.mask import frequency_mask, masks, time_mask
from speechaug.functional.modulation import tremolo
from speechaug.functional.noise import add_colored_noise, add_recorded_noise, colored_noise, mix_at_snr, white_noise
from speechaug.functional.overlap_save import apply_responses
from speechaug.functional.pointwise import apply_stages
from speechaug.functional.resample import resample, scaled_lengths
from speechaug.functional.room import match_level, reverb
from speechaug.functional.time import time_shift, time_stretch
from speechaug.functional.tract import vocal_tract_length, whisper
from speechaug.functional.voice import pitch_shift
from speechaug.functional.warp import time_warp, warp_moments

__all__ = [
    "absorption_db",
    "active_level_db",
    "add_babble",
    "add_colored_noise",
    "add_hum",
    "add_impulses",
    "add_recorded_noise",
    "add_speech_shaped_noise",
    "apply_responses",
    "apply_stages",
    "bandpass",
    "chorus",
    "clipping",
    "colored_noise",
    "downsample",
    "dropouts",
    "echo",
    "equalize",
    "frequency_mask",
    "gain",
    "gain_steps",
    "high_shelf",
    "highpass",
    "hum",
    "in_series",
    "lost_frames",
    "low_level",
    "low_shelf",
    "lowpass",
    "masks",
    "match_level",
    "mix_at_snr",
    "mp3",
    "mu_law",
    "opus",
    "packet_loss",
    "percentile_clipping",
    "phaser",
    "pitch_shift",
    "polarity",
    "power",
    "quantize",
    "resample",
    "reverb",
    "rms_db",
    "sample_and_hold",
    "scaled_lengths",
    "spectral_subtraction",
    "speech_shaped_noise",
    "tanh_distortion",
    "time_mask",
    "time_shift",
    "time_stretch",
    "time_warp",
    "tremolo",
    "valid_mask",
    "vocal_tract_length",
    "warp_moments",
    "whisper",
    "white_noise",
]
