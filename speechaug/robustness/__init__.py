"""Robustness: word error rates with intervals, confusions of keywords, tables and a report page.

Example:
    >>> from speechaug.robustness import count_edits
    >>> count_edits("one two three", "one three").wer
    0.3333333333333333
"""

from __future__ import annotations

from speechaug.robustness.classification import ClassScore, Confusion, count_confusion, plot_confusion, print_classes
from speechaug.robustness.metrics import EditCounts, Interval, count_edits
from speechaug.robustness.report import headline, print_table, write_report
from speechaug.robustness.summary import Change, Row, Score, Summary, summarise

__all__ = [
    "Change",
    "ClassScore",
    "Confusion",
    "EditCounts",
    "Interval",
    "Row",
    "Score",
    "Summary",
    "count_confusion",
    "count_edits",
    "headline",
    "plot_confusion",
    "print_classes",
    "print_table",
    "summarise",
    "write_report",
]
