"""Measure speech augmentation beside the libraries people use, on one machine in one process.

A row is measured only after its gate: each row of a batch alone gives what it gives in the batch, and the physics hold.
Everybody runs in interleaved rounds on the same audio; libraries that are not installed are listed as absent.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import first_call, pages, readme, results, scaling
from benchmarks.batch import Batch
from benchmarks.machine import Others, cores, describe, load_average
from benchmarks.measure import Bench, Effort, use_threads
from benchmarks.progress import progress
from benchmarks.rows import Row, rows

SHAPES = ((32, 4.0), (8, 4.0), (64, 4.0), (8, 15.0), (32, 15.0), (64, 15.0))
"""The first in full, the others with the peers that a goal names."""

FULL = Effort()
REDUCED = Effort(rounds=7, budget_s=0.7, patience_s=1.5, every_peer=False, memory=False)
QUICK = Effort(rounds=3, budget_s=0.3, patience_s=1.0, memory=False)
QUICK_SHAPE = (8, 2.0)

EXAMPLES = """
examples:
  python -m benchmarks                               everything, about ten minutes; writes benchmarks/results/cpu.md
  python -m benchmarks --quick --rows masks Gain     a first look at two rows; writes nothing
  python -m benchmarks --rows policy --shapes 32x4 --threads 1,2 --rounds 30
  python -m benchmarks --scaling                     8 to 256 rows, 1 to 60 s: is the cost linear?
  python -m benchmarks --first-call                  what compiling the kernels costs
  python -m benchmarks --device cuda                 on a GPU, with CUDA graphs and the device's clock
  python -m benchmarks --readme                      the README's table from benchmarks/results/cpu.json

rows:
  {rows}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code: 1 where a row failed its gate or its call."""
    parser = _parser()
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.rows or ()) - set(rows()))
    if unknown:
        parser.error(f"--rows must name rows listed by --help, got {' '.join(unknown)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU that torch can use (torch.cuda.is_available() is False)")
    if options.readme:
        try:
            readme.rewrite()
        except ValueError as error:
            parser.error(str(error))
        print(f"Wrote the table of {readme.RESULTS.name} into {readme.README.name}")
        return 0
    chosen = [row for name, row in rows().items() if not options.rows or name in options.rows]
    job = _scaling if options.scaling else _first_calls if options.first_call else _speed
    machine = describe(options.device)
    section, content = job(chosen, options, machine)
    print(pages.page(section, content))
    _keep(options, section, content)
    failed = [line["row"] for line in content["results" if section == "speed" else "rows"] if line["failed"]]
    if failed:
        print(f"FAILED: {' '.join(dict.fromkeys(failed))}", file=sys.stderr)
    return 1 if failed else 0


def _speed(chosen: list[Row], options: argparse.Namespace, machine: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    shapes = options.shapes or ([QUICK_SHAPE] if options.quick else list(SHAPES))
    usual = [1] if options.quick else [cores()] if options.device == "cuda" else sorted({1, min(2, cores()), cores()})
    threads = options.threads or usual
    run = results.Run(machine, [])
    weights = [rows_ * seconds / 128.0 + (0.0 if place else 4.0) for place, (rows_, seconds) in enumerate(shapes)]
    total = len(chosen) * len(threads) * sum(weights)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, progress(total) as step:
        bench = Bench(options.device, Path(folder))
        for place, (shape, weight) in enumerate(zip(shapes, weights, strict=True)):
            batch = Batch(shape[0], shape[1], options.device, Path(folder))
            effort = QUICK if options.quick else REDUCED if place and not options.shapes else FULL
            effort = effort._replace(rounds=options.rounds or effort.rounds)
            for count in threads:
                for row in chosen:
                    step(f"{row.name} {shape[0]} x {shape[1]:g} s, {count} thread{'s' * (count > 1)}", weight)
                    run.results.append(bench.measure(row, batch, count, effort))
    machine["load_after"] = load_average()
    return "speed", run.to_dict()


def _scaling(chosen: list[Row], options: argparse.Namespace, machine: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    use_threads((options.threads or [1])[0])
    shapes, others = scaling.shapes(), Others()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, progress(sum(r * s for r, s in shapes)) as step:

        def batches() -> Any:
            for count, seconds in shapes:
                step(f"{count} x {seconds:g} s", count * seconds)
                yield Batch(count, seconds, options.device, Path(folder))

        lines = scaling.measure(chosen, batches())
    return "scaling", _section(machine, others, lines)


def _first_calls(chosen: list[Row], options: argparse.Namespace, machine: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    others, lines = Others(), []
    with progress(len(chosen)) as step:
        for row in chosen:
            step(f"{row.name}, twice in a process of its own", 1.0)
            lines.append(first_call.measure(row.name, options.device))
    return "first_call", _section(machine, others, lines)


def _section(machine: dict[str, Any], others: Others, lines: Sequence[Any]) -> dict[str, Any]:
    busy = others.cores()
    machine["load_after"] = load_average()
    found = [dataclasses.asdict(line) for line in lines]
    return {"machine": machine, "others": [] if busy is None else [busy], "rows": found}


def _keep(options: argparse.Namespace, section: str, content: dict[str, Any]) -> None:
    """Write the page and the data of a full run, or where the user said."""
    partial = options.quick or options.rows or options.shapes or options.threads or options.rounds
    if partial and options.output is None:
        print("Not written: a part of the rows or of the effort (--output FOLDER writes it all the same).")
        return
    folder = options.output or results.FOLDER
    kept = results.save(folder / f"{options.device}.json", section, content)
    (folder / f"{options.device}.md").write_text(pages.whole(kept), encoding="utf-8")
    print(f"Wrote {options.device}.md and {options.device}.json in {folder}")


def _parser() -> argparse.ArgumentParser:
    names = EXAMPLES.format(rows=" ".join(rows()))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=names,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows")
    parser.add_argument("--shapes", type=_shapes, metavar="32x4,...", help="rows x seconds, all in full")
    parser.add_argument("--threads", type=_counts, metavar="1,2", help="numbers of threads (1, 2 and all cores)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds at most (15)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where ours runs (cpu)")
    parser.add_argument("--quick", action="store_true", help="8 x 2 s, 3 rounds, one thread")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write <device>.md and .json there")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--scaling", action="store_true", help="cost over 8 to 256 rows and 1 to 60 s instead")
    what.add_argument("--first-call", action="store_true", help="seconds of the first call, compiled and not, instead")
    what.add_argument("--readme", action="store_true", help="rewrite the README's table, measure nothing")
    return parser


def _shapes(text: str) -> list[tuple[int, float]]:
    try:
        pairs = [part.split("x") for part in text.split(",")]
        return [(int(rows_), float(seconds)) for rows_, seconds in pairs]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be rows x seconds such as 32x4,8x15, got {text!r}") from error


def _counts(text: str) -> list[int]:
    counts = [int(part) if part.isdigit() else 0 for part in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"must be whole numbers such as 1,2, got {text!r}")
    return counts


if __name__ == "__main__":
    sys.exit(main())
