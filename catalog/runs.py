"""Federated runs on record: which states follow which, who sees them, and what a run leaves behind."""

from __future__ import annotations

import secrets

from catalog import datasets, lifecycle, permits
from catalog.access.records import PermitRecord
from catalog.errors import ConflictError, NotPermittedError
from catalog.launch import DryRun
from catalog.records import AccountDraft, Dataset, Role
from catalog.release import releases
from catalog.run_records import RUN_TRANSITIONS, DatasetVersion, RunDraft, RunPatch, RunRecord, RunState
from catalog.store import Change, Store, check_revision, now

WORKING = (RunState.SUBMITTED, RunState.RUNNING)


def create(store: Store, draft: RunDraft, account: AccountDraft) -> RunRecord:
    """Record a run as submitted: its runner was started by hand, and it passes no queue.

    Raises:
        ConflictError: its id is taken.
        NotFoundError: it names a version or a permit that the catalog does not have.
        NotPermittedError: it names a permit that is revoked, or a dataset or version that is withdrawn.
    """
    run = RunRecord(
        **draft.model_dump(),
        state=RunState.SUBMITTED,
        submitted_by=account.name,
        organisation=account.organisation,
        created=now(),
        revision=1,
    )
    return _record(store, run, account, "run.submitted")


def submit(store: Store, checked: DryRun, account: AccountDraft) -> RunRecord:
    """Record a run as queued; the scheduler starts it when its turn comes.

    Raises:
        NotPermittedError: the dry run found something against it.
    """
    if (problem := checked.first_problem) is not None:
        raise NotPermittedError(
            problem[0], where=problem[1], next_step="A dry run says for each site what speaks against it."
        )
    launch = checked.launch
    moment = now()
    run = RunRecord(
        id=f"run-{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        app_digest=checked.app_sha256,
        datasets=tuple(DatasetVersion(dataset=one.dataset, version=one.version or 0) for one in launch.places),
        permits=(launch.permit,),
        nodes=tuple(one.node or "" for one in launch.places),
        state=RunState.QUEUED,
        submitted_by=account.name,
        organisation=account.organisation,
        launch=launch,
        created=moment,
        revision=1,
    )
    return _record(store, run, account, "run.queued")


def _record(store: Store, run: RunRecord, account: AccountDraft, action: str) -> RunRecord:
    """Put a new run on record, with the release that its permits and datasets ask for."""
    named = [store.get(Dataset, "datasets", one.dataset) for one in run.datasets]
    for dataset, one in zip(named, run.datasets, strict=True):
        lifecycle.check_usable(dataset, datasets.version(store, one.dataset, one.version))
    for permit in run.permits:
        permits.check_not_revoked(store, permit)
    held = [store.get(PermitRecord, "permits", one) for one in run.permits]
    run = run.model_copy(update={"release": releases.required(held, named)})
    with store.change(account.name) as change:
        change.insert("runs", run.id, run)
        change.event(action, f"run/{run.id}", app_digest=run.app_digest, permits=list(run.permits))
    return run


def update(store: Store, key: str, patch: RunPatch, *, revision: int, account: AccountDraft) -> RunRecord:
    """Change a run that is still at ``revision``: move it to another state, add its card or its artifacts.

    Raises:
        ConflictError: it has changed meanwhile, or the new state cannot follow the present one.
    """
    with store.change(account.name) as change:
        run = change.get(RunRecord, "runs", key)
        check_revision("runs", key, expected=revision, actual=run.revision)
        return move(change, run, patch)


def move(change: Change, run: RunRecord, patch: RunPatch) -> RunRecord:
    """Change a run inside a transaction; ConflictError if the new state cannot follow the present one."""
    fields = {name: getattr(patch, name) for name in patch.model_fields_set if getattr(patch, name) is not None}
    if patch.state is not None and patch.state != run.state:
        check_transition(run, patch.state)
        if patch.state is RunState.RUNNING:
            fields["started"] = now()
        elif not RUN_TRANSITIONS[patch.state]:
            fields["finished"] = now()
    changed = RunRecord.model_validate({**run.model_dump(), **fields, "revision": run.revision + 1})
    change.update("runs", run.id, changed)
    change.event("run.updated", f"run/{run.id}", state=changed.state, fields=sorted(fields))
    return changed


def cancel(store: Store, key: str, account: AccountDraft) -> RunRecord:
    """Stop a run, or take it out of the queue; one that has ended stays as it is.

    Raises:
        NotPermittedError: it is another organisation's.
    """
    with store.change(account.name) as change:
        run = change.get(RunRecord, "runs", key)
        check_visible(run, account)
        if not RUN_TRANSITIONS[run.state]:
            change.event("run.cancelled-too-late", f"run/{key}", state=run.state)
            return releases.shown(run, account)
        stopped = RunPatch(state=RunState.STOPPED, reason=f"It was cancelled by {account.name}.")
        return releases.shown(move(change, run, stopped), account)


def check_visible(run: RunRecord, account: AccountDraft) -> None:
    """Raise NotPermittedError where a researcher looks at a run of another organisation."""
    if account.role is Role.RESEARCHER and account.organisation != run.organisation:
        raise NotPermittedError(
            "A researcher sees the runs of their own organisation only.",
            where=f"run {run.id}",
            next_step="Ask the people of that organisation.",
        )


def check_results(store: Store, run: RunRecord, account: AccountDraft) -> None:
    """Raise NotPermittedError where a steward takes what a run on other data holders' data alone has left behind."""
    if account.role is not Role.STEWARD:
        return
    holders = {store.get(Dataset, "datasets", one.dataset).holder for one in run.datasets}
    if account.organisation not in holders:
        raise NotPermittedError(
            "A steward may have the results of runs on their own organisation's data only.",
            where=f"run {run.id}",
            next_step=f"Ask the people of {run.organisation or 'the lab'}, whose run it is.",
        )


def visible(store: Store, key: str, account: AccountDraft) -> RunRecord:
    """Return a run that ``account`` may see, without what it may not see of it before its release."""
    return releases.shown(whole(store, key, account), account)


def whole(store: Store, key: str, account: AccountDraft) -> RunRecord:
    """Return all that is on record of a run that ``account`` may see; who asks decides what to show of it."""
    run = store.get(RunRecord, "runs", key)
    check_visible(run, account)
    return run


def newest(store: Store, account: AccountDraft, *, offset: int, limit: int) -> list[RunRecord]:
    """Return runs that ``account`` may see, the newest first."""
    rows = store.rows(
        "SELECT record FROM runs WHERE $own = '' OR (record ->> 'organisation') = $own "
        "ORDER BY record ->> 'created' DESC, id LIMIT $limit OFFSET $offset",
        {"own": _own(account), "limit": limit, "offset": offset},
    )
    return [releases.shown(RunRecord.model_validate_json(row[0]), account) for row in rows]


def by_id(store: Store, account: AccountDraft, *, after: str, limit: int) -> list[RunRecord]:
    """Return runs that ``account`` may see, by id, those after ``after``."""
    rows = store.rows(
        "SELECT record FROM runs WHERE id > $after AND ($own = '' OR (record ->> 'organisation') = $own) "
        "ORDER BY id LIMIT $limit",
        {"own": _own(account), "after": after, "limit": limit},
    )
    return [releases.shown(RunRecord.model_validate_json(row[0]), account) for row in rows]


def check_transition(run: RunRecord, state: RunState) -> None:
    """Raise ConflictError unless ``state`` can follow the run's present one."""
    if state not in RUN_TRANSITIONS[run.state]:
        raise ConflictError(
            f"A run that is {run.state} cannot become {state}.",
            where=f"run {run.id}",
            next_step="Start a new run.",
        )


def _own(account: AccountDraft) -> str:
    return account.organisation if account.role is Role.RESEARCHER else ""
