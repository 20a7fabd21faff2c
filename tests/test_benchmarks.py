"""The benchmark says what was measured, and nothing where that was wrong: its logic, without judging any time."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import benchmarks
import benchmarks.peers
import speechaug as sa
from benchmarks import (
    first_call,
    goals,
    gpu,
    machine,
    measure,
    pages,
    physics,
    progress,
    race,
    readme,
    results,
    scaling,
    table,
)
from benchmarks.__main__ import main
from benchmarks.batch import RATE, Batch
from benchmarks.measure import Bench, Effort
from benchmarks.peers import PEERS, Peer
from benchmarks.race import Entrant
from benchmarks.results import Measured, Result, Run, Spread
from benchmarks.rows import Row, rows
from benchmarks.subject import stages

pytestmark = pytest.mark.global_rng  # peers draw from global generators, which the race seeds

ROOT = Path(__file__).parents[1]
FAST = Effort(rounds=2, budget_s=0.01, memory=False)
MODULES = [name for _, name, _ in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.") if "__main__" not in name]
MACHINE = {
    "device": "cpu",
    "cpu": "A Processor",
    "flags": ["avx2"],
    "cores": 2,
    "system": "Linux x86_64",
    "python": "3.11",
    "versions": {"torch": "2.14.1", "librosa": "absent"},
    "commit": "abc1234",
    "date": "2026-01-02 03:04 UTC",
    "load_before": [0.1, 0.1, 0.1],
    "load_after": [1.0, 0.5, 0.1],
}


def spread(ms: float) -> Spread:
    return Spread(ms * 0.9, ms, ms * 1.2, 9)


def result(row: str = "low-pass", threads: int = 1, **changes: object) -> Result:
    ours, timed = Measured("speechaug", spread(5.0), memory_mb=8.25), [spread(0.9), spread(0.1), spread(4.0)]
    stages = dict(zip(("draw", "transfer", "apply"), timed, strict=True))
    peers = (
        Measured("audiomentations", spread(30.0), memory_mb=8.0),
        Measured("torch-audiomentations", spread(55.0)),
        Measured("pedalboard", spread(12.0), "first order"),
        Measured("librosa", note="absent: No module named 'librosa'"),
    )
    shape = (row, rows()[row].title, 32, 4.0, threads)
    whole = Result(*shape, ours, stages, spread(1.0), 16_384_000, peers, others=0.02)
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def run(*found: Result) -> Run:
    return Run(dict(MACHINE), list(found))


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(4, 0.5, "cpu", tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_ratios_are_of_medians_to_named_peers_and_to_the_fastest():
    one = result()
    assert one.ratio("audiomentations") == 6.0
    assert one.ratio("audiomentations", "torch-audiomentations") == 6.0
    assert one.ratio("torch-audiomentations", stage="apply") == 13.75
    assert one.ratio() == pytest.approx(2.4)
    assert one.fastest is not None and one.fastest.name == "pedalboard"
    assert one.ratio("librosa") is None
    assert one.speed == 128 / 5e-3
    assert one.bandwidth() == (4.096, 16.384)


def test_the_page_shows_what_was_measured():
    text = pages.page("speed", run(result(), result(threads=2, failed="AssertionError: wrong")).to_dict())
    assert (
        "| low-pass, per row | 0.9 | 0.1 | 4 (3.6–4.8) | 5 | 25,600 | 4.1 | 16.4 | 8.25 | pedalboard | 2.4x |" in text
    )
    assert "| low-pass, per row | audiomentations |  | 30 (27–36) | 6x | 8 |" in text
    assert "| low-pass, per row | librosa | absent: No module named 'librosa' |  |  |  |" in text
    assert "**FAILED**: AssertionError: wrong" in text.split("2 threads")[1]
    assert "A Processor (avx2), 2 cores used at most" in text and "Commit abc1234" in text and "torch 2.14.1" in text


def test_goals_are_reached_or_not():
    text = table.goals(goals.verdicts([result()]))
    assert "| low-pass, per row | audiomentations | 1 | 5 | 6 | 7.5 | reached |" in text
    slow = dataclasses.replace(result(), ours=Measured("speechaug", spread(20.0)))
    assert [verdict.word for verdict in goals.verdicts([slow])] == ["**not reached**"] * 2
    alone = dataclasses.replace(result(), peers=())
    assert {verdict.word for verdict in goals.verdicts([alone])} == {"not measured"}
    broken = dataclasses.replace(result(), failed="wrong")
    assert {verdict.word for verdict in goals.verdicts([broken])} == {"**FAILED**"}
    assert goals.verdicts([dataclasses.replace(result(), rows=8)]) == []


def test_every_goal_has_its_row_and_its_peers():
    offered = {(peer.row, peer.library) for peer in PEERS}
    for goal in goals.GOALS:
        assert goal.row in rows()
        assert {(goal.row, name) for name in goal.peers} <= offered
    assert {peer.row for peer in PEERS} <= set(rows())
    assert len(offered) == len(PEERS), "two peers of a row share a name"


def test_every_registered_transform_is_measured(batch):
    made = [row.make for name, row in rows().items() if name in sa.TRANSFORMS]
    assert len(made) >= 5
    assert all(make(batch).p == 1.0 for make in made)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("others", "word"),
    [([0.0, 0.05], "Quiet:"), ([0.0, 1.0], "**NOT QUIET, ratios are in doubt**:"), ([], "not known")],
)
def test_a_busy_machine_is_not_called_quiet(others, word):
    assert word in pages.where(MACHINE, others)
    busy = dataclasses.replace(result(), others=1.0)
    assert "(others: 1.0 cores)" in table.ours([busy])
    assert ("not quiet" in readme.block(run(busy))) and ("not quiet" not in readme.block(run(result())))


def test_other_processes_are_seen():
    found = machine.Others().cores()
    assert found is None or 0.0 <= found <= 1_000.0
    described = machine.describe("cpu")
    assert json.loads(json.dumps(described)) == described
    assert described["versions"]["torch"].startswith(torch.__version__.split("+")[0])


def test_results_survive_the_file(tmp_path):
    path = tmp_path / "cpu.json"
    whole = run(result(), result(threads=2, failed="wrong", copy=None), result(device={"graph": Measured("graph")}))
    results.save(path, "scaling", {"machine": MACHINE, "others": [], "rows": []})
    results.save(path, "speed", whole.to_dict())
    assert set(results.load(path)) == {"speed", "scaling"}
    assert Run.from_dict(results.load(path)["speed"]) == whole


def test_the_readme_gets_the_table_of_the_file(tmp_path):
    page, path = tmp_path / "README.md", tmp_path / "cpu.json"
    page.write_text(f"before\n{readme.START}old\n{readme.END}\nafter\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold a run"):
        readme.rewrite(page, path)
    whole = run(result(), result(threads=2, ours=Measured("speechaug", spread(3.0))))
    results.save(path, "speed", whole.to_dict())
    readme.rewrite(page, path)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert readme.inside(text) == readme.block(whole)
    assert "| low-pass, per row | 5 | 25,600 | 3 | audiomentations 6x, torch-audiomentations 11x |" in text
    readme.rewrite(page, path)
    assert page.read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="markers"):
        readme.rewritten("no markers", "table")


def test_the_readme_is_up_to_date():
    shown, section = readme.inside(readme.README.read_text(encoding="utf-8")), results.load(readme.RESULTS).get("speed")
    if shown is None or section is None:
        pytest.skip("the README shows no benchmark, or none was measured")
    assert shown == readme.block(Run.from_dict(section))


def peer_of(build: object, library: str = "other") -> Peer:
    return Peer("Gain", library, build)  # type: ignore[arg-type]


def absent(batch: Batch) -> object:
    raise ImportError("No module named 'other'")


def unwilling(batch: Batch) -> object:
    raise RuntimeError("built for another torch")


def breaking(batch: Batch) -> object:
    return lambda: 1 / 0


@pytest.mark.parametrize(
    ("build", "note"),
    [
        (absent, "absent: No module named 'other'"),
        (unwilling, "fails: RuntimeError: built for another torch"),
        (breaking, "fails: ZeroDivisionError: division by zero"),
    ],
)
def test_a_peer_that_cannot_take_part_is_listed(monkeypatch, tmp_path, batch, build, note):
    monkeypatch.setattr(benchmarks.peers, "PEERS", [peer_of(build), peer_of(lambda batch: batch.x.clone, "copying")])
    found = Bench("cpu", tmp_path).measure(rows()["Gain"], batch, 1, FAST)
    assert [(peer.name, peer.ms is None, peer.note) for peer in found.peers] == [
        ("copying", False, ""),
        ("other", True, note),
    ]
    assert found.ours.ms is not None and not found.failed


@pytest.mark.parametrize(
    ("broken", "why"),
    [("x * 1.01", "differs from the gain"), ("x * x.shape[0]", "alone and in the batch"), ("x * y", "NameError")],
)
def test_a_row_that_is_wrong_has_no_speed(monkeypatch, tmp_path, batch, broken, why):
    monkeypatch.setattr(benchmarks.peers, "PEERS", [])
    monkeypatch.setattr(sa.Gain, "apply", eval(f"lambda self, x, lengths, context, *, gain_db: ({broken}, lengths)"))
    found = Bench("cpu", tmp_path).measure(rows()["Gain"], batch, 1, FAST)
    assert why in found.failed
    assert found.ours.ms is None and found.speed is None and found.peers == ()
    assert f"**FAILED**: {found.failed}" in table.ours([found])


@pytest.mark.parametrize(
    "name", ["white-noise", "background-noise", "low-pass", "reverb", "masks", "time-warp", "log-mel"]
)
def test_ours_passes_the_physics(tmp_path, name):
    batch = Batch(8, 1.0, "cpu", tmp_path)
    rows()[name].check(rows()[name].make(batch), batch)


@pytest.mark.parametrize(
    ("check", "transform", "why"),
    [
        (physics.noise, sa.AddColoredNoise(snr_db=(10.0, 10.0), reference="active"), "an SNR is off"),
        (physics.white_noise, sa.AddColoredNoise(snr_db=(10.0, 10.0), exponent=(-1.0, -1.0)), "correlated"),
        (physics.low_pass, sa.LowPass(cutoff_hz=(1_000.0, 2_000.0), p=0.0), "the power at a cut-off"),
        (physics.stretch, sa.TimeStretch(rate=(0.9, 1.1), p=0.0), "lengths"),
        (physics.pitch, sa.PitchShift(semitones=(2.0, 3.0), p=0.0), "cents"),
        (physics.masks, sa.FrequencyMask(p=0.0), "masked"),
        (physics.sound, sa.Gain(p=0.0), "nothing happened"),
    ],
)
def test_the_physics_see_what_is_wrong(batch, check, transform, why):
    with pytest.raises(AssertionError, match=why):
        check(transform, batch)


def test_everybody_runs_in_turns(batch):
    order: list[str] = []
    entrants = [Entrant(name, {"call": lambda _, name=name: order.append(name)}) for name in "ab"]
    race.race(entrants, 3, 10.0, batch.device)
    assert "".join(order) == "aabb" + "ab" + "ba" + "ab"
    assert [len(entrant.seconds["call"]) for entrant in entrants] == [3, 3]


def test_a_long_call_is_not_repeated(monkeypatch, batch):
    clock = iter(np.arange(0.0, 1e4, 5.0))
    monkeypatch.setattr(race.time, "perf_counter", lambda: float(next(clock)))
    for budget_s, calls, kept in ((1.0, 1, 1), (2.0, 2, 1), (3.0, 5, 3)):
        times: list[int] = []
        entrant = Entrant("slow", {"call": times.append})
        race.race([entrant], 3, budget_s, batch.device)
        assert (len(times), len(entrant.seconds["call"])) == (calls, kept)


def test_peers_known_to_be_slow_are_left_out(monkeypatch, tmp_path, batch):
    monkeypatch.setattr(benchmarks.peers, "PEERS", [peer_of(lambda batch: batch.x.clone)])
    bench = Bench("cpu", tmp_path)
    assert bench.measure(rows()["Gain"], batch, 1, FAST).peers[0].ms is not None
    impatient = FAST._replace(patience_s=0.0)
    assert bench.measure(rows()["Gain"], batch, 1, impatient).peers[0].note.startswith("left out, needs some 0 s")


def test_memory_is_what_a_call_needs(batch):
    entrant = Entrant("big", {"call": lambda _: torch.ones(16 << 20)})
    found = race.peak_memory_mb(entrant, batch.device)
    assert found is None or 60.0 < found < 100.0


def test_fixed_shapes_take_fresh_parameters(tmp_path):
    batch = Batch(6, 0.5, "cpu", tmp_path)
    policy = sa.Compose([sa.Gain(p=0.5), sa.TimeShift(p=0.5), sa.Speed(p=0.5)])
    fixed = gpu.FixedShapes(policy, batch)
    for epoch in (0, 3):
        draws = policy.sample(sa.Rng.from_ids(seed=0, epoch=epoch, ids=batch.ids))
        fixed.load(draws)
        (y, lengths), (wanted, wanted_lengths) = fixed.run(), policy(batch.x, None, draws, sample_rate=RATE)
        assert torch.equal(lengths, wanted_lengths)
        assert torch.allclose(y[:, : wanted.shape[1]], wanted, atol=1e-5)
    with pytest.raises(RuntimeError, match="CUDA device"):
        gpu.graph_stages(policy, batch)


class Mark:
    """An event of a device that is not here."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        pass

    def elapsed_time(self, end: Mark) -> float:
        return 2.0


def test_a_row_on_a_gpu_that_is_not_here(monkeypatch, tmp_path, batch):
    """All of the path but the device: its calls are replaced, its batch is on the CPU, so the capture is refused."""
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "Event", Mark)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr(benchmarks.peers, "PEERS", [Peer("Gain", "both", lambda batch: batch.x.clone, "", ("cuda",))])
    gpu.check_no_wait(stages(sa.Gain(), batch))
    assert modes == ["error", "default"]
    bench = Bench("cpu", tmp_path)
    bench.device = "cuda"
    found = bench.measure(rows()["Gain"], batch, 1, FAST)
    assert set(found.device) == {"apply", "graph", "CPU", "CPU apply"}
    assert found.device["graph"].note.startswith("fails: RuntimeError: a CUDA graph needs")
    assert found.device["apply"].ms == Spread(2.0, 2.0, 2.0, 20) == found.copy
    assert [peer.name for peer in found.peers] == ["both"]


def test_what_a_gpu_adds_to_the_page():
    timed = {"apply": Measured("apply", spread(0.5)), "graph": Measured("graph", note="fails: RuntimeError: capture")}
    found = result("policy", rows=64, seconds=15.0, device={**timed, "CPU": Measured("CPU", spread(50.0))})
    content = run(found).to_dict()
    content["machine"].update(device="cuda", gpu="A GPU", cuda="13.0")
    text = pages.page("speed", content)
    assert "A GPU, CUDA 13.0; " in text
    assert "| whole policy | 0.5 (0.45–0.6) | 200% | fails: RuntimeError: capture | 50 (45–60) | 10x |" in text
    assert "| whole policy, 64 x 15 s, eager | audio s / s |  | 500,000 | 192,000 | 240,000 | **not reached** |" in text
    assert "CUDA graph | audio s / s |  | 500,000 |  |  | not measured |" in text


def test_a_quick_run_of_one_row(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmarks.peers, "PEERS", [peer_of(lambda batch: batch.x.clone, "copying")])
    assert main(["--quick", "--rows", "Gain", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "cpu.md").read_text(encoding="utf-8")
    assert "### 8 x 2 s, 1 thread" in printed and "| Gain | copying |" in printed
    assert printed.split("Wrote")[0].strip() in page
    kept = Run.from_dict(results.load(tmp_path / "cpu.json")["speed"])
    assert [found.row for found in kept.results] == ["Gain"]
    assert readme.block(kept).count("\n| ") == 1  # not the shape of the README: the head alone


def test_a_part_of_the_rows_is_not_written_by_default(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmarks.peers, "PEERS", [])
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    main(["--quick", "--rows", "Polarity"])
    assert "Not written" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_a_wrong_row_ends_with_an_error(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmarks.peers, "PEERS", [])
    monkeypatch.setattr(sa.Gain, "apply", lambda self, x, lengths, context, *, gain_db: (2.0 * x, lengths))
    assert main(["--quick", "--rows", "Gain", "Polarity", "--output", str(tmp_path)]) == 1
    assert "FAILED: Gain\n" in capsys.readouterr().err


def test_growth_with_the_audio(tmp_path):
    batches = (Batch(count, seconds, "cpu", tmp_path) for count, seconds in ((8, 1.0), (8, 4.0), (16, 4.0)))
    broken = Row("broken", "broken", lambda batch: 1 / 0, lambda *_: None)  # type: ignore[arg-type, return-value]
    lines = scaling.measure([rows()["Gain"], broken], batches)
    assert (set(lines[0].by_rows), set(lines[0].by_seconds)) == ({"8", "16"}, {"1", "4"})
    assert "ZeroDivisionError" in lines[1].failed
    content = {"machine": MACHINE, "others": [0.0], "rows": [dataclasses.asdict(line) for line in lines]}
    text = pages.page("scaling", content)
    assert "| row | 8 rows | 16 rows | power | 1 s | 4 s | power |" in text
    assert "**FAILED**: ZeroDivisionError" in text


def test_first_calls_are_timed_in_processes_of_their_own(monkeypatch):
    asked: list[dict[str, str]] = []
    monkeypatch.setattr(first_call, "_start", lambda name, device, caches: (asked.append(caches), (3.0, 0.5))[1])
    found = first_call.measure("Gain", "cpu")
    assert (found.empty_s, found.kept_s, found.later_s, found.failed) == (3.0, 3.0, 0.5, "")
    assert asked[0] == asked[1] and asked[0]["NUMBA_CACHE_DIR"]
    monkeypatch.setattr(first_call, "_start", lambda *_: 1 // 0)
    monkeypatch.setattr(first_call.subprocess, "SubprocessError", ZeroDivisionError)
    assert "division" in first_call.measure("Gain", "cpu").failed
    assert len(first_call._calls("Polarity", "cpu")) == 2


def test_first_calls_on_a_page():
    content = {
        "machine": MACHINE,
        "others": [],
        "rows": [{"row": "Gain", "title": "Gain", "empty_s": 2.5, "kept_s": 0.1, "later_s": 0.001, "failed": ""}],
    }
    assert "| Gain | 2.5 | 0.1 | 0.001 |  |" in pages.page("first_call", content)
    assert pages.whole({"first_call": content}).startswith("# Benchmark\n")


@pytest.mark.parametrize("wrong", [["--rows", "Nothing"], ["--shapes", "32"], ["--threads", "x"]])
def test_wrong_usage_is_refused(capsys, wrong):
    with pytest.raises(SystemExit) as refusal:
        main(wrong)
    assert refusal.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "python -m benchmarks --quick" in text and "pitch-shift" in text


def test_a_bare_machine_is_enough(tmp_path):
    """Without the libraries to compare with, files and rich: torch and NumPy measure ours."""
    gone = (
        "librosa audiomentations soundfile torchaudio torch_audiomentations rich scipy soxr julius speechbrain lhotse"
    )
    code = (
        f"import sys; sys.modules.update(dict.fromkeys('{gone} pedalboard threadpoolctl'.split()))\n"
        f"from benchmarks.__main__ import main; main(['--quick', '--rows', 'Gain', '--output', {str(tmp_path)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| Gain | audiomentations | absent:" in done.stdout
    assert "| Gain | plain torch |" in done.stdout


def test_progress_without_a_terminal_says_each_piece(capsys):
    with progress.progress(2.0) as step:
        step("one", 1.0)
    assert capsys.readouterr().err == "  one\n"


def test_threads_reach_torch():
    before = torch.get_num_threads()
    try:
        measure.use_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        measure.use_threads(before)
