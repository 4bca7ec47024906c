"""The stages after validation: the check of what arrived, the harmonised table, and its profile.

Each reads and writes Parquet files in a work folder, so that a caller may run them one by one and stop in between.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from datalab.canonical import sha256_file
from datalab.curation.contract import Contract, HarmonisedColumn, QualityRule
from datalab.curation.database import Limits, connect, identifier, literal
from datalab.curation.optout import OptOuts
from datalab.curation.report import Cell, Check, Column
from datalab.curation.rules import SQL_TYPES, outside
from datalab.curation.validate import valid_rows
from datalab.errors import BadInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATA = "data.parquet"
OPTED_OUT = "opted out"
"""The exclusion under which people are counted who have opted out."""
OTHER = "…"
"""The cell of values that the contract does not name."""


class Harmonisation(BaseModel):
    """The harmonised file ``data.parquet``; JSON round trip.

    Attributes:
        rows: its rows.
        excluded: rows that each exclusion of the contract left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    excluded: dict[str, int]
    parquet_sha256: str
    parquet_bytes: int


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


def check_deidentified(contract: Contract, work: Path, *, limits: Limits | None = None) -> tuple[Check, ...]:
    """Recompute k-anonymity (Sweeney 2002) on the validated rows; no check where the contract asks for none."""
    export = contract.export
    if not export.quasi_identifiers:
        return ()
    names = ", ".join(identifier(name) for name in export.quasi_identifiers)
    with connect(work, limits) as database:
        small = _number(
            database,
            f"SELECT coalesce(sum(size), 0) FROM (SELECT count(*) AS size FROM {valid_rows(work)} "
            f"GROUP BY {names}) WHERE size < {export.k}",
        )
    return (
        Check(
            name="k-anonymity",
            passed=small == 0,
            detail=f"Each combination of {', '.join(export.quasi_identifiers)} has at least {export.k} rows.",
            found=small,
        ),
    )


def harmonise(
    contract: Contract, work: Path, *, opt_outs: OptOuts | None = None, limits: Limits | None = None
) -> Harmonisation:
    """Apply exclusions and transformations to the validated rows; write ``data.parquet``.

    The rows are sorted by all columns, so that the same input gives the same bytes. Rows of people in ``opt_outs`` are
    left out, and counted as the exclusion ``opted out``.

    Raises:
        BadInputError: an expression of the contract fails on the data; names the property, not the value.
    """
    table = contract.harmonised
    cases = "".join(f" WHEN {one.expression.sql} THEN {index}" for index, one in enumerate(table.exclusions))
    named = {column.name: column for column in table.columns}
    if table.pseudonym is not None and opt_outs is not None:
        person = f"CAST({_transform(named[table.pseudonym])} AS VARCHAR)"
        cases = f" WHEN {person} IN (SELECT name FROM gone) THEN -1{cases}"
    else:
        person = None
    excluded = f"CASE{cases} END" if cases else "NULL::INTEGER"
    columns = ", ".join(f"{_transform(column)} AS {identifier(column.name)}" for column in table.columns)
    order = ", ".join(f"{identifier(name)} ASC NULLS LAST" for name in table.order)
    source = valid_rows(work)
    path = work / DATA
    with connect(work, limits) as database:
        try:
            if person is not None and opt_outs is not None:
                people = database.execute(f"SELECT DISTINCT {person} AS p FROM {source} WHERE p IS NOT NULL").fetchall()
                database.execute("CREATE TEMP TABLE gone (name VARCHAR)")
                gone = opt_outs.among(row[0] for row in people)
                database.execute("INSERT INTO gone SELECT unnest(?::VARCHAR[])", [gone])
            counts = dict(database.execute(f"SELECT {excluded}, count(*) FROM {source} GROUP BY ALL").fetchall())
            database.execute(
                f"""
                COPY (
                    SELECT * FROM (SELECT {columns} FROM {source} WHERE ({excluded}) IS NULL) ORDER BY {order}
                ) TO {literal(str(path))}
                (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION V2, ROW_GROUP_SIZE 122880)
                """
            )
        except _expression_errors() as error:
            raise _failed(database, contract, source, error) from None
    return Harmonisation(
        rows=counts.get(None, 0),
        excluded={
            **({OPTED_OUT: counts[-1]} if -1 in counts else {}),
            **{one.name: counts.get(index, 0) for index, one in enumerate(table.exclusions)},
        },
        parquet_sha256=sha256_file(path),
        parquet_bytes=path.stat().st_size,
    )


def profile(contract: Contract, work: Path, *, limits: Limits | None = None) -> Profile:
    """Read ``data.parquet`` back: missing values, extremes as far as they may be told, events, and the checks."""
    table = contract.harmonised
    source = _parquet(work / DATA)
    with connect(work, limits) as database:
        rows = _number(database, f"SELECT count(*) FROM {source}")
        columns = tuple(
            _column(database, source, one, rows, contract.disclosure_threshold, spread=one.name != table.pseudonym)
            for one in table.columns
        )
        events = None
        if table.outcome is not None:
            events = _number(database, f"SELECT count(*) FROM {source} WHERE {identifier(table.outcome)} = 1")
        checks = [_domain_check(database, source, one) for one in table.columns]
        missing = {column.name: column.missing or 0 for column in columns}
        checks += [_quality_check(rule, rows, missing) for rule in table.quality]
    return Profile(columns=columns, events=events, checks=tuple(checks))


def _transform(column: HarmonisedColumn) -> str:
    return f"CAST({column.expression.sql} AS {SQL_TYPES[column.domain.type]})"


def _column(
    database: DuckDBPyConnection, source: str, column: HarmonisedColumn, rows: int, threshold: int, *, spread: bool
) -> Column:
    """Profile a column; of a pseudonym, whose values are people (``spread`` is false), only how many are missing."""
    name = identifier(column.name)
    missing = rows - _number(database, f"SELECT count({name}) FROM {source}")
    low = high = None
    if spread and column.domain.type != "string" and rows - missing >= 2 * threshold:
        low, high = extremes(database, source, column.name, threshold)
    return Column(
        name=column.name,
        type=column.domain.type,
        unit=column.unit,
        description=column.description,
        missing=missing,
        low=low,
        high=high,
        cells=_cells(database, source, column, low, high) if spread else (),
    )


def extremes(database: DuckDBPyConnection, source: str, column: str, threshold: int) -> tuple[float, float]:
    """Return the smallest and the largest value that ``threshold`` rows share or pass."""
    name = identifier(column)
    query = f"SELECT min({name}, {threshold})[-1]::DOUBLE, max({name}, {threshold})[-1]::DOUBLE FROM {source}"
    low, high = database.execute(query).fetchall()[0]
    return float(low), float(high)


def _cells(
    database: DuckDBPyConnection, source: str, column: HarmonisedColumn, low: float | None, high: float | None
) -> tuple[Cell, ...]:
    """Count the rows of each code, or of each range of numbers; free text is not counted, it may name people."""
    name = identifier(column.name)
    if column.domain.codes:
        query = f"SELECT {name}::VARCHAR, count(*) FROM {source} WHERE {name} IS NOT NULL GROUP BY ALL ORDER BY ALL"
        found: dict[str, int] = dict(database.execute(query).fetchall())
        codes = [str(code) for code in column.domain.codes]
        other = sum(count for value, count in found.items() if value not in codes)
        cells = [Cell(value=code, count=found.get(code, 0)) for code in codes]
        return (*cells, Cell(value=OTHER, count=other)) if other else tuple(cells)
    if low is None or high is None:
        return ()
    inner = _edges(low, high, whole=column.domain.type == "integer")
    ranges = list(pairwise((None, *inner, None)))
    counted = ", ".join(f"count(*) FILTER ({within(name, start, end)})" for start, end in ranges)
    counts = database.execute(f"SELECT {counted} FROM {source}").fetchall()[0]
    return tuple(Cell(low=start, high=end, count=n) for (start, end), n in zip(ranges, counts, strict=True))


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


def within(name: str, start: float | None, end: float | None) -> str:
    """Return SQL for a number in a range that may be open, whose end is not in it."""
    bounds = [] if start is None else [f"{name} >= {start!r}"]
    bounds += [] if end is None else [f"{name} < {end!r}"]
    return " AND ".join(bounds) or "true"


def _domain_check(database: DuckDBPyConnection, source: str, column: HarmonisedColumn) -> Check:
    """Check that a column's values are those that the contract promises."""
    name = identifier(column.name)
    rules = [rule for rule, _ in outside(name, column.domain)]
    if column.domain.required:
        rules.append(f"{name} IS NULL")
    broken = " OR ".join(f"coalesce({rule}, false)" for rule in rules) or "false"
    found = _number(database, f"SELECT count(*) FROM {source} WHERE {broken}")
    return Check(
        name=f"{column.name}: values",
        passed=found == 0,
        detail=f"{column.name} is {_promise(column)}.",
        found=found,
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


def _failed(database: DuckDBPyConnection, contract: Contract, source: str, error: Exception) -> BadInputError:
    """Name the property or exclusion whose expression fails, without DuckDB's message, which may quote a value."""
    expressions = {f"property {one.name}": _transform(one) for one in contract.harmonised.columns}
    expressions |= {f"exclusion {one.name}": one.expression.sql for one in contract.harmonised.exclusions}
    culprit = "a property"
    for name, sql in expressions.items():
        try:
            database.execute(f"SELECT count(x) FROM (SELECT {sql} AS x FROM {source})")
        except _expression_errors():
            culprit = name
            break
    return BadInputError(
        f"The expression of {culprit} cannot be computed for a row ({type(error).__name__}).",
        where=f"contract {contract.id} {contract.version}",
        next_step="Make it hold for every row that the export's rules let through, for example with CASE.",
    )


def _expression_errors() -> tuple[type[Exception], ...]:
    """What DuckDB raises for an expression that does not fit its types or a value."""
    import duckdb

    return (duckdb.DataError, duckdb.ProgrammingError)


def _parquet(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def _number(database: DuckDBPyConnection, query: str) -> int:
    row = database.execute(query).fetchone()
    assert row is not None
    return int(row[0])
