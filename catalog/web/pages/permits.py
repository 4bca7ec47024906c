"""The permits on record, each with what was done under it, and revoking one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from catalog import permits
from catalog.permissions import Action
from catalog.records import Line, PermitRecord, RunRecord
from catalog.web.pages.page import Page, Shown

router = APIRouter(prefix="/permits")
Reader = Annotated[Page, Depends(Shown(Action.PERMIT_READ))]
PermitId = Annotated[Line, Path()]
PER_PAGE = 50


@router.get("")
def listing(page: Reader, after: Annotated[str, Query(max_length=300)] = "") -> Response:
    """Show the permits, by id."""
    found = page.lab.store.page(PermitRecord, "permits", after=after, limit=PER_PAGE + 1)
    return page.show("permits.html", permits=found[:PER_PAGE], more=len(found) > PER_PAGE, after=after)


@router.get("/{permit}")
def one(page: Reader, permit: PermitId) -> Response:
    """Show a permit, and the runs under it."""
    found = page.lab.store.get(PermitRecord, "permits", permit)
    runs = []
    if page.may(Action.RUN_READ):
        rows = page.lab.store.rows(
            "SELECT record FROM runs WHERE list_contains(from_json(record -> 'permits', '[\"VARCHAR\"]'), ?)", [permit]
        )
        runs = [RunRecord.model_validate_json(row[0]) for row in rows]
    return page.show("permit.html", permit=found, runs=runs)


@router.get("/{permit}/revoke")
def revoke_form(
    page: Annotated[Page, Depends(Shown(Action.PERMIT_REVOKE, decision=True))], permit: PermitId
) -> Response:
    """Ask whether a permit is to be revoked, which cannot be taken back."""
    return page.show("revoke.html", permit=page.lab.store.get(PermitRecord, "permits", permit))


@router.post("/{permit}/revoke")
def revoke(page: Annotated[Page, Depends(Shown(Action.PERMIT_REVOKE, decision=True))], permit: PermitId) -> Response:
    """Revoke a permit."""
    permits.revoke(page.lab.store, permit, page.account)
    return page.go(f"/permits/{permit}?notice=revoked")
