"""Several recognizers on the same test: what differs, how surely, and what it means beyond plain accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from speechaug.robustness import measures
from speechaug.robustness.bootstrap import Basis, Estimate, Plan
from speechaug.robustness.comparison import ArmScore, Change, Comparison, Row
from speechaug.robustness.evaluation import Evaluation, check_comparable
from speechaug.robustness.grid import Grid
from speechaug.robustness.metrics import Array, relative_reduction
from speechaug.robustness.records import Record, group
from speechaug.robustness.significance import Mapsswe, holm, mapsswe
from speechaug.robustness.tally import Rated, Tally, blocks_of


def compare(arms: Mapping[str, Evaluation | Sequence[Evaluation]], *, baseline: str | None = None) -> Comparison:
    """Compare recognizers on the same test, with paired intervals over speakers and training seeds.

    Blocks of utterances and training seeds are drawn again together, the same ones for all conditions and arms; the
    n-th seeds of two arms with as many of them are a pair. Holm's correction is over the conditions of each arm but
    clean speech, which is a hypothesis of its own.

    Args:
        arms: an evaluation, or one per training seed, by name.
        baseline: the arm to compare with; by default the first.

    Raises:
        ValueError: if there is no arm, or they were not run on the same data, suite, draws and normaliser.
    """
    seeds = {name: [each] if isinstance(each, Evaluation) else list(each) for name, each in arms.items()}
    if not seeds or not all(seeds.values()):
        sizes = {name: len(each) for name, each in seeds.items()}
        raise ValueError(f"compare: arms must be one evaluation or more each, got {sizes}")
    if baseline is not None and baseline not in seeds:
        raise ValueError(f"compare: baseline must be one of the arms {list(seeds)}, got {baseline!r}")
    first, *others = [evaluation for each in seeds.values() for evaluation in each]
    for other in others:
        check_comparable(first, other)
    return _Comparer(seeds, next(iter(seeds)) if baseline is None else baseline).comparison()


class _Comparer:
    """Rates of all arms in every resample, and what is made of them."""

    def __init__(self, arms: dict[str, list[Evaluation]], baseline: str) -> None:
        self.arms, self.baseline = arms, baseline
        self.first = next(iter(arms.values()))[0]
        self.grid = Grid(self.first.meta["conditions"])
        self.blocks = blocks_of(self.first.records)
        self.plan = Plan.draw(self.blocks.count, {len(each) for each in arms.values()})
        tallies = {
            name: Tally.of([each.records for each in seeds], self.grid.names, self.blocks)
            for name, seeds in arms.items()
        }
        self.words = max(tallies[baseline].total("words")) // len(arms[baseline])
        self.rated = {name: Rated.of(tally, self.plan) for name, tally in tallies.items()}
        self.by_seed = {name: tally.rates_by_seed() for name, tally in tallies.items()}

    def comparison(self) -> Comparison:
        grid = self.grid
        conditions = self._conditions()
        clean = conditions[grid.names[grid.clean]].changes if grid.clean is not None else {}
        corrupted = {name: rated.wer[:, grid.corrupted] for name, rated in self.rated.items() if grid.corrupted}
        return Comparison(
            arms=tuple(self.arms),
            baseline=self.baseline,
            suite=dict(self.first.meta["suite"]),
            normaliser=dict(self.first.meta["normaliser"]),
            basis=Basis(self.blocks.kind, self.blocks.count, max(map(len, self.arms.values()))),
            conditions=conditions,
            corruptions={name: self._mean(name, [name]) for name in grid.corruptions},
            families={name: self._mean(name, members) for name, members in grid.families.items()},
            overall=self._mean("all", grid.corruptions) if grid.corrupted else None,
            cvar10={arm: self.plan.estimate(measures.worst_tenth(wer), least=0.0) for arm, wer in corrupted.items()},
            worst={arm: grid.names[grid.corrupted[int(np.argmax(wer[0]))]] for arm, wer in corrupted.items()},
            clean_cost={arm: change.difference for arm, change in clean.items()},
            effective_robustness=self._effective_robustness(),
        )

    def _conditions(self) -> dict[str, Row]:
        """Rows of all conditions, with Holm's correction."""
        conditions = enumerate(self.grid.conditions)
        rows = [self._row(each["name"], [[place]], each["severity"]) for place, each in conditions]
        for arm in rows[0].changes:
            corrected = self._holm([row.changes[arm].p for row in rows])
            tests = self._mapsswe(arm)
            for row, p, test in zip(rows, corrected, tests, strict=True):
                row.changes[arm] = replace(row.changes[arm], p_holm=p, mapsswe=test)
        return {row.name: row for row in rows}

    def _mean(self, name: str, corruptions: Iterable[str]) -> Row:
        return self._row(name, self.grid.groups(corruptions))

    def _row(self, name: str, corruptions: Sequence[Sequence[int]], severity: int | None = None) -> Row:
        """Average over the conditions of some corruptions, or over the one there is."""
        places = [place for each in corruptions for place in each]
        members = [self.grid.conditions[place] for place in places]
        wer = {arm: rated.wer[:, places].mean(1) for arm, rated in self.rated.items()}
        return Row(
            name=name,
            corruption=_shared(members, "corruption"),
            family=_shared(members, "family"),
            severity=severity,
            held_out=all(member["held_out"] for member in members),
            trained=tuple(arm for arm in self.arms if any(self._is_trained(arm, each["name"]) for each in members)),
            scores={arm: self._score(arm, places) for arm in self.arms},
            changes={
                arm: self._change(wer[self.baseline], each, len(places))
                for arm, each in wer.items()
                if arm != self.baseline
            },
            errors={arm: self._error(arm, corruptions) for arm in self.arms},
            relative_errors=self._relative_errors(corruptions),
        )

    def _score(self, arm: str, places: Sequence[int]) -> ArmScore:
        rated = self.rated[arm]
        if len(places) == 1:
            wer, cer = rated.estimates["wer"][places[0]], rated.estimate("cer", places[0])
        else:
            wer = self.plan.estimate(rated.wer[:, places].mean(1), least=0.0)
            cer = None if rated.cer is None else self.plan.estimate(rated.cer[:, places].mean(1), least=0.0)
        seeds = tuple(map(float, self.by_seed[arm][:, places].mean(1)))
        return ArmScore(wer=wer, seeds=seeds, cer=cer, **self._against_clean(rated.wer, places))

    def _against_clean(self, wer: Array, places: Sequence[int]) -> dict[str, Estimate | None]:
        if self.grid.clean is None:
            return dict.fromkeys(("degradation", "relative_degradation"))
        rates, clean = wer[:, places], wer[:, self.grid.clean]
        lost = measures.degradation(rates, clean), measures.relative_degradation(rates, clean, self.words)
        absolute, relative = (self.plan.estimate(each.mean(1), least=0.0) for each in lost)
        return {"degradation": absolute, "relative_degradation": relative}

    def _change(self, before: Array, after: Array, conditions: int) -> Change:
        difference = after - before
        reduction = np.asarray(relative_reduction(before, after, self.words * conditions))
        p = self.plan.p_value(difference)
        return Change(
            difference=self.plan.estimate(difference),
            reduction=self.plan.estimate(reduction, most=1.0),
            probability=self.plan.probability_below(difference),
            p=p,
            p_holm=p,
        )

    def _error(self, arm: str, corruptions: Sequence[Sequence[int]]) -> Estimate:
        wer, baseline = self.rated[arm].wer, self.rated[self.baseline].wer
        return self.plan.estimate(measures.corruption_error(wer, baseline, corruptions, self.words), least=0.0)

    def _relative_errors(self, corruptions: Sequence[Sequence[int]]) -> dict[str, Estimate]:
        clean, baseline = self.grid.clean, self.rated[self.baseline].wer
        if clean is None or [clean] in corruptions:
            return {}
        errors = {
            arm: measures.relative_corruption_error(rated.wer, baseline, clean, corruptions, self.words)
            for arm, rated in self.rated.items()
        }
        return {arm: self.plan.estimate(each) for arm, each in errors.items()}

    def _mapsswe(self, arm: str) -> list[Mapsswe | None]:
        """Test an arm against the baseline in each condition; nothing where utterances were heard more than once."""
        seeds = [*self.arms[arm], *self.arms[self.baseline]]
        heard_once = len(seeds) == 2 and self.first.meta["draws"] == 1
        if not heard_once or any(record["reference"] is None for each in seeds for record in each.records):
            return [None] * len(self.grid.names)
        mine, theirs = (group(each.records, "condition") for each in seeds)
        tests = [mapsswe(*_texts(mine[name], theirs[name])) for name in self.grid.names]
        return [replace(test, p_holm=p) for test, p in zip(tests, self._holm([test.p for test in tests]), strict=True)]

    def _holm(self, p_values: Sequence[float]) -> list[float]:
        """Correct over all conditions but clean speech."""
        places = self.grid.corrupted
        corrected = dict(zip(places, holm([p_values[place] for place in places]), strict=True))
        return [corrected.get(place, p) for place, p in enumerate(p_values)]

    def _effective_robustness(self) -> dict[str, Estimate]:
        if len(self.arms) < 3 or self.grid.clean is None or not self.grid.corrupted:
            return {}
        clean = np.stack([rated.wer[:, self.grid.clean] for rated in self.rated.values()], axis=1)
        corrupted = np.stack([rated.wer[:, self.grid.corrupted].mean(1) for rated in self.rated.values()], axis=1)
        gains = measures.effective_robustness(clean, corrupted)
        return {arm: self.plan.estimate(each) for arm, each in zip(self.arms, gains.T, strict=True)}

    def _is_trained(self, arm: str, name: str) -> bool:
        return any(each["name"] == name and each["trained"] for each in self.arms[arm][0].meta["conditions"])


def _shared(members: Sequence[Mapping[str, Any]], key: str) -> str:
    """What all conditions have in common; empty if they differ."""
    values = {member[key] for member in members}
    return str(values.pop()) if len(values) == 1 else ""


def _texts(mine: Sequence[Record], theirs: Sequence[Record]) -> tuple[list[str], list[str], list[str]]:
    """References and the transcripts of two evaluations, in the same order."""
    first, other = ([record["hypothesis"] for record in each] for each in (mine, theirs))
    return [record["reference"] for record in mine], first, other
