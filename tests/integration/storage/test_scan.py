"""A published table is read from object storage by the row groups that a query needs, as DuckDB's own counters say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import duckdb
import pytest

from datalab.curation.contract import load_contract
from datalab.curation.engine import DATA, curate
from datalab.storage.store import ObjectStore
from tests.unit.curation.examples import HEADER, write_contract

ROWS = 500_000
SIZES = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}


@pytest.fixture(scope="module")
def table(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A curated table of five row groups, sorted by age, in the object store."""
    folder = tmp_path_factory.mktemp("ward")
    duckdb.execute(
        f'COPY (SELECT range AS "Patient number", hash(range) % 90 AS "Age", '
        f"if(hash(range, 1) % 2 = 0, 'f', 'm') AS "
        f'"Sex", 40 + (hash(range, 2) % 8000) / 100 AS "Weight", hash(range, 3) % 2 AS "Ill" FROM range({ROWS})) '
        f"TO '{folder / 'ward.csv'}' (FORMAT csv, HEADER)"
    )
    assert (folder / "ward.csv").read_text(encoding="utf-8").startswith(HEADER)
    report = curate(load_contract(write_contract(folder)), folder / "ward.csv", folder / "out")
    assert report.rows == ROWS
    groups = "SELECT count(DISTINCT row_group_id) FROM parquet_metadata(?)"
    assert duckdb.execute(groups, [str(folder / "out" / DATA)]).fetchall() == [(5,)]
    object_store.put_file("data/scan/data.parquet", folder / "out" / DATA)
    return object_store.uri("data/scan/data.parquet")


def fetched(store: ObjectStore, query: str) -> float:
    """Return how many bytes a query has the object store send."""
    spec = importlib.util.find_spec("duckdb_extension_httpfs")
    assert spec is not None
    assert spec.origin is not None
    extension = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    with duckdb.connect() as database:
        database.execute(f"LOAD '{extension}'")
        database.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{store.access_key}', SECRET '{store.secret_key}', "
            f"ENDPOINT '{store.endpoint}', USE_SSL false, URL_STYLE 'path', REGION '{store.region}')"
        )
        told = "\n".join(database.execute(f"EXPLAIN ANALYZE {query}").fetchall()[0])
    found = re.search(r"in: ([0-9.]+) (KiB|MiB|bytes)", told)
    assert found is not None, told
    return float(found[1]) * SIZES[found[2]]


def test_row_groups_that_a_filter_rules_out_are_not_fetched(object_store: ObjectStore, table: str) -> None:
    query = f"SELECT female, count(*), avg(weight) FROM '{table}' WHERE {{}} GROUP BY ALL"
    some, all_ = (fetched(object_store, query.format(one)) for one in ("age BETWEEN 30 AND 32", "age % 45 = 30"))
    print(f"{some:,.0f} of {all_:,.0f} bytes")
    assert some < 0.6 * all_  # one or two groups of five, and the footer
