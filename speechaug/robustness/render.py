"""Rendering: one utterance under one condition, the same bytes on whatever worker and in whatever order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechaug.robustness.suite import Condition


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
    severity plays no part in what is drawn: the severities of a corruption share clip and place.

    Args:
        condition: of a suite of the same sample rate.
        samples: ``(T,)``, finite, full scale at 1.
        sample_rate: in Hz.
        id: of the utterance.
        seed: of the evaluation.
        draw: number of the draw, from 0: another draw, another stretch of noise.
    """
    raise NotImplementedError
