"""Signed lists of revoked permits: what is to be signed, and the latest list of each key, for nodes.

A permit that is revoked counts no more for the lab at once. Nodes go by the list that the deciding body signs with its
own key: the gateway sends it to them, and each node's ``node.toml`` says how old it may be.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from catalog import permits
from catalog.access.records import PermitRecord
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import AccountDraft, Role
from catalog.store import Store, now
from datalab.errors import NotFoundError
from datalab.permits.lists import RevocationFiles, signer_of
from datalab.permits.revocation import RevocationList

FRESH = timedelta(hours=1)
"""How old a list may be when it is handed in."""


def due(store: Store, account: AccountDraft) -> list[str]:
    """Return the ids of the permits that a list by this account's body has to name: revoked, and not over."""
    steward_of = account.organisation if account.role is Role.STEWARD else None
    rows = store.rows(
        "SELECT record FROM permits WHERE (record ->> 'revoked') IS NOT NULL "
        "AND (record ->> 'steward_of') IS NOT DISTINCT FROM $holder ORDER BY id",
        {"holder": steward_of},
    )
    revoked = [PermitRecord.model_validate_json(row[0]) for row in rows]
    return [one.id for one in revoked if one.claims.expires > now()]


def publish(store: Store, token: str, keys: Path, account: AccountDraft, *, files: RevocationFiles) -> RevocationList:
    """Put a signed list in the place of the same key's earlier one; the gateway sends ``files`` to the nodes.

    Raises:
        RefusedError: it is not signed by a pinned key of the account's body, or is not of now.
        NotPermittedError: it leaves out a permit that is revoked here.
        ConflictError: a later list by this key is there.
    """
    steward_of = account.organisation if account.role is Role.STEWARD else None
    signer, found = signer_of(token, permits.pinned(keys, steward_of), now=now())
    found.check_fresh(now(), FRESH)
    missing = sorted(set(due(store, account)) - found.ids)
    if missing:
        raise NotPermittedError(
            f"The list leaves out permits that are revoked here: {', '.join(missing)}.",
            next_step="Sign a list of all of them.",
        )
    issued = int(found.issued.timestamp() * 1_000_000)
    with store.change(account.name) as change:
        if change.execute("SELECT 1 FROM revocations WHERE signer = ? AND issued > ?", [signer, issued]):
            raise ConflictError("A later list by this key is published.", next_step="Sign a new one.")
        change.execute("INSERT OR REPLACE INTO revocations VALUES (?, ?, ?)", [signer, issued, token])
        change.event("permit.revocations", f"permit-key/{signer}", permits=len(found.ids), issued=str(found.issued))
        files.put(signer, token)  # ahead of the commit, which may fail: it is the body's word in any case
    return found


def published(store: Store, signer: str) -> str:
    """Return the latest list that a key has signed; NotFoundError if there is none."""
    found = store.rows("SELECT token FROM revocations WHERE signer = ?", [signer])
    if not found:
        raise NotFoundError(
            "No list of revoked permits by this key is published here.",
            where=f"key {signer}",
            next_step="Ask whoever holds the key to publish one: datalab access revocations --key FILE.",
        )
    return str(found[0][0])


def lay_out(store: Store, files: RevocationFiles) -> None:
    """Lay the published lists out for the gateway, as the catalog has them: it may have come from a backup."""
    for signer, token in store.rows("SELECT signer, token FROM revocations", {}):
        files.put(str(signer), str(token))
