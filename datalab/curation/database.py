"""A DuckDB connection for one stage of curation: in memory, without network, within two folders and a memory limit."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datalab.errors import DatalabError, NotInstalledError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Limits:
    """What one stage may use.

    Attributes:
        memory: DuckDB's memory limit, such as ``512MB``; beyond it, it spills to the work folder.
        threads: threads of one stage; the result is the same for any number.
    """

    memory: str = "1GB"
    threads: int = 2


@contextmanager
def connect(folder: Path | None = None, limits: Limits | None = None) -> Generator[DuckDBPyConnection]:
    """Yield a connection that reads and writes below ``folder`` only (nowhere at all without one).

    Extensions are neither loaded nor installed and the configuration is locked, so that not even an expression that
    slipped through the contract's allow-list could reach a file elsewhere or the network.

    Raises:
        NotInstalledError: DuckDB is missing.
        DatalabError: the memory limit or the disk does not suffice.
    """
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise NotInstalledError("Curation", "node") from error
    limits = limits or Limits()
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": limits.memory,
        "threads": limits.threads,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        if folder is not None:
            connection.execute(f"SET temp_directory = {literal(str(folder / 'spill'))}")
            connection.execute(f"SET allowed_directories = [{literal(str(folder))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            yield connection
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise DatalabError(
                f"The work needs more memory than {limits.memory}, or more room on the disk ({type(error).__name__}).",
                where=None if folder is None else str(folder),
                next_step="Allow more of either.",
            ) from error


def literal(text: str) -> str:
    """Quote a string for SQL, where a statement takes no parameters (``COPY``, ``SET``)."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a column name for SQL."""
    return '"' + name.replace('"', '""') + '"'
