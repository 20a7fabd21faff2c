"""A robustness test for people: one page that holds everything, and the same numbers for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechaug._lines import write_text
from speechaug.page import make_environment
from speechaug.page.policy_words import as_yaml, describe
from speechaug.page.words import signed
from speechaug.robustness import colours
from speechaug.robustness.audible import sounds_of
from speechaug.robustness.evaluation import META_FILE, RECORDS_FILE, Evaluation, read_lines
from speechaug.robustness.examples import Sounds
from speechaug.robustness.results import Results, gather
from speechaug.robustness.tables import write_table
from speechaug.robustness.terminal import print_results
from speechaug.robustness.view import page_of
from speechaug.robustness.words import NO_SPEAKERS, clean_row, headline, marks, p_value, span

if TYPE_CHECKING:
    from jinja2 import Environment

EXAMPLES = 6


def write_report(
    path: str | Path,
    *evaluations: Evaluation,
    baseline: str | Evaluation | None = None,
    sounds: Sounds | None = None,
    examples: int = EXAMPLES,
    title: str = "Robustness report",
    policies: Sequence[Mapping[str, Any]] = (),
    details: Mapping[str, object] | None = None,
) -> Path:
    """Write one self-contained HTML page: figures, heat maps, curves, comparison, sounds and details.

    The page loads nothing, works offline, in light and dark, on a phone, and may be sent by mail.

    Args:
        path: where to write; missing folders are made.
        evaluations: one or more; those of one name are training seeds of one recognizer.
        baseline: what the others are compared with: a name among them or another evaluation; by default the first.
        sounds: gives, for a condition and an utterance, clean samples, corrupted samples (``(T,)`` or ``(C, T)``) and
            their rate in Hz; None for a page without sounds.
        examples: how many utterances can be listened to: those with the most errors.
        title: heading of the page.
        policies: ``policy.to_dict()`` of what was applied in training, in order.
        details: more facts by name, such as steps and minutes.

    Returns:
        The path written.

    Raises:
        ValueError: as :func:`speechaug.robustness.compare`.
    """
    results = gather(evaluations, baseline)
    return write_page(path, results, sounds, examples, title=title, policies=policies, details=details)


def write_page(
    path: str | Path,
    results: Results,
    sounds: Sounds | None = None,
    examples: int = EXAMPLES,
    *,
    title: str = "Robustness report",
    policies: Sequence[Mapping[str, Any]] = (),
    details: Mapping[str, object] | None = None,
) -> Path:
    """Write the page of results that are there already; see :func:`write_report`."""
    environment = _environment()
    shown = page_of(results, sounds, examples)
    shown["facts"] |= {name: str(value) for name, value in (details or {}).items()}
    page = environment.get_template("report.html.jinja").render(
        title=title,
        headline=headline(results.comparison),
        under=_under(results),
        no_speakers=NO_SPEAKERS,
        used_marks=_used_marks(results),
        recompute=_recompute(),
        clean=clean_row(results.comparison),
        policies=[{"lines": list(describe(policy)), "yaml": as_yaml(policy)} for policy in policies],
        colours=colours.style(),
        **shown,
    )
    write_text(Path(path), page)
    return Path(path)


def _environment() -> Environment:
    environment = make_environment("speechaug.robustness")
    environment.filters.update(
        span=lambda interval, digits=1, joint=" to ", scale=100: span(interval, digits, joint, scale),
        signed=signed,
        p_value=p_value,
        grouped=lambda count: f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
    )
    return environment


def _under(results: Results) -> str:
    """What was tested, in one line."""
    comparison = results.comparison
    first = next(iter(results.scores.values()))
    suite = comparison.suite
    basis = comparison.basis
    speakers = f" by {basis.blocks} speakers" if basis.generalises_over_speakers else ""
    said = f"{first.utterances} utterances{speakers} in {len(first.conditions)} conditions"
    version = f"; suite {suite['name']}, version {suite['version']}, {suite['subset']}" if suite["subset"] else ""
    return f"{said}{version}."


def _used_marks(results: Results) -> list[tuple[str, str]]:
    rows = results.comparison.conditions.values()
    trained = sorted({arm for row in rows for arm in row.trained})
    return marks(any(row.held_out for row in rows), trained if results.several else bool(trained))


def _recompute() -> str:
    return (
        f"To compute every number again: the folder of an evaluation holds each utterance ({RECORDS_FILE}), and what "
        f"was tested ({META_FILE}); speechaug.robustness.Evaluation.load(folder).scores() gives the scores, compare() "
        "the differences, speechaug report this page. The resamples of the intervals are fixed: they come out the same."
    )


def report(
    runs: list[str],
    *,
    baseline: str | None = None,
    output: str = "report.html",
    data: str | None = None,
    pattern: str | None = None,
    noise: str | None = None,
    rooms: str | None = None,
    examples: int = EXAMPLES,
    title: str = "Robustness report",
) -> Path:
    """Show finished evaluations: a table here, and a page, JSON, CSV and Markdown in files beside each other.

    Args:
        runs: folders of evaluations, or of trainings; evaluations of one name are training seeds of one recognizer.
        baseline: folder or name of what the others are compared with, one of the runs or another; by default the first.
        output: page to write; the other files have its name and another ending.
        data: what was evaluated, recordings or noisy test sets, to make the worst utterances audible; None for a page
            without sounds.
        pattern: of file names, for folders, such as '{text}_{speaker}_{take}.wav'.
        noise: folder of noise that was used instead of the suite's own.
        rooms: folder of room responses that was used instead of the suite's own.
        examples: how many utterances can be listened to.
        title: heading of the page.

    Returns:
        The page.

    Raises:
        ValueError: if there is no run, the runs cannot be compared, or the sounds are not those that were tested.
        FileNotFoundError: if a folder holds no evaluation.
    """
    if not runs:
        raise ValueError("report: runs must name at least one folder, got none")
    evaluations = {Path(run).resolve(): load_run(run) for run in runs}
    results = gather(list(evaluations.values()), _baseline(baseline, evaluations))
    sounds = sounds_of(results, data, noise, rooms, pattern) if data else None
    print_results(results)
    page = write_page(output, results, sounds, examples, title=title)
    numbers = results.comparison if results.several else next(iter(results.scores.values()))
    tables = [write_table(page.with_suffix(ending), numbers) for ending in (".json", ".csv", ".md")]
    print(f"Wrote {', '.join(map(str, [page, *tables]))}")
    return page


def _baseline(baseline: str | None, evaluations: Mapping[Path, Evaluation]) -> str | Evaluation | None:
    """Return what a folder holds, the one of the runs if it is one of theirs; a name stays a name."""
    if baseline is None or not Path(baseline).is_dir():
        return baseline
    return evaluations.get(Path(baseline).resolve()) or load_run(baseline)


def load_run(folder: str | Path) -> Evaluation:
    """Read an evaluation, or the results of a training, which has the name of its folder."""
    folder = Path(folder)
    if (folder / META_FILE).exists() or not (folder / RECORDS_FILE).exists():
        return Evaluation.load(folder)
    return Evaluation.from_results(folder.resolve().name, read_lines(folder / RECORDS_FILE))
