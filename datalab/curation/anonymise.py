"""The de-identified stage: pseudonyms, shifted dates, generalised values, and classes that nobody stands out of.

It reads the validated rows and leaves in the work folder what it takes to make de-identified rows of them
(``deidentified_rows``): the persons with their pseudonyms, and the classes that are left out. The rows themselves are
not written again; who uses them reads them through that query.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from datalab.curation.anonymity import choose, limits_of, ordered_columns
from datalab.curation.contract import Contract, ExportColumn
from datalab.curation.database import Limits, connect, identifier, literal
from datalab.curation.freetext import kind_of
from datalab.curation.generalise import value_at
from datalab.curation.key import PseudonymKey
from datalab.curation.validate import free_text_rows, valid_rows
from datalab.errors import BadInputError, DatalabError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PERSONS = "persons.parquet"
FAILED = "failed.parquet"
_AT_A_TIME = 10_000
CLASSES = "classes.csv"
"""Where the classes are listed that stop a file; it stays with the holder."""


class Deidentified(BaseModel):
    """What was done; JSON round trip.

    Attributes:
        levels: how far each column with a hierarchy was generalised, from 0.
        suppressed: rows left out, because their classes fail.
        persons: how many have a pseudonym.
        withheld: by column of prose, and of other texts that looked as if they told who somebody is: how many values
            were withheld of each kind (``text`` where nothing was found in prose).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    levels: dict[str, int] = {}
    suppressed: int = 0
    persons: int = 0
    withheld: dict[str, dict[str, int]] = {}


def deidentify(
    contract: Contract, work: Path, *, key: PseudonymKey | None = None, limits: Limits | None = None
) -> Deidentified:
    """De-identify the validated rows in ``work`` as the contract says.

    Raises:
        BadInputError: the contract asks for pseudonyms and there is no key; or too many rows would have to be left
            out, then ``classes.csv`` in ``work`` lists the classes that fail.
        DatalabError: two persons have the same pseudonym, which chance all but excludes.
    """
    export = contract.export
    check_key(contract, key)
    with connect(work, limits) as database:
        persons = 0 if export.person is None or key is None else _name_persons(database, work, export.person, key)
        withheld = _scan(database, contract, work)
        shifted = any(column.shift for column in export.columns if column.name in export.quasi_identifiers)
        rows = _named_rows(contract, work) if shifted else valid_rows(work)
        choice = choose(database, rows, export, ordered_columns(export))
        if choice.suppressed:
            quasi = ", ".join(map(identifier, export.quasi_identifiers))
            database.execute(f"COPY (SELECT {quasi} FROM failed) TO {literal(str(work / FAILED))} (FORMAT parquet)")
        if not choice.kept:
            database.execute(
                f"COPY (SELECT * FROM failed ORDER BY ALL) TO {literal(str(work / CLASSES))} (FORMAT csv, HEADER)"
            )
            (count,) = database.execute("SELECT count(*) FROM failed").fetchall()[0]
            raise BadInputError(
                f"{choice.suppressed:,} rows in {count:,} classes would have to be left out, more than the contract's "
                f"loss limit of {export.privacy.loss_limit:.1%}: a class has {', '.join(limits_of(export.privacy))}.",
                where=f"contract {contract.id} {contract.version}",
                next_step="Declare coarser levels or fewer quasi-identifiers, or raise lossLimit, in the contract.",
            )
    return Deidentified(levels=choice.levels, suppressed=choice.suppressed, persons=persons, withheld=withheld)


def check_key(contract: Contract, key: PseudonymKey | None) -> None:
    """Raise BadInputError where the contract asks for pseudonyms and there is no key to make them with."""
    if contract.export.person is not None and key is None:
        raise BadInputError(
            f"The contract replaces {contract.export.person.header} by keyed pseudonyms, and no key is given.",
            where=f"contract {contract.id} {contract.version}",
            next_step="Make one with `datalab dataset keygen --out FILE`, keep it safe, and name it with --key.",
        )


def deidentified_rows(contract: Contract, work: Path, done: Deidentified) -> str:
    """Return the SQL of the de-identified rows; values are typed as the lab reads them from a prepared file."""
    columns = [one for one in contract.export.columns if not one.drop]
    general = ", ".join(
        f"{value_at(one, done.levels.get(one.name, 0), identifier(one.name))} AS {identifier(one.name)}"
        for one in columns
        if one.levels
    )
    rows = _named_rows(contract, work)
    if general:
        rows = f"(SELECT * REPLACE ({general}) FROM {rows})"
    if done.suppressed:
        alike = " AND ".join(
            f"failed.{name} IS NOT DISTINCT FROM general.{name}"
            for name in map(identifier, contract.export.quasi_identifiers)
        )
        rows = f"(SELECT general.* FROM {rows} AS general ANTI JOIN {_file(work / FAILED)} AS failed ON {alike})"
    return rows


def _name_persons(database: DuckDBPyConnection, work: Path, person: ExportColumn, key: PseudonymKey) -> int:
    """Write each person once, with pseudonym and the number that a shift comes from; return how many there are.

    The key stays in Python: DuckDB hands out the persons, and takes in a file of what was made of them. (A function
    that DuckDB calls would do, but where pandas is installed DuckDB imports it for that, which takes a second.)
    """
    original, domain = identifier(person.name), person.pseudonym or ""
    database.execute(
        f"CREATE TEMP TABLE persons AS SELECT DISTINCT {original} AS person FROM {valid_rows(work)} "
        f"WHERE {original} IS NOT NULL"
    )
    listed = database.execute("SELECT rowid, person::VARCHAR FROM persons")
    path = work / "pseudonyms.csv"
    with path.open("w", encoding="ascii") as file:
        while some := listed.fetchmany(_AT_A_TIME):
            named = ((row, *key.pseudonym(domain, one)) for row, one in some)
            file.writelines(f"{row},{name},{number}\n" for row, name, number in named)
    database.execute(
        f"""
        COPY (
            SELECT person, pseudonym, number FROM persons JOIN read_csv({literal(str(path))}, auto_detect = false,
                header = false, columns = {{'row': 'BIGINT', 'pseudonym': 'VARCHAR', 'number': 'UBIGINT'}}) AS named
            ON persons.rowid = named.row
        ) TO {literal(str(work / PERSONS))} (FORMAT parquet)
        """
    )
    path.unlink()
    persons, names = database.execute(
        f"SELECT count(*), count(DISTINCT pseudonym) FROM {_file(work / PERSONS)}"
    ).fetchall()[0]
    if persons != names:
        raise DatalabError(
            "Two persons have the same pseudonym.", next_step="Make a new key; with it, that will hardly happen again."
        )
    return int(persons)


def _named_rows(contract: Contract, work: Path) -> str:
    """Return the SQL of the validated rows with pseudonyms, shifted dates, and without texts that tell too much."""
    changed = [f"{_without_hits(one)} AS {identifier(one.name)}" for one in contract.export.columns if _may_tell(one)]
    person = contract.export.person
    rows = valid_rows(work)
    if person is not None:
        changed.append(f"persons.pseudonym AS {identifier(person.name)}")
        changed += [
            f"valid.{identifier(one.name)} + (persons.number % {2 * one.shift + 1})::INTEGER - {one.shift} "
            f"AS {identifier(one.name)}"
            for one in contract.export.columns
            if one.shift and not one.drop
        ]
        same = f"valid.{identifier(person.name)} = persons.person"
        rows = f"{rows} AS valid LEFT JOIN {_file(work / PERSONS)} AS persons ON {same}"
    else:
        rows = f"{rows} AS valid"
    return f"(SELECT valid.* REPLACE ({', '.join(changed)}) FROM {rows})" if changed else valid_rows(work)


def _may_tell(column: ExportColumn) -> bool:
    """Whether a column that leaves the holder could hold any text at all."""
    plain = not (column.drop or column.levels or column.pseudonym or column.domain.codes)
    return plain and column.domain.type == "string"


def _without_hits(column: ExportColumn) -> str:
    name = f"valid.{identifier(column.name)}"
    instead = "'withheld'" if column.domain.required else "NULL"
    return f"CASE WHEN {kind_of(name)} IS NULL THEN {name} ELSE {instead} END"


def _scan(database: DuckDBPyConnection, contract: Contract, work: Path) -> dict[str, dict[str, int]]:
    """Count what is withheld of each text column, by kind."""
    found: dict[str, dict[str, int]] = {}
    for column in contract.export.columns:
        if not (column.free_text or _may_tell(column)):
            continue
        name = identifier(column.name)
        kind = f"coalesce({kind_of(name)}, 'text')" if column.free_text else kind_of(name)
        rows = free_text_rows(work) if column.free_text else valid_rows(work)
        counted = database.execute(
            f"SELECT {kind} AS kind, count(*) FROM {rows} WHERE {name} IS NOT NULL AND kind IS NOT NULL "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        if counted:
            found[column.header] = dict(counted)
    return found


def _file(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"
