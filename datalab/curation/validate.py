"""The first stage: every record of the raw file either keeps the contract or is a finding in the rejects file.

Reads the raw CSV, writes ``validated.parquet`` (typed, without the columns that stay with the holder; all rows in the
order of the file, of which ``valid_rows`` are those to go on with) and ``rejects.csv``. A finding names file, physical
line, record, column, rule and the class of the value (``empty``, ``missing marker``, ``number``, ``text``), never the
value.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from datalab.curation.contract import Contract
from datalab.curation.database import Limits, connect, identifier, literal
from datalab.curation.layout import Layout
from datalab.curation.records import Records
from datalab.curation.rules import checked_rows, stored_type, told_faults
from datalab.curation.tabulate import Flat, piped, tabulate
from datalab.errors import DatalabError, NotFoundError, NotWritableError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VALIDATED = "validated.parquet"
REJECTS = "rejects.csv"


class Validation(BaseModel):
    """What the stage found; JSON round trip.

    Attributes:
        raw_sha256: digest of the raw file.
        rows_in: records in it, counted from its bytes.
        rows: records that keep the contract.
        rejected_rows: the others, or all where none may be used.
        rejects_by_rule: findings by rule; a record may have several, and one in the header concerns the whole file.
        unusable: why no row may be used at all, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    raw_sha256: str
    rows_in: int
    rows: int
    rejected_rows: int
    rejects_by_rule: dict[str, int]
    unusable: str | None = None


def valid_rows(work: Path) -> str:
    """Return the SQL of the rows that keep the contract, as ``validate`` left them in ``work``."""
    return f"(SELECT COLUMNS(name -> NOT starts_with(name, '_')) FROM {_checked(work)} WHERE _broken IS NULL)"


def free_text_rows(work: Path) -> str:
    """Return the SQL of the prose of these rows, which is withheld; it is kept to be scanned."""
    return f"(SELECT COLUMNS('^_text_(.*)$') AS '\\1' FROM {_checked(work)} WHERE _broken IS NULL)"


def validate(
    contract: Contract, raw: Path, work: Path, *, prepared: bool = False, limits: Limits | None = None
) -> Validation:
    """Check every record of ``raw``; write ``validated.parquet`` and ``rejects.csv`` into the folder ``work``.

    Args:
        contract: what a record must be.
        raw: the file as the holder exports it, or as ``prepare`` writes it.
        work: an existing folder.
        prepared: whether it comes from ``prepare``; then banded columns hold bands and dropped ones are refused.
        limits: memory and threads.

    Raises:
        NotFoundError: there is no such raw file.
        BadInputError: it is not text, or not whole.
        NotWritableError: the work folder cannot be written to.
    """
    if not raw.is_file():
        raise NotFoundError(f"There is no raw file {raw}.", next_step="Name a file that exists.")
    clean = work / "clean.csv"
    try:
        flat = tabulate(contract, raw, clean, prepared=prepared)
        layout = flat.layout
        with connect(work, limits) as database:
            records = _check_rows(database, contract, clean, work, flat, prepared=prepared)
            _write_rejects(database, contract, raw.name, work, layout, records, prepared=prepared)
            return _conclude(database, contract, work, layout, records, prepared=prepared)
    except OSError as error:
        raise NotWritableError(
            f"Cannot work in {work}: {error.strerror}.", next_step="Name a folder with room that you may write to."
        ) from error
    finally:
        clean.unlink(missing_ok=True)


def _checked(work: Path) -> str:
    return f"read_parquet({literal(str(work / VALIDATED))})"


def _check_rows(
    database: DuckDBPyConnection, contract: Contract, clean: Path, work: Path, flat: Flat, *, prepared: bool
) -> Records:
    """Write ``validated.parquet``: all rows, or none where the header says that none can be used.

    The pass over the raw bytes and DuckDB's reading of what it lets through go side by side.
    """
    if flat.layout.unusable is not None:
        _write_nothing(database, contract, work, prepared=prepared)
        return flat.write()
    rows = checked_rows(contract, clean, flat.layout, prepared=prepared)
    if flat.written:
        read, records = _write(database, work, rows), flat.write()
    else:
        with piped(flat, clean) as written:
            read = _write(database, work, rows)
        records = written.result()
    if read != records.clean:
        raise DatalabError(
            f"The file has {records.clean} readable records by its bytes, but the CSV reader found {read}.",
            next_step="Nothing was curated: the two must agree. Look for unusual quotes or line ends.",
        )
    return records


def _write_nothing(database: DuckDBPyConnection, contract: Contract, work: Path, *, prepared: bool) -> None:
    columns = [column for column in contract.export.arriving(prepared=prepared) if not column.drop]
    kinds = [f"NULL::{stored_type(column, prepared=prepared)} AS {identifier(column.name)}" for column in columns]
    _write(database, work, f"SELECT {', '.join([*kinds, 'NULL::VARCHAR AS _broken'])} WHERE false")


def _write(database: DuckDBPyConnection, work: Path, rows: str) -> int:
    """Write rows in their order, and return how many; they are read again at once, so cheap compression does."""
    return _count(database, f"COPY ({rows}) TO {literal(str(work / VALIDATED))} (FORMAT parquet, COMPRESSION lz4_raw)")


def _write_rejects(
    database: DuckDBPyConnection,
    contract: Contract,
    name: str,
    work: Path,
    layout: Layout,
    records: Records,
    *,
    prepared: bool,
) -> None:
    """Gather all findings in the table ``rejects``, in the order of the file, and write them to ``rejects.csv``."""
    found: list[tuple[int, int, int, str, str]] = [
        (1, 0, index, field, rule) for index, (field, rule) in enumerate(layout.findings)
    ]
    if layout.unusable is None:
        found += [(fault.line, fault.record, 0, fault.column, fault.rule) for fault in records.faults]
    _load(database, work, "positions", {"row": "BIGINT", "records": "BIGINT", "lines": "BIGINT"}, records.positions)
    columns = {"line": "BIGINT", "record": "BIGINT", "position": "INT", "field": "VARCHAR", "rule": "VARCHAR"}
    _load(database, work, "found", columns, found)
    database.execute("CREATE TEMP TABLE rejects AS SELECT line, record, position, field, rule, '' AS class FROM found")
    for broken in told_faults(contract, work / VALIDATED, layout, prepared=prepared):
        database.execute(
            f"""
            INSERT INTO rejects
            SELECT broken.row + lines, broken.row + records, position, field, rule, class
            FROM ({broken}) AS broken ASOF JOIN positions ON broken.row >= positions.row
            """
        )
    database.execute(
        f"""
        COPY (
            SELECT {inert(literal(name))} AS file, line, record, {inert("coalesce(field, '')")} AS "column", rule,
                class AS value_class
            FROM rejects ORDER BY record, position
        ) TO {literal(str(work / REJECTS))} (FORMAT csv, HEADER)
        """
    )


def inert(text: str) -> str:
    """Return SQL for a text that no spreadsheet takes for a formula: names of files and columns are anybody's."""
    return f"CASE WHEN regexp_matches({text}, '^[=+@\\t\\r-]') THEN '''' || {text} ELSE {text} END"


def _conclude(
    database: DuckDBPyConnection, contract: Contract, work: Path, layout: Layout, records: Records, *, prepared: bool
) -> Validation:
    """Decide whether any row goes on, and count."""
    unusable = layout.unusable
    rejected = records.total
    if unusable is None:
        broken = _count(database, f"SELECT count(*) FROM {_checked(work)} WHERE _broken IS NOT NULL")
        rejected = len(records.faults) + broken
        if rejected and contract.stop_on_reject:
            unusable = f"{rejected} of {records.total} records break the contract, which says to stop then."
            rejected = records.total
            _write_nothing(database, contract, work, prepared=prepared)
    by_rule = database.execute("SELECT rule, count(*) FROM rejects GROUP BY rule ORDER BY rule").fetchall()
    return Validation(
        raw_sha256=records.sha256,
        rows_in=records.total,
        rows=records.total - rejected,
        rejected_rows=rejected,
        rejects_by_rule=dict(by_rule),
        unusable=unusable,
    )


def _load(
    database: DuckDBPyConnection, work: Path, table: str, columns: dict[str, str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Make a table from rows by way of a CSV file, which is quick for many."""
    path = work / f"{table}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    fields = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    database.execute(
        f"CREATE TEMP TABLE {table} AS SELECT * FROM read_csv({literal(str(path))}, columns = {{{fields}}}, "
        "auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', new_line = '\\n')"
    )
    path.unlink()


def _count(database: DuckDBPyConnection, query: str) -> int:
    row = database.execute(query).fetchone()
    assert row is not None
    return int(row[0])
