"""The profile of the harmonised table: missing values, extremes and cells as far as they may be told, and the checks.

All is counted exactly, so that node and lab say the same. Columns of whole numbers that lie close together are grouped
by value once, which is quick, and everything about them is read off those counts; the other columns are taken together
in two passes over the table: one for what is missing, extremes and broken promises, one for the cells, whose edges
depend on the extremes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from datalab.curation.contract import Code, Contract, HarmonisedColumn, QualityRule
from datalab.curation.database import Limits, connect, identifier, literal
from datalab.curation.harmonise import DATA
from datalab.curation.report import Cell, Check, Column
from datalab.curation.rules import outside

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

OTHER = "…"
"""The cell of values that the contract does not name."""
_NEAR = 1 << 16
"""Whole numbers that lie no further apart are grouped by value: a table of that many counts is small."""
_TOGETHER = 64
"""Wide columns taken in one pass; of hundreds at once, DuckDB would need much memory."""


class Profile(BaseModel):
    """What the harmonised file looks like; JSON round trip.

    Attributes:
        columns: with counts of missing values, and extremes that at least ``disclosure_threshold`` rows share.
        events: rows whose outcome is 1, or None where the contract names no outcome.
        checks: the contract's rules on the table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[Column, ...]
    events: int | None
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class _Found:
    """What was counted of a column: present rows, rows that break its promise, extremes and cells as they may be."""

    present: int
    broken: int
    low: float | None = None
    high: float | None = None
    cells: tuple[Cell, ...] = ()


def profile(contract: Contract, work: Path, *, limits: Limits | None = None) -> Profile:
    """Read ``data.parquet`` back: missing values, extremes as far as they may be told, events, and the checks."""
    table = contract.harmonised
    source = f"read_parquet({literal(str(work / DATA))})"
    threshold = contract.disclosure_threshold
    with connect(work, limits) as database:
        (rows,) = _row(database, f"SELECT count(*) FROM {source}")
        near = _near(database, source, [one for one in table.columns if one.name != table.pseudonym])
        found = {one.name: _by_value(database, source, one, threshold) for one in near}
        wide = [one for one in table.columns if one.name not in found]
        for start in range(0, len(wide), _TOGETHER):
            found |= _by_passes(database, source, wide[start : start + _TOGETHER], threshold, table.pseudonym)
        events = None
        if table.outcome is not None:
            (events,) = _row(database, f"SELECT count(*) FROM {source} WHERE {identifier(table.outcome)} = 1")
    columns = tuple(_column(one, rows, found[one.name]) for one in table.columns)
    checks = [_domain_check(one, found[one.name].broken) for one in table.columns]
    missing = {column.name: column.missing or 0 for column in columns}
    checks += [_quality_check(rule, rows, missing) for rule in table.quality]
    return Profile(columns=columns, events=events, checks=tuple(checks))


def extremes(database: DuckDBPyConnection, source: str, column: str, threshold: int) -> tuple[float, float]:
    """Return the smallest and the largest value that ``threshold`` rows share or pass."""
    low, high = _row(database, f"SELECT {_extremes(identifier(column), threshold)} FROM {source}")
    return float(low), float(high)


def within(name: str, start: float | None, end: float | None) -> str:
    """Return SQL for a number in a range that may be open, whose end is not in it."""
    bounds = [] if start is None else [f"{name} >= {start!r}"]
    bounds += [] if end is None else [f"{name} < {end!r}"]
    return " AND ".join(bounds) or "true"


def _near(database: DuckDBPyConnection, source: str, columns: Sequence[HarmonisedColumn]) -> list[HarmonisedColumn]:
    """Return the columns of whole numbers that lie close together, which Parquet's own statistics tell."""
    whole = [one for one in columns if one.domain.type == "integer"]
    if not whole:
        return []
    ends = ", ".join(f"min({identifier(one.name)}), max({identifier(one.name)})" for one in whole)
    found = _row(database, f"SELECT {ends} FROM {source}")
    spans = zip(whole, found[::2], found[1::2], strict=True)
    return [one for one, low, high in spans if low is not None and high - low <= _NEAR]


def _by_value(database: DuckDBPyConnection, source: str, column: HarmonisedColumn, threshold: int) -> _Found:
    """Group a column by its values, and read off the rest."""
    name = identifier(column.name)
    counted: list[tuple[int | None, int, bool]] = database.execute(
        f"SELECT v, n, {_broken('v', column)} FROM (SELECT {name} AS v, count(*) AS n FROM {source} GROUP BY ALL) "
        "ORDER BY v NULLS LAST"
    ).fetchall()
    there = [(value, count) for value, count, _ in counted if value is not None]
    present = sum(count for _, count in there)
    broken = sum(count for _, count, breaks in counted if breaks)
    low = high = None
    if present >= 2 * threshold:
        low, high = _reached(there, threshold), _reached(there[::-1], threshold)
    if column.domain.codes:
        by_code = dict(there)
        cells = _code_cells(column.domain.codes, [by_code.get(int(code), 0) for code in column.domain.codes], present)
    elif low is None or high is None:
        cells = ()
    else:
        edges = _edges(low, high, whole=True)
        cells = _range_cells(edges, [sum(count for value, count in there if value < edge) for edge in edges], present)
    return _Found(present, broken, low, high, cells)


def _by_passes(
    database: DuckDBPyConnection,
    source: str,
    columns: Sequence[HarmonisedColumn],
    threshold: int,
    pseudonym: str | None,
) -> dict[str, _Found]:
    """Count columns together: of numbers all, of texts the codes; of a pseudonym, whose values are people, nothing.

    Free text is not counted either, as it may name people.
    """
    asked = ", ".join(
        f"count({identifier(one.name)}), coalesce(count_if({_broken(identifier(one.name), one)}), 0), "
        + (_extremes(identifier(one.name), threshold) if _is_number(one, pseudonym) else "NULL, NULL")
        for one in columns
    )
    counted = _row(database, f"SELECT {asked} FROM {source}")
    found: dict[str, _Found] = {}
    for index, one in enumerate(columns):
        present, broken, low, high = counted[4 * index : 4 * index + 4]
        if present < 2 * threshold or low is None:
            low = high = None
        found[one.name] = _Found(present, broken, low, high)
    return found | _with_cells(database, source, [one for one in columns if one.name != pseudonym], found)


def _with_cells(
    database: DuckDBPyConnection, source: str, columns: Sequence[HarmonisedColumn], found: dict[str, _Found]
) -> dict[str, _Found]:
    """Count the cells of columns together: the rows of each code, or between the edges that the extremes give."""
    asked: dict[str, str] = {}
    edges: dict[str, list[float]] = {}
    for one in columns:
        then, name = found[one.name], identifier(one.name)
        if one.domain.codes:
            codes = (literal(code) if isinstance(code, str) else repr(code) for code in one.domain.codes)
            asked[one.name] = f"[{', '.join(f'coalesce(count_if({name} = {code}), 0)' for code in codes)}]"
        elif then.low is not None and then.high is not None:
            edges[one.name] = _edges(then.low, then.high, whole=one.domain.type == "integer")
            # A bin of DuckDB's holds its upper end; one of ours does not. What is above the last comes last, if any.
            ends = [math.nextafter(edge, -math.inf) for edge in edges[one.name]]
            asked[one.name] = f"map_values(histogram({name}::DOUBLE, {ends!r}::DOUBLE[]))"
    if not asked:
        return {}
    counts = dict(zip(asked, _row(database, f"SELECT {', '.join(asked.values())} FROM {source}"), strict=True))
    told: dict[str, _Found] = {}
    for one in columns:
        then = found[one.name]
        if one.name in edges:
            below = list(accumulate(counts[one.name][: len(edges[one.name])]))
            told[one.name] = replace(then, cells=_range_cells(edges[one.name], below, then.present))
        elif one.name in asked:
            told[one.name] = replace(then, cells=_code_cells(one.domain.codes, counts[one.name], then.present))
    return told


def _is_number(column: HarmonisedColumn, pseudonym: str | None) -> bool:
    return column.domain.type != "string" and column.name != pseudonym


def _extremes(name: str, threshold: int) -> str:
    return f"min({name}, {threshold})[-1]::DOUBLE, max({name}, {threshold})[-1]::DOUBLE"


def _reached(counted: Sequence[tuple[int, int]], threshold: int) -> float:
    """Return the value at which ``threshold`` rows have been passed, in the order that is given."""
    passed = 0
    for value, count in counted:
        passed += count
        if passed >= threshold:
            return float(value)
    return float(counted[-1][0])


def _code_cells(codes: Sequence[Code], counts: Sequence[int], present: int) -> tuple[Cell, ...]:
    cells = tuple(Cell(value=str(code), count=count) for code, count in zip(codes, counts, strict=True))
    other = present - sum(counts)
    return (*cells, Cell(value=OTHER, count=other)) if other else cells


def _range_cells(edges: Sequence[float], below: Sequence[int], present: int) -> tuple[Cell, ...]:
    """Return the cells between edges, of which is known how many rows lie below each."""
    counts = [end - start for start, end in pairwise((0, *below, present))]
    ranges = pairwise((None, *edges, None))
    return tuple(Cell(low=low, high=high, count=n) for (low, high), n in zip(ranges, counts, strict=True))


def _edges(low: float, high: float, *, whole: bool) -> list[float]:
    """Return round numbers from ``low`` to ``high``, a step of 1, 2 or 5 times a power of ten apart, at most 11.

    They come from extremes that may be told, and stay the same while those move little, so that versions compare.
    """
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / 10))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * 10 >= span)
    step = max(step, 1.0) if whole else step
    first = math.floor(low / step) + 1
    last = math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(first, last) + 1)]


def _column(column: HarmonisedColumn, rows: int, found: _Found) -> Column:
    return Column(
        name=column.name,
        type=column.domain.type,
        unit=column.unit,
        description=column.description,
        code_system=column.code_system,
        nullable=not column.domain.required,
        sensitivity=column.classification,
        missing=rows - found.present,
        low=found.low,
        high=found.high,
        cells=found.cells,
    )


def _broken(value: str, column: HarmonisedColumn) -> str:
    """Return SQL that is true for a value that the contract does not promise, and never NULL."""
    rules = [f"coalesce({rule}, false)" for rule, _ in outside(value, column.domain)]
    if column.domain.required:
        rules.append(f"{value} IS NULL")
    return " OR ".join(rules) or "false"


def _domain_check(column: HarmonisedColumn, broken: int) -> Check:
    """Say whether a column's values are those that the contract promises."""
    return Check(
        name=f"{column.name}: values",
        passed=broken == 0,
        detail=f"{column.name} is {_promise(column)}.",
        found=broken,
    )


def _promise(column: HarmonisedColumn) -> str:
    domain = column.domain
    parts = ["never missing" if domain.required else "missing or else"]
    if domain.codes:
        parts.append(f"one of {', '.join(str(code) for code in domain.codes)}")
    elif domain.minimum is not None or domain.maximum is not None:
        low = f"at least {domain.minimum}" if domain.minimum is not None else ""
        high = f"at most {domain.maximum}" if domain.maximum is not None else ""
        parts.append(" and ".join(bound for bound in (low, high) if bound))
    else:
        parts.append(f"of type {domain.type}")
    return " and ".join(parts) if domain.required else " ".join(parts)


def _quality_check(rule: QualityRule, rows: int, missing: dict[str, int]) -> Check:
    count: float = rows if rule.column is None else missing[rule.column]
    value = 100 * count / rows if rule.percent and rows else count
    kept = {
        "=": value == rule.bound,
        ">": value > rule.bound,
        ">=": value >= rule.bound,
        "<": value < rule.bound,
        "<=": value <= rule.bound,
    }[rule.operator]
    return Check(name=rule.name, passed=kept, detail=rule.description, found=0 if kept else None)


def _row(database: DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = database.execute(query).fetchall()[0]
    return found
