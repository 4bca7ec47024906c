"""A lab from Python.

``datalab.connect(url).dataset(id)`` finds data, and reads it where it may leave the lab; ``.runs.submit(…)`` trains on
data that may not.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from catalog.client import LabClient
from catalog.fetch import fetch
from catalog.records import Dataset, Version
from catalog.running import Runs
from catalog.search.model import Facet, SearchPage, SearchQuery
from datalab.errors import IdentityError, NotInstalledError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa  # type: ignore[import-untyped]

TOKEN = "DATALAB_TOKEN_FILE"  # noqa: S105  # the name of a variable
"""Variable that names the file with one's API token."""
CACHE = Path("~/.cache/datalab")


class Lab:
    """A lab, as the owner of an API token sees it. Use it as a context manager, or call ``close``.

    Args:
        url: its address, such as ``https://lab.example.eu``.
        token: an API token, made on your account's page; None takes the one in the file that ``DATALAB_TOKEN_FILE``
            names.
        cache: folder in which files that were fetched stay.
    """

    def __init__(self, url: str, token: str | None = None, *, cache: Path = CACHE) -> None:
        self.client = LabClient(url.rstrip("/"), token if token is not None else _own_token())
        self._cache = cache.expanduser()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def search(self, text: str = "", *, page: int = 1, **filters: str) -> SearchPage:
        """Return one page of the datasets that are found, with facets; filters are ``country="DE"`` and the like."""
        chosen: dict[Facet, tuple[str, ...]] = {name: (value,) for name, value in filters.items()}  # type: ignore[misc]
        return self.client.search(SearchQuery(text=text, filters=chosen, page=page))

    @property
    def runs(self) -> Runs:
        """The runs that you may see: submit, watch, cancel, download."""
        return self.client.runs

    def dataset(self, key: str, *, version: int | None = None) -> LabDataset:
        """Return a dataset; of its versions the one that is named, or the latest that may be used."""
        return LabDataset(self.client, self.client.dataset(key), version, self._cache)


class LabDataset:
    """A dataset of a lab; made by ``Lab.dataset``. ``record`` is what the catalog says of it."""

    def __init__(self, client: LabClient, record: Dataset, version: int | None, cache: Path) -> None:
        self.record = record
        self._client = client
        self._version = version
        self._cache = cache

    @property
    def versions(self) -> list[Version]:
        """All its versions, the oldest first."""
        return self._client.versions(self.record.id)

    def download(self, folder: Path | None = None) -> list[Path]:
        """Fetch the Parquet files, checked against the catalog, into ``folder`` or the cache; see ``fetch``."""
        return fetch(self._client, self.record.id, folder or self._cache, version=self._version)

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """Return the rows as a relation of DuckDB, read from the files as they are asked for.

        Raises:
            NotPermittedError: the data does not leave the lab; use it in a federated run.
        """
        import duckdb

        paths = [str(path) for path in self.download()]
        return (connection or duckdb.connect()).read_parquet(paths)

    def to_arrow(self) -> pa.Table:
        """Return the rows as a table of Arrow, in memory; for more data than that, ``to_duckdb``.

        Raises:
            NotPermittedError: the data does not leave the lab; use it in a federated run.
            NotInstalledError: pyarrow is not installed.
        """
        if find_spec("pyarrow") is None:
            raise NotInstalledError("A table of Arrow", "lab")
        return self.to_duckdb().to_arrow_table()


def _own_token() -> str:
    if not (path := os.environ.get(TOKEN)):
        raise IdentityError(
            "It is not said who asks.", where=TOKEN, next_step="Give token=…, or a file with one in this variable."
        )
    return Path(path).read_text(encoding="ascii").strip()
