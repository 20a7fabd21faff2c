"""Robustness: any recognizer under the suite, word error rates with intervals, tables and a report page.

Example:
    >>> from speechaug.robustness import count_edits
    >>> count_edits("one two three", "one three").wer
    0.3333333333333333
"""

from __future__ import annotations

from speechaug.robustness.bootstrap import Basis, Estimate
from speechaug.robustness.classification import ClassScore, Confusion, count_confusion, plot_confusion, print_classes
from speechaug.robustness.compare import compare
from speechaug.robustness.comparison import Comparison
from speechaug.robustness.corrupt import corrupt
from speechaug.robustness.evaluate import evaluate
from speechaug.robustness.evaluation import Evaluation
from speechaug.robustness.measures import diversity, effective_robustness
from speechaug.robustness.metrics import EditCounts, Interval, count_edits
from speechaug.robustness.normalise import get_normaliser
from speechaug.robustness.recognizers import Recognizer
from speechaug.robustness.render import render
from speechaug.robustness.report import report, write_report
from speechaug.robustness.scores import Scores
from speechaug.robustness.sets import read_noisy_sets
from speechaug.robustness.significance import Mapsswe, holm, mapsswe
from speechaug.robustness.suite import Condition, Suite, load_suite
from speechaug.robustness.tables import to_csv, to_dict, to_json, to_markdown, write_table
from speechaug.robustness.terminal import print_table

__all__ = [
    "Basis",
    "ClassScore",
    "Comparison",
    "Condition",
    "Confusion",
    "EditCounts",
    "Estimate",
    "Evaluation",
    "Interval",
    "Mapsswe",
    "Recognizer",
    "Scores",
    "Suite",
    "compare",
    "corrupt",
    "count_confusion",
    "count_edits",
    "diversity",
    "effective_robustness",
    "evaluate",
    "get_normaliser",
    "holm",
    "load_suite",
    "mapsswe",
    "plot_confusion",
    "print_classes",
    "print_table",
    "read_noisy_sets",
    "render",
    "report",
    "to_csv",
    "to_dict",
    "to_json",
    "to_markdown",
    "write_report",
    "write_table",
]
