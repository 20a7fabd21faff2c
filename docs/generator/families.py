"""Families of transforms: which modules make a page, in the order in which a reader meets them."""

from __future__ import annotations

from dataclasses import dataclass

import speechaug.interop  # noqa: F401  its transform enters the registry, too
from speechaug import TRANSFORMS, Transform


@dataclass(frozen=True)
class Family:
    """A page of transforms.

    Args:
        slug: name of the page.
        title: its heading.
        modules: where its transforms are defined.
        about: what they have in common and when to use them.
    """

    slug: str
    title: str
    modules: tuple[str, ...]
    about: str

    @property
    def transforms(self) -> list[type[Transform]]:
        """Return the family's transforms, module by module, as they are defined."""
        ours = [cls for cls in TRANSFORMS.values() if cls.__module__.startswith("speechaug.")]
        return [cls for module in self.modules for cls in ours if cls.__module__ == f"speechaug.{module}"]


FAMILIES = (
    Family(
        "policies",
        "Policies",
        ("compose",),
        "A policy nests transforms. It is a transform itself: the same call, the same draws, the same file. "
        "Each member has its own probability, and neighbours of one kind run in one pass.",
    ),
    Family(
        "noise",
        "Noise",
        ("waveform.noise",),
        "The first thing to add: speech in the field is noisy, and recordings for training mostly are not. "
        "The ratio asked for is met within 0.1 dB on each example's valid samples, whatever the padding.",
    ),
    Family(
        "interference",
        "Interference",
        ("waveform.interference",),
        "Sounds that are no noise from a bank: other talkers, the mains, knocks. Only `AddBabble` needs recordings.",
    ),
    Family(
        "room",
        "Rooms",
        ("waveform.room", "waveform.air"),
        "A room smears speech over hundreds of milliseconds. Recognizers trained on close microphones lose more words "
        "to it than to steady noise. The direct path stays at its time, so word times and alignments hold.",
    ),
    Family(
        "filter",
        "Filters and devices",
        ("waveform.filter", "waveform.equalize", "waveform.microphone"),
        "What lies between mouth and file: microphones, lines, tone controls. A cut-off at or above half the sample "
        "rate changes nothing.",
    ),
    Family(
        "level",
        "Level",
        ("waveform.level",),
        "Cheap, and never enough alone. Neighbouring members of this kind run in one pass with the range policy.",
    ),
    Family(
        "time",
        "Time",
        ("waveform.time",),
        "Other tempos. These change lengths: go on with the lengths that are returned, and move word times with "
        "`policy.warp_times`.",
    ),
    Family(
        "voice",
        "Voice",
        ("waveform.voice", "waveform.tract"),
        "Other speakers from the ones you have: pitch, size of the vocal tract, whispering. Lengths stay.",
    ),
    Family(
        "codec",
        "Codecs and processing",
        ("waveform.codec", "waveform.enhancement"),
        "What telephones, calls and noise suppressors leave of speech. `Mp3` and `Opus` run on the host, by "
        "libsndfile.",
    ),
    Family(
        "fault",
        "Faults and distortion",
        ("waveform.distortion", "waveform.fault"),
        "Overdriven inputs, lost packets, loose contacts. The suite holds this family out: no preset trains on it, so "
        "that a test under faults says what a policy is worth beyond what it trains.",
    ),
    Family(
        "echo",
        "Echo and modulation",
        ("waveform.echo", "waveform.modulation"),
        "Delayed copies and swinging loudness. Rare in the field, useful as strangers in a test.",
    ),
    Family(
        "spectrogram",
        "Spectrograms",
        ("spectrogram.mask", "spectrogram.warp"),
        "Act on features `(B, F, T)`, after the front end; `sa.presets.specaugment` holds the published policies. "
        "Small networks want narrow masks, and short trainings may do better without.",
    ),
    Family(
        "external",
        "Of other libraries",
        ("interop.external",),
        "What is missing here may exist elsewhere. A transform of audiomentations, torch-audiomentations or torchaudio "
        "becomes a member like any other, at the speed of its library; "
        "[Move from other libraries](../migrate.md) says which have a counterpart here.",
    ),
)
