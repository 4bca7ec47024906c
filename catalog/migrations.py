"""Numbered migrations of the catalog file, forwards when it is opened and backwards on request, a transaction each.

A file without a number is one of the first schema, from before they were counted; an empty one is new. A file that a
newer release has written is refused: this one would lose what it does not know of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from catalog.errors import CatalogError
from datalab import __version__

FIRST = """
CREATE TABLE IF NOT EXISTS datasets (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS uploads (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS permits (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS runs (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS drafts (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS projects (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS requests (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS revocations (signer VARCHAR PRIMARY KEY, issued BIGINT NOT NULL, token VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS erasures (id VARCHAR PRIMARY KEY, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS versions (
    dataset VARCHAR, number INTEGER, record JSON NOT NULL, PRIMARY KEY (dataset, number));
CREATE TABLE IF NOT EXISTS intents (
    id VARCHAR PRIMARY KEY, dataset VARCHAR NOT NULL, number INTEGER NOT NULL, actor VARCHAR NOT NULL,
    request JSON NOT NULL, state VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    name VARCHAR PRIMARY KEY, token_sha256 VARCHAR NOT NULL, record JSON NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    id VARCHAR PRIMARY KEY, sha256 VARCHAR NOT NULL, account VARCHAR NOT NULL, label VARCHAR NOT NULL,
    created BIGINT NOT NULL, expires BIGINT NOT NULL, scopes VARCHAR DEFAULT 'read');
CREATE TABLE IF NOT EXISTS credentials (
    account VARCHAR PRIMARY KEY, password VARCHAR NOT NULL, totp VARCHAR, totp_step BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS invitations (
    account VARCHAR PRIMARY KEY, code_sha256 VARCHAR NOT NULL, expires BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    id_sha256 VARCHAR PRIMARY KEY, account VARCHAR NOT NULL, expires BIGINT NOT NULL, complete BOOLEAN NOT NULL,
    second_factor BOOLEAN NOT NULL);
CREATE TABLE IF NOT EXISTS identities (
    issuer VARCHAR, subject VARCHAR, account VARCHAR NOT NULL, PRIMARY KEY (issuer, subject));
CREATE TABLE IF NOT EXISTS events (
    n BIGINT PRIMARY KEY, time VARCHAR NOT NULL, actor VARCHAR NOT NULL, action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL, details JSON NOT NULL, previous VARCHAR NOT NULL, hash VARCHAR NOT NULL);
"""


@dataclass(frozen=True)
class Migration:
    """One step between two schemas.

    Attributes:
        number: of the schema that it leads to.
        what: it does, in a few words.
        up: statements that lead there.
        down: statements that lead back.
        lost: a query that counts what the schema before has no place for; while there is any, there is no way back.
        loses: what that is.
    """

    number: int
    what: str
    up: str
    down: str = ""
    lost: str = "SELECT 0"
    loses: str = ""


def _without(table: str, column: str, patch: str, where: str = "true") -> str:
    """Return a statement that takes fields out of the records of a table (RFC 7396: those that are null)."""
    return f"UPDATE {table} SET {column} = json_merge_patch({column}, '{patch}') WHERE {where};"


def _has(field: str) -> str:
    """Return the condition that a record has a field that is not null."""
    return f"(record -> '{field}') <> 'null'::JSON"


def _without_of_columns(table: str, column: str, report: str) -> str:
    """Return a statement that takes what the release before does not know out of the columns of a report."""
    unknown = '{"code_system": null, "nullable": null, "sensitivity": null}'
    at = f"$.{report}.columns"
    return (
        f"UPDATE {table} SET {column} = json_merge_patch({column}, json_object('{report}', json_object('columns', "
        f"list_transform(from_json(json_extract({column}, '{at}'), '[\"JSON\"]'), "
        f"lambda one: json_merge_patch(one, '{unknown}'))))) WHERE json_array_length({column}, '{at}') > 0;"
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "the tables", FIRST),
    Migration(
        2,
        "encrypted raw files, legal holds, lineage, results held until their release, the number of the schema",
        "CREATE TABLE schema_version (number INTEGER PRIMARY KEY, release VARCHAR NOT NULL);"
        "CREATE TABLE lineage (dataset VARCHAR, number INTEGER, events JSON NOT NULL, PRIMARY KEY (dataset, number));",
        "DROP TABLE schema_version; DROP TABLE lineage;"
        + _without("uploads", "record", '{"sealed": null, "expired": null}')
        + _without("datasets", "record", '{"legal_hold": null, "release": null}')
        + _without("erasures", "record", '{"elsewhere": null}')
        + _without("drafts", "record", '{"wrapped_key": null, "file": null}')
        + _without("versions", "record", '{"report": {"replaces": null, "unmapped": null}}')
        + _without("versions", "record", '{"told": {"replaces": null, "unmapped": null}}', _has("told"))
        + _without("intents", "request", '{"lineage": null, "report": {"replaces": null, "unmapped": null}}')
        + _without("runs", "record", '{"release": null}')
        + _without("requests", "record", '{"terms": {"release": null}}', _has("terms")),
        lost="SELECT (SELECT count(*) FROM uploads WHERE (record ->> 'sealed') IS NOT NULL) "
        "+ (SELECT count(*) FROM runs WHERE (record ->> 'release') IS NOT NULL) "
        "+ (SELECT count(*) FROM datasets "
        "WHERE (record ->> 'legal_hold') IS NOT NULL OR (record ->> 'release') = 'true') "
        "+ (SELECT count(*) FROM requests WHERE (record ->> '$.terms.release') = 'true')",
        loses="raw files that are encrypted, results whose release is or has to be decided on, "
        "or datasets under legal hold",
    ),
    Migration(
        3,
        "other catalogues that are harvested, and their entries",
        "CREATE TABLE sources (id VARCHAR PRIMARY KEY, record JSON NOT NULL);"
        "CREATE TABLE remotes (id VARCHAR PRIMARY KEY, source VARCHAR NOT NULL, record JSON NOT NULL);",
        "DROP TABLE sources; DROP TABLE remotes;",
        lost="SELECT count(*) FROM sources",
        loses="catalogues that are harvested (remove them first: datalab catalog remove)",
    ),
    Migration(
        4,
        "of a column, its code system, whether it may be empty, and how sensitive it is",
        "",  # versions that are there do not say, and stay as they are
        _without_of_columns("versions", "record", "report")
        + _without_of_columns("versions", "record", "told")
        + _without_of_columns("intents", "request", "report"),
    ),
)
LATEST = MIGRATIONS[-1].number


def schema_of(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of a file's schema; 0 where it is empty."""
    names = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if "schema_version" in names:
        row = connection.execute("SELECT max(number) FROM schema_version").fetchone()
        assert row is not None
        return int(row[0])
    return 1 if "datasets" in names else 0


def migrate(connection: duckdb.DuckDBPyConnection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring an open file to the last schema.

    Raises:
        CatalogError: a newer release has written it.
    """
    present, latest = schema_of(connection), migrations[-1].number
    if present > latest:
        row = connection.execute("SELECT release FROM schema_version ORDER BY number DESC LIMIT 1").fetchone()
        raise CatalogError(
            f"This catalog has schema {present}, which Datalab {row[0] if row else '?'} has written; "
            f"this is Datalab {__version__}, which knows schema {latest}.",
            next_step=f"Use that release, or go back with it: datalab downgrade --to {latest} --home HOME",
        )
    for one in migrations:
        if one.number > present:
            _step(connection, one.up, f"INSERT INTO schema_version VALUES ({one.number}, '{__version__}')", one.number)


def downgrade(
    connection: duckdb.DuckDBPyConnection, to: int, migrations: Sequence[Migration] = MIGRATIONS
) -> list[Migration]:
    """Take an open file back to an earlier schema, for an earlier release; return what was undone.

    Raises:
        CatalogError: there is no such way, or the earlier schema has no place for something that is there.
    """
    present = schema_of(connection)
    undone = [one for one in reversed(migrations) if to < one.number <= present]
    if not 1 <= to <= present:
        raise CatalogError(f"This catalog has schema {present}; it cannot go back to {to}.")
    for one in undone:  # before any step: where one is refused, nothing is changed
        row = connection.execute(one.lost).fetchone()
        if row is not None and row[0]:
            raise CatalogError(
                f"There is no way back from schema {one.number}: the catalog has {row[0]} {one.loses}.",
                next_step="Restore a backup that the earlier release has made.",
            )
    for one in undone:
        _step(connection, one.down, f"DELETE FROM schema_version WHERE number >= {one.number}", one.number - 1)
    return undone


def _step(connection: duckdb.DuckDBPyConnection, statements: str, note: str, number: int) -> None:
    connection.begin()
    try:
        connection.execute(statements)
        if number > 1:  # the first schema has no table of numbers
            connection.execute(note)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
