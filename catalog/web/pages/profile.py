"""The profile of a version: each column's values as bars to be drawn, as a table, and in quarters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datalab.curation.report import Cell, Column, CurationReport

WIDTH, HEIGHT = 320, 96
"""Of a histogram, in its own units; the page scales it."""
_GAP = 2
_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Bar:
    """One cell, drawn: ``height`` is 0 where nothing is in it; ``withheld`` bars are of full height and hatched."""

    cell: Cell
    x: float
    width: float
    height: float
    withheld: bool


@dataclass(frozen=True)
class ColumnProfile:
    """One column.

    Attributes:
        bars: its cells; empty where it has none.
        quarters: the cells in which the first three quarters of the values end; None where a cell is withheld.
    """

    column: Column
    bars: tuple[Bar, ...]
    quarters: tuple[Cell, ...] | None

    @property
    def withheld(self) -> int:
        """How many cells are withheld."""
        return sum(bar.withheld for bar in self.bars)


def profile_of(report: CurationReport) -> list[ColumnProfile]:
    """Return the profile of each column, from a report as whoever asks may see it."""
    return [ColumnProfile(column, _bars(column.cells), _quarters(column.cells)) for column in report.columns]


def _bars(cells: Sequence[Cell]) -> tuple[Bar, ...]:
    highest = max((cell.count or 0 for cell in cells), default=0) or 1
    width = WIDTH / max(1, len(cells))
    return tuple(
        Bar(
            cell,
            x=round(index * width + _GAP / 2, 2),
            width=round(width - _GAP, 2),
            height=HEIGHT if cell.count is None else round(HEIGHT * cell.count / highest, 2),
            withheld=cell.count is None,
        )
        for index, cell in enumerate(cells)
    )


def _quarters(cells: Sequence[Cell]) -> tuple[Cell, ...] | None:
    """Return the ranges of numbers in which the quartiles lie, which follow from the counts that are told."""
    counts = [cell.count for cell in cells if cell.count is not None]
    if len(counts) != len(cells) or not sum(counts) or any(cell.value is not None for cell in cells):
        return None
    found, passed = [], 0
    wanted = [quarter * sum(counts) for quarter in _QUARTERS]
    for cell, count in zip(cells, counts, strict=True):
        passed += count
        while wanted and wanted[0] <= passed:
            found.append(cell)
            wanted.pop(0)
    return tuple(found)
