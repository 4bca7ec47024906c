"""Revoking a permit: it counts no more, and what runs under it is stopped in the same transaction."""

from __future__ import annotations

from catalog import permits, runs
from catalog.access.records import PermitRecord
from catalog.records import AccountDraft
from catalog.run_records import RUN_TRANSITIONS, RunPatch, RunRecord, RunState
from catalog.store import Store

_ENDED = [str(state) for state, following in RUN_TRANSITIONS.items() if not following]


def revoke(store: Store, key: str, account: AccountDraft) -> PermitRecord:
    """Mark a permit as revoked, once and for all, and stop its runs, whether they wait or run.

    Nodes learn of it by the signed list that its issuer publishes (``catalog.access.revocations``).

    Raises:
        NotFoundError: it is not on record.
        NotPermittedError: a steward's, where an access body or another holder's steward decided.
        ConflictError: it has expired.
    """
    with store.change(account.name) as change:
        revoked = permits.mark_revoked(change, key, account)
        rows = change.execute(
            "SELECT record FROM runs WHERE list_contains(record ->> '$.permits[*]', $permit) "
            "AND NOT list_contains($ended, record ->> 'state') ORDER BY id",
            {"permit": key, "ended": _ENDED},
        )
        for (record,) in rows:
            stopped = RunPatch(state=RunState.STOPPED, reason="Its permit was revoked.")
            runs.move(change, RunRecord.model_validate_json(record), stopped)
    return revoked
