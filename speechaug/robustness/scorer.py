"""From records to scores: every number of one evaluation, with its interval from the same resamples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from speechaug.robustness import measures
from speechaug.robustness.bootstrap import Basis, Blocks, Estimate, Plan
from speechaug.robustness.evaluation import Evaluation, check_comparable
from speechaug.robustness.grid import Grid
from speechaug.robustness.groups import group_scores
from speechaug.robustness.metrics import Array
from speechaug.robustness.records import Record, group
from speechaug.robustness.scores import ConditionScore, MeanScore, Rates, Scores, Spread, Stability
from speechaug.robustness.snr import snr_curve
from speechaug.robustness.tally import Rated, Tally, blocks_of, utterance


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
