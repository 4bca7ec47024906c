"""Taking people out of a curated table, and its report then: the same columns and cells, counted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datalab.curation.database import identifier, literal
from datalab.curation.optout import OptOuts
from datalab.curation.profile import OTHER, extremes, within
from datalab.curation.report import Cell, Column, CurationReport

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def write_without(database: DuckDBPyConnection, source: str, target: str, column: str, people: OptOuts) -> bool:
    """Write a table anew without the rows of some people; return False, and write nothing, where none of them is in it.

    Args:
        database: a connection that can read the one and write the other.
        source: SQL that names the table, with its rows in the order in which they are to be.
        target: the Parquet file to write, as DuckDB names it.
        column: by which the holder knows a person.
        people: who is left out.
    """
    name = identifier(column)
    found = database.execute(f"SELECT DISTINCT {name}::VARCHAR AS p FROM {source} WHERE p IS NOT NULL")
    gone = people.among(row[0] for row in found.fetchall())
    if not gone:
        return False
    database.execute("CREATE OR REPLACE TEMP TABLE gone AS SELECT unnest(?::VARCHAR[]) AS name", [gone])
    database.execute(
        f"COPY (SELECT * FROM {source} WHERE {name} IS NULL "
        f"OR {name}::VARCHAR NOT IN (SELECT name FROM gone)) TO {literal(target)} "
        "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION V2, ROW_GROUP_SIZE 122880)"
    )
    database.execute("DROP TABLE gone")
    return True


def count_again(
    database: DuckDBPyConnection, source: str, report: CurationReport, *, parquet_sha256: str, parquet_bytes: int
) -> CurationReport:
    """Return the report on what is left of a table.

    Args:
        database: a connection that can read the table.
        source: SQL that names it.
        report: of the table before.
        parquet_sha256: of the file as it is now.
        parquet_bytes: its size.
    """
    (rows,) = _row(database, f"SELECT count(*) FROM {source}")
    taken = (report.rows or 0) - rows
    events = report.events
    if report.outcome is not None and events is not None:
        (events,) = _row(database, f"SELECT count(*) FROM {source} WHERE {identifier(report.outcome)} = 1")
    return report.model_copy(
        update={
            "rows_in": None if report.rows_in is None else report.rows_in - taken,
            "rows": rows,
            "events": events,
            "columns": tuple(_column(database, source, one, rows, report) for one in report.columns),
            "parquet_sha256": parquet_sha256,
            "parquet_bytes": parquet_bytes,
            "replaces": (*report.replaces, report.parquet_sha256),
        }
    )


def told_again(told: CurationReport, before: CurationReport, after: CurationReport) -> CurationReport:
    """Return what is told of a table from which a few rows were taken: the counts as they were told before.

    New ones would tell, by their difference, of whom the rows were. Extremes that have changed were somebody's values.
    """
    pairs = zip(told.columns, before.columns, after.columns, strict=True)
    columns = [
        one.model_copy(
            update={
                "low": one.low if old.low == new.low else None,
                "high": one.high if old.high == new.high else None,
            }
        )
        for one, old, new in pairs
    ]
    return told.model_copy(
        update={
            "columns": tuple(columns),
            "parquet_sha256": after.parquet_sha256,
            "parquet_bytes": after.parquet_bytes,
            "replaces": after.replaces,
        }
    )


def _column(database: DuckDBPyConnection, source: str, column: Column, rows: int, report: CurationReport) -> Column:
    name = identifier(column.name)
    (present,) = _row(database, f"SELECT count({name}) FROM {source}")
    low = high = None
    if column.low is not None and present >= 2 * report.disclosure_threshold:
        low, high = extremes(database, source, column.name, report.disclosure_threshold)
    cells = tuple(_cell(database, source, column.name, cell, column.cells) for cell in column.cells)
    return column.model_copy(update={"missing": rows - present, "low": low, "high": high, "cells": cells})


def _cell(database: DuckDBPyConnection, source: str, column: str, cell: Cell, every: tuple[Cell, ...]) -> Cell:
    name = identifier(column)
    values: list[Any]
    if cell.value is None:
        query, values = f"SELECT count(*) FROM {source} WHERE {within(name, cell.low, cell.high)}", []
    elif cell.value == OTHER:
        codes = [one.value for one in every if one.value != OTHER]
        query, values = f"SELECT count(*) FROM {source} WHERE NOT list_contains(?, {name}::VARCHAR)", [codes]
    else:
        query, values = f"SELECT count(*) FROM {source} WHERE {name}::VARCHAR = ?", [cell.value]
    return cell.model_copy(update={"count": database.execute(query, values).fetchall()[0][0]})


def _row(database: DuckDBPyConnection, query: str) -> tuple[int, ...]:
    found: tuple[int, ...] = database.execute(query).fetchall()[0]
    return found
