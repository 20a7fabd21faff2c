"""500 damaged files through training, evaluation and folder jobs: no crash, no hang, and what is bad is named."""

from __future__ import annotations

import faulthandler
import json
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import pytest
from damage import decodes, encoded, write_damaged
from small_runs import trainer

import speechaug as sa
from speechaug.recipe import FIXTURES
from speechaug.robustness.evaluate import evaluate

pytestmark = [pytest.mark.global_rng, pytest.mark.filterwarnings("ignore:.* recordings are left out:UserWarning")]

COUNT = 500
LIMIT_S = 300


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End the process with a traceback if a test hangs, in C code, too."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """Write the damaged files."""
    folder = tmp_path_factory.mktemp("fuzz") / "damaged"
    assert len(list(write_damaged(folder, COUNT))) == COUNT
    return folder


@pytest.fixture(scope="module")
def usable(damaged: Path) -> dict[str, bool]:
    """Return which of them soundfile decodes, by name."""
    found = {path.name: decodes(path) for path in sorted(damaged.iterdir())}
    assert 100 < sum(found.values()) < 400
    return found


@pytest.fixture(scope="module")
def table(damaged: Path, usable: dict[str, bool]) -> Path:
    """Write a table of them."""
    rows = [{"id": name, "audio": str(damaged / name), "text": "one two"} for name in usable]
    path = damaged.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def check(usable: dict[str, bool], used: set[str], told: str) -> None:
    """Every file was used or is named; only what soundfile decodes was used, and most of that."""
    assert used <= {name for name, good in usable.items() if good}
    assert not [name for name in usable.keys() - used if name not in told]
    assert len(used) > 0.5 * sum(usable.values())  # of the others less is there than their headers claim
    assert {"flipped", "header"} <= {name.partition("_")[0] for name in used}


def test_training_names_what_is_bad_and_goes_on(table, usable, tmp_path):
    data = sa.SpeechDataModule(str(table), sample_rate=16_000, batch_size=32)
    model = sa.SpeechRecognizer(["one", "two"], "word", size="xs", sample_rate=16_000)
    fit: pl.Trainer = trainer(tmp_path, max_steps=2)
    fit.fit(model, datamodule=data)
    assert fit.global_step == 2
    used = {name for batch in data.train_dataloader() for name in batch["id"]}
    check(usable, used, "\n".join(finding.text for finding in data.findings))


def test_evaluation_names_what_is_bad_and_goes_on(table, usable):
    heard = evaluate(lambda waves: ["one"] * len(waves), str(table), suite=["white:3", "opus:3"], workers=0)
    check(usable, {record["id"] for record in heard.records}, "\n".join(heard.meta["failed"]["ids"]))


def test_folder_jobs_name_what_is_bad_and_go_on(damaged, usable, tmp_path):
    policy = sa.Compose([sa.Speed(), sa.AddColoredNoise(), sa.LowPass(), sa.Gain()])
    report = sa.augment_folder(damaged, tmp_path / "out", policy, workers=2)
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    check(usable, {row["source"] for row in rows}, "\n".join(failure.id for failure in report.failures))
    assert len(rows) == report.files == COUNT - len(report.failures)
    assert all(decodes(tmp_path / "out" / row["audio"]) for row in rows)


@pytest.mark.parametrize("ending", ["flac", "wav", "ogg", "opus", "mp3"])
def test_any_rate_that_a_header_claims(tmp_path, ending):
    """libsndfile ends the process when it is to write Vorbis at 564,864 Hz."""
    claims = {1: False, 999: False, 1_001: True, 65_537: True, 564_864: True, 655_351: False, 2_000_000_000: False}
    content = bytearray(encoded("wav"))
    (tmp_path / "src").mkdir()
    for rate in claims:
        content[24:28] = rate.to_bytes(4, "little")
        (tmp_path / "src" / f"{rate}.wav").write_bytes(content)
    noise = sa.AddNoise(bank=sa.Bank(str(FIXTURES / "noise" / "test"), sample_rate=16_000))
    report = sa.augment_folder(tmp_path / "src", tmp_path / "out", noise, format=ending, workers=0)
    assert {failure.id for failure in report.failures} == {f"{rate}.wav" for rate, good in claims.items() if not good}
    assert all("Hz, its header is corrupt" in failure.reason for failure in report.failures)
    assert len([path for path in (tmp_path / "out").glob(f"*.{ending}") if decodes(path)]) == 3
