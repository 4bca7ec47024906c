"""What has outlived its time, and its removal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from catalog import lifecycle
from catalog.permissions import Action
from catalog.records import AccountDraft, Dataset, Hold
from catalog.retention.records import Due
from catalog.store import now
from catalog.web.access import Allowed, DatasetId, TheLab

router = APIRouter(tags=["retention"])


@router.get("/retention", dependencies=[Depends(Allowed(Action.RETENTION_READ))])
def read(lab: TheLab, at: Annotated[AwareDatetime | None, Query()] = None) -> list[Due]:
    """Return what has outlived its time, now or at another moment; nothing is changed."""
    return lab.keeper.due(at or now())


@router.post("/retention", dependencies=[Depends(Allowed(Action.RETENTION_CARRY_OUT))])
def carry_out(lab: TheLab) -> list[Due]:
    """Remove what has outlived its time, as the lab does by itself, and return it."""
    return lab.keeper.carry_out(now())


@router.put("/datasets/{dataset}/hold")
def hold(
    dataset: DatasetId,
    hold: Hold,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.DATASET_HOLD))],
) -> Dataset:
    """Put a dataset under legal hold, or release it: until then nothing of it is removed for its age."""
    return lifecycle.hold(lab.store, dataset, hold, account)
