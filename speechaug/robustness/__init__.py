"""Robustness: word error rates with intervals, tables and a report page.

Example:
    >>> from speechaug.robustness import count_edits
    >>> count_edits("one two three", "one three").wer
    0.3333333333333333
"""

from __future__ import annotations

from speechaug.robustness.metrics import EditCounts, Interval, count_edits
from speechaug.robustness.report import headline, print_table, write_report
from speechaug.robustness.summary import Change, Row, Score, Summary, summarise

__all__ = [
    "Change",
    "EditCounts",
    "Interval",
    "Row",
    "Score",
    "Summary",
    "count_edits",
    "headline",
    "print_table",
    "summarise",
    "write_report",
]
