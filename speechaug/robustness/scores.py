"""All numbers of one evaluation. Rates are fractions (0.25: a quarter of the words); nothing is ever NaN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from speechaug.robustness import measures
from speechaug.robustness.bootstrap import Basis, Blocks, Estimate, Plan
from speechaug.robustness.evaluation import Evaluation, check_comparable
from speechaug.robustness.grid import Grid
from speechaug.robustness.metrics import Array, EditCounts
from speechaug.robustness.records import Record, group
from speechaug.robustness.tally import Rated, Tally, blocks_of, utterance


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


def score(evaluation: Evaluation, baseline: Evaluation | None = None) -> Scores:
    """Compute everything that a report shows of one evaluation.

    Args:
        evaluation: what was heard.
        baseline: another recognizer on the same data and suite, which corruption errors are relative to.

    Raises:
        ValueError: if the baseline was run on other data, conditions or draws, or normalised otherwise.
    """
    if baseline is not None:
        check_comparable(evaluation, baseline)
    blocks = blocks_of(evaluation.records)
    return _Scorer(evaluation, baseline, blocks, Plan.draw(blocks.count)).scores()


def group_scores(seeds: Sequence[Evaluation]) -> dict[str, GroupScore]:
    """Score each group of speakers.

    Args:
        seeds: evaluations of one recognizer, one per training seed.
    """
    grid = Grid(seeds[0].meta["conditions"])
    parts = [group(each.records, "group") for each in seeds]
    names = sorted({name for part in parts for name in part})
    return {name: _group_score(name, [part[name] for part in parts if name in part], grid) for name in names}


class _Scorer:
    """Rates of one evaluation in every resample, and what is made of them."""

    def __init__(self, evaluation: Evaluation, baseline: Evaluation | None, blocks: Blocks, plan: Plan) -> None:
        self.evaluation, self.baseline, self.blocks, self.plan = evaluation, baseline, blocks, plan
        self.conditions = {condition["name"]: condition for condition in evaluation.meta["conditions"]}
        self.grid = Grid(evaluation.meta["conditions"])
        self.tally = Tally.of([evaluation.records], self.grid.names, blocks)
        self.rated = Rated.of(self.tally, plan)
        self.words = max(self.tally.total("words"))
        self.before = None
        if baseline is not None:
            self.before = Rated.of(Tally.of([baseline.records], self.grid.names, blocks), plan).wer

    def scores(self) -> Scores:
        meta, records = self.evaluation.meta, self.evaluation.records
        corrupted = self.rated.wer[:, self.grid.corrupted]
        worst = self.grid.corrupted[int(np.argmax(corrupted[0]))] if self.grid.corrupted else None
        return Scores(
            name=self.evaluation.name,
            suite=dict(meta["suite"]),
            normaliser=dict(meta["normaliser"]),
            basis=Basis(self.blocks.kind, self.blocks.count),
            baseline=self.baseline.name if self.baseline else None,
            conditions=dict(zip(self.grid.names, self._condition_scores(), strict=True)),
            corruptions={name: self._mean(name, [name]) for name in self.grid.corruptions},
            families={name: self._mean(name, members) for name, members in self.grid.families.items()},
            overall=self._mean("all", list(self.grid.corruptions)) if self.grid.corrupted else None,
            worst=None if worst is None else self.grid.names[worst],
            cvar10=self.plan.estimate(measures.worst_tenth(corrupted), least=0.0) if self.grid.corrupted else None,
            groups=group_scores([self.evaluation]),
            utterances=len({utterance(record) for record in records}),
            failed=sum(self.tally.total("failed")),
        )

    def _condition_scores(self) -> Iterator[ConditionScore]:
        by_condition = group(self.evaluation.records, "condition")
        rates = _rates(self.tally, self.rated)
        groups = self._group_rates()
        for place, (name, condition) in enumerate(self.conditions.items()):
            records = by_condition[name]
            silent_s, false_words = _silence(records)
            yield ConditionScore(
                **vars(rates[place]),
                condition=name,
                corruption=condition["corruption"],
                family=condition["family"],
                severity=condition["severity"],
                nominal=dict(condition["nominal"]),
                realised=_realised(records),
                held_out=condition["held_out"],
                trained=condition["trained"],
                **self._against_clean(place),
                stability=_stability(records),
                silent_s=silent_s,
                false_words_per_minute=60 * false_words / silent_s if silent_s else None,
                groups={part: each[name] for part, each in sorted(groups.items()) if name in each},
            )

    def _against_clean(self, place: int) -> dict[str, Any]:
        if self.grid.clean is None:
            return dict.fromkeys(("degradation", "relative_degradation", "affinity"))
        wer, clean = self.rated.wer[:, [place]], self.rated.wer[:, self.grid.clean]
        relative = measures.relative_degradation(wer, clean, self.words)
        return {
            "degradation": self.plan.estimate(measures.degradation(wer, clean)[:, 0], least=0.0),
            "relative_degradation": self.plan.estimate(relative[:, 0], least=0.0),
            "affinity": self.plan.estimate(measures.affinity(wer, clean)[:, 0]),
        }

    def _group_rates(self) -> dict[str, dict[str, Rates]]:
        """Rates by group and condition; a group's intervals rest on its own speakers."""
        found = {}
        for name, records in group(self.evaluation.records, "group").items():
            names = list(group(records, "condition"))
            blocks = blocks_of(records)
            tally = Tally.of([records], names, blocks)
            found[name] = dict(zip(names, _rates(tally, Rated.of(tally, Plan.draw(blocks.count))), strict=True))
        return found

    def _mean(self, name: str, corruptions: Sequence[str]) -> MeanScore:
        """Average over the conditions of some corruptions."""
        groups = self.grid.groups(corruptions)
        places = [place for each in groups for place in each]
        members = [self.conditions[self.grid.names[place]] for place in places]
        mean = {key: each[:, places].mean(1) for key, each in self._arrays().items()}
        errors = self._corruption_errors(groups)
        return MeanScore(
            name=name,
            family=members[0]["family"] if name in self.grid.corruptions else name,
            conditions=tuple(member["name"] for member in members),
            held_out=all(member["held_out"] for member in members),
            trained=any(member["trained"] for member in members),
            wer=self.plan.estimate(mean["wer"], least=0.0),
            cer=self.plan.estimate(mean["cer"], least=0.0) if "cer" in mean else None,
            sentence_error=self.plan.estimate(mean["sentence_error"], least=0.0, most=1.0),
            degradation=self.plan.estimate(mean["lost"], least=0.0) if "lost" in mean else None,
            relative_degradation=self.plan.estimate(mean["relative"], least=0.0) if "relative" in mean else None,
            error=errors.get("error"),
            relative_error=errors.get("relative_error"),
            curve=snr_curve(self.plan, members, self.rated.wer[:, places]) if len(corruptions) == 1 else None,
        )

    def _arrays(self) -> dict[str, Array]:
        arrays = {"wer": self.rated.wer, "sentence_error": self.rated.sentence_error}
        if self.rated.cer is not None:
            arrays["cer"] = self.rated.cer
        if self.grid.clean is not None:
            clean = self.rated.wer[:, self.grid.clean]
            arrays["lost"] = measures.degradation(self.rated.wer, clean)
            arrays["relative"] = measures.relative_degradation(self.rated.wer, clean, self.words)
        return arrays

    def _corruption_errors(self, corruptions: Sequence[Sequence[int]]) -> dict[str, Estimate]:
        """Return the mean CE and, with clean speech, the mean relative CE; nothing without a baseline."""
        if self.before is None:
            return {}
        errors = measures.corruption_error(self.rated.wer, self.before, corruptions, self.words)
        found = {"error": self.plan.estimate(errors, least=0.0)}
        if self.grid.clean is not None:
            errors = measures.relative_corruption_error(
                self.rated.wer, self.before, self.grid.clean, corruptions, self.words
            )
            found["relative_error"] = self.plan.estimate(errors)
        return found


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


def _rates(tally: Tally, rated: Rated) -> list[Rates]:
    words, characters = tally.edits(), tally.edits("char_")
    utterances, failed = tally.total("utterances"), tally.total("failed")
    return [
        Rates(
            utterances=utterances[place],
            failed=failed[place],
            words=words[place],
            characters=characters[place] if tally.has_texts else None,
            wer=rated.estimates["wer"][place],
            cer=rated.estimate("cer", place),
            sentence_error=rated.estimates["sentence_error"][place],
            wer_raw=rated.estimate("wer_raw", place),
        )
        for place in range(len(words))
    ]


def _group_score(name: str, seeds: Sequence[Sequence[Record]], grid: Grid) -> GroupScore:
    records = [record for each in seeds for record in each]
    blocks = blocks_of(records)
    plan = Plan.draw(blocks.count, {len(seeds)})
    known = {record["condition"] for record in records}
    tally = Tally.of(seeds, grid.names, blocks)
    rates, _ = plan.rate(tally.errors, tally["words"])
    corrupted = [place for place in grid.corrupted if grid.names[place] in known]
    has_clean = grid.clean is not None and grid.names[grid.clean] in known
    return GroupScore(
        group=name,
        basis=Basis(blocks.kind, blocks.count, len(seeds)),
        utterances=len({utterance(record) for record in records}),
        clean_wer=plan.estimate(rates[:, grid.clean], least=0.0) if has_clean else None,
        wer=plan.estimate(rates[:, corrupted].mean(1), least=0.0) if corrupted else None,
    )


def _silence(records: Sequence[Record]) -> tuple[float, int]:
    """Sum the seconds of the items that have no words, and the words heard there."""
    silent = [record for record in records if not record["words"]]
    return sum(record["duration_s"] for record in silent), sum(record["insertions"] for record in silent)


def _realised(records: Sequence[Record]) -> dict[str, Spread]:
    names = sorted({name for record in records for name in record["realised"]})
    values = {name: [r["realised"][name] for r in records if r["realised"].get(name) is not None] for name in names}
    return {name: Spread(float(np.mean(v)), float(min(v)), float(max(v))) for name, v in values.items() if v}


def _stability(records: Sequence[Record]) -> Stability | None:
    draws = group(records, "draw")
    if len(draws) < 2:
        return None
    errors = [sum(r["substitutions"] + r["deletions"] + r["insertions"] for r in each) for each in draws.values()]
    words = [sum(r["words"] for r in each) for each in draws.values()]
    rates = np.array(errors) / np.maximum(1, words)
    heard: dict[tuple[str, str], list[str | None]] = {}
    for record in records:
        heard.setdefault(utterance(record), []).append(record["hypothesis"])
    pairs = [one != two for texts in heard.values() for one, two in combinations(texts, 2)]
    return Stability(len(draws), float(np.std(rates, ddof=1)), sum(pairs) / max(1, len(pairs)))
