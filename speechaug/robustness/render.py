"""Rendering: one utterance under one condition, the same bytes on whatever worker and in whatever order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from speechaug._threads import one_thread
from speechaug.rng import Rng
from speechaug.robustness.realised import Applied, measure
from speechaug.robustness.suite import NAME, VERSION, Condition


class Rendered(NamedTuple):
    """What :func:`render` returns.

    Attributes:
        samples: float32 ``(T,)``, within [-1, 1] where anything was done.
        realised: what was measured back, such as ``snr_db``; of what was set by the names of ``Condition.nominal``.
    """

    samples: NDArray[np.float32]
    realised: dict[str, float]


def render(
    condition: Condition, samples: NDArray[Any], sample_rate: int, *, id: str, seed: int = 0, draw: int = 0
) -> Rendered:
    """Render one utterance under one condition, alone and on one thread.

    The result depends on the version of the suite, the condition, the speech, its id, the seed and the draw. The
    severity plays no part in what is drawn: the severities of a corruption share clip and place. What exceeds full
    scale is scaled down, never clipped, and ``realised["rescaled_db"]`` says by how much.

    Args:
        condition: of a suite of the same sample rate.
        samples: ``(T,)``, finite, full scale at 1.
        sample_rate: in Hz.
        id: of the utterance.
        seed: of the evaluation.
        draw: number of the draw, from 0: another draw, another stretch of noise.

    Raises:
        ValueError: if the samples have another shape or are not finite, or the condition is for another rate.

    Example:
        >>> from speechaug.robustness.suite import load_suite
        >>> tone = 0.1 * np.sin(np.arange(16_000) / 5)
        >>> noisy = render(load_suite("tiny")["white:3"], tone, 16_000, id="utt-1")
        >>> noisy.samples.shape, round(noisy.realised["snr_db"], 2)
        ((16000,), 10.0)
    """
    x = np.ascontiguousarray(samples, dtype=np.float32)
    if x.ndim != 1:
        raise ValueError(f"render: samples must be (T,), got shape {x.shape} for {id!r}")
    if not np.isfinite(x).all():
        raise ValueError(f"render: samples must be finite, got NaN or infinity for {id!r}")
    loose = condition.unscaled
    if loose is None or len(x) == 0:
        return Rendered(x.copy(), {})
    rng = Rng.from_ids(seed=seed, epoch=draw, ids=[id]).fork(f"{NAME} {VERSION}").fork(condition.corruption)
    with one_thread():
        draws = loose.sample(rng)
        out = loose.run(torch.from_numpy(x)[None], None, draws, sample_rate=sample_rate)
    y = out.x[0, : int(out.lengths[0])].numpy()
    if len(y) == 0:  # a sample that was played faster
        y = np.zeros(1, np.float32)
    realised = measure(Applied(loose, draws, out.extras, x, y, sample_rate))
    peak = float(np.abs(y).max(initial=0.0))
    if peak > 1.0:
        y = y / np.float32(peak)
        realised["rescaled_db"] = 20.0 * float(np.log10(peak))
    return Rendered(y, realised)
