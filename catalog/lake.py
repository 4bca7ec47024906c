"""The data of published versions: one immutable DuckLake table a version, over Parquet in object storage.

A table is ``<dataset>.v<number>``. The Parquet files are registered as they are, sorted and compressed by the
pipeline; nothing is rewritten, and no row is inlined in the metadata file. That file does hold the smallest
and largest value of each column (DuckLake prunes with them), so it is guarded like the data itself.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from catalog.errors import CatalogError, DataMismatchError
from catalog.rewrite import rewrite
from datalab.errors import NotInstalledError
from datalab.storage.access import REGION

if TYPE_CHECKING:
    from datalab.storage.store import ObjectStore

_EXTENSIONS = ("httpfs", "ducklake")
_MEMORY_LIMIT = "1GB"


class Lake:
    """The open DuckLake; one per lab server.

    Args:
        path: DuckLake's metadata file.
        objects: the object store that holds the data.
    """

    def __init__(self, path: Path, objects: ObjectStore) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._objects = objects
        self._connection = _open(path, objects)

    def close(self) -> None:
        """Close the metadata file."""
        with self._lock:
            self._connection.close()

    def commit_version(
        self,
        dataset: str,
        number: int,
        uris: Sequence[str],
        *,
        intent: str,
        rows: int,
        columns: Sequence[str],
    ) -> None:
        """Make the table of a version from Parquet files that lie in object storage, in one commit.

        The commit carries ``intent``, which is how a restart finds out that it happened.

        Raises:
            DataMismatchError: the files are not Parquet, or do not hold ``rows`` rows of ``columns``.
            CatalogError: the object store or the disk failed.
        """
        schema, table = _name(dataset), f"v{number}"
        files = ", ".join(map(_text, uris))
        with self._lock:
            self._connection.begin()
            try:
                run = self._connection.execute
                run(f"CREATE SCHEMA IF NOT EXISTS lake.{schema}")
                run(f"CREATE TABLE lake.{schema}.{table} AS SELECT * FROM read_parquet([{files}]) LIMIT 0")
                for uri in uris:
                    run("CALL ducklake_add_data_files('lake', ?, ?, schema => ?)", [table, uri, dataset])
                names = [row[0] for row in run(f"DESCRIBE lake.{schema}.{table}").fetchall()]
                (found,) = run(f"SELECT count(*) FROM lake.{schema}.{table}").fetchone() or (None,)
                _check(dataset, number, rows=(rows, found), columns=(list(columns), names))
                run("CALL lake.set_commit_message('lab', ?)", [_message(intent)])
                self._connection.commit()
            except duckdb.IOException as error:
                self._connection.rollback()
                raise CatalogError(
                    f"The files could not be read, or the lake not written ({type(error).__name__}).",
                    where=f"{dataset} v{number}",
                    next_step="See that the object store runs and the disk is not full, and publish again.",
                ) from error
            except duckdb.Error as error:
                self._connection.rollback()
                raise DataMismatchError(
                    f"The files cannot be made into a table ({type(error).__name__}).",
                    where=f"{dataset} v{number}",
                    next_step="See that they are Parquet with the columns of the report, and publish again.",
                ) from error
            except BaseException:
                self._connection.rollback()
                raise

    def replace_version(self, dataset: str, number: int, uris: Sequence[str]) -> None:
        """Have the table of a version consist of other files with the same columns, in one commit."""
        schema, table = _name(dataset), f"v{number}"
        files = ", ".join(map(_text, uris))
        with self._lock:
            run = self._connection.execute
            self._connection.begin()
            try:
                run(f"DROP TABLE IF EXISTS lake.{schema}.{table}")
                run(f"CREATE TABLE lake.{schema}.{table} AS SELECT * FROM read_parquet([{files}]) LIMIT 0")
                for uri in uris:
                    run("CALL ducklake_add_data_files('lake', ?, ?, schema => ?)", [table, uri, dataset])
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise

    def drop_version(self, dataset: str, number: int) -> None:
        """Drop the table of a version, if there is one; ``forget`` lets go of what it was."""
        with self._lock:
            known = self._connection.execute(
                "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = ? AND table_name = ?",
                [dataset, f"v{number}"],
            ).fetchall()
            if known:
                self._connection.execute(f"DROP TABLE lake.{_name(dataset)}.v{number}")

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend the connection, which can read and write in object storage; nobody else uses it meanwhile."""
        with self._lock:
            yield self._connection

    def forget(self) -> None:
        """Let go of all that was: snapshots, the files of tables that are dropped, and the bytes in the file."""
        with self._lock:
            self._connection.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
            self._connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
            self._rewrite(None)

    def copy(self, target: Path) -> None:
        """Write a copy of the metadata file."""
        with self._lock:
            self._rewrite(target)

    def _rewrite(self, copy: Path | None) -> None:
        self._connection.close()
        try:
            rewrite(self._path, copy)
        finally:
            self._connection = _open(self._path, self._objects)

    def committed(self, intent: str) -> bool:
        """Return whether a commit that carries ``intent`` has happened."""
        query = "SELECT count(*) FROM ducklake_snapshots('lake') WHERE commit_message = ?"
        with self._lock:
            row = self._connection.execute(query, [_message(intent)]).fetchone()
        return row is not None and row[0] > 0

    def count(self, dataset: str, number: int) -> int:
        """Return the number of rows of a version, read from its files."""
        with self._lock:
            row = self._connection.execute(f"SELECT count(*) FROM lake.{_name(dataset)}.v{number}").fetchone()
        assert row is not None
        return int(row[0])


def _open(path: Path, objects: ObjectStore) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": _MEMORY_LIMIT,
            "threads": 2,
        }
    )
    for extension in _EXTENSIONS:
        connection.execute(f"LOAD {_text(str(_extension_file(extension)))}")
    try:
        connection.execute(
            f"""CREATE SECRET objects (
                TYPE s3, KEY_ID {_text(objects.access_key)}, SECRET {_text(objects.secret_key)},
                ENDPOINT {_text(objects.endpoint)}, USE_SSL false, URL_STYLE 'path',
                REGION {_text(REGION)}, SCOPE {_text(f"s3://{objects.bucket}")})"""
        )
    except duckdb.Error:
        raise CatalogError("DuckDB did not accept the object store's credentials.") from None  # it quotes them
    connection.execute(
        f"""ATTACH {_text(f"ducklake:{path}")} AS lake
            (DATA_PATH {_text(f"s3://{objects.bucket}/data/")}, DATA_INLINING_ROW_LIMIT 0)"""
    )
    return connection


def _check(dataset: str, number: int, *, rows: tuple[int, int | None], columns: tuple[list[str], list[str]]) -> None:
    for what, (told, found) in {"rows": rows, "columns": columns}.items():
        if told != found:
            raise DataMismatchError(
                f"The report states other {what} than the files have: {told} there, {found} in the files.",
                where=f"{dataset} v{number}",
                next_step="Curate again, and publish files and report of the same run.",
            )


def _message(intent: str) -> str:
    return f"intent {intent}"


def _extension_file(name: str) -> Path:
    """Return the extension's file in its wheel, for exactly this DuckDB; nothing is ever downloaded."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        raise NotInstalledError(f"The catalog (DuckDB extension {name})", "lab")
    return Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"


def _text(value: str) -> str:
    """Quote an SQL string, for statements that take no parameters."""
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    """Quote an SQL identifier."""
    return '"' + value.replace('"', '""') + '"'
