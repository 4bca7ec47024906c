"""Backups: a snapshot of the catalog's files, which the command line takes away."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from catalog.permissions import Action
from catalog.records import AccountDraft
from catalog.snapshot import Snapshot
from catalog.web.access import Allowed, TheLab

router = APIRouter(tags=["backups"])


@router.post("/backups", status_code=201)
def take(account: Annotated[AccountDraft, Depends(Allowed(Action.BACKUP_CREATE))], lab: TheLab) -> Snapshot:
    """Copy the catalog's files, as they are at this moment, into the lab's home."""
    return lab.snapshot(account.name)
