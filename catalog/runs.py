"""Federated runs on record: which states follow which, and what a run leaves behind."""

from __future__ import annotations

from catalog import datasets, lifecycle, permits
from catalog.errors import ConflictError
from catalog.records import RUN_TRANSITIONS, AccountDraft, Dataset, RunDraft, RunPatch, RunRecord, RunState
from catalog.store import Store, check_revision, now


def create(store: Store, draft: RunDraft, account: AccountDraft) -> RunRecord:
    """Record a run as submitted.

    Raises:
        ConflictError: its id is taken.
        NotFoundError: it names a version or a permit that the catalog does not have.
        NotPermittedError: it names a permit that is revoked, or a dataset or version that is withdrawn.
    """
    for one in draft.datasets:
        version = datasets.version(store, one.dataset, one.version)
        lifecycle.check_usable(store.get(Dataset, "datasets", one.dataset), version)
    for permit in draft.permits:
        permits.check_not_revoked(store, permit)
    run = RunRecord(
        **draft.model_dump(), state=RunState.SUBMITTED, submitted_by=account.name, created=now(), revision=1
    )
    with store.change(account.name) as change:
        change.insert("runs", run.id, run)
        change.event("run.submitted", f"run/{run.id}", app_digest=run.app_digest, permits=list(run.permits))
    return run


def update(store: Store, key: str, patch: RunPatch, *, revision: int, account: AccountDraft) -> RunRecord:
    """Change a run that is still at ``revision``: move it to another state, add its card or its artifacts.

    Raises:
        ConflictError: it has changed meanwhile, or the new state cannot follow the present one.
    """
    with store.change(account.name) as change:
        run = change.get(RunRecord, "runs", key)
        check_revision("runs", key, expected=revision, actual=run.revision)
        fields = patch.model_dump(exclude_none=True)
        if patch.state is not None and patch.state != run.state:
            check_transition(run, patch.state)
            fields["started" if patch.state is RunState.RUNNING else "finished"] = now()
        changed = RunRecord.model_validate({**run.model_dump(), **fields, "revision": revision + 1})
        change.update("runs", key, changed)
        change.event("run.updated", f"run/{key}", state=changed.state, fields=sorted(fields))
    return changed


def check_transition(run: RunRecord, state: RunState) -> None:
    """Raise ConflictError unless ``state`` can follow the run's present one."""
    if state not in RUN_TRANSITIONS[run.state]:
        raise ConflictError(
            f"A run that is {run.state} cannot become {state}.",
            where=f"run {run.id}",
            next_step="Start a new run.",
        )
