"""Data permits on record."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from catalog import permits
from catalog.permissions import Action
from catalog.records import AccountDraft, Line, PermitDraft, PermitRecord
from catalog.web.access import After, Allowed, Limit, TheLab

router = APIRouter(prefix="/permits", tags=["permits"])


@router.post("", status_code=201)
def record(
    draft: PermitDraft, lab: TheLab, account: Annotated[AccountDraft, Depends(Allowed(Action.PERMIT_RECORD))]
) -> PermitRecord:
    """Record a signed permit, if one of the keys that the lab pins has signed it."""
    return permits.record(lab.store, draft.token, lab.permit_keys, account)


@router.get("", dependencies=[Depends(Allowed(Action.PERMIT_READ))])
def read_all(lab: TheLab, after: After = "", limit: Limit = 100) -> list[PermitRecord]:
    """Return permits by id, those after ``after``."""
    return lab.store.page(PermitRecord, "permits", after=after, limit=limit)


@router.post("/{permit}/revocation")
def revoke(
    permit: Annotated[Line, Path()],
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.PERMIT_REVOKE))],
) -> PermitRecord:
    """Mark a permit as revoked; no new run may name it."""
    return permits.revoke(lab.store, permit, account)
