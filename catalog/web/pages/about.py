"""What the lab says about itself."""

from __future__ import annotations

from fastapi import APIRouter, Response

from catalog.web.pages.page import AnyPage

router = APIRouter()


@router.get("/accessibility")
def accessibility(page: AnyPage) -> Response:
    """Show the accessibility statement."""
    return page.show("accessibility.html")
