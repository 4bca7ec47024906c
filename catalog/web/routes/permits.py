"""Data permits on record."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from catalog import permits, revocation
from catalog.access import requests, revocations
from catalog.access.records import AccessRequest, PermitDraft, PermitRecord, ResultDraft
from catalog.permissions import Action
from catalog.records import AccountDraft, Line
from catalog.web.access import After, Allowed, Limit, TheLab
from datalab.permits.revocation import RevocationList

router = APIRouter(prefix="/permits", tags=["permits"])
PermitId = Annotated[Line, Path()]
Reader = Annotated[AccountDraft, Depends(Allowed(Action.PERMIT_READ))]
Revoker = Annotated[AccountDraft, Depends(Allowed(Action.PERMIT_REVOCATIONS))]


@router.post("", status_code=201)
def record(
    draft: PermitDraft, lab: TheLab, account: Annotated[AccountDraft, Depends(Allowed(Action.PERMIT_RECORD))]
) -> PermitRecord:
    """Record a signed permit, if one of the keys that the lab pins has signed it."""
    return permits.record(lab.store, draft.token, lab.permit_keys, account)


@router.get("")
def read_all(account: Reader, lab: TheLab, after: After = "", limit: Limit = 100) -> list[PermitRecord]:
    """Return the permits that the account sees, by id."""
    return permits.find(lab.store, account, after=after, limit=limit)


@router.get("/revoked")
def revoked(account: Revoker, lab: TheLab) -> list[str]:
    """Return the ids of the permits that a list of revoked permits by the account's body has to name."""
    return revocations.due(lab.store, account)


@router.post("/revoked", status_code=201)
def publish_revoked(account: Revoker, signed: PermitDraft, lab: TheLab) -> RevocationList:
    """Publish a signed list of revoked permits; the nodes are sent it."""
    return revocations.publish(lab.store, signed.token, lab.permit_keys, account, files=lab.revocation_files)


@router.get("/{permit}")
def read(account: Reader, permit: PermitId, lab: TheLab) -> PermitRecord:
    """Return one permit."""
    return permits.read(lab.store, permit, account)


@router.post("/{permit}/renewal", status_code=201)
def renew(
    account: Annotated[AccountDraft, Depends(Allowed(Action.REQUEST_WRITE))], permit: PermitId, lab: TheLab
) -> AccessRequest:
    """Begin a request for a permit that follows this one, with what its request said."""
    return requests.renew(lab.store, permit, account)


@router.post("/{permit}/results", status_code=201)
def add_result(
    account: Annotated[AccountDraft, Depends(Allowed(Action.PERMIT_RESULT))],
    permit: PermitId,
    draft: ResultDraft,
    lab: TheLab,
) -> PermitRecord:
    """Say what came of a permit; the public register shows it."""
    return permits.add_result(lab.store, permit, draft, account)


@router.post("/{permit}/revocation")
def revoke(
    permit: PermitId,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.PERMIT_REVOKE))],
) -> PermitRecord:
    """Mark a permit as revoked, and stop its runs; no new one may name it."""
    return revocation.revoke(lab.store, permit, account)
