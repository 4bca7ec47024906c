"""Federated runs on record."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from catalog import runs
from catalog.permissions import Action
from catalog.records import AccountDraft, RunDraft, RunPatch, RunRecord, Slug
from catalog.web.access import After, Allowed, Limit, Revision, TheLab

router = APIRouter(prefix="/runs", tags=["runs"])
_Reader = Depends(Allowed(Action.RUN_READ))


@router.post("", status_code=201)
def create(
    draft: RunDraft, lab: TheLab, account: Annotated[AccountDraft, Depends(Allowed(Action.RUN_CREATE))]
) -> RunRecord:
    """Record a run as submitted."""
    return runs.create(lab.store, draft, account)


@router.get("", dependencies=[_Reader])
def read_all(lab: TheLab, after: After = "", limit: Limit = 100) -> list[RunRecord]:
    """Return runs by id, those after ``after``."""
    return lab.store.page(RunRecord, "runs", after=after, limit=limit)


@router.get("/{run}", dependencies=[_Reader])
def read(run: Slug, lab: TheLab) -> RunRecord:
    """Return one run."""
    return lab.store.get(RunRecord, "runs", run)


@router.patch("/{run}")
def update(
    account: Annotated[AccountDraft, Depends(Allowed(Action.RUN_UPDATE))],
    run: Slug,
    patch: RunPatch,
    revision: Revision,
    lab: TheLab,
) -> RunRecord:
    """Change a run that is still at the revision in If-Match."""
    return runs.update(lab.store, run, patch, revision=revision, account=account)
