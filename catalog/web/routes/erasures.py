"""Removing people, and the list of those who are left out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from catalog.erasure.records import Erasure, ErasureDraft, Marks
from catalog.permissions import Action
from catalog.records import AccountDraft, Slug
from catalog.web.access import Allowed, TheLab

router = APIRouter(tags=["erasures"])


@router.post("/erasures", status_code=201)
def erase(
    account: Annotated[AccountDraft, Depends(Allowed(Action.ERASURE_CREATE))], draft: ErasureDraft, lab: TheLab
) -> Erasure:
    """Remove a person from everything that the lab keeps of a data holder's, and leave them out from now on."""
    return lab.eraser.erase(draft, account)


@router.get("/erasures", dependencies=[Depends(Allowed(Action.ERASURE_READ))])
def read_all(lab: TheLab) -> list[Erasure]:
    """Return all erasures, the oldest first."""
    return lab.eraser.every()


@router.get("/opt-outs/{holder}", dependencies=[Depends(Allowed(Action.OPT_OUT_READ))])
def opt_outs(holder: Slug, lab: TheLab) -> Marks:
    """Return the marks of a holder's people who are left out of every curation."""
    return lab.eraser.marks(holder)
