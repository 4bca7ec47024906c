"""The federated runs on record."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from catalog.permissions import Action
from catalog.records import RunRecord
from catalog.web.pages.page import Page, Shown

router = APIRouter(prefix="/runs")
PER_PAGE = 50


@router.get("")
def listing(
    page: Annotated[Page, Depends(Shown(Action.RUN_READ))], number: Annotated[int, Query(alias="page", ge=1)] = 1
) -> Response:
    """Show the runs, the newest first."""
    rows = page.lab.store.rows(
        "SELECT record FROM runs ORDER BY record ->> 'created' DESC, id LIMIT ? OFFSET ?",
        [PER_PAGE + 1, (number - 1) * PER_PAGE],
    )
    found = [RunRecord.model_validate_json(row[0]) for row in rows]
    return page.show("runs.html", runs=found[:PER_PAGE], more=len(found) > PER_PAGE, number=number)
