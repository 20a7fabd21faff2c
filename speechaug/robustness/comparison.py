"""What a comparison of recognizers holds: rows of conditions and means, with every arm against the baseline."""

from __future__ import annotations

from dataclasses import dataclass

from speechaug.robustness.bootstrap import Basis, Estimate
from speechaug.robustness.significance import Mapsswe


@dataclass(frozen=True, kw_only=True)
class Change:
    """An arm against the baseline in one condition or a mean of several; intervals are paired.

    Args:
        difference: WER of the arm less that of the baseline; negative is better.
        reduction: share of the baseline's errors that is gone; negative when errors were added.
        probability: of improvement: share of the resamples in which the arm makes fewer errors, ties counting half.
        p: two-sided p-value of the difference that belongs to its interval; 1 without an interval.
        p_holm: that after Holm's correction over the arm's conditions but clean; of clean speech, a hypothesis of its
            own, and of a mean over conditions just p.
        mapsswe: matched-pairs test on segments; None for means, several training seeds, several draws or no texts.
    """

    difference: Estimate
    reduction: Estimate
    probability: float
    p: float
    p_holm: float
    mapsswe: Mapsswe | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval of the difference excludes no change."""
        return self.difference.excludes(0.0)


@dataclass(frozen=True, kw_only=True)
class ArmScore:
    """One arm in one condition or a mean of several.

    Args:
        wer: mean over its training seeds.
        seeds: WER of each training seed.
        cer: mean over its training seeds; None where the texts are not known.
        degradation: WERD, WER above that of clean speech, at least 0; None without clean speech.
        relative_degradation: that per WER of clean speech, which counts as one error at least.
    """

    wer: Estimate
    seeds: tuple[float, ...]
    cer: Estimate | None
    degradation: Estimate | None
    relative_degradation: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A condition, a corruption, a family or all: every arm, and every arm but the baseline against it.

    Args:
        name: ``white:3``, ``white``, ``noise`` or ``all``.
        corruption: its corruption; empty for several.
        family: its family; empty for several.
        severity: 0 for clean, 1 to 5; None for means over severities.
        held_out: whether it is kept out of every training preset.
        trained: arms whose training policy has the family.
        scores: by arm.
        changes: by arm, without the baseline.
        errors: corruption error of each arm against the baseline: of a condition the ratio of WERs, of a corruption
            its CE, of several corruptions their mean.
        relative_errors: the same of the increase over clean speech; empty for clean and without it.
    """

    name: str
    corruption: str
    family: str
    severity: int | None
    held_out: bool
    trained: tuple[str, ...]
    scores: dict[str, ArmScore]
    changes: dict[str, Change]
    errors: dict[str, Estimate]
    relative_errors: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several arms on the same utterances and conditions.

    Args:
        arms: names, in the order given.
        baseline: the arm the others are compared with.
        suite: name, version, subset, hash and sample rate of the conditions.
        normaliser: name and version of what was done to the texts.
        basis: what the intervals rest on; its seeds are those of the arm with the most.
        conditions: rows by condition, in the order of the suite, clean first.
        corruptions: rows by corruption.
        families: rows by family, without clean.
        overall: all conditions but clean; its ``errors`` are the mCE of each arm. None without any.
        cvar10: by arm, mean WER of the worst tenth of the conditions.
        worst: by arm, name of its condition with the highest WER.
        clean_cost: by arm but the baseline, what clean speech costs: the difference of WER there; empty without it.
        effective_robustness: by arm, how much lower its mean WER over all conditions but clean is than a straight line
            through all arms predicts from clean speech; empty with fewer than three arms.
    """

    arms: tuple[str, ...]
    baseline: str
    suite: dict[str, object]
    normaliser: dict[str, str]
    basis: Basis
    conditions: dict[str, Row]
    corruptions: dict[str, Row]
    families: dict[str, Row]
    overall: Row | None
    cvar10: dict[str, Estimate]
    worst: dict[str, str]
    clean_cost: dict[str, Estimate]
    effective_robustness: dict[str, Estimate]

    @property
    def mce(self) -> dict[str, Estimate]:
        """Mean corruption error by arm, 1.0 for the baseline."""
        return self.overall.errors if self.overall else {}

    @property
    def relative_mce(self) -> dict[str, Estimate]:
        """Mean corruption error of the increase over clean speech, by arm."""
        return self.overall.relative_errors if self.overall else {}
