"""A lab server of its own over the shared object store, and curated files to publish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from catalog.records import PublishRequest, StoredFile
from catalog.service import SERVICE
from datalab.home import Home
from datalab.storage.store import ObjectStore
from datalab.supervisor import Supervisor
from tests.unit.catalog.examples import report


@dataclass(frozen=True)
class Staging:
    """Writes Parquet as a pipeline would."""

    objects: ObjectStore
    folder: Path

    def request(self, dataset: str, intent: str, *, rows: int = 3, **changes: object) -> PublishRequest:
        """Put a file into staging and return the request to publish it."""
        path = self.folder / f"{dataset}-{intent}.parquet"
        table = f"SELECT 50.0 + range AS age, (range % 2)::INTEGER AS event FROM range({rows})"
        duckdb.execute(f"COPY ({table}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        stored = self.objects.put_file(f"staging/{dataset}/{intent}/data.parquet", path)
        assert stored.sha256 is not None
        stated = report(**{"rows": rows, "parquet_sha256": stored.sha256, "parquet_bytes": stored.bytes, **changes})
        file = StoredFile(key=stored.key, sha256=stored.sha256, bytes=stored.bytes)
        return PublishRequest(intent=intent, files=(file,), report=stated, pipeline_run="run-1")


@pytest.fixture
def staging(object_store: ObjectStore, tmp_path: Path) -> Staging:
    return Staging(object_store, tmp_path)


@pytest.fixture(scope="module")
def catalog_home(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home in which a lab server runs, as its own process, over the shared object store."""
    home = home_beside(lab_home, tmp_path_factory.mktemp("catalog"))
    with Supervisor() as own:
        own.start(SERVICE.name, SERVICE.module, home)
        yield home


def home_beside(lab_home: Home, folder: Path) -> Home:
    """Make a home that uses the object store of another."""
    home = Home(folder)
    (home.path / "datalab.toml").write_text("[ports]\nlab = 0\n")
    for secret in (lab_home.path / "secrets").glob("s3-*"):
        (home.folder("secrets") / secret.name).write_text(secret.read_text())
    at = lab_home.address("object-store")
    home.announce("object-store", endpoint=at["endpoint"], bucket=at["bucket"])
    return home
