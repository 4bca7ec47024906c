"""Curves as SVG, drawn by the server: they need no script, and every one has its table beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog.progress import NO_METRICS, Round

MOST_POINTS = 400
MOST_CHARTS = 7
WIDTH, HEIGHT = 640, 220
LEFT, TOP, BOTTOM = 70, 12, 28


@dataclass(frozen=True)
class Chart:
    """Curves over the rounds.

    Attributes:
        lines: name and ``points`` of a polyline, in order.
        low: smallest value.
        high: largest value.
        first: first round.
        last: last round.
        what: name of the metric; "" is the loss.
    """

    lines: tuple[tuple[str, str], ...]
    low: float
    high: float
    first: int
    last: int
    what: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    bottom: int = BOTTOM


def charts(runs: Mapping[str, Sequence[Round]]) -> list[Chart]:
    """Return the charts of loss and metrics of some runs, at most ``MOST_CHARTS``, where there are values enough."""
    names = sorted({name for rounds in runs.values() for one in rounds for name in one.metrics} - NO_METRICS)
    made = [chart({run: [(one.number, one.loss) for one in rounds] for run, rounds in runs.items()})]
    for name in names[: MOST_CHARTS - 1]:
        told = {run: [(one.number, one.metrics.get(name)) for one in rounds] for run, rounds in runs.items()}
        made.append(chart(told, name))
    return [one for one in made if one is not None]


def chart(series: Mapping[str, Sequence[tuple[int, float | None]]], what: str = "") -> Chart | None:
    """Return the chart of some series of (round, value); None if there are fewer than two values in all of them."""
    told = {
        name: _thin([(x, y) for x, y in values if y is not None and math.isfinite(y)])
        for name, values in series.items()
    }
    points = [point for values in told.values() for point in values]
    if len(points) < 2:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    first, last, low, high = min(xs), max(xs), min(ys), max(ys)
    wide, tall = WIDTH - LEFT - 10, HEIGHT - TOP - BOTTOM

    def at(x: int, y: float) -> str:
        right = (x - first) / (last - first) if last > first else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        return f"{LEFT + right * wide:.1f},{TOP + (1 - up) * tall:.1f}"

    lines = tuple((name, " ".join(at(x, y) for x, y in values)) for name, values in told.items())
    return Chart(lines, low, high, first, last, what)


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most as many points as a screen shows, the last among them."""
    step = -(-len(points) // MOST_POINTS)
    return points if step <= 1 else [*points[:-1:step], points[-1]]
