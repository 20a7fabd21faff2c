"""Word error rate over the signal-to-noise ratio of one corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from speechaug.robustness import measures
from speechaug.robustness.bootstrap import Estimate, Plan
from speechaug.robustness.metrics import Array
from speechaug.robustness.scores import SnrCurve


def snr_curve(plan: Plan, conditions: Sequence[Mapping[str, Any]], wer: Array) -> SnrCurve | None:
    """Put the rates of a corruption over its signal-to-noise ratio; None where that is not stated twice or more.

    Args:
        plan: of the resamples.
        conditions: the severities of a corruption.
        wer: ``(rows, severities)`` rates.
    """
    ratios = {condition["nominal"].get("snr_db"): place for place, condition in enumerate(conditions)}
    if None in ratios or len(ratios) < max(2, len(conditions)):
        return None
    snr_db = tuple(sorted(ratios))
    curve = wer[:, [ratios[ratio] for ratio in snr_db]]
    aurora = [ratios[ratio] for ratio in measures.AURORA_DB if ratio in ratios]
    return SnrCurve(
        snr_db=snr_db,
        wer=tuple(plan.estimate(each, least=0.0) for each in curve.T),
        area=plan.estimate(measures.snr_area(snr_db, curve), least=0.0),
        srt50_db=_finite_estimate(plan, measures.srt50(snr_db, curve)),
        aurora=(
            plan.estimate(wer[:, aurora].mean(1), least=0.0) if len(aurora) == len(measures.AURORA_DB) else None
        ),
    )


def _finite_estimate(plan: Plan, values: Array) -> Estimate | None:
    if np.isfinite(values).all():
        return plan.estimate(values)
    return Estimate(float(values[0])) if np.isfinite(values[0]) else None
