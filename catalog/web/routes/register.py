"""What anybody may read, without an account: the public register, and the signed lists of revoked permits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from catalog.access import register, revocations
from catalog.access.records import RegisterEntry
from catalog.web.access import After, Limit, TheLab

router = APIRouter(tags=["open"])


@router.get("/register")
def read_all(lab: TheLab, after: After = "", limit: Limit = 100) -> list[RegisterEntry]:
    """Return permits, statistics that were given, and results, by id."""
    return register.find(lab.store, after=after, limit=limit)


@router.get("/revocations", response_class=PlainTextResponse)
def revoked(lab: TheLab, key: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{43}$")]) -> str:
    """Return the latest list of revoked permits that a key (its id, as ``datalab permit keygen`` says) has signed."""
    return revocations.published(lab.store, key)
