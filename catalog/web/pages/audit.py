"""The audit chain: reading it with filters, taking it away as CSV, and the mark that says it is unbroken."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from catalog.event_records import Event
from catalog.permissions import Action
from catalog.store import Store
from catalog.web.pages.page import Page, Shown

router = APIRouter(prefix="/audit")
Reader = Annotated[Page, Depends(Shown(Action.EVENT_READ))]
PER_PAGE = 50
_COLUMNS = ("n", "time", "actor", "action", "subject", "details", "previous", "hash")


class Filters(BaseModel):
    """What narrows the list; empty where it does not."""

    model_config = ConfigDict(str_strip_whitespace=True, str_max_length=300)
    actor: str = ""
    action: str = ""
    subject: str = ""
    since: date | Literal[""] = ""
    until: date | Literal[""] = ""

    def given(self) -> dict[str, str]:
        """Return each filter as it is written in an address."""
        return {name: str(value) for name, value in self}


class Paged(Filters):
    """A page of the list: the entries before a number, the newest first."""

    before: Annotated[int, Field(ge=0, lt=2**63)] | Literal[""] = ""


@router.get("")
def listing(page: Reader, wanted: Annotated[Paged, Query()]) -> Response:
    """Show entries, the newest first."""
    filters = wanted.given()
    before = filters.pop("before")
    found = page.lab.store.find_events(**filters, before=int(before) if before else None, limit=PER_PAGE + 1)
    return page.show("audit.html", events=found[:PER_PAGE], more=len(found) > PER_PAGE, filters=filters)


@router.get("/verification")
def verification(page: Reader) -> Response:
    """Recompute the chain from its beginning, and say whether it is unbroken."""
    return page.show("verification.html", verified=page.lab.store.verify_events())


@router.get("/export")
def export(page: Reader, wanted: Annotated[Filters, Query()]) -> Response:
    """Return the entries that the filters let through as a CSV file, the newest first."""
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    rows = _csv(page.lab.store, wanted.given())
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=headers)


def _csv(store: Store, filters: dict[str, str]) -> Iterator[str]:
    yield _line(_COLUMNS)
    before: int | None = None
    while batch := store.find_events(**filters, before=before, limit=1000):
        yield "".join(_line(_cells(event)) for event in batch)
        before = batch[-1].n


def _cells(event: Event) -> tuple[str, ...]:
    details = json.dumps(event.details, sort_keys=True)
    cells = (event.time, event.actor, event.action, event.subject, details, event.previous, event.hash)
    return (str(event.n), *(_harmless(cell) for cell in cells))


def _harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _line(cells: tuple[str, ...]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue()
