from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from catalog import datasets, queue, revocation, runs
from catalog.access.records import PermitRecord
from catalog.credentials import Credentials
from catalog.dry_run import dry_run
from catalog.errors import NotPermittedError
from catalog.fairshare import Why
from catalog.launch import AppFacts, NodeFacts
from catalog.records import Announcement, Role
from catalog.run_records import Launch, LaunchPlace, RunPatch, RunRecord, RunState
from catalog.store import Store, now
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.settings import Compute
from tests.unit.catalog.examples import SHA, account, at_site, report

RULES = Compute(node_places=1)
NODES = {"rotterdam": NodeFacts(name="rotterdam", organisation="Erasmus", country="NL", connected=True)}
APP = AppFacts("echo", "1.0.0", "", SHA, {"num-server-rounds": 3})
RUNNER = account(Role.RUNNER)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A catalog with a dataset at a node, and a permit for it."""
    store = Store(tmp_path / "records.duckdb")
    datasets.register(store, at_site(), account())
    datasets.announce(store, "gbsg", Announcement(node="rotterdam", version=1, report=report()), account(Role.GATEWAY))
    claims = PermitClaims(
        id="P-1",
        issuer="Body",
        data_user="lab",
        people=("some-researcher",),
        project="Test",
        purpose=Purpose.RESEARCH,
        datasets=(PermittedDataset(id="gbsg"),),
        not_before=now() - timedelta(hours=1),
        expires=now() + timedelta(hours=1),
    )
    with store.change("body") as change:
        permit = PermitRecord(token="x", id="P-1", claims=claims, recorded_by="body", created=now())
        change.insert("permits", "P-1", permit)
        change.event("permit.recorded", "permit/P-1")
    yield store
    store.close()


def submit(store: Store, **changes: object) -> RunRecord:
    asked = {"app": "echo", "places": (LaunchPlace(dataset="gbsg"),), "permit": "P-1", **changes}
    who = account(Role.RESEARCHER)
    return runs.submit(store, dry_run(store, Launch.model_validate(asked), APP, NODES, who, None), who)


def test_runs_are_handed_out_one_after_the_other_as_there_is_room(store: Store) -> None:
    first, second = submit(store), submit(store)
    (start,) = queue.take(store, RULES, [], RUNNER).start
    assert (start.run.id, start.run.state, start.permit) == (first.id, RunState.SUBMITTED, "x")
    assert queue.take(store, RULES, [first.id], RUNNER).start == ()
    waits = queue.Queue(store, RULES).why(second.id)
    assert waits is not None
    assert waits.why is Why.ROOM
    runs.update(store, first.id, RunPatch(state=RunState.FAILED), revision=2, account=RUNNER)
    assert [one.run.id for one in queue.take(store, RULES, [], RUNNER).start] == [second.id]


def test_a_run_does_not_start_once_its_submitters_account_is_withdrawn(store: Store) -> None:
    people = Credentials(store, secrets.token_urlsafe(32))
    people.invite(account(Role.RESEARCHER), actor="operator")
    kept = submit(store)
    assert [one.run.id for one in queue.take(store, RULES, [], RUNNER).start] == [kept.id]
    runs.update(store, kept.id, RunPatch(state=RunState.FAILED), revision=2, account=RUNNER)
    run = submit(store)
    people.withdraw("some-researcher", actor="operator")
    assert queue.take(store, RULES, [], RUNNER).start == ()
    failed = store.get(RunRecord, "runs", run.id)
    assert (failed.state, "withdrawn" in (failed.reason or "")) == (RunState.FAILED, True)


def test_a_run_whose_handing_out_was_lost_is_queued_again_and_a_running_one_is_named(store: Store) -> None:
    run = submit(store)
    queue.take(store, RULES, [], RUNNER)
    assert queue.take(store, RULES, [], RUNNER).lost == ()
    (start,) = queue.take(store, RULES, [], RUNNER).start
    assert start.run.id == run.id
    runs.update(store, run.id, RunPatch(state=RunState.RUNNING), revision=start.run.revision, account=RUNNER)
    (lost,) = queue.take(store, RULES, [], RUNNER).lost
    assert (lost.run.id, lost.permit) == (run.id, start.permit)
    assert queue.take(store, RULES, [run.id], RUNNER).lost == ()


def test_a_cancelled_run_is_to_be_stopped_and_a_revoked_permit_starts_nothing(store: Store) -> None:
    run, later = submit(store), submit(store)
    queue.take(store, RULES, [], RUNNER)
    runs.cancel(store, run.id, account(Role.RESEARCHER))
    with store.change("body") as change:
        revoked = change.get(PermitRecord, "permits", "P-1").model_copy(update={"revoked": now()})
        change.update("permits", "P-1", revoked)
        change.event("permit.revoked", "permit/P-1")
    work = queue.take(store, RULES, [run.id], RUNNER)
    assert (work.start, work.stop) == ((), (run.id,))
    assert store.get(RunRecord, "runs", later.id).reason == "Its permit was revoked while it waited."
    with pytest.raises(NotPermittedError, match="revoked"):
        submit(store)


def test_a_revoked_permit_stops_what_waits_and_what_runs_under_it_and_nothing_else(store: Store) -> None:
    done, running, waiting = submit(store), submit(store), submit(store)
    (first, *_) = queue.take(store, RULES, [], RUNNER).start
    assert first.run.id == done.id
    for state in (RunState.RUNNING, RunState.FINISHED):
        revision = store.get(RunRecord, "runs", done.id).revision
        runs.update(store, done.id, RunPatch(state=state), revision=revision, account=RUNNER)
    queue.take(store, RULES, [done.id], RUNNER)
    revision = store.get(RunRecord, "runs", running.id).revision
    runs.update(store, running.id, RunPatch(state=RunState.RUNNING), revision=revision, account=RUNNER)
    revocation.revoke(store, "P-1", account(Role.ACCESS_BODY))
    states = [store.get(RunRecord, "runs", one.id).state for one in (done, running, waiting)]
    assert states == [RunState.FINISHED, RunState.STOPPED, RunState.STOPPED]
    assert store.get(RunRecord, "runs", running.id).reason == "Its permit was revoked."
    assert queue.take(store, RULES, [running.id], RUNNER).stop == (running.id,)


def test_who_is_not_on_the_permit_and_what_its_purpose_does_not_cover_is_refused(store: Store) -> None:
    launch = Launch(app="echo", places=(LaunchPlace(dataset="gbsg"),), permit="P-1", purpose="a")
    stranger = account(Role.RESEARCHER).model_copy(update={"name": "stranger"})
    assert dry_run(store, launch, APP, {}, stranger, None).problems == ("The permit does not name you.",)
    found = dry_run(store, launch, APP, {}, account(Role.RESEARCHER), None)
    assert "not for a" in found.problems[0]
    assert {one.name: one.holds for one in found.sites[0].clauses} == {
        "permit": True,
        "policy": False,
        "node": False,
        "schema": True,
    }


def test_what_a_run_is_taken_to_cost_is_what_runs_of_its_app_have_cost(store: Store) -> None:
    rules = Compute.model_validate({"organisations": {"lab": {"kind": "sme", "node_hours": 2}}})
    asked = Launch(app="echo", places=(LaunchPlace(dataset="gbsg"),) * 3, permit="P-1", deadline_minutes=30)
    guess = queue.cost(store, rules, "lab", asked, SHA)
    assert (guess.places, guess.earlier, guess.most, guess.used, guess.quota) == (3, 0, 1.5, 0.0, 2.0)
    assert guess.node_hours == pytest.approx(0.5)  # ten minutes, as nobody knows
    run = submit(store)
    for state in (RunState.SUBMITTED, RunState.RUNNING, RunState.FINISHED):
        run = runs.update(store, run.id, RunPatch(state=state), revision=run.revision, account=RUNNER)
    long_ago = run.model_copy(update={"started": now() - timedelta(hours=3), "finished": now()})
    with store.change("test") as change:
        change.update("runs", run.id, long_ago)
        change.event("run.updated", f"run/{run.id}")
    known = queue.cost(store, rules, "lab", asked, SHA)
    assert (known.earlier, round(known.node_hours), known.waits) == (1, 9, True)
    assert queue.cost(store, rules, "lab", asked, "0" * 64).earlier == 0
