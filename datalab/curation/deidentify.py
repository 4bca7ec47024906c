"""Preparing a file at its holder: what leaves has no direct identifiers, and each person is one of at least k alike.

Columns that the contract drops are left out, columns that it bands are written as bands (``50-54``), and rows whose
combination of quasi-identifiers is rarer than k are suppressed (k-anonymity by generalisation and suppression, Sweeney
2002). Pseudonymised data of this kind is still personal data: k-anonymity limits singling out, no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datalab.canonical import sha256_file
from datalab.curation.anonymise import CLASSES, Deidentified, check_key, deidentified_rows
from datalab.curation.anonymity import Measured, measure, ordered_columns
from datalab.curation.contract import Contract
from datalab.curation.database import Limits, connect, identifier, literal
from datalab.curation.engine import REJECTS, check_usable, deidentify, validate, work_folder
from datalab.curation.generalise import written_at
from datalab.curation.key import PseudonymKey
from datalab.curation.report import PreparationReport
from datalab.errors import BadInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PREPARED = "prepared.csv"


def prepare(
    contract: Contract, raw: Path, out: Path, *, key: PseudonymKey | None = None, limits: Limits | None = None
) -> PreparationReport:
    """Write the de-identified CSV file ``out``, and beside it ``<out>.rejects.csv`` with what was not passed on.

    The file has a header, commas and no missing markers. Its rows are sorted by content, so that their order tells
    nothing about the order in the holder's system.

    Args:
        contract: names what is dropped, banded, and the classes.
        raw: the holder's export, plain CSV.
        out: the CSV file to write; its folder is made if it is missing.
        key: the holder's, where the contract asks for pseudonyms.
        limits: memory and threads of DuckDB.

    Raises:
        NotFoundError: there is no raw file.
        BadInputError: no row of it can be used; the rejects file is written first. Or too many rows would have to be
            left out; then ``<out>.classes.csv`` lists the classes that fail.
        NotWritableError: the file cannot be written.
    """
    _check_target(raw, out)
    check_key(contract, key)
    classes = out.with_name(f"{out.stem}.{CLASSES}")
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
        done = _deidentify(contract, work, key, classes, limits)
        with connect(work, limits) as database:
            measured = _write(database, contract, work, done)
        (work / PREPARED).chmod(0o600)
        (work / PREPARED).replace(out)
    return PreparationReport(
        contract_id=contract.id,
        contract_version=contract.version,
        contract_digest=contract.digest,
        raw_sha256=validation.raw_sha256,
        rows_in=validation.rows_in,
        rows_out=measured.rows,
        rejected_rows=validation.rejected_rows,
        suppressed=validation.rows - measured.rows,
        k=export.k,
        quasi_identifiers=export.quasi_identifiers,
        classes=measured.classes,
        smallest_class=measured.k,
        l=measured.l,
        t=measured.t,
        dropped=tuple(column.header for column in export.columns if column.drop),
        banded={
            column.header: column.levels[done.levels.get(column.name, 0)].width
            for column in export.columns
            if column.band is not None
        },
        levels={column.header: done.levels[column.name] for column in export.columns if column.levels},
        pseudonymised=done.persons,
        withheld=done.withheld,
        sha256=sha256_file(out),
    )


def _deidentify(
    contract: Contract, work: Path, key: PseudonymKey | None, classes: Path, limits: Limits | None
) -> Deidentified:
    """Run the stage; where it stops, keep the list of classes that fail."""
    classes.unlink(missing_ok=True)
    try:
        return deidentify(contract, work, key=key, limits=limits)
    except BadInputError as error:
        if not (work / CLASSES).exists():
            raise
        (work / CLASSES).chmod(0o600)
        (work / CLASSES).replace(classes)
        raise BadInputError(
            error.what, where=error.where, next_step=f"{error.next_step} The classes are in {classes}."
        ) from None


def _check_target(raw: Path, out: Path) -> None:
    """Raise BadInputError where writing ``out`` would cost the raw file, or is a folder."""
    if out.is_dir():
        raise BadInputError(f"{out} is a folder.", next_step="Name a file to write with --out.")
    if out.exists() and raw.exists() and out.samefile(raw):
        raise BadInputError(f"{out} is the raw file itself.", next_step="Name another file to write with --out.")


def _write(database: DuckDBPyConnection, contract: Contract, work: Path, done: Deidentified) -> Measured:
    """Write ``prepared.csv``, sorted by what is written; return what its classes are."""
    columns = contract.export.arriving(prepared=True)
    rows = deidentified_rows(contract, work, done)
    written = ", ".join(f"{written_at(one, done.levels.get(one.name))} AS {identifier(one.name)}" for one in columns)
    headers = ", ".join(f"{identifier(column.name)} AS {identifier(column.header)}" for column in columns)
    order = ", ".join(f"{identifier(column.name)} ASC NULLS FIRST" for column in columns)
    database.execute(
        f"COPY (SELECT {headers} FROM (SELECT {written} FROM {rows}) ORDER BY {order}) "
        f"TO {literal(str(work / PREPARED))} (FORMAT csv, HEADER)"
    )
    if not contract.export.quasi_identifiers:
        (count,) = database.execute(f"SELECT count(*) FROM {rows}").fetchall()[0]
        return Measured(classes=int(count > 0), rows=count, k=count)
    person = None if contract.export.person is None else contract.export.person.name
    return measure(database, rows, contract.export.privacy, ordered_columns(contract.export), person)
