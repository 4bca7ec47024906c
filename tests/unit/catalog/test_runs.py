from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import datasets, runs
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import Announcement, Role
from catalog.run_records import RUN_TRANSITIONS, DatasetVersion, RunDraft, RunPatch, RunState
from catalog.store import Store
from datalab.errors import NotFoundError
from tests.unit.catalog.examples import SHA, account, at_site, report

ENDS = {state for state, following in RUN_TRANSITIONS.items() if not following}


def open_with_run(folder: Path) -> Store:
    store = Store(folder / "records.duckdb")
    datasets.register(store, at_site(), account())
    datasets.announce(store, "gbsg", Announcement(node="rotterdam", version=1, report=report()), account(Role.GATEWAY))
    runs.create(store, run(), account(Role.GATEWAY))
    return store


def run(*, version: int = 1, permits: tuple[str, ...] = ()) -> RunDraft:
    used = (DatasetVersion(dataset="gbsg", version=version),)
    return RunDraft(id="run-1", app_digest=SHA, datasets=used, nodes=("rotterdam",), permits=permits)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(RunState), max_size=6))
def test_a_run_moves_along_the_table_of_transitions_only(wanted: list[RunState]) -> None:
    with TemporaryDirectory() as folder:
        store = open_with_run(Path(folder))
        state, revision = RunState.SUBMITTED, 1
        for one in wanted:
            patch = RunPatch(state=one)
            if one != state and one not in RUN_TRANSITIONS[state]:
                with pytest.raises(ConflictError, match="cannot become"):
                    runs.update(store, "run-1", patch, revision=revision, account=account(Role.RUNNER))
                continue
            changed = runs.update(store, "run-1", patch, revision=revision, account=account(Role.RUNNER))
            state, revision = changed.state, changed.revision
            assert state == one
            assert (changed.finished is not None) == (state in ENDS)
        store.close()


def test_a_run_keeps_its_card_and_artifacts(tmp_path: Path) -> None:
    store = open_with_run(tmp_path)
    patch = RunPatch.model_validate(
        {
            "card": {"rounds": 20},
            "artifacts": [{"name": "model", "uri": "s3://datalab/runs/1", "sha256": SHA, "bytes": 1}],
        }
    )
    changed = runs.update(store, "run-1", patch, revision=1, account=account(Role.RUNNER))
    assert changed.card == {"rounds": 20}
    assert [one.name for one in changed.artifacts] == ["model"]
    assert changed.state is RunState.SUBMITTED
    with pytest.raises(ConflictError, match="revision 2, not 1"):
        runs.update(store, "run-1", patch, revision=1, account=account(Role.RUNNER))
    store.close()


def test_what_a_run_left_behind_is_not_for_stewards_of_other_data(tmp_path: Path) -> None:
    store = open_with_run(tmp_path)
    steward = account(Role.STEWARD, organisation="gbsg")
    made = runs.visible(store, "run-1", steward)
    runs.check_results(store, made, steward)
    runs.check_results(store, made, account(Role.AUDITOR))
    with pytest.raises(NotPermittedError, match="own organisation's data"):
        runs.check_results(store, made, account(Role.STEWARD, organisation="other"))
    store.close()


def test_a_run_names_versions_and_permits_that_exist(tmp_path: Path) -> None:
    store = open_with_run(tmp_path)
    with pytest.raises(NotFoundError, match="no version 7"):
        runs.create(store, run(version=7), account(Role.GATEWAY))
    with pytest.raises(NotFoundError, match="no permit P-1"):
        runs.create(store, run(permits=("P-1",)), account(Role.GATEWAY))
    with pytest.raises(ConflictError, match="there already"):
        runs.create(store, run(), account(Role.GATEWAY))
    store.close()
