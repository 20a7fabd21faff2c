"""Scores of groups of speakers."""

from __future__ import annotations

from collections.abc import Sequence

from speechaug.robustness.bootstrap import Basis, Plan
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.grid import Grid
from speechaug.robustness.records import Record, group
from speechaug.robustness.scores import GroupScore
from speechaug.robustness.tally import Tally, blocks_of, utterance


def group_scores(seeds: Sequence[Evaluation]) -> dict[str, GroupScore]:
    """Score each group of speakers.

    Args:
        seeds: evaluations of one recognizer, one per training seed.
    """
    grid = Grid(seeds[0].meta["conditions"])
    parts = [group(each.records, "group") for each in seeds]
    names = sorted({name for part in parts for name in part})
    return {name: _group_score(name, [part[name] for part in parts if name in part], grid) for name in names}


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
