"""Preparing a file at its holder: what leaves has no direct identifiers, and each person is one of at least k alike.

Columns that the contract drops are left out, columns that it bands are written as bands (``50-54``), and rows whose
combination of quasi-identifiers is rarer than k are suppressed (k-anonymity by generalisation and suppression, Sweeney
2002). Pseudonymised data of this kind is still personal data: k-anonymity limits singling out, no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datalab.canonical import sha256_file
from datalab.curation.contract import Contract, ExportColumn
from datalab.curation.database import Limits, connect, identifier, literal
from datalab.curation.engine import REJECTS, check_usable, validate, work_folder
from datalab.curation.report import PreparationReport
from datalab.curation.validate import valid_rows
from datalab.errors import BadInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PREPARED = "prepared.csv"


def prepare(contract: Contract, raw: Path, out: Path, *, limits: Limits | None = None) -> PreparationReport:
    """Write the de-identified CSV file ``out``, and beside it ``<out>.rejects.csv`` with what was not passed on.

    The file has a header, commas and no missing markers. Its rows are sorted by content, so that their order tells
    nothing about the order in the holder's system.

    Args:
        contract: names what is dropped, banded, and the classes.
        raw: the holder's export, plain CSV.
        out: the CSV file to write; its folder is made if it is missing.
        limits: memory and threads of DuckDB.

    Raises:
        NotFoundError: there is no raw file.
        BadInputError: no row of it can be used; the rejects file is written first.
        NotWritableError: the file cannot be written.
    """
    _check_target(raw, out)
    rejects = out.with_name(f"{out.stem}.{REJECTS}")
    export = contract.export
    with work_folder(out.parent) as work:
        validation = validate(contract, raw, work, limits=limits)
        (work / REJECTS).replace(rejects)
        check_usable(validation, raw, rejects)
        if validation.rows == 0:
            raise BadInputError(
                "No record of the file can be passed on.", where=raw.name, next_step=f"What was found is in {rejects}."
            )
        with connect(work, limits) as database:
            classes, smallest, rows_out = _write(database, contract, work)
        (work / PREPARED).chmod(0o600)
        (work / PREPARED).replace(out)
    return PreparationReport(
        contract_id=contract.id,
        contract_version=contract.version,
        contract_digest=contract.digest,
        raw_sha256=validation.raw_sha256,
        rows_in=validation.rows_in,
        rows_out=rows_out,
        rejected_rows=validation.rejected_rows,
        suppressed=validation.rows - rows_out,
        k=export.k,
        quasi_identifiers=export.quasi_identifiers,
        classes=classes,
        smallest_class=smallest,
        dropped=tuple(column.header for column in export.columns if column.drop),
        banded={column.header: column.band for column in export.columns if column.band is not None},
        sha256=sha256_file(out),
    )


def _check_target(raw: Path, out: Path) -> None:
    """Raise BadInputError where writing ``out`` would cost the raw file, or is a folder."""
    if out.is_dir():
        raise BadInputError(f"{out} is a folder.", next_step="Name a file to write with --out.")
    if out.exists() and raw.exists() and out.samefile(raw):
        raise BadInputError(f"{out} is the raw file itself.", next_step="Name another file to write with --out.")


def _write(database: DuckDBPyConnection, contract: Contract, work: Path) -> tuple[int, int, int]:
    """Write ``prepared.csv``; return how many classes it has, the rows of the smallest, and of all."""
    columns = contract.export.arriving(prepared=True)
    values = ", ".join(f"{_generalised(column)} AS {identifier(column.name)}" for column in columns)
    names = ", ".join(identifier(column.name) for column in columns)
    group = ", ".join(identifier(name) for name in contract.export.quasi_identifiers) or "()"
    database.execute(
        f"""
        CREATE TEMP TABLE kept AS
        WITH general AS (SELECT {values} FROM {valid_rows(work)})
        SELECT *, {_class_size(contract)} AS class_size FROM general QUALIFY class_size >= {contract.export.k}
        """
    )
    headers = ", ".join(f"{identifier(column.name)} AS {identifier(column.header)}" for column in columns)
    order = ", ".join(f"{identifier(column.name)} ASC NULLS FIRST" for column in columns)
    database.execute(
        f"COPY (SELECT {headers} FROM (SELECT {names} FROM kept ORDER BY {order})) "
        f"TO {literal(str(work / PREPARED))} (FORMAT csv, HEADER)"
    )
    counted = database.execute(
        f"SELECT count(*), coalesce(min(size), 0), coalesce(sum(size), 0)::BIGINT "
        f"FROM (SELECT count(*) AS size FROM kept GROUP BY {group}) WHERE size > 0"
    ).fetchone()
    assert counted is not None
    return counted


def _class_size(contract: Contract) -> str:
    group = ", ".join(identifier(name) for name in contract.export.quasi_identifiers)
    return f"count(*) OVER ({f'PARTITION BY {group}' if group else ''})"


def _generalised(column: ExportColumn) -> str:
    name = identifier(column.name)
    if column.band is None:
        return name
    low = f"({name} - {name} % {column.band})"
    return f"{low} || '-' || ({low} + {column.band - 1})"
