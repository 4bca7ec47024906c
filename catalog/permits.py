"""Data permits on record: what the lab has verified, who sees them, which are revoked, and what came of them.

The record serves the people of the lab and its register. It is not what lets data be used: every node
verifies the signed permit itself, against keys that it pins. The keys that the lab pins are in the folder
``permit-keys`` of its home: ``*.jwk`` of access bodies, ``stewards/HOLDER.jwk`` of data holders' stewards, which count
for that holder's data only, and not where an access body decides.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.access.policy import deciding_holder
from catalog.access.projects import who
from catalog.access.records import PermitRecord, Result, ResultDraft
from catalog.access.requests import datasets
from catalog.access.transitions import PermitState, PermitStep, follow_permit
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import AccountDraft, Role
from catalog.store import Change, Store, now
from datalab.errors import NotFoundError
from datalab.permits.claims import PermitClaims
from datalab.permits.errors import PermitError, Reason
from datalab.permits.keys import load_public_key
from datalab.permits.permit import read_claims_unverified, verify_permit

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

STEWARDS = "stewards"
"""Folder of the keys of stewards, below that of the access bodies' keys."""
_SEEN = """
($role IN ('access-body', 'operator', 'auditor', 'gateway')
    OR ($role = 'researcher' AND (record -> 'claims' ->> 'data_user') = $organisation
        AND list_contains(record ->> '$.claims.people[*]', $name)))
"""
"""Which permits an account sees that is no steward's: a researcher those that name them."""
_SEEN_BY_STEWARD = """
($role = 'steward' AND $name <> '' AND id IN (
    WITH named AS MATERIALIZED (
        SELECT p.id, d.record
        FROM (SELECT id, unnest(record ->> '$.claims.datasets[*].id') AS dataset FROM permits) AS p
        JOIN datasets AS d ON d.id = p.dataset)
    SELECT id FROM named WHERE (record ->> 'holder') = $organisation))
"""
"""Which permits a steward sees: those for their holder's data. Only the datasets of permits are looked into."""


def record(store: Store, token: str, keys: Path, account: AccountDraft) -> PermitRecord:
    """Record a signed permit; the same one again gives the record that is there.

    Args:
        store: the catalog's records.
        token: the permit, a compact JWS.
        keys: folder of the public keys that this lab pins.
        account: who hands it in.

    Raises:
        RefusedError: the permit is not signed by one of ``keys`` that counts for its data, or does not hold now.
        ConflictError: another permit has the same id.
    """
    moment = now()
    steward_of, claims = None, None
    try:
        claims = verified(token, keys, steward_of=None, moment=moment)
    except PermitError as error:
        steward_of = _steward(store, read_claims_unverified(token))
        if error.reason is not Reason.UNKNOWN_KEY or steward_of is None:
            raise
        claims = verified(token, keys, steward_of=steward_of, moment=moment)
    try:
        known = store.get(PermitRecord, "permits", claims.id)
    except NotFoundError:
        known = PermitRecord(
            token=token,
            id=claims.id,
            claims=claims,
            recorded_by=account.name,
            created=moment,
            steward_of=steward_of,
        )
        with store.change(account.name) as change:
            insert(change, known)
    if known.token != token:
        raise ConflictError(
            "Another permit with this id is on record.",
            where=f"permit {claims.id}",
            next_step="Ask for a new id.",
        )
    return known


def insert(change: Change, permit: PermitRecord) -> None:
    """Add a permit, within a change; ConflictError if its id is taken."""
    change.insert("permits", permit.id, permit)
    change.event(
        "permit.recorded",
        f"permit/{permit.id}",
        issuer=permit.claims.issuer,
        datasets=[one.id for one in permit.claims.datasets],
    )


def verified(token: str, keys: Path, *, steward_of: str | None, moment: datetime) -> PermitClaims:
    """Return the claims of a permit that a pinned key of the steward of a data holder, or of an access body, signed.

    Raises:
        NotPermittedError: no such key is pinned.
        PermitError: the permit is not signed by one of them, or does not hold at ``moment``.
    """
    return verify_permit(token, pinned(keys, steward_of), now=moment)


def pinned(keys: Path, steward_of: str | None) -> list[OKPKey]:
    """Return the keys that count where the steward of a data holder decides, or else an access body."""
    files = [keys / STEWARDS / f"{steward_of}.jwk"] if steward_of is not None else sorted(keys.glob("*.jwk"))
    found = [load_public_key(path) for path in files if path.exists()]
    if not found:
        whose = f"the steward of {steward_of}" if steward_of is not None else "an access body"
        raise NotPermittedError(
            f"This lab pins no key of {whose}, so it can record no such permit.",
            where=str(files[0] if steward_of is not None else keys),
            next_step="Put the public key (permit-key.public.jwk) there, named *.jwk.",
        )
    return found


def state(permit: PermitRecord, moment: datetime) -> PermitState:
    """Return where a permit stands; one that begins later is active."""
    if permit.revoked is not None:
        return PermitState.REVOKED
    if permit.claims.expires <= moment:
        return PermitState.EXPIRED
    return PermitState.ACTIVE if permit.renewed_by is None else PermitState.RENEWED


def read(store: Store, key: str, account: AccountDraft) -> PermitRecord:
    """Return a permit; NotFoundError if there is none that the account sees."""
    found = store.rows(f"SELECT record FROM permits WHERE id = $id AND {_seen(account)}", {"id": key, **who(account)})
    if not found:
        raise NotFoundError(f"There is no permit {key} that you can see.", next_step="See the list of permits.")
    return PermitRecord.model_validate_json(found[0][0])


def find(
    store: Store, account: AccountDraft, *, after: str = "", dataset: str = "", project: str = "", limit: int
) -> list[PermitRecord]:
    """Return the permits that an account sees, by id: all of them, or those for a dataset or of a project."""
    rows = store.rows(
        f"SELECT record FROM permits WHERE id > $after AND {_seen(account)} "
        "AND ($project = '' OR (record ->> 'project') = $project) "
        "AND ($dataset = '' OR list_contains(record ->> '$.claims.datasets[*].id', $dataset)) "
        "ORDER BY id LIMIT $limit",
        {"after": after, "limit": limit, "dataset": dataset, "project": project, **who(account)},
    )
    return [PermitRecord.model_validate_json(row[0]) for row in rows]


def in_force(permit: PermitRecord, moment: datetime) -> bool:
    """Return whether data may be used under a permit at ``moment``."""
    return permit.revoked is None and permit.claims.not_before <= moment < permit.claims.expires


def for_download(store: Store, account: AccountDraft, dataset: str, version: int) -> PermitRecord | None:
    """Return a permit in force under which the people it names may take a version away, if this account is of them.

    One that is good for certain apps only lets them use the data, and nobody have it.
    """
    moment = now()
    for permit in find(store, account, dataset=dataset, limit=1000):
        named = any(one.id == dataset and one.version in (None, version) for one in permit.claims.datasets)
        if named and not permit.claims.apps and in_force(permit, moment):
            return permit
    return None


def may_revoke(permit: PermitRecord, account: AccountDraft) -> bool:
    """Return whether a permit is one that this account, whose role may revoke, may revoke."""
    return account.role is not Role.STEWARD or account.organisation == permit.steward_of


def mark_revoked(change: Change, key: str, account: AccountDraft) -> PermitRecord:
    """Mark a permit as revoked; raises as ``catalog.revocation.revoke``, which also stops its runs."""
    permit = change.get(PermitRecord, "permits", key)
    if not may_revoke(permit, account):
        raise NotPermittedError(
            "Somebody else decided on this permit, and revokes it.",
            where=f"permit {key}",
            next_step=f"Write to {permit.claims.issuer}; your node's own policy can refuse it at once.",
        )
    if permit.revoked is None:
        follow_permit(PermitStep.REVOKE, state(permit, now()), key)
    revoked = permit.model_copy(update={"revoked": permit.revoked or now()})
    change.update("permits", key, revoked)
    change.event("permit.revoked", f"permit/{key}")
    return revoked


def add_result(store: Store, key: str, draft: ResultDraft, account: AccountDraft) -> PermitRecord:
    """Put on record what came of a permit; the public register shows it.

    Raises:
        NotPermittedError: the account is not one of the permit's people.
    """
    with store.change(account.name) as change:
        permit = change.get(PermitRecord, "permits", key)
        if account.organisation != permit.claims.data_user or account.name not in permit.claims.people:
            raise NotPermittedError(
                "Only the people of a permit may say what came of it.",
                where=f"permit {key}",
                next_step="Ask one of them.",
            )
        result = Result(**draft.model_dump(), by=account.name, time=now())
        made = PermitRecord.model_validate({**dict(permit), "results": (*permit.results, result)})
        change.update("permits", key, made)
        change.event("permit.result", f"permit/{key}", results=len(made.results))
    return made


def check_not_revoked(store: Store, key: str) -> None:
    """Raise NotPermittedError if a permit is revoked, NotFoundError if it is not on record."""
    if store.get(PermitRecord, "permits", key).revoked is not None:
        raise NotPermittedError(
            "The permit has been revoked.",
            where=f"permit {key}",
            next_step="Ask the access body for a new permit.",
        )


def _seen(account: AccountDraft) -> str:
    return _SEEN_BY_STEWARD if account.role is Role.STEWARD else _SEEN


def _steward(store: Store, claims: PermitClaims) -> str | None:
    """Return whose steward decides on the data that claims name; None where an access body does, or it is not here."""
    named = {one.id for one in claims.datasets}
    known = datasets(store, sorted(named))
    return deciding_holder(known.values()) if len(known) == len(named) else None
