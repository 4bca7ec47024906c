from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import datasets, lifecycle, runs
from catalog.compare import compare
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import (
    DATASET_TRANSITIONS,
    Announcement,
    Dataset,
    DatasetPatch,
    DatasetState,
    Role,
    StateChange,
)
from catalog.run_records import DatasetVersion, RunDraft
from catalog.standards.catalogue import ready_count
from catalog.store import Store
from datalab.errors import NotFoundError
from tests.unit.catalog.examples import SHA, account, anonymous, at_site, described, draft, report, version

STEWARD = account(Role.STEWARD, organisation="gbsg")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "records.duckdb")
    yield opened
    opened.close()


def to(state: DatasetState) -> StateChange:
    return StateChange(state=state, reason="because")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.sampled_from(DatasetState), max_size=8))
def test_a_dataset_moves_by_the_one_table_and_each_move_is_on_record(store: Store, wanted: list[DatasetState]) -> None:
    key = f"d{store.last_event()}"
    dataset = datasets.register(store, draft(id=key), account(), state=DatasetState.DRAFT)
    for state in wanted:
        if state in DATASET_TRANSITIONS[dataset.state]:
            dataset = lifecycle.move(store, key, to(state), revision=dataset.revision, account=STEWARD)
            last = store.events(after=store.last_event() - 1, limit=1)[0]
            assert (last.action, last.details["revision"]) == (f"dataset.{state}", dataset.revision)
        else:
            with pytest.raises(ConflictError, match="cannot become"):
                lifecycle.move(store, key, to(state), revision=dataset.revision, account=STEWARD)
        assert store.get(Dataset, "datasets", key) == dataset


@pytest.mark.parametrize("state", [DatasetState.DRAFT, DatasetState.DELETED])
def test_only_its_holder_and_the_lab_know_of_what_is_not_published(store: Store, state: DatasetState) -> None:
    dataset = datasets.register(store, draft(), account(), state=DatasetState.DRAFT)
    if state is DatasetState.DELETED:
        lifecycle.move(store, "gbsg", to(state), revision=1, account=account())
    knowing = [STEWARD, account(), account(Role.AUDITOR)]
    others = [account(Role.STEWARD, organisation="erasmus"), account(Role.RESEARCHER), account(Role.ACCESS_BODY)]
    for one in knowing:
        assert lifecycle.read(store, "gbsg", one).state is state
        assert [found.id for found in lifecycle.page(store, one, after="", limit=10)] == [dataset.id]
        assert [found.id for found in lifecycle.unpublished(store, one, limit=10)] == [dataset.id]
    for one in others:
        with pytest.raises(NotFoundError):
            lifecycle.read(store, "gbsg", one)
        assert lifecycle.page(store, one, after="", limit=10) == []
        assert lifecycle.unpublished(store, one, limit=10) == []
        with pytest.raises(NotFoundError):  # not that they may not change it: they do not learn that it is there
            datasets.update(store, "gbsg", DatasetPatch(title="Mine"), revision=7, account=one)
        with pytest.raises(NotFoundError):
            lifecycle.move(store, "gbsg", to(DatasetState.PUBLISHED), revision=7, account=one)


def test_what_is_deleted_takes_no_change_and_no_data_until_it_is_restored(store: Store) -> None:
    datasets.register(store, at_site(), account(), state=DatasetState.DRAFT)
    lifecycle.move(store, "gbsg", to(DatasetState.DELETED), revision=1, account=account())
    said = Announcement(node="rotterdam", version=1, report=report(rows=None))
    with pytest.raises(ConflictError, match="deleted"):
        datasets.update(store, "gbsg", DatasetPatch(title="x"), revision=2, account=account())
    with pytest.raises(ConflictError, match="deleted"):
        datasets.announce(store, "gbsg", said, account(Role.GATEWAY))
    lifecycle.move(store, "gbsg", to(DatasetState.DRAFT), revision=2, account=account())
    assert datasets.announce(store, "gbsg", said, account(Role.GATEWAY)).number == 1


def test_what_is_withdrawn_is_known_and_used_by_no_new_run(store: Store) -> None:
    datasets.register(store, at_site(), account())
    said = Announcement(node="rotterdam", version=1, report=report(rows=None))
    datasets.announce(store, "gbsg", said, account(Role.GATEWAY))

    def run(key: str) -> None:
        named = (DatasetVersion(dataset="gbsg", version=1),)
        runs.create(store, RunDraft(id=key, app_digest=SHA, datasets=named, nodes=("rotterdam",)), account())

    run("before")
    lifecycle.move(store, "gbsg", to(DatasetState.WITHDRAWN), revision=1, account=account())
    with pytest.raises(NotPermittedError, match="is withdrawn"):
        run("while")
    assert lifecycle.read(store, "gbsg", account(Role.RESEARCHER)).state_reason == "because"
    lifecycle.move(store, "gbsg", to(DatasetState.PUBLISHED), revision=2, account=account())
    run("again")
    withdrawn = lifecycle.withdraw(store, "gbsg", 1, reason="Wrong units.", account=STEWARD)
    assert withdrawn.withdrawn is not None
    assert datasets.version(store, "gbsg", 1) == withdrawn
    with pytest.raises(NotPermittedError, match=r"Wrong units\."):
        run("after")
    with pytest.raises(ConflictError, match="some-steward has withdrawn"):
        lifecycle.withdraw(store, "gbsg", 1, reason="Again.", account=STEWARD)


def test_only_what_is_published_stands_in_the_catalogue_for_others(store: Store) -> None:
    stated = anonymous(**described())
    datasets.register(store, stated, account(), state=DatasetState.DRAFT)
    assert ready_count(store, "dcat-ap") == 0
    lifecycle.move(store, "gbsg", to(DatasetState.PUBLISHED), revision=1, account=account())
    assert ready_count(store, "dcat-ap") == 1


def test_the_second_editor_is_told_who_has_changed_what(store: Store) -> None:
    datasets.register(store, draft(), account())
    datasets.update(store, "gbsg", DatasetPatch(title="A", licence=None), revision=1, account=STEWARD)
    lifecycle.move(store, "gbsg", to(DatasetState.WITHDRAWN), revision=2, account=account())
    with pytest.raises(ConflictError) as told:
        datasets.update(store, "gbsg", DatasetPatch(title="B"), revision=1, account=account())
    assert "some-steward" in told.value.what
    assert "updated licence, title" in told.value.what
    assert "some-operator" in told.value.what
    assert "withdrawn" in told.value.what


def test_two_versions_are_compared_column_by_column_and_check_by_check() -> None:
    one = version(draft())
    columns = [
        {"name": "age", "type": "integer", "unit": "a", "description": "age"},
        {"name": "grade", "type": "integer", "unit": None, "description": "grade"},
    ]
    checks = [{"name": "every row is accounted for", "passed": False, "detail": "5 = 3 + 1 + 1", "found": 2}]
    two = version(draft(), rows=7, columns=columns, checks=checks, excluded={"dead": 2}).model_copy(
        update={"number": 2}
    )
    found = compare(one, two)
    assert {column.name: column.change for column in found.columns} == {
        "age": "changed",
        "event": "removed",
        "grade": "added",
    }
    assert [(check.change, check.after and check.after.found) for check in found.checks] == [("changed", 2)]
    differences = {count.name: count.difference for count in found.counts}
    assert (differences["rows"], differences["left out: dead"], differences["left out: censored"]) == (4, None, None)
    assert {change.change for change in compare(one, one).columns} == {"same"}
