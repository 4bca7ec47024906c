"""Whether the lab server answers."""

from __future__ import annotations

from fastapi import APIRouter

from catalog.web.access import TheLab

router = APIRouter(tags=["health"])


@router.get("/health")
def health(lab: TheLab) -> dict[str, str]:
    """Say that the server answers and its catalog works; needs no account."""
    lab.store.rows("SELECT 1")
    return {"status": "ok"}
