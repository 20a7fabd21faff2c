"""Numbers, names and quantities in words, for people: the same in the terminal and on every page."""

from __future__ import annotations

MINUS = "−"
NBSP = "\N{NO-BREAK SPACE}"
UNITS = {"per_s": "per s", "db": "dB", "dbfs": "dBFS", "hz": "Hz", "ms": "ms", "s": "s", "kbps": "kbit/s", "m": "m"}
UNITS |= {"semitones": "semitones", "octaves": "octaves", "frames": "frames", "bins": "bins"}
UNITS |= {"percent": "%", "c": "°C"}
ABBREVIATIONS = {"snr": "SNR", "t60": "T60", "drr": "DRR", "c50": "C50"}


def percent(value: float, digits: int = 1) -> str:
    """Format a rate: 0.2345 is ``23.4 %``, with a space that does not break."""
    return f"{number(100 * value, digits)}{NBSP}%"


def number(value: float, digits: int = 1) -> str:
    """Format a number with a real minus sign, and without one before a zero."""
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def signed(value: float, digits: int = 1) -> str:
    """Format a difference with its sign."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and float(text) > 0 else text


def compact(value: float, unit: str = "") -> str:
    """Format what is set or measured: decibels to a tenth, all else to three digits that matter.

    Example:
        >>> compact(7.04, "dB"), compact(1.1234), compact(3456.7, "Hz"), compact(50.0, "Hz")
        ('7', '1.12', '3460', '50')
    """
    if unit == "dB":
        return number(value).removesuffix(".0")
    rounded = float(f"{value:.3g}")
    return f"{rounded:g}".replace("-", MINUS) if abs(rounded) < 1e6 else f"{value:.3g}"


def words_of(name: str) -> str:
    """Write a corruption or a family in words: ``far_field`` is ``far field``."""
    return name.replace("_", " ")


def split_unit(name: str) -> tuple[str, str]:
    """Part a name from its unit, which is empty where the name states none.

    Example:
        >>> split_unit("cutoff_hz"), split_unit("rate_per_s"), split_unit("bits"), split_unit("semitones")
        (('cutoff', 'Hz'), ('rate', 'per s'), ('bits', ''), ('', 'semitones'))
    """
    suffix = next((suffix for suffix in UNITS if f"_{name}".endswith(f"_{suffix}")), None)
    return (f"_{name}".removesuffix(f"_{suffix}").removeprefix("_"), UNITS[suffix]) if suffix else (name, "")


def quantity(name: str, *values: float) -> str:
    """Write one quantity with its unit; of several values the range.

    Example:
        >>> quantity("snr_db", 7.31), quantity("gain_db", -3.0, 2.5)
        ('SNR 7.3 dB', 'gain −3 to 2.5 dB')
    """
    stem, unit = split_unit(name)
    ends = dict.fromkeys(compact(end, unit) for end in (min(values), max(values)))
    return f"{ABBREVIATIONS.get(stem, words_of(stem))} {' to '.join(ends)} {unit}".strip()
