"""Evaluations of one or more recognizers, scored and compared: what page and terminal show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from speechaug.robustness import colours
from speechaug.robustness.compare import compare
from speechaug.robustness.comparison import Comparison
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.scores import Scores


@dataclass(frozen=True)
class Results:
    """Everything a report is made from.

    Args:
        arms: evaluations by name, one for each training seed.
        comparison: of all arms.
        scores: of the first training seed of each arm.
    """

    arms: dict[str, list[Evaluation]]
    comparison: Comparison
    scores: dict[str, Scores]

    @property
    def several(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.arms) > 1

    @property
    def graded(self) -> bool:
        """Whether corruptions come in severities."""
        rows = self.comparison.conditions.values()
        return any(row.severity is not None and row.name == f"{row.corruption}:{row.severity}" for row in rows)

    def failed(self, arm: str) -> int:
        """How many utterances an arm failed on, over all its training seeds."""
        return sum(record["error"] is not None for each in self.arms[arm] for record in each.records)

    def place(self, arm: str) -> int:
        """Place of an arm among colours."""
        return self.comparison.arms.index(arm) % colours.RUNS


def gather(evaluations: Sequence[Evaluation], baseline: str | Evaluation | None = None) -> Results:
    """Score and compare evaluations; those of one name are training seeds of one arm.

    Args:
        evaluations: one or more.
        baseline: the arm the others are compared with: a name among them, or another evaluation; by default the first.
            One named like all the others is no training seed of theirs and gets ``(baseline)`` after its name.

    Raises:
        ValueError: if there is none, or they are not of the same data, suite, draws and normaliser.
    """
    if isinstance(baseline, Evaluation):
        others = [each for each in evaluations if each is not baseline]
        if len(others) == len(evaluations) and {each.name for each in others} == {baseline.name}:
            baseline = replace(baseline, name=f"{baseline.name} (baseline)")
        evaluations, baseline = [baseline, *others], baseline.name
    arms: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        arms.setdefault(evaluation.name, []).append(evaluation)
    comparison = compare(arms, baseline=baseline)
    base = arms[comparison.baseline][0] if len(arms) > 1 else None
    return Results(arms, comparison, {name: seeds[0].scores(base) for name, seeds in arms.items()})
