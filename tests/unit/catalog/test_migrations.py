"""A catalog of an earlier schema is opened, used, and taken back; one of a newer release is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from catalog import datasets, lifecycle
from catalog.drafts import Draft
from catalog.errors import CatalogError
from catalog.migrations import LATEST, MIGRATIONS, Migration, downgrade, migrate, schema_of
from catalog.records import Announcement, Dataset, DatasetState, Hold, Role, Version
from catalog.store import Store
from catalog.upload_records import Upload
from tests.unit.catalog.examples import account, at_site, report

GOLDEN = Path(__file__).parents[2] / "golden"
FROZEN = sorted(GOLDEN.glob("catalog-*.duckdb.gz"))


@pytest.fixture(params=FROZEN, ids=lambda path: path.name.partition(".")[0])
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "records.duckdb"
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return path


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield opened


def content(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """All rows of all tables but the numbers of schemas, JSON as what it says."""
    tables = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
    found = {}
    for table in tables:
        if table != "schema_version":
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
            found[table] = [tuple(_read(value) for value in row) for row in rows]
    return found


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def test_every_schema_of_the_past_is_opened_and_taken_back(frozen: Path) -> None:
    with duckdb.connect(frozen) as before:
        old, number = content(before), schema_of(before)
    store = Store(frozen)
    assert store.verify_events().broken_at is None
    assert store.get(Dataset, "datasets", "gbsg").state is DatasetState.WITHDRAWN
    assert store.get(Upload, "uploads", "one").sealed is None
    assert store.get(Draft, "drafts", "two").wrapped_key is None
    ((record,),) = store.rows("SELECT record FROM versions")
    assert Version.model_validate_json(record).report.replaces == ()
    store.close()
    with duckdb.connect(frozen) as opened:
        assert schema_of(opened) == LATEST
        assert [one.number for one in downgrade(opened, number)] == [*range(LATEST, number, -1)]
        back = content(opened)
    if number == 1:
        for row in old["drafts"]:
            row[1].pop("file")  # its parts were not encrypted, and are uploaded again
    assert back == old


def test_what_the_schema_before_does_not_know_is_taken_out_of_the_records(frozen: Path) -> None:
    store = Store(frozen)
    lifecycle.hold(store, "gbsg", Hold(), account())
    store.close()
    with duckdb.connect(frozen) as opened:
        assert [row for row in content(opened)["datasets"] if "legal_hold" in row[1]]
        downgrade(opened, 1)
        assert not [row for row in content(opened)["datasets"] if "legal_hold" in row[1]]


@pytest.mark.parametrize("patch", ['{"legal_hold": "Court order 12"}', '{"release": true}'])
def test_there_is_no_way_back_that_would_forget_a_hold_or_a_demand(frozen: Path, patch: str) -> None:
    Store(frozen).close()
    with duckdb.connect(frozen) as opened:
        opened.execute("UPDATE datasets SET record = json_merge_patch(record, ?::JSON) WHERE id = 'gbsg'", [patch])
        with pytest.raises(CatalogError, match=r"1 raw files that are encrypted.*legal hold"):
            downgrade(opened, 1)


def test_there_is_no_way_back_for_raw_files_that_are_encrypted(frozen: Path) -> None:
    Store(frozen).close()
    with duckdb.connect(frozen) as opened:
        opened.execute("UPDATE uploads SET record = json_merge_patch(record, '{\"sealed\": {}}')")
        before = content(opened)
        with pytest.raises(CatalogError, match=r"1 raw files that are encrypted.*Restore a backup"):
            downgrade(opened, 1)
        assert (schema_of(opened), content(opened)) == (LATEST, before)


def test_there_is_no_way_back_that_would_forget_a_catalogue_that_is_harvested(frozen: Path) -> None:
    Store(frozen).close()
    with duckdb.connect(frozen) as opened:
        opened.execute("INSERT INTO sources VALUES ('portal', '{}')")
        before = content(opened)
        with pytest.raises(CatalogError, match=r"1 catalogues that are harvested \(remove them first"):
            downgrade(opened, 1)
        assert (schema_of(opened), content(opened)) == (LATEST, before)
        opened.execute("DELETE FROM sources")
        downgrade(opened, 2)
        assert schema_of(opened) == 2


def test_a_catalog_of_a_newer_release_is_refused_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "records.duckdb"
    Store(path).close()
    with duckdb.connect(path) as opened:
        opened.execute("INSERT INTO schema_version VALUES (99, '7.5.1')")
        before = content(opened)
    with pytest.raises(CatalogError, match=r"schema 99, which Datalab 7\.5\.1 has written.*downgrade --to"):
        Store(path)
    with duckdb.connect(path) as opened:
        assert content(opened) == before


def test_a_migration_that_fails_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    migrate(connection)
    before = content(connection)
    broken = Migration(LATEST + 1, "breaks", "CREATE TABLE more (id INTEGER); INSERT INTO more VALUES ('x');")
    with pytest.raises(duckdb.ConversionException):
        migrate(connection, [*MIGRATIONS, broken])
    assert (schema_of(connection), content(connection)) == (LATEST, before)
    migrate(
        connection, [*MIGRATIONS, Migration(LATEST + 1, "works", "CREATE TABLE more (id INTEGER);", "DROP TABLE more;")]
    )
    assert schema_of(connection) == LATEST + 1
    with pytest.raises(CatalogError, match="cannot go back to 0"):
        downgrade(connection, 0)


def test_a_frozen_catalog_is_there_for_every_schema_of_the_past() -> None:
    assert [path.name for path in FROZEN] == [f"catalog-{number}.duckdb.gz" for number in range(1, LATEST)]


def test_what_is_said_of_columns_is_taken_out_for_the_schema_before(tmp_path: Path) -> None:
    path = tmp_path / "records.duckdb"
    store = Store(path)
    datasets.register(store, at_site(id="rotterdam"), account())
    (column, *others) = report().columns
    stated = column.model_copy(update={"code_system": "http://loinc.org", "nullable": False, "sensitivity": "high"})
    said = report().model_copy(update={"columns": (stated, *others)})
    datasets.announce(store, "rotterdam", Announcement(node="rotterdam", version=1, report=said), account(Role.GATEWAY))
    store.close()
    with duckdb.connect(path) as opened:
        ((before,),) = [row[2:3] for row in content(opened)["versions"]]
        assert before["report"]["columns"][0]["code_system"] == "http://loinc.org"
        downgrade(opened, 3)
        ((after,),) = [row[2:3] for row in content(opened)["versions"]]
    unknown = {"code_system", "nullable", "sensitivity"}
    for one in (before, after):
        assert [name for name in unknown if name in json.dumps(one)] == ([] if one is after else list(unknown))
    for part in ("report", "told"):
        known = [{name: one[name] for name in one if name not in unknown} for one in before[part]["columns"]]
        before[part]["columns"] = known
    assert after == before
