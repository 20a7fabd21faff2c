"""What a policy makes of a recording: the same draw, milder and stronger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from speechaug.audio import FloatArray
from speechaug.features import LogMel
from speechaug.preview.excerpts import Excerpt
from speechaug.preview.members import Member, members_of
from speechaug.rng import Rng
from speechaug.transform import Transform, fit


@dataclass(frozen=True, kw_only=True)
class Take:
    """A recording after a policy of some strength.

    Args:
        strength: 0 is the recording itself, 1 the policy.
        x: samples ``(C, T)`` or features ``(F, T)``.
        members: what was done.
        measured: what was measured of it, such as ``AddNoise.snr_db``, where it could be.
    """

    strength: float
    x: FloatArray
    members: Sequence[Member]
    measured: Mapping[str, float]


def make_take(excerpt: Excerpt, policy: Transform, seed: int, strength: float = 1.0) -> Take:
    """Apply a policy at some strength; what is random is the same at every strength.

    At strength 1 this is what ``speechaug.augment(samples, sample_rate, policy, seed=seed, id=id)`` returns.

    Args:
        excerpt: what it is applied to.
        policy: waveform or spectrogram policy; its banks have the recording's rate.
        seed: of the draw.
        strength: see ``Transform.scaled``.
    """
    scaled = policy if strength == 1.0 else policy.scaled(strength)
    draws = scaled.sample(Rng.from_ids(seed=seed, epoch=0, ids=[excerpt.id]))
    x = what_is_given(excerpt, policy)
    rate = excerpt.sample_rate if policy.domain == "waveform" else None
    y, lengths, extras = scaled.run(x, None, draws, sample_rate=rate)
    members = members_of(scaled, draws, tuple(x.shape[1:]))
    measured = {name: float(values[0]) for name, values in extras.items() if math.isfinite(float(values[0]))}
    length = max(1, int(lengths[0]))  # a sample that is played faster leaves none
    return Take(strength=strength, x=fit(y[0], length).numpy(), members=members, measured=measured)


def what_is_given(excerpt: Excerpt, policy: Transform) -> Tensor:
    """Return a batch of one: the samples ``(1, C, T)``, or the log-mel features ``(1, F, T)`` of the first channel."""
    samples = torch.from_numpy(excerpt.samples)
    if policy.domain == "waveform":
        return samples[None]
    features: Tensor = LogMel(excerpt.sample_rate)(samples[:1], torch.tensor([samples.shape[1]]))[0]
    return features
