"""Two processes with Lightning's strategy "ddp" train, resume and test as one process does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SUITE, Seen, main, make_voices, recognizer, same_weights, trainer, voices

import speechaug as sa
from speechaug.callbacks import SpectrogramAugment
from speechaug.robustness.evaluate import evaluate

pytestmark = [
    pytest.mark.global_rng,
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
]
ROOT = Path(__file__).parents[1]
RANKS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_voices(tmp_path_factory.mktemp("ddp"))


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    """What each rank saw. Lightning starts the second process itself, as for any script."""
    launched_by_others = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "SLURM_NTASKS")
    kept = {name: value for name, value in os.environ.items() if name not in launched_by_others}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, main.__code__.co_filename, str(folder), str(RANKS)],
        env={**kept, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-2_000:] + run.stderr[-4_000:]
    return [torch.load(folder / f"{RANKS}-{rank}.pt", weights_only=False) for rank in range(RANKS)]


def test_ranks_share_the_utterances_and_draw_what_one_process_draws(
    ranks: list[dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    alone = Seen()
    masks = SpectrogramAugment(sa.presets.specaugment("small"))
    trainer(tmp_path, alone, masks).fit(recognizer(), datamodule=voices(folder))
    everyone = {u.id for u in voices(folder).train_utterances}
    for epoch in (0, 1):
        seen = [{name for e, _, name in told["samples"] if e == epoch} for told in ranks]
        assert not seen[0] & seen[1]
        assert seen[0] | seen[1] == everyone
    assert len(ranks[0]["batches"]) == len(ranks[1]["batches"]) == len(alone.batches) / RANKS
    drawn = ranks[0]["draws"] | ranks[1]["draws"]
    assert drawn == alone.draws
    assert len(set(drawn.values())) > 0.95 * len(drawn)  # nobody draws what another one does
    for key, samples in (ranks[0]["samples"] | ranks[1]["samples"]).items():
        torch.testing.assert_close(samples, alone.samples[key], rtol=0, atol=2e-6)


def test_a_checkpoint_within_an_epoch_resumes_bit_for_bit(ranks: list[dict[str, Any]]) -> None:
    for told in ranks:
        assert 0 < len(told["resumed"]) < len(told["batches"]) // 2  # within the second epoch
        assert told["resumed"] == told["batches"][-len(told["resumed"]) :]
        assert told["resumed_draws"].items() <= told["draws"].items()
        assert told["same_weights"]


def test_no_utterance_counts_twice_and_error_rates_are_those_of_one_process(
    ranks: list[dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    data = voices(folder, test_noise=str(folder / "noise" / "test"))
    alone = recognizer()
    alone.load_state_dict(ranks[0]["weights"])
    logged = trainer(tmp_path).test(alone, datamodule=data, verbose=False)
    assert same_weights(ranks[0]["weights"], ranks[1]["weights"])
    assert ranks[0]["logged"] == ranks[1]["logged"] == logged
    assert len({wer for condition in logged for wer in condition.values()}) > 1
    assert ranks[0]["results"] == ranks[1]["results"]
    assert [row["condition"] for row in ranks[0]["results"]] == [row["condition"] for row in alone.test_results]
    expected = {name: len(data.test_utterances) for name in data.test_names}
    assert Counter(row["condition"] for row in ranks[0]["results"]) == expected
    assert len(data.test_utterances) % RANKS  # one rank has an utterance more
    sort = [sorted(map(repr, rows)) for rows in (ranks[0]["results"], alone.test_results)]
    assert sort[0] == sort[1]


def test_the_suite_in_two_processes_is_evaluate_in_one(ranks: list[dict[str, Any]], folder: Path) -> None:
    model = recognizer()
    model.load_state_dict(ranks[0]["weights"])
    data = voices(folder)
    evaluation = evaluate(model, data, suite=SUITE, normaliser="text")
    keys = ("condition", "id", "speaker", "reference", "hypothesis", "substitutions", "deletions", "insertions")
    expected = sorted(tuple(record[key] for key in keys) for record in evaluation.records)
    assert len(expected) == len(data.test_utterances) * (1 + len(SUITE))
    assert len({row[4] for row in expected}) > 1
    for told in ranks:
        assert sorted(tuple(row[key] for key in keys) for row in told["suite_results"]) == expected
