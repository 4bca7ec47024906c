"""The audit chain."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from catalog.event_records import Event, EventsVerification
from catalog.permissions import Action
from catalog.web.access import Allowed, Limit, TheLab

router = APIRouter(prefix="/events", tags=["events"], dependencies=[Depends(Allowed(Action.EVENT_READ))])


@router.get("")
def read(lab: TheLab, after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 100) -> list[Event]:
    """Return entries of the audit chain after number ``after``."""
    return lab.store.events(after=after, limit=limit)


@router.get("/verify")
def verify(lab: TheLab) -> EventsVerification:
    """Recompute the audit chain."""
    return lab.store.verify_events()
