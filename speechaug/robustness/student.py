"""Student's t, for any number of degrees of freedom."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from speechaug.robustness.metrics import Array

_ANGLE = np.linspace(-math.pi / 2, 0.0, 20_001)


@lru_cache(maxsize=1_024)
def student_quantile(probability: float, freedom: float) -> float:
    """Quantile above the median of Student's t.

    Example:
        >>> round(student_quantile(0.975, 4), 4)
        2.7764
    """
    mass = _student_mass(freedom)
    return math.sqrt(freedom) * math.tan(-float(np.interp(2 * (1 - probability), mass, _ANGLE)))


def student_tail(t: float, freedom: float) -> float:
    """Probability that Student's t is above ``t >= 0``.

    Example:
        >>> round(student_tail(2.7764, 4), 4)
        0.025
    """
    return float(np.interp(-math.atan(t / math.sqrt(freedom)), _ANGLE, _student_mass(freedom))) / 2


@lru_cache(maxsize=64)
def _student_mass(freedom: float) -> Array:
    """Probability that Student's t is farther from the median than each angle below it.

    With ``x = sqrt(freedom) tan(angle)`` the density becomes ``cos(angle) ** (freedom - 1)``, finite and smooth.
    """
    weight = np.cos(_ANGLE) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum(weight[1:] + weight[:-1])])
    share: Array = mass / mass[-1]
    return share
