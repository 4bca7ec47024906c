"""The stages after validation: the check of what arrived, and the harmonised table.

Each reads and writes Parquet files in a work folder, so that a caller may run them one by one and stop in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from datalab.canonical import sha256_file
from datalab.curation.anonymise import PERSONS, Deidentified, deidentified_rows
from datalab.curation.anonymity import measure, ordered_columns
from datalab.curation.contract import Contract, HarmonisedColumn
from datalab.curation.database import Limits, connect, identifier, literal
from datalab.curation.optout import OptOuts
from datalab.curation.report import Check
from datalab.curation.rules import SQL_TYPES
from datalab.curation.validate import inert, valid_rows
from datalab.errors import BadInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATA = "data.parquet"
UNMAPPED = "unmapped.csv"
OPTED_OUT = "opted out"
"""The exclusion under which people are counted who have opted out."""


SUPPRESSED = "too few alike"
"""The exclusion under which rows are counted that de-identification left out."""
_K = "Each combination of {} has at least {} rows."
_L = "Each class has at least {} values of {}."
_T = "In each class, {} are distributed as in all rows but for {:g}."


class Harmonisation(BaseModel):
    """The harmonised file ``data.parquet``; JSON round trip.

    Attributes:
        rows: its rows.
        excluded: rows that each exclusion of the contract left out.
        unmapped: of columns whose codes are mapped, the rows with a code that has no other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    excluded: dict[str, int]
    parquet_sha256: str
    parquet_bytes: int
    unmapped: dict[str, int] = {}


def check_deidentified(contract: Contract, work: Path, *, limits: Limits | None = None) -> tuple[Check, ...]:
    """Recompute k-anonymity, l-diversity and t-closeness on the validated rows of a prepared file.

    There is no check of what the contract does not ask for.
    """
    export, privacy = contract.export, contract.export.privacy
    if not export.quasi_identifiers:
        return ()
    person = None if export.person is None else export.person.name
    with connect(work, limits) as database:
        measure(database, valid_rows(work), privacy, ordered_columns(export), person)
        rules = {"k-anonymity": ([f"people < {privacy.k}"], _K.format(", ".join(export.quasi_identifiers), privacy.k))}
        if privacy.l_sensitive:
            broken = [f"l{index} < {privacy.l}" for index, _ in enumerate(privacy.l_sensitive)]
            rules["l-diversity"] = broken, _L.format(privacy.l, ", ".join(privacy.l_sensitive))
        if privacy.t_sensitive:
            broken = [f"t{index} > {privacy.t!r}" for index, _ in enumerate(privacy.t_sensitive)]
            rules["t-closeness"] = broken, _T.format(", ".join(privacy.t_sensitive), privacy.t)
        found = {
            name: _number(database, f"SELECT coalesce(sum(n), 0) FROM classes WHERE {' OR '.join(broken)}")
            for name, (broken, _) in rules.items()
        }
    return tuple(
        Check(name=name, passed=found[name] == 0, detail=told, found=found[name]) for name, (_, told) in rules.items()
    )


def harmonise(
    contract: Contract,
    work: Path,
    *,
    opt_outs: OptOuts | None = None,
    deidentified: Deidentified | None = None,
    limits: Limits | None = None,
) -> Harmonisation:
    """Apply exclusions and transformations to the validated rows; write ``data.parquet``.

    The rows are sorted by all columns, so that the same input gives the same bytes. Rows of people in ``opt_outs`` are
    left out, and counted as the exclusion ``opted out``. With ``deidentified``, the rows are taken as that stage left
    them, and those that it left out are counted as ``too few alike``.

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
    source = valid_rows(work) if deidentified is None else deidentified_rows(contract, work, deidentified)
    path = work / DATA
    with connect(work, limits) as database:
        try:
            if person is not None and opt_outs is not None:
                people = database.execute(f"SELECT DISTINCT {person} AS p FROM {source} WHERE p IS NOT NULL").fetchall()
                database.execute("CREATE TEMP TABLE gone (name VARCHAR)")
                gone = opt_outs.among(row[0] for row in people)
                if deidentified is not None and contract.export.person is not None:
                    gone += _pseudonyms(database, work, opt_outs)
                database.execute("INSERT INTO gone SELECT unnest(?::VARCHAR[])", [gone])
            counts: dict[int, int] = {}
            if cases:
                counts = dict(
                    database.execute(
                        f"SELECT {excluded} AS which, count(*) FROM {source} WHERE which IS NOT NULL GROUP BY ALL"
                    ).fetchall()
                )
            written = _number(
                database,
                f"""
                COPY (
                    SELECT * FROM (SELECT {columns} FROM {source} WHERE ({excluded}) IS NULL) ORDER BY {order}
                ) TO {literal(str(path))}
                (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION V2, ROW_GROUP_SIZE 122880)
                """,
            )
        except _expression_errors() as error:
            raise _failed(database, contract, source, error) from None
        unmapped = _write_unmapped(database, contract, work)
    return Harmonisation(
        rows=written,
        excluded={
            **({OPTED_OUT: counts[-1]} if -1 in counts else {}),
            **({SUPPRESSED: deidentified.suppressed} if deidentified and contract.export.k > 1 else {}),
            **{one.name: counts.get(index, 0) for index, one in enumerate(table.exclusions)},
        },
        parquet_sha256=sha256_file(path),
        parquet_bytes=path.stat().st_size,
        unmapped=unmapped,
    )


def _write_unmapped(database: DuckDBPyConnection, contract: Contract, work: Path) -> dict[str, int]:
    """List the codes that have no other in ``unmapped.csv``, to stay with the rejects; return the rows by column."""
    mapped = [column for column in contract.harmonised.columns if column.mapped]
    if not mapped:
        return {}
    parts = " UNION ALL ".join(
        f"SELECT {index} AS place, {identifier(one.name)} AS code, count(*) AS n FROM {_parquet(work / DATA)} "
        f"WHERE {identifier(one.name)} NOT IN ({', '.join(map(literal, one.mapped))}) GROUP BY ALL"
        for index, one in enumerate(mapped)
    )
    database.execute(f"CREATE TEMP TABLE unmapped AS {parts}")
    name = f"([{', '.join(literal(one.name) for one in mapped)}])[place + 1]"
    system = f"([{', '.join(literal(one.code_system or '') for one in mapped)}])[place + 1]"
    database.execute(
        f'COPY (SELECT {name} AS "column", {inert("code")} AS code, {system} AS system, n AS rows '
        f"FROM unmapped ORDER BY place, n DESC, code) TO {literal(str(work / UNMAPPED))} (FORMAT csv, HEADER)"
    )
    counts = dict(database.execute("SELECT place, sum(n)::BIGINT FROM unmapped GROUP BY ALL").fetchall())
    return {one.name: counts.get(index, 0) for index, one in enumerate(mapped)}


def _pseudonyms(database: DuckDBPyConnection, work: Path, opt_outs: OptOuts) -> list[str]:
    """Return the pseudonyms of people who have opted out by the name that their holder knows them by."""
    named = database.execute(f"SELECT person::VARCHAR, pseudonym FROM {_parquet(work / PERSONS)}").fetchall()
    called: dict[str, str] = dict(named)
    return [called[one] for one in opt_outs.among(called)]


def _parquet(path: Path) -> str:
    return f"read_parquet({literal(str(path))})"


def _transform(column: HarmonisedColumn) -> str:
    return f"CAST({column.expression.sql} AS {SQL_TYPES[column.domain.type]})"


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


def _number(database: DuckDBPyConnection, query: str) -> int:
    row = database.execute(query).fetchone()
    assert row is not None
    return int(row[0])
