"""What is hidden cannot be worked out: every table that would be told in the same way is tried."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from datalab.curation.disclosure import Told, few, suppress
from datalab.curation.report import Cell, Column, CurationReport
from tests.unit.curation.test_report import report

K = 3
TABLES = list(product(range(7), repeat=3))
"""Every table of three cells of up to six people."""
POSSIBLE = list(product(range(14), repeat=3))
"""What somebody who sees the cells that are told may think of."""


def told(table: tuple[int, ...]) -> tuple[int, Told]:
    return sum(table), suppress(table, K)


WORLDS: dict[tuple[int, Told], list[tuple[int, ...]]] = defaultdict(list)
for _table in POSSIBLE:
    WORLDS[told(_table)].append(_table)


def test_no_hidden_cell_of_a_table_can_be_worked_out() -> None:
    for total, shown in map(told, TABLES):
        worlds = WORLDS[total, shown]
        if total < K:  # such a total is not told
            continue
        for index, count in enumerate(shown):
            values = {world[index] for world in worlds}
            assert len(values) > 1 if count is None else values == {count}, (total, shown)
            assert count is None or not few(count, 0, K)


@settings(deadline=None, max_examples=40)
@given(before=st.sampled_from(TABLES), after=st.sampled_from(TABLES))
def test_no_hidden_cell_can_be_worked_out_from_two_versions(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    first = told(before)
    if min(sum(before), sum(after)) < K or few(sum(before), sum(after), K):
        return
    second = suppress(after, K, [first])
    later = [two for two in POSSIBLE if sum(two) == sum(after) and suppress(two, K, [first]) == second]
    pairs = list(product(WORLDS[first], later))
    assert (before, after) in pairs
    for index in range(3):
        assert first[1][index] is not None or len({one[index] for one, _ in pairs}) > 1
        assert second[index] is not None or len({two[index] for _, two in pairs}) > 1
        assert not few(second[index], first[1][index], K)
        if None in (second[index], first[1][index]):
            assert len({two[index] - one[index] for one, two in pairs}) > 1


COUNTS = st.lists(st.integers(0, 40), min_size=4, max_size=4)


def with_cells(missing: int, counts: list[int]) -> CurationReport:
    cells = tuple(Cell(value=str(index), count=count) for index, count in enumerate(counts))
    column = Column(name="grade", type="integer", unit=None, description="", missing=missing, cells=cells)
    made = report(rows=missing + sum(counts), events=None)
    return made.model_copy(update={"columns": (column,)})


@settings(deadline=None, max_examples=150)
@given(first=COUNTS, second=COUNTS, third=COUNTS, missing=st.integers(0, 40))
def test_no_cell_and_no_difference_between_any_two_versions_is_of_a_few(
    first: list[int], second: list[int], third: list[int], missing: int
) -> None:
    shown: list[CurationReport] = []
    for counts in (first, second, third):
        shown.append(with_cells(missing, counts).public(earlier=shown))
    tables = [(one.rows, (one.columns[0].missing, *(cell.count for cell in one.columns[0].cells))) for one in shown]
    for total, cells in tables:
        assert not any(few(count, 0, 10) for count in (total, *cells))
        hidden = cells.count(None)
        if total is not None and hidden:
            assert hidden > 1
            assert total - sum(count or 0 for count in cells) >= 10
    for (old_total, old), (new_total, new) in product(tables, repeat=2):
        assert not few(old_total, new_total, 10)
        assert not any(few(one, two, 10) for one, two in zip(old, new, strict=True))
        if old_total is None or new_total is None:
            continue
        either = {index for index in range(5) if old[index] is None or new[index] is None}
        before, after = (
            total - sum(count or 0 for index, count in enumerate(cells) if index not in either)
            for total, cells in ((old_total, old), (new_total, new))
        )
        assert not few(before, after, 10)


def test_a_version_that_differs_by_a_few_rows_tells_no_count() -> None:
    first = with_cells(0, [50, 60, 70, 80]).public()
    assert [cell.count for cell in first.columns[0].cells] == [50, 60, 70, 80]
    second = with_cells(0, [50, 60, 70, 81]).public(earlier=[first])
    assert (second.rows, second.rows_in, second.columns[0].missing) == (None, None, None)
    assert {cell.count for cell in second.columns[0].cells} == {None}
    third = with_cells(0, [60, 75, 70, 95]).public(earlier=[first, second])
    assert [cell.count for cell in third.columns[0].cells] == [60, 75, 70, 95]
    moved = with_cells(0, [55, 55, 70, 80]).public(earlier=[first])
    assert (moved.rows, [cell.count for cell in moved.columns[0].cells]) == (260, [None, None, 70, 80])


def test_another_spread_of_the_same_column_tells_no_cell() -> None:
    first = with_cells(0, [50, 60, 70, 80]).public()
    second = with_cells(0, [50, 60, 70, 120])
    column = second.columns[0]
    other = column.model_copy(update={"cells": (*column.cells[:3], Cell(value="nine", count=120))})
    told = second.model_copy(update={"columns": (other,)}).public(earlier=[first])
    assert (told.rows, {cell.count for cell in told.columns[0].cells}) == (300, {None})
