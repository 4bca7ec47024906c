from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catalog import datasets
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import Announcement, Dataset, DatasetPatch, Role
from catalog.store import Store
from datalab.errors import BadInputError, NotFoundError
from tests.unit.catalog.examples import SHA, account, anonymous, at_site, draft, registered, report


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "records.duckdb")
    yield opened
    opened.close()


def test_a_dataset_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.duckdb")
    registered = datasets.register(store, draft(), account())
    store.close()
    store = Store(tmp_path / "records.duckdb")
    assert store.get(Dataset, "datasets", "gbsg") == registered
    assert [event.action for event in store.events(after=0, limit=10)] == ["dataset.registered"]
    store.close()


def test_a_change_without_an_audit_event_does_not_happen(store: Store) -> None:
    with pytest.raises(AssertionError, match="audit event"), store.change("somebody") as change:
        change.insert("datasets", "x", draft())
    assert store.page(Dataset, "datasets", after="", limit=10) == []


def test_a_change_that_fails_leaves_no_event(store: Store) -> None:
    datasets.register(store, draft(), account())
    with pytest.raises(ConflictError, match="there already"):
        datasets.register(store, draft(), account())
    assert store.verify_events().events == 1


def test_the_second_of_two_editors_is_told(store: Store) -> None:
    datasets.register(store, draft(), account())
    changed = datasets.update(store, "gbsg", DatasetPatch(title="A"), revision=1, account=account())
    assert (changed.title, changed.revision, changed.licence) == ("A", 2, None)
    with pytest.raises(ConflictError, match="revision 2, not 1"):
        datasets.update(store, "gbsg", DatasetPatch(title="B"), revision=1, account=account())
    assert store.get(Dataset, "datasets", "gbsg").title == "A"


def test_of_many_editors_at_once_exactly_one_wins(store: Store) -> None:
    datasets.register(store, draft(), account())

    def edit(number: int) -> bool:
        try:
            datasets.update(store, "gbsg", DatasetPatch(title=f"{number}"), revision=1, account=account())
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(edit, range(16))) == 1
    assert store.verify_events().events == 2


def test_a_change_cannot_make_a_dataset_contradict_itself(store: Store) -> None:
    datasets.register(store, draft(), account())
    with pytest.raises(BadInputError, match="cannot be public"):
        datasets.update(store, "gbsg", DatasetPatch(access="public"), revision=1, account=account())


def test_a_steward_cannot_register_for_another_holder(store: Store) -> None:
    with pytest.raises(NotPermittedError):
        datasets.register(store, draft(), account(Role.STEWARD, organisation="erasmus"))


def test_an_announcement_makes_a_version_without_files_once(store: Store) -> None:
    datasets.register(store, at_site(), account())
    said = Announcement(node="rotterdam", version=1, report=report(rows=None))
    first = datasets.announce(store, "gbsg", said, account(Role.GATEWAY))
    again = datasets.announce(store, "gbsg", said, account(Role.GATEWAY))
    assert first == again
    assert (first.number, first.state, first.files, first.report.rows) == (1, "announced", (), None)
    other = report(parquet_sha256="cd" * 32)
    for wrong in (1, 3):
        changed = Announcement(node="rotterdam", version=wrong, report=other)
        with pytest.raises(ConflictError, match="the next version is 2"):
            datasets.announce(store, "gbsg", changed, account(Role.GATEWAY))
    second = Announcement(node="rotterdam", version=2, report=other)
    assert datasets.announce(store, "gbsg", second, account(Role.GATEWAY)).number == 2
    assert [version.number for version in datasets.versions(store, "gbsg")] == [1, 2]


@pytest.mark.parametrize(
    ("registered", "said", "error"),
    [
        (draft(), Announcement(node="rotterdam", version=1, report=report()), NotPermittedError),
        (at_site(), Announcement(node="other", version=1, report=report()), NotPermittedError),
        (at_site(), Announcement(node="rotterdam", version=1, report=report(contract_version="2.0.0")), ConflictError),
    ],
    ids=["kept at the lab", "another node", "another contract"],
)
def test_an_announcement_that_does_not_fit_the_dataset_is_refused(
    store: Store, registered: Dataset, said: Announcement, error: type[Exception]
) -> None:
    datasets.register(store, registered, account())
    with pytest.raises(error):
        datasets.announce(store, "gbsg", said, account(Role.GATEWAY))
    assert datasets.versions(store, "gbsg") == []


def test_pages_follow_each_other_by_id(store: Store) -> None:
    for name in ("c", "a", "b"):
        datasets.register(store, anonymous(id=name), account())
    first = store.page(Dataset, "datasets", after="", limit=2)
    assert [one.id for one in first] == ["a", "b"]
    assert [one.id for one in store.page(Dataset, "datasets", after="b", limit=2)] == ["c"]


def test_what_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no dataset nowhere"):
        store.get(Dataset, "datasets", "nowhere")
    with pytest.raises(NotFoundError, match="no dataset nowhere"):
        datasets.versions(store, "nowhere")


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE events SET actor = 'somebody-else' WHERE n = 2",
        "UPDATE events SET details = '{}' WHERE n = 2",
        "UPDATE events SET time = '2020-01-01T00:00:00+00:00' WHERE n = 2",
        "DELETE FROM events WHERE n = 2",
        f"UPDATE events SET hash = '{SHA}' WHERE n = 2",
        f"INSERT INTO events SELECT n + 10, time, actor, action, subject, details, '{SHA}', hash FROM events",
    ],
)
def test_the_audit_chain_shows_every_kind_of_tampering(store: Store, tampering: str) -> None:
    for name in ("a", "b", "c"):
        datasets.register(store, anonymous(id=name), account())
    intact = store.verify_events()
    assert (intact.events, intact.broken_at) == (3, None)
    store.rows(tampering)
    broken = store.verify_events()
    assert broken.broken_at is not None
    assert broken.head != intact.head or broken.events != intact.events


def test_a_second_process_is_refused_even_for_reading(store: Store, tmp_path: Path) -> None:
    datasets.register(store, draft(), account())
    path = tmp_path / "records.duckdb"
    read = f"import duckdb; duckdb.connect({str(path)!r}, read_only=True)"
    other = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=False)
    assert "lock" in other.stderr
    opened = f"""
import sys, pathlib
from catalog.errors import CatalogInUseError
from catalog.store import Store
try:
    Store(pathlib.Path({str(path)!r}))
except CatalogInUseError as error:
    sys.exit(str(error))
"""
    other = subprocess.run(
        [sys.executable, "-c", opened], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert "Another process has the catalog open" in other.stderr


def test_a_scan_waits_for_nobody_and_sees_only_what_is_committed(store: Store) -> None:
    counted = "SELECT count(*) FROM datasets"
    with ThreadPoolExecutor() as pool:
        with store.change("somebody") as change:
            change.insert("datasets", "gbsg", registered(draft()))
            change.event("dataset.registered", "dataset/gbsg")
            assert pool.submit(store.scan, counted).result(timeout=30) == [(0,)]
        assert pool.submit(store.scan, counted).result(timeout=30) == [(1,)]
