"""The queue of runs: what the scheduler is to do next, and how things stand for those who wait."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from catalog import runs
from catalog.access.records import PermitRecord
from catalog.accounts import is_withdrawn
from catalog.fairshare import EXPECTED_SECONDS, HOUR, Job, Use, Waiting, Why, decide, faded
from catalog.launch import Cost, Start, Work
from catalog.records import AccountDraft
from catalog.run_records import Launch, RunPatch, RunRecord, RunState
from catalog.store import Change, Store, now
from datalab.settings import Compute

WORDS = {
    Why.ROOM: "All node places that it needs are in use.",
    Why.HELD_FREE: "Places are kept free for a larger run that has waited long.",
    Why.QUOTA: "The quota of its organisation for this period is used up.",
    Why.TOO_LARGE: "It needs more node places than the lab has.",
}
"""Why a run waits, in words."""
STOPPING = 60.0
"""Seconds in which a run that is stopped at its deadline has let go of its places."""


class Queue:
    """The queue as it is at one moment.

    Attributes:
        waiting: the runs that wait, the oldest first.
        working: the runs that hold places.
        ended: the runs that have ended in the period.
        expected: seconds that a run is taken to last.
        used: by organisation, what its ended runs have used.
        decision: what would start now, and why the others wait.
    """

    def __init__(self, store: Store, rules: Compute) -> None:
        self.moment = now()
        since = self.moment - timedelta(days=rules.period_days)
        self.waiting = _runs(store, "(record ->> 'state') = 'queued'")
        self.working = _runs(store, "(record ->> 'state') IN ('submitted', 'running')")
        self.ended = _runs(
            store,
            "(record ->> 'finished') >= ? AND (record ->> 'started') IS NOT NULL",
            since.isoformat().replace("+00:00", "Z"),  # as pydantic writes it
        )
        lasted = [_seconds(one) for one in self.ended]
        self.expected = sum(lasted) / len(lasted) if lasted else EXPECTED_SECONDS
        self.used = _used(self.ended, self.moment, rules)
        self.decision = decide(
            rules,
            [_job(one, one.created, self.expected) for one in self.waiting],
            [_job(one, one.started or one.created, self.expected) for one in self.working],
            self.used,
            self.moment.timestamp(),
        )

    def why(self, run: str) -> Waiting | None:
        """Return why a run waits; None if it does not, or is about to start."""
        return self.decision.waiting.get(run)


def cost(store: Store, rules: Compute, organisation: str, launch: Launch, app: str) -> Cost:
    """Return what a run is taken to cost: as long as ended runs of the same app took, or else as all of late.

    Args:
        store: the catalog's records.
        rules: how runs share what there is.
        organisation: whose run it would be.
        launch: what is asked for.
        app: digest of the app.
    """
    queue = Queue(store, rules)
    lasted = [_seconds(one) for one in queue.ended if one.app_digest == app and one.state is RunState.FINISHED]
    quota = rules.organisation(organisation).node_hours
    return Cost(
        places=len(launch.places),
        seconds=sum(lasted) / len(lasted) if lasted else queue.expected,
        earlier=len(lasted),
        most=None if launch.deadline_minutes is None else len(launch.places) * launch.deadline_minutes / 60,
        used=queue.used.get(organisation, Use()).period / HOUR,
        quota=quota,
    )


def _seconds(run: RunRecord) -> float:
    return (run.finished - run.started).total_seconds() if run.started and run.finished else 0.0


def take(store: Store, rules: Compute, known: Collection[str], account: AccountDraft) -> Work:
    """Return what the scheduler is to do; runs that it is to start are on record as submitted from now on.

    Args:
        store: the catalog's records.
        rules: how runs share what there is.
        known: the runs that the scheduler has in hand.
        account: the scheduler's.
    """
    queue = Queue(store, rules)
    unknown = [one for one in queue.working if one.launch is not None and one.id not in known]
    for run in unknown:
        if run.state is RunState.SUBMITTED:  # handed out, and the answer was lost: it has not begun
            with store.change(account.name) as change:
                runs.move(change, change.get(RunRecord, "runs", run.id), RunPatch(state=RunState.QUEUED))
    start = []
    for key in queue.decision.start:
        with store.change(account.name) as change:
            run = change.get(RunRecord, "runs", key)
            if run.state is not RunState.QUEUED:  # cancelled this very moment
                change.event("run.not-started", f"run/{key}", state=run.state)
                continue
            permit = change.get(PermitRecord, "permits", run.permits[0])
            if (reason := _overtaken(change, run, permit)) is not None:
                runs.move(change, run, RunPatch(state=RunState.FAILED, reason=reason))
                continue
            run = runs.move(change, run, RunPatch(state=RunState.SUBMITTED))
            start.append(Start(run=run, permit=permit.token))
    working = {one.id for one in queue.working}
    lost = tuple(
        Start(run=one, permit=store.get(PermitRecord, "permits", one.permits[0]).token)
        for one in unknown
        if one.state is RunState.RUNNING
    )
    stop = tuple(key for key in known if key not in working and _stopped(store, key))
    return Work(start=tuple(start), stop=stop, lost=lost)


def _overtaken(change: Change, run: RunRecord, permit: PermitRecord) -> str | None:
    """Return what has come to pass while a run waited, so that it may not start any more."""
    if permit.revoked is not None:
        return "Its permit was revoked while it waited."
    if is_withdrawn(change, run.submitted_by):
        return "The account that had submitted it was withdrawn while it waited."
    return None


def _stopped(store: Store, key: str) -> bool:
    return store.get(RunRecord, "runs", key).state is RunState.STOPPED


def _runs(store: Store, where: str, *values: str) -> list[RunRecord]:
    rows = store.rows(f"SELECT record FROM runs WHERE {where} ORDER BY record ->> 'created', id", values)
    return [RunRecord.model_validate_json(row[0]) for row in rows]


def _job(run: RunRecord, since: datetime, expected: float) -> Job:
    priority = run.launch.priority if run.launch else 0
    minutes = run.launch.deadline_minutes if run.launch else None
    limit = None if minutes is None else minutes * 60 + STOPPING
    return Job(run.id, run.organisation or "lab", len(run.nodes), since.timestamp(), priority, expected, limit)


def _used(ended: list[RunRecord], moment: datetime, rules: Compute) -> dict[str, Use]:
    used: dict[str, Use] = {}
    for run in ended:
        if run.started is None or run.finished is None:
            continue
        name, seconds = run.organisation or "lab", _seconds(run) * len(run.nodes)
        age = (moment - run.finished).total_seconds()
        before = used.get(name, Use())
        used[name] = Use(before.period + seconds, before.recent + faded(seconds, age=age, rules=rules))
    return used
