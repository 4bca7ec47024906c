from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import datasets
from catalog.errors import CatalogError
from catalog.evidence import evidence_key, on_schedule, read_checkpoints, write_checkpoint
from catalog.records import DatasetPatch
from catalog.store import Store
from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.permits.errors import PermitError
from datalab.permits.keys import generate_key
from datalab.settings import Checkpoints
from tests.unit.catalog.examples import account, draft


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "records.duckdb")
    yield opened
    opened.close()


def test_checkpoints_are_written_at_the_start_and_the_end_and_hold_the_chain_to_what_it_was(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    key = evidence_key(Home(tmp_path))
    with pytest.raises(NotFoundError):
        read_checkpoints(folder, key)
    datasets.register(store, draft(), account())
    with on_schedule(Home(tmp_path), store, Checkpoints(folder=folder), federation="lab.example"):
        datasets.update(store, "gbsg", DatasetPatch(title="A"), revision=1, account=account())
    kept = read_checkpoints(folder, evidence_key(Home(tmp_path)))
    assert (kept[-1].events, kept[-1].head) == (2, store.verify_events().head)
    assert write_checkpoint(store, key, folder, federation="lab.example") is None
    with pytest.raises(PermitError):
        read_checkpoints(folder, generate_key())
    with pytest.raises(CatalogError, match="cannot be written"):
        write_checkpoint(store, key, tmp_path / "missing", federation="lab.example")


def test_a_file_written_anew_is_the_same_catalog_without_what_was_replaced(store: Store, tmp_path: Path) -> None:
    datasets.register(store, draft(title="planted-title-4711"), account())
    datasets.update(store, "gbsg", DatasetPatch(title="A"), revision=1, account=account())
    before = store.events(after=0, limit=10)
    store.rewrite()
    assert b"planted-title-4711" not in (tmp_path / "records.duckdb").read_bytes()
    assert store.events(after=0, limit=10) == before
    store.rewrite(tmp_path / "copy.duckdb")
    copied = Store(tmp_path / "copy.duckdb")
    assert copied.verify_events() == store.verify_events()
    copied.close()
    constraints = "SELECT count(*) FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
    assert store.rows(constraints)[0][0] >= 10
