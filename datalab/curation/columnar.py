"""Parquet as a holder's export: its columns as texts, in the order of its rows, for the engine to check like any other.

Nothing that the file says of itself is relied on: DuckDB reads it within the stage's limits, and the rows that were
read are counted against those that its footer promises.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from datalab.curation.contract import Contract
from datalab.curation.database import connect, identifier, literal
from datalab.curation.layout import Layout, compare_header
from datalab.curation.records import Fault, Records
from datalab.errors import BadInputError, DatalabError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PIECE = 1 << 20
_MAX_COLUMNS = 5000
_FLAT = ("VARCHAR", "BOOLEAN", "DATE", "FLOAT", "DOUBLE", "DECIMAL", "TINYINT", "SMALLINT", "INTEGER", "BIGINT",
         "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "TIMESTAMP", "TIME", "ENUM", "UUID")  # fmt: skip


def read_parquet(contract: Contract, raw: Path, clean: Path) -> tuple[Layout, Records]:
    """Write the rows of a Parquet file to ``clean`` as CSV; the line that is told of a row is its number.

    Raises:
        BadInputError: it is no Parquet file, or what it says of itself is not so.
    """
    import duckdb

    copy = clean.with_suffix(".parquet")
    digest = _copy(raw, copy)
    try:
        with connect(clean.parent) as database:
            layout, records = _read(database, contract, copy, clean)
    except (duckdb.Error, DatalabError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(
            f"The file cannot be read as Parquet ({type(error.__cause__ or error).__name__}).",
            where=raw.name,
            next_step="Nothing of it was used. Write it again, and compare its checksum with the sender's.",
        ) from None
    finally:
        copy.unlink(missing_ok=True)
    records.sha256 = digest
    return layout, records


def _copy(raw: Path, copy: Path) -> str:
    """Copy the file to where DuckDB may read, and return its digest."""
    digest = hashlib.sha256()
    with raw.open("rb") as file, copy.open("wb") as target:
        while piece := file.read(_PIECE):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()


def _read(database: DuckDBPyConnection, contract: Contract, copy: Path, clean: Path) -> tuple[Layout, Records]:
    table = f"read_parquet({literal(str(copy))})"
    described = database.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {table})").fetchall()
    if len(described) > _MAX_COLUMNS:
        raise BadInputError(
            f"The file has {len(described)} columns; {_MAX_COLUMNS} are the most that are read.",
            next_step="Export the contract's columns only.",
        )
    layout = compare_header(contract, [name for name, _ in described], prepared=False)
    wanted = [column for column in layout.fields if column is not None]
    kinds = dict(described)
    for column in wanted:
        kind = str(kinds[column.header])
        if kind.endswith("]") or not kind.startswith(_FLAT):
            raise BadInputError(
                f"The column {column.header} holds lists, objects or bytes, not plain values.",
                next_step="Export one plain value a row and column.",
            )
    kept = Layout(",", tuple(wanted), skip=0, lines=0, findings=layout.findings, unusable=layout.unusable)
    (promised,) = _numbers(database, f"SELECT sum(num_rows) FROM parquet_file_metadata({literal(str(copy))})")
    records = Records(total=promised)
    if layout.unusable is not None:
        clean.touch()
        return kept, records
    texts = ", ".join(f"{identifier(one.header)}::VARCHAR AS {identifier(one.header)}" for one in wanted)
    broken = " OR ".join(f"contains({identifier(one.header)}, chr(0))" for one in wanted)
    rows = f"(SELECT {texts}, row_number() OVER () AS _row FROM {table})"
    bad = database.execute(f"SELECT _row FROM {rows} WHERE {broken} ORDER BY _row").fetchall()
    records.faults = [Fault(row, row, "encoding") for (row,) in bad]
    (written,) = _numbers(
        database,
        f"COPY (SELECT * EXCLUDE _row FROM {rows} WHERE ({broken}) IS NOT TRUE ORDER BY _row) TO {literal(str(clean))} "
        "(FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"')",
    )
    if written != promised - len(bad):
        raise BadInputError(
            f"The file's footer promises {promised:,} rows, and {written + len(bad):,} can be read.",
            next_step="Nothing of it was used. Write it again, and compare its checksum with the sender's.",
        )
    records.clean = promised - len(bad)
    records.positions = _positions([row for (row,) in bad], promised)
    return kept, records


def _positions(bad: list[int], rows: int) -> list[tuple[int, int, int]]:
    """Return from which kept row on how many rows were left out before it."""
    found: list[tuple[int, int, int]] = []
    for left_out, (before, after) in enumerate(zip([0, *bad], [*bad, rows + 1], strict=True)):
        if after - before > 1:
            found.append((before + 1 - left_out, left_out, left_out))
    return found


def _numbers(database: DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = database.execute(query).fetchone()
    assert row is not None
    return tuple(int(one or 0) for one in row)
