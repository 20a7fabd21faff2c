"""Word error rate over signal-to-noise ratio as small inline SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speechaug.page.words import number, percent
from speechaug.robustness.bootstrap import Estimate
from speechaug.robustness.words import span

WIDTH, HEIGHT = 300, 176
LEFT, RIGHT, TOP, BOTTOM = 34, 290, 10, 150
PATTERNS = 4
"""Line patterns and marks before they repeat, as many as colours."""


@dataclass(frozen=True)
class Curve:
    """One line: a place among colours and patterns, a name, and estimates by ratio in dB."""

    place: int
    name: str
    points: dict[float, Estimate]


def curve_plot(curves: Sequence[Curve], top: float) -> str:
    """Draw curves with their bands; noise grows to the right, and the height is ``top``.

    Example:
        >>> curve_plot([Curve(0, "a", {20.0: Estimate(0.1), 0.0: Estimate(0.5)})], 1.0).startswith("<svg")
        True
    """
    ratios = sorted({ratio for curve in curves for ratio in curve.points}, reverse=True)
    scale = _Scale(ratios[0], ratios[-1], top)
    drawn = [_grid(scale, ratios), *(draw(curve, scale) for draw in (_band, _line) for curve in curves)]
    opening = f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_said(curves)}">'
    return f"{opening}{''.join(drawn)}</svg>"


def legend_mark(place: int) -> str:
    """Draw a short piece of the line of a place."""
    line = f'<path class="line dash-{place % PATTERNS}" d="M0 8H32"/>'
    opening = f'<svg class="curve run-{place % PATTERNS}" viewBox="0 0 32 16" aria-hidden="true">'
    return f"{opening}{line}{_mark(place, 16, 8, '')}</svg>"


@dataclass(frozen=True)
class _Scale:
    first: float
    last: float
    top: float

    def x(self, ratio: float) -> float:
        if self.first == self.last:
            return (LEFT + RIGHT) / 2
        return LEFT + 8 + (RIGHT - LEFT - 16) * (self.first - ratio) / (self.first - self.last)

    def y(self, rate: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(rate, self.top) / self.top


def _grid(scale: _Scale, ratios: Sequence[float]) -> str:
    parts = []
    for step in range(5):
        rate = scale.top * step / 4
        y = scale.y(rate)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        if step % 2 == 0:
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_axis(100 * rate)}</text>')
    if scale.top > 0.5:
        parts.append(f'<path class="half" d="M{LEFT} {scale.y(0.5):.1f}H{RIGHT}"/>')
    every = -(-len(ratios) // 7)
    for ratio in ratios[::every]:
        unit = " dB" if ratio == ratios[0] else ""
        x = f"{scale.x(ratio):.1f}"
        parts.append(f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="middle">{_axis(ratio)}{unit}</text>')
    return "".join(parts)


def _axis(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _band(curve: Curve, scale: _Scale) -> str:
    known = [(ratio, each.interval) for ratio, each in _sorted(curve) if each.interval is not None]
    if not known:
        return ""
    if len(known) == 1:  # no width: a bar instead of a band
        known = [(ratio, interval) for ratio, interval in known for _ in range(2)]
    over = [f"{scale.x(ratio):.1f} {scale.y(interval.high):.1f}" for ratio, interval in known]
    under = [f"{scale.x(ratio):.1f} {scale.y(interval.low):.1f}" for ratio, interval in reversed(known)]
    return f'<path class="band run-{curve.place % PATTERNS}" d="M{"L".join([*over, *under])}Z"/>'


def _line(curve: Curve, scale: _Scale) -> str:
    places = [(scale.x(ratio), scale.y(each.value), ratio, each) for ratio, each in _sorted(curve)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in places)
    marks = "".join(_mark(curve.place, x, y, _point(curve.name, ratio, each)) for x, y, ratio, each in places)
    place = curve.place % PATTERNS
    return f'<g class="run-{place}"><path class="line dash-{place}" d="M{path}"/>{marks}</g>'


def _sorted(curve: Curve) -> list[tuple[float, Estimate]]:
    return sorted(curve.points.items(), reverse=True)


def _point(name: str, ratio: float, estimate: Estimate) -> str:
    spread = f" ({span(estimate.interval)})" if estimate.interval else ""
    return _escape(f"{name}, {_axis(ratio)} dB: {percent(estimate.value)}{spread}")


def _mark(place: int, x: float, y: float, title: str) -> str:
    """A circle, square, triangle or diamond, so that lines are told apart without colour."""
    shapes = [
        "M-3.6 0A3.6 3.6 0 1 1 3.6 0A3.6 3.6 0 1 1 -3.6 0Z",
        "M-3.3-3.3H3.3V3.3H-3.3Z",
        "M0-4.4L4.2 3.2H-4.2Z",
        "M0-4.8L4.3 0L0 4.8L-4.3 0Z",
    ]
    named = f"<title>{title}</title>" if title else ""
    return f'<path class="dot" transform="translate({x:.1f} {y:.1f})" d="{shapes[place % PATTERNS]}">{named}</path>'


def _said(curves: Sequence[Curve]) -> str:
    """Read the curves out for those who do not see them."""
    lines = []
    for curve in curves:
        points = ", ".join(f"{number(100 * each.value, 0)} % at {_axis(ratio)} dB" for ratio, each in _sorted(curve))
        lines.append(f"{curve.name}: {points}")
    return _escape("; ".join(lines))


def _escape(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
