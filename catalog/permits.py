"""Data permits on record: what the lab has verified, and which are revoked.

The record serves the people of the lab and its register. It is not what lets data be used: every node
verifies the signed permit itself, against keys that it pins.
"""

from __future__ import annotations

from pathlib import Path

from catalog.errors import ConflictError, NotPermittedError
from catalog.records import AccountDraft, PermitRecord
from catalog.store import Store, now
from datalab.errors import NotFoundError
from datalab.permits.keys import load_public_key
from datalab.permits.permit import verify_permit


def record(store: Store, token: str, keys: Path, account: AccountDraft) -> PermitRecord:
    """Record a signed permit; the same one again gives the record that is there.

    Args:
        store: the catalog's records.
        token: the permit, a compact JWS.
        keys: folder with the public keys (``*.jwk``) of the access bodies and stewards that this lab pins.
        account: who hands it in.

    Raises:
        RefusedError: the permit is not signed by one of ``keys``, or does not hold now.
        ConflictError: another permit has the same id.
    """
    pinned = [load_public_key(path) for path in sorted(keys.glob("*.jwk"))]
    if not pinned:
        raise NotPermittedError(
            "This lab pins no key of an access body, so it can record no permit.",
            where=str(keys),
            next_step="Put the access body's public key (*.jwk) there.",
        )
    moment = now()
    claims = verify_permit(token, pinned, now=moment)
    try:
        known = store.get(PermitRecord, "permits", claims.id)
    except NotFoundError:
        permit = PermitRecord(token=token, id=claims.id, claims=claims, recorded_by=account.name, created=moment)
        with store.change(account.name) as change:
            change.insert("permits", permit.id, permit)
            change.event(
                "permit.recorded",
                f"permit/{permit.id}",
                issuer=claims.issuer,
                datasets=[one.id for one in claims.datasets],
            )
        return permit
    if known.token != token:
        raise ConflictError(
            "Another permit with this id is on record.",
            where=f"permit {claims.id}",
            next_step="Ask for a new id.",
        )
    return known


def revoke(store: Store, key: str, account: AccountDraft) -> PermitRecord:
    """Mark a permit as revoked, once and for all; NotFoundError if it is not on record."""
    with store.change(account.name) as change:
        permit = change.get(PermitRecord, "permits", key)
        revoked = permit.model_copy(update={"revoked": permit.revoked or now()})
        change.update("permits", key, revoked)
        change.event("permit.revoked", f"permit/{key}")
    return revoked


def check_not_revoked(store: Store, key: str) -> None:
    """Raise NotPermittedError if a permit is revoked, NotFoundError if it is not on record."""
    if store.get(PermitRecord, "permits", key).revoked is not None:
        raise NotPermittedError(
            "The permit has been revoked.",
            where=f"permit {key}",
            next_step="Ask the access body for a new permit.",
        )
