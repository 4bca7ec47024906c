"""Times on a grid, so wide that no interval is about few persons.

An interval is ``(previous, time]``; whoever has an event or leaves in it does so at its end, events first. Whoever is
followed beyond the last time is censored there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survival.shared.scaling import Floats

Ints = NDArray[np.int64]
MOST_TIMES = 100
"""Where intervals end depends on when patients leave, so a grid must not be fine enough to show when each does."""


def place(time: Floats, event: Floats, grid: Floats) -> tuple[Ints, Floats]:
    """Return each row's interval and whether its event lies on the grid; ``(rows,)`` each."""
    interval = np.searchsorted(grid, time, side="left")
    beyond = interval == len(grid)
    return np.where(beyond, len(grid) - 1, interval), np.where(beyond, 0.0, event)


@dataclass(frozen=True)
class Counts:
    """What a life table needs: for each interval, ``(intervals,)``.

    Attributes:
        events: how many have the event.
        left: how many are censored.
    """

    events: Floats
    left: Floats

    @classmethod
    def of(cls, interval: Ints, event: Floats, intervals: int) -> Counts:
        """Count rows."""
        events = np.bincount(interval, weights=event, minlength=intervals)
        return cls(events, np.bincount(interval, minlength=intervals) - events)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.events + other.events, self.left + other.left)

    @property
    def at_risk(self) -> Floats:
        """How many are under observation at the end of each interval, before its events."""
        gone = self.events + self.left
        return np.asarray(gone[::-1].cumsum()[::-1])


def widen(time: Floats, event: Floats, groups: list[NDArray[np.bool_]], grid: Floats, k: int) -> Floats:
    """Return those times of ``grid`` between which at least ``k`` leave, and each count in each group is 0 or ``k``.

    Neighbouring intervals are merged from the first on; what is left at the end joins the last.

    Raises:
        ValueError: even one interval is about too few.
    """
    interval, on_grid = place(time, event, grid)
    by_group = [Counts.of(interval[rows], on_grid[rows], len(grid)) for rows in groups]
    cells = np.stack([row for one in by_group for row in (one.events, one.left)])
    kept: list[float] = []
    merged = np.zeros(len(cells))
    for number, at in enumerate(grid.tolist()):
        merged = merged + cells[:, number]
        rest = cells[:, number + 1 :].sum(axis=1)
        if _is_safe(merged, k) and (_is_safe(rest, k) or not rest.any()):
            kept.append(at)
            merged = np.zeros(len(cells))
    if not kept:
        raise ValueError(f"Even without any times, there are counts below {k} here.")
    return np.array([*kept[:-1], grid[-1]])


def _is_safe(counts: Floats, k: int) -> bool:
    return bool(counts.sum() >= k and np.all((counts == 0) | (counts >= k)))
