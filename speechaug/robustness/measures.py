"""What robustness is measured by: plain functions of word error rates, which are fractions.

Each takes arrays whose first axis is that of resamples, so that a measure gets its interval from the rates it is made
of. Where a denominator could vanish, a rate below one error in all words counts as one error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from speechaug.robustness.metrics import Array

AURORA_DB = (0.0, 5.0, 10.0, 15.0, 20.0)

LEAST_LOSS = 0.01
"""What a corruption must cost the baseline, as a fraction of the words, to be compared by the relative CE."""


def degradation(wer: Array, clean: Array) -> Array:
    """WERD: how far a rate is above that of clean speech, at least 0.

    Args:
        wer: ``(rows, conditions)`` rates.
        clean: ``(rows,)`` rates of clean speech.

    Source: Shah et al. (2025), Speech Robust Bench.

    Example:
        >>> degradation(np.array([[0.3, 0.1]]), np.array([0.2])).round(9).tolist()
        [[0.1, 0.0]]
    """
    return np.maximum(0.0, wer - clean[:, None])


def relative_degradation(wer: Array, clean: Array, words: float) -> Array:
    """WERD per rate of clean speech, which counts as one error at least.

    Args:
        wer: ``(rows, conditions)`` rates.
        clean: ``(rows,)`` rates of clean speech.
        words: reference words in a condition.

    Example:
        >>> relative_degradation(np.array([[0.3, 0.1]]), np.array([0.2]), words=100).round(9).tolist()
        [[0.5, 0.0]]
    """
    return degradation(wer, clean) / np.maximum(clean, 1 / max(1.0, words))[:, None]


def corruption_error(wer: Array, baseline: Array, corruptions: Sequence[Sequence[int]], words: float) -> Array:
    """CE: the summed rates of a corruption's severities over those of the baseline; 1.0 for as many errors.

    Where neither makes an error it is 1.0 too. Of several corruptions it is their mean: of all of them the mCE.

    Args:
        wer: ``(rows, conditions)`` rates.
        baseline: those of the baseline.
        corruptions: for each, the places of its severities among the conditions.
        words: reference words in a condition.

    Source: after Hendrycks and Dietterich (2019), Benchmarking Neural Network Robustness to Common Corruptions.

    Example:
        >>> wer, baseline = np.array([[0.1, 0.2, 0.3]]), np.array([[0.2, 0.4, 0.3]])
        >>> corruption_error(wer, baseline, [[0, 1], [2]], words=100).tolist()
        [0.75]
    """
    return _mean_quotient(wer, baseline, corruptions, words)


def relative_corruption_error(
    wer: Array, baseline: Array, clean: int, corruptions: Sequence[Sequence[int]], words: float
) -> Array:
    """Relative CE: the summed increases over clean speech, over those of the baseline; of several their mean.

    The mean leaves out corruptions that cost the baseline less than a point of WER: there is nothing to compare with.
    A baseline that loses less than one error counts as losing one.

    Args:
        wer: ``(rows, conditions)`` rates, the first row those of the data.
        baseline: those of the baseline.
        clean: place of clean speech among the conditions.
        corruptions: for each, the places of its severities.
        words: reference words in a condition.

    Source: as :func:`corruption_error`.

    Example:
        >>> wer, baseline = np.array([[0.1, 0.2]]), np.array([[0.1, 0.3]])
        >>> relative_corruption_error(wer, baseline, 0, [[1]], words=100).round(9).tolist()
        [0.5]
    """
    lost, lost_before = (rates - rates[:, [clean]] for rates in (wer, baseline))
    telling = [places for places in corruptions if lost_before[0, list(places)].mean() >= LEAST_LOSS]
    return _mean_quotient(lost, lost_before, telling or corruptions, words)


def _mean_quotient(rates: Array, before: Array, corruptions: Sequence[Sequence[int]], words: float) -> Array:
    """Mean of the quotients of sums; equal ones make 1.0, also where both are 0 or less than one error."""
    least = 1 / max(1.0, words)
    sums = [(rates[:, places].sum(1), before[:, places].sum(1)) for places in map(list, corruptions)]
    quotients = [np.where(one == other, 1.0, one / np.maximum(other, least)) for one, other in sums]
    mean: Array = np.mean(quotients, axis=0, dtype=np.float64)
    return mean


def snr_area(snr_db: ArrayLike, wer: Array) -> Array:
    """Mean height of the curve of rates over the signal-to-noise ratio, by trapezoids.

    Args:
        snr_db: two ratios or more, rising.
        wer: ``(rows, ratios)`` rates.

    Example:
        >>> snr_area([0.0, 10.0, 20.0], np.array([[0.8, 0.4, 0.2]])).round(9).tolist()
        [0.45]
    """
    ratios = np.asarray(snr_db, dtype=np.float64)
    area: Array = (wer[:, 1:] + wer[:, :-1]) @ np.diff(ratios) / (2 * (ratios[-1] - ratios[0]))
    return area


def srt50(snr_db: ArrayLike, wer: Array) -> Array:
    """Speech reception threshold: the highest signal-to-noise ratio at which the rate crosses one half.

    Args:
        snr_db: two ratios or more, rising.
        wer: ``(rows, ratios)`` rates, between which they are taken as straight lines.

    Returns:
        The ratio in dB, ``(rows,)``: minus infinity where the rate stays below one half at the lowest ratio too, plus
        infinity where it is above at the highest.

    Example:
        >>> srt50([0.0, 10.0], np.array([[0.75, 0.25], [0.4, 0.1], [0.9, 0.6]])).tolist()
        [5.0, -inf, inf]
    """
    ratios, above = np.asarray(snr_db, dtype=np.float64), wer >= 0.5
    crosses = above[:, :-1] & ~above[:, 1:]
    place = crosses.shape[1] - 1 - np.argmax(crosses[:, ::-1], axis=1)
    rows = np.arange(len(wer))
    high, low = wer[rows, place], wer[rows, place + 1]
    share = np.divide(high - 0.5, high - low, out=np.zeros(len(wer)), where=crosses[rows, place])
    crossing = ratios[place] + share * (ratios[place + 1] - ratios[place])
    return np.where(above[:, -1], math.inf, np.where(crosses.any(1), crossing, -math.inf))


def worst_tenth(wer: Array) -> Array:
    """CVaR10: mean rate of the worst tenth of the conditions, their number rounded up.

    Args:
        wer: ``(rows, conditions)`` rates.

    Source: Rockafellar and Uryasev (2000), Optimization of Conditional Value-at-Risk.

    Example:
        >>> worst_tenth(np.linspace(0.0, 1.0, 21)[None]).round(9).tolist()
        [0.95]
    """
    count = math.ceil(wer.shape[1] / 10)
    mean: Array = np.sort(wer, axis=1)[:, -count:].mean(1)
    return mean


def effective_robustness(clean: Array, corrupted: Array) -> Array:
    """How much lower the rate under corruption is than the one that clean speech predicts.

    The prediction is a straight line through all models by least squares; it is level where they are equal on clean
    speech. Positive is better than expected.

    Args:
        clean: ``(rows, models)`` rates of clean speech.
        corrupted: mean rates under corruption.

    Raises:
        ValueError: for fewer than three models, through which any line fits.

    Source: Taori et al. (2020), Measuring Robustness to Natural Distribution Shifts in Image Classification; rates
    here are not bounded by 1, so the axes are linear.

    Example:
        >>> effective_robustness(np.array([[0.1, 0.2, 0.3]]), np.array([[0.4, 0.3, 0.8]])).round(3).tolist()
        [[-0.1, 0.2, -0.1]]
    """
    if clean.shape[1] < 3:
        raise ValueError(f"effective_robustness: models must be 3 or more, got {clean.shape[1]}")
    x, y = (values - values.mean(1, keepdims=True) for values in (clean, corrupted))
    power = (x * x).sum(1, keepdims=True)
    slope = np.divide((x * y).sum(1, keepdims=True), power, out=np.zeros_like(power), where=power > 1e-12)
    gain: Array = slope * x - y
    return gain


def affinity(wer: Array, clean: Array) -> Array:
    """How much altered data still look like the data to a model trained without augmentation: 1.0 for just the same.

    It is 1 less what the alteration costs that model: evaluate it with the training policy as a condition.

    Args:
        wer: ``(rows, conditions)`` rates on altered speech.
        clean: ``(rows,)`` rates of speech as it is.

    Source: Gontijo-Lopes et al. (2020), Tradeoffs in Data Augmentation, with rates of right words as the accuracy.

    Example:
        >>> affinity(np.array([[0.35]]), np.array([0.25])).round(9).tolist()
        [[0.9]]
    """
    return 1 - (wer - clean[:, None])


def diversity(loss: float, loss_without: float) -> float:
    """Final training loss with augmentation over that without: how much there is left to learn.

    Args:
        loss: with augmentation, per frame or per utterance.
        loss_without: without, in the same unit.

    Raises:
        ValueError: if a loss is not finite, or not positive.

    Source: as :func:`affinity`.

    Example:
        >>> diversity(0.5, 0.25)
        2.0
    """
    for name, value in (("loss", loss), ("loss_without", loss_without)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"diversity: {name} must be positive and finite, got {value!r}")
    return loss / loss_without
