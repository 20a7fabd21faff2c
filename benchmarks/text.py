"""Figures and tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.results import Spread


def number(value: float | None, digits: int = 3) -> str:
    """Write a figure with so many significant digits and no exponent.

    Example:
        >>> number(0.04567), number(12.345), number(123_456.0), number(None)
        ('0.0457', '12.3', '123,456', '')
    """
    if value is None:
        return ""
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{rounded:.6f}".rstrip("0").rstrip(".")


def times(spread: Spread | None) -> str:
    """Write a median with its 20th to 80th percentile; a single call as such.

    Example:
        >>> times(Spread(1.0, 2.0, 3.0, 9)), times(Spread(2.0, 2.0, 2.0, 1))
        ('2 (1–3)', '2 (one call)')
    """
    if spread is None:
        return ""
    around = f"{number(spread.p20)}–{number(spread.p80)}" if spread.rounds > 1 else "one call"
    return f"{number(spread.p50)} ({around})"


def ratio(value: float | None) -> str:
    """Write how many times as long the other takes.

    Example:
        >>> ratio(12.34), ratio(1.0), ratio(None)
        ('12.3x', '1x', '')
    """
    return "" if value is None else f"{number(value)}x"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table, the first ``left`` columns aligned to the left.

    Example:
        >>> print(markdown(["row", "ms"], [["Gain", "1.2"]]), end="")
        | row | ms |
        |---|---:|
        | Gain | 1.2 |
    """
    rule = "|" + "---|" * left + "---:|" * (len(head) - left)
    rows = ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(head) + " |", rule, *rows]) + "\n"
