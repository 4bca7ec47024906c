"""Backups: a snapshot of the catalog's files, which the command line takes away."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from catalog.kept_backups import kept_backups
from catalog.permissions import Action
from catalog.records import AccountDraft
from catalog.snapshot import KeptBackup, Snapshot
from catalog.web.access import Allowed, TheLab

router = APIRouter(tags=["backups"])


@router.post("/backups", status_code=201)
def take(
    account: Annotated[AccountDraft, Depends(Allowed(Action.BACKUP_CREATE))],
    lab: TheLab,
    folder: Annotated[str, Query(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
) -> Snapshot:
    """Copy the catalog's files, as they are at this moment, into the lab's home; ``folder`` is where they go next."""
    return lab.snapshot(actor=account.name, goes_to=folder)


@router.get("/backups", dependencies=[Depends(Allowed(Action.BACKUP_CREATE))])
def read_all(lab: TheLab) -> list[KeptBackup]:
    """Return the newest backup in each folder that is known, with the erasures since: those people are in it still."""
    return kept_backups(lab.store)
