"""Which class is taken for which: whole counts, precision, recall and F1 from them, a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Console

Counts = NDArray[np.int64]

_LINE, _NOTHING = "#d0d0d0", "#eeeeee"


@dataclass(frozen=True)
class ClassScore:
    """How well one class is found; a quotient without a denominator is 0, never NaN.

    Args:
        precision: share of the utterances said to be of the class that are; 0 for a class that is never predicted.
        recall: share of the utterances of the class that are found; 0 for a class that does not occur.
        f1: harmonic mean of both; 0 where both are.
        support: utterances of the class.
        predicted: utterances said to be of the class.
    """

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class Confusion:
    """How many utterances of each class were taken for each class; adds up without loss.

    Args:
        labels: names of the classes.
        counts: a row per class that was said, in it a column per class that was recognized.

    Raises: ValueError: if labels repeat, or counts are no square of whole numbers, one row and column per label.

    Example:
        >>> confusion = count_confusion(["yes", "no"], ["yes", "yes", "no"], ["yes", "no", "no"])
        >>> confusion.counts, round(confusion.accuracy, 3), confusion.scores["yes"].recall
        (((1, 1), (0, 1)), 0.667, 0.5)
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"Confusion: labels must be unique, got {self.labels}")
        sizes = {len(self.labels), len(self.counts), *map(len, self.counts)}
        whole = all(isinstance(n, int) and n >= 0 for row in self.counts for n in row)
        if len(sizes) > 1 or not whole:
            raise ValueError(
                f"Confusion: counts must be {len(self.labels)} rows of {len(self.labels)} whole numbers, "
                f"got {self.counts!r}"
            )
        object.__setattr__(self, "counts", tuple(map(tuple, self.counts)))

    @classmethod
    def from_matrix(cls, labels: Sequence[str], matrix: Counts) -> Confusion:
        """Take the counts from an integer array ``(classes, classes)``."""
        return cls(tuple(labels), tuple(map(tuple, matrix.tolist())))

    @property
    def matrix(self) -> Counts:
        """The counts as an array ``(classes, classes)``, int64."""
        return np.array(self.counts, dtype=np.int64).reshape(len(self.labels), len(self.labels))

    def __add__(self, other: Confusion) -> Confusion:
        if self.labels != other.labels:
            raise ValueError(f"Confusion: labels must be {self.labels} to be added, got {other.labels}")
        return Confusion.from_matrix(self.labels, self.matrix + other.matrix)

    @property
    def total(self) -> int:
        """Number of utterances."""
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float:
        """Share of the utterances that are recognized; 0 without an utterance."""
        return int(self.matrix.trace()) / max(1, self.total)

    @property
    def scores(self) -> dict[str, ClassScore]:
        """Precision, recall and F1 of each class."""
        matrix = self.matrix
        columns = zip(self.labels, matrix.diagonal(), matrix.sum(1), matrix.sum(0), strict=True)
        return {label: _score(int(right), int(there), int(said)) for label, right, there, said in columns}

    @property
    def summary(self) -> str:
        """Accuracy, macro F1 and number of utterances in words."""
        return f"accuracy {self.accuracy:.1%}, macro F1 {self.macro_f1:.1%}, {self.total} utterances"

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur or are predicted, each counting the same; 0 without any.

        Source: the definition of scikit-learn (``average="macro", zero_division=0``) and torchmetrics.
        """
        f1 = [score.f1 for score in self.scores.values() if score.support or score.predicted]
        return sum(f1) / max(1, len(f1))

    def to_dict(self) -> dict[str, Any]:
        """Return accuracy, macro F1, the scores of each class and the counts as plain data, fit for JSON."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "classes": {label: asdict(score) for label, score in self.scores.items()},
            "labels": list(self.labels),
            "counts": [list(row) for row in self.counts],
        }


def _score(right: int, support: int, predicted: int) -> ClassScore:
    f1 = 2 * right / max(1, support + predicted)
    return ClassScore(right / max(1, predicted), right / max(1, support), f1, support, predicted)


def count_confusion(labels: Sequence[str], references: Sequence[str], hypotheses: Sequence[str]) -> Confusion:
    """Count which class was taken for which.

    Args:
        labels: names of the classes, in the order of the rows.
        references: class of each utterance.
        hypotheses: what each was recognized as.

    Raises: ValueError: if a reference or hypothesis is no label, or there are not equally many.
    """
    place = {label: index for index, label in enumerate(labels)}
    strange = sorted({*references, *hypotheses} - set(labels))
    if strange:
        raise ValueError(f"count_confusion: labels must hold every class, got {strange[:5]} beside {list(labels)}")
    if len(references) != len(hypotheses):
        raise ValueError(
            f"count_confusion: hypotheses must be as many as references, {len(references)}, got {len(hypotheses)}"
        )
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, ([place[name] for name in references], [place[name] for name in hypotheses]), 1)
    return Confusion.from_matrix(labels, matrix)


def print_classes(confusions: Mapping[str, Confusion], *, console: Console | None = None) -> None:
    """Print a table for each condition: precision, recall and F1 of each class in percent, and how often it occurs.

    Args:
        confusions: counts by condition, such as ``classifier.confusion``.
        console: where to print; by default the terminal.
    """
    from rich import box
    from rich.console import Console as RichConsole
    from rich.markup import escape
    from rich.table import Table

    for condition, confusion in confusions.items():
        table = Table(title=escape(f"{condition}: {confusion.summary}"), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("class")
        for name in ("precision, %", "recall, %", "F1, %", "utterances"):
            table.add_column(name, justify="right")
        for label, score in confusion.scores.items():
            shares = [f"{100 * value:.1f}" for value in (score.precision, score.recall, score.f1)]
            table.add_row(escape(label), *shares, str(score.support))
        (console or RichConsole()).print(table)


def plot_confusion(confusion: Confusion, path: str | Path | None = None, *, title: str = "") -> Figure:
    """Draw what was taken for what: a row per class that was said, a column per class that was recognized.

    Cells show counts. The darker a cell, the larger its share of the row, hits in blue and errors in orange, which are
    told apart with any colour vision; shares are drawn by their square root, so that a few errors show beside many
    hits. The recall of each class stands at the right; a class without an utterance has a grey row.

    Args:
        confusion: the counts.
        path: file to write, its ending states the format (``.png``, ``.svg``, ``.pdf``); folders are made.
        title: what is shown, such as the condition; accuracy and macro F1 stand below it.

    Returns:
        The figure; it opens no window, and a notebook shows it.

    Raises: ImportError: without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plot_confusion needs matplotlib: pip install matplotlib") from error
    side = 0.32 * max(len(confusion.labels), 6)
    letters = 0.075 * max(map(len, confusion.labels))
    figure = Figure(figsize=(max(4.6, side + letters + 1.5), side + letters + 1.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    _draw_cells(axes, confusion.matrix)
    _dress(axes, confusion)
    axes.set_title("\n".join(filter(None, [title, confusion.summary])), fontsize=9, parse_math=False)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return figure


def _draw_cells(axes: Axes, matrix: Counts) -> None:
    import matplotlib as mpl

    count = len(matrix)
    depth = np.sqrt(matrix / matrix.sum(1, keepdims=True).clip(min=1))
    hit = np.eye(count, dtype=bool)[..., None]
    cells = np.where(hit, mpl.colormaps["Blues"](0.85 * depth), mpl.colormaps["Oranges"](0.85 * depth))
    cells[matrix == 0] = 1.0
    cells[matrix.sum(1) == 0] = mpl.colors.to_rgba(_NOTHING)
    axes.imshow(cells)
    dark = (cells[..., :3] ** 2.2) @ [0.2126, 0.7152, 0.0722] < 0.18  # where white is easier to read than black
    axes.set_xticks(np.arange(1, count) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, count) - 0.5, minor=True)
    axes.grid(which="minor", color=_LINE, linewidth=0.6)
    for row, column in np.argwhere(matrix):
        number, colour = int(matrix[row, column]), "white" if dark[row, column] else "black"
        size = 7.5 if number < 1_000 else 5.5
        axes.text(column, row, str(number), size=size, color=colour, ha="center", va="center")


def _dress(axes: Axes, confusion: Confusion) -> None:
    places, scores = range(len(confusion.labels)), confusion.scores.values()
    rows = [f"{label} ({score.support})" for label, score in confusion.scores.items()]
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, [f"{score.recall:.0%}" if score.support else "–" for score in scores], fontsize=8)
    right.set_ylabel("recall", fontsize=9)
    axes.set_xticks(places, confusion.labels, rotation=90, fontsize=8, parse_math=False)  # a label may hold a $
    axes.set_yticks(places, rows, fontsize=8, parse_math=False)
    axes.set_xlabel("recognized as\nblue: right, orange: wrong, darker: larger share of its row", fontsize=8)
    axes.set_ylabel("said (utterances)", fontsize=9)
    for each in (axes, right):
        each.tick_params(which="both", length=0)
        for spine in each.spines.values():
            spine.set_color(_LINE)
