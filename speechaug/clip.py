"""One clip at a time, for those who work with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechaug.rng import Rng
from speechaug.transform import Transform

_MOST_CHANNELS = 64


def augment(
    samples: NDArray[Any], sample_rate: int, policy: Transform, *, seed: int = 0, id: str = "clip"
) -> NDArray[Any]:
    """Augment one clip.

    Args:
        samples: ``(T,)`` or ``(C, T)``, floating in [-1, 1] or int16; all channels get the same effect.
        sample_rate: in Hz.
        policy: waveform transform or policy.
        seed: another seed, another draw; the same seed and id, the same result.
        id: what the clip is, such as its path: clips with other ids get other draws.

    Returns:
        The clip in the shape and type given; it may be longer or shorter. int16 is rounded and saturates.

    Raises:
        TypeError: if the samples are neither floating nor int16.
        ValueError: if they are not finite, have another shape, or the policy is for spectrograms or mixes examples.

    Example:
        >>> import numpy as np, speechaug as sa
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
        >>> sa.augment(tone, 16_000, sa.Speed(factor=(1.25, 1.25)), seed=3).shape
        (12800,)
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise ValueError(f"augment: samples must be (T,) or (C, T), got shape {samples.shape}")
    if samples.ndim == 2 and samples.shape[0] > max(samples.shape[1], _MOST_CHANNELS):
        raise ValueError(f"augment: samples must be (C, T), got shape {samples.shape}: transpose them")
    if not (np.issubdtype(samples.dtype, np.floating) or samples.dtype == np.int16):
        raise TypeError(f"augment: samples must be floating or int16, got {samples.dtype}")
    if policy.domain != "waveform" or policy.mixes_rows:
        raise ValueError(f"augment: policy must act on single waveforms, got {type(policy).__name__}")
    is_int = samples.dtype == np.int16
    x = samples.astype(np.float32) / 32768.0 if is_int else samples
    x = x.astype(np.float32) if x.dtype not in (np.float32, np.float64) else x
    if not np.isfinite(x).all():
        raise ValueError(f"augment: samples must be finite, got {int((~np.isfinite(x)).sum())} that are not")
    draws = policy.sample(Rng.from_ids(seed=seed, epoch=0, ids=[id]))
    batch = torch.from_numpy(np.require(x, requirements=["C", "W"])).unsqueeze(0)
    y, lengths = policy(batch, None, draws, sample_rate=sample_rate)
    out = y[0, ..., : int(lengths[0])].numpy()
    if is_int:
        return np.rint(np.clip(out * 32768.0, -32768, 32767)).astype(np.int16)
    return out.astype(samples.dtype, copy=False)
