"""All numbers of one evaluation. Rates are fractions (0.25: a quarter of the words); nothing is ever NaN."""

from __future__ import annotations

from dataclasses import dataclass

from speechaug.robustness.bootstrap import Basis, Estimate
from speechaug.robustness.metrics import EditCounts


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Error rates of a set of utterances.

    Args:
        utterances: how many records there are, each draw counted.
        failed: of them, how many the recognizer failed on; they count as nothing heard.
        words: edits of words, summed.
        characters: edits of characters, summed; None where the texts are not known.
        wer: errors per reference word.
        cer: errors per reference character.
        sentence_error: share of the utterances with an error.
        wer_raw: errors per word before normalisation; None where the texts are not known.
    """

    utterances: int
    failed: int
    words: EditCounts
    characters: EditCounts | None
    wer: Estimate
    cer: Estimate | None
    sentence_error: Estimate
    wer_raw: Estimate | None


@dataclass(frozen=True)
class Spread:
    """Mean, smallest and largest of what was measured back over the utterances."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Stability:
    """How much chance draws of a corruption change what is heard.

    Args:
        draws: how many there are.
        wer_std: standard deviation of the WER over the draws (its square is the WERV of Speech Robust Bench).
        flip_rate: share of the utterances whose transcript changes between two draws, over all pairs of draws.
    """

    draws: int
    wer_std: float
    flip_rate: float


@dataclass(frozen=True, kw_only=True)
class ConditionScore(Rates):
    """One condition: its error rates, and how far they are from clean speech.

    Args:
        condition: its name, such as ``white:3``.
        corruption: what is done, such as ``white``.
        family: kind of corruption, such as ``noise``.
        severity: 0 for clean, 1 to 5.
        nominal: what is set, such as ``snr_db``.
        realised: what was measured back.
        held_out: whether the family is kept out of every training preset.
        trained: whether the family is in the policy the recognizer was trained with.
        degradation: WERD, WER above that of clean speech, at least 0; None without clean speech.
        relative_degradation: that per WER of clean speech, which counts as one error at least.
        affinity: 1 less what the condition costs; says how much altered data still look like the data, if the
            recognizer was trained without augmentation. None without clean speech.
        stability: over the draws; None for a single draw.
        silent_s: seconds without speech (items whose reference is empty).
        false_words_per_minute: words heard there, per minute; None without such items.
        groups: error rates by group; empty where no groups are known.
    """

    condition: str
    corruption: str
    family: str
    severity: int
    nominal: dict[str, float]
    realised: dict[str, Spread]
    held_out: bool
    trained: bool
    degradation: Estimate | None
    relative_degradation: Estimate | None
    affinity: Estimate | None
    stability: Stability | None
    silent_s: float
    false_words_per_minute: float | None
    groups: dict[str, Rates]


@dataclass(frozen=True)
class SnrCurve:
    """WER over the signal-to-noise ratio of one corruption.

    Args:
        snr_db: nominal ratios, rising.
        wer: the rate at each.
        area: mean height of the curve: trapezoids in dB, divided by the range.
        srt50_db: highest ratio at which the WER crosses 50 %, interpolated; None where it never does. Without an
            interval where a bound of it would be outside the grid.
        aurora: mean WER at 20, 15, 10, 5 and 0 dB; None where the grid lacks one of them.
    """

    snr_db: tuple[float, ...]
    wer: tuple[Estimate, ...]
    area: Estimate
    srt50_db: Estimate | None
    aurora: Estimate | None


@dataclass(frozen=True, kw_only=True)
class MeanScore:
    """The mean over several conditions, each counting the same: of a corruption, a family or all.

    Args:
        name: of the corruption or family; ``"all"`` for all conditions but clean.
        family: of the corruption, or the same as name.
        conditions: their names.
        held_out: whether all of them are held out.
        trained: whether any is of a family in the training policy.
        wer: mean WER.
        cer: mean CER; None where the texts are not known.
        sentence_error: mean share of utterances with an error.
        degradation: mean WERD; None without clean speech.
        relative_degradation: the same per WER of clean speech.
        error: WER per WER of the baseline, 1.0 for as many errors; of a corruption its CE, of several the mean of
            these, which for ``"all"`` is the mCE. None without a baseline.
        relative_error: the same with the increase over clean speech instead of the WER.
        curve: WER over SNR; only of a corruption whose conditions state ``snr_db``.
    """

    name: str
    family: str
    conditions: tuple[str, ...]
    held_out: bool
    trained: bool
    wer: Estimate
    cer: Estimate | None
    sentence_error: Estimate
    degradation: Estimate | None
    relative_degradation: Estimate | None
    error: Estimate | None
    relative_error: Estimate | None
    curve: SnrCurve | None = None


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """One group of speakers, with intervals from its own speakers.

    Args:
        group: its name.
        basis: what its intervals rest on.
        utterances: different utterances.
        clean_wer: on clean speech; None without it.
        wer: mean over all conditions but clean; None without any.
    """

    group: str
    basis: Basis
    utterances: int
    clean_wer: Estimate | None
    wer: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Everything a report shows of one evaluation.

    Args:
        name: of the recognizer.
        suite: name, version, subset, hash and sample rate of the conditions.
        normaliser: name and version of what was done to the texts.
        basis: what the intervals rest on.
        baseline: name of the recognizer that errors are relative to; None without one.
        conditions: in the order of the suite.
        corruptions: by name.
        families: by name, without clean.
        overall: mean over all conditions but clean; None without any.
        worst: name of the condition with the highest WER (its interval stands there); None without any but clean.
        cvar10: mean WER of the worst tenth of the conditions, rounded up.
        groups: by name; empty where no groups are known.
        utterances: different utterances.
        failed: records the recognizer failed on.
    """

    name: str
    suite: dict[str, object]
    normaliser: dict[str, str]
    basis: Basis
    baseline: str | None
    conditions: dict[str, ConditionScore]
    corruptions: dict[str, MeanScore]
    families: dict[str, MeanScore]
    overall: MeanScore | None
    worst: str | None
    cvar10: Estimate | None
    groups: dict[str, GroupScore]
    utterances: int
    failed: int

    @property
    def clean(self) -> ConditionScore | None:
        """The score on clean speech."""
        return next((score for score in self.conditions.values() if score.severity == 0), None)

    @property
    def mce(self) -> Estimate | None:
        """Mean corruption error, 1.0 for the baseline's own; None without a baseline."""
        return self.overall.error if self.overall else None

    @property
    def relative_mce(self) -> Estimate | None:
        """Mean corruption error of the increase over clean speech."""
        return self.overall.relative_error if self.overall else None
