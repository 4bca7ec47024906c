"""Other catalogues: for the operator which are harvested and what came of it; for everybody, their datasets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import ValidationError

from catalog.errors import ConflictError
from catalog.harvest.records import EntryId, SourceDraft, SourceId
from catalog.permissions import Action
from catalog.web.pages.edit import problems_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from datalab.errors import RefusedError

router = APIRouter()
Reader = Annotated[Page, Depends(Shown(Action.SOURCE_READ))]
Manager = Annotated[Page, Depends(Shown(Action.SOURCE_MANAGE))]
Key = Annotated[SourceId, Path()]
_FIELDS = ("id", "name", "address", "country", "every_hours")
_TAKEN = mark("Another catalogue has this short name already.")
_NOT_FETCHED = mark(
    "This address is not fetched from: it has to begin with https://. For others, the lab's settings have to allow it."
)


@router.get("/sources")
def listing(page: Reader) -> Response:
    """Show the catalogues that are harvested."""
    return _listing(page)


@router.post("/sources")
def add(page: Manager, form: Form) -> Response:
    """Put a catalogue on record."""
    values = {name: form.get(name, "").strip() for name in _FIELDS}
    problems: dict[str, str] = {}
    try:
        draft = SourceDraft.model_validate({name: value for name, value in values.items() if value})
        page.lab.harvester.add(draft, page.account.name)
    except ValidationError as error:
        problems = problems_of(error)
    except ConflictError:
        problems = {"id": _TAKEN}
    except RefusedError:
        problems = {"address": _NOT_FETCHED}
    if problems:
        return _listing(page, status=422, values=values, problems=problems)
    return page.go("/sources?notice=source-added")


@router.post("/sources/{source}/harvest")
def harvest(page: Manager, source: Key, form: Form) -> Response:
    """Begin to harvest a catalogue; what comes of it is shown once it is done.

    Where much was gone and the harvest was refused, the operator may say that it is to be withdrawn.
    """
    page.lab.harvester.begin(source, page.account.name, allow_removals=form.get("removals") == "yes")
    return page.go("/sources?notice=source-begun")


@router.get("/sources/{source}/remove")
def remove_form(page: Manager, source: Key) -> Response:
    """Ask whether a catalogue is to be removed."""
    return page.show("source_remove.html", source=page.lab.harvester.source(source))


@router.post("/sources/{source}/remove")
def remove(page: Manager, source: Key) -> Response:
    """Take a catalogue off the record, and what was found in it."""
    page.lab.harvester.remove(source, page.account.name)
    return page.go("/sources?notice=source-removed")


@router.get("/remote/{entry}")
def remote(page: Annotated[Page, Depends(Shown(Action.DATASET_READ))], entry: Annotated[EntryId, Path()]) -> Response:
    """Show a dataset of another catalogue, and where access to it is asked for."""
    return page.show("remote.html", entry=page.lab.harvester.entry(entry))


def _listing(
    page: Page, *, status: int = 200, values: dict[str, str] | None = None, problems: dict[str, str] | None = None
) -> Response:
    found = page.lab.harvester.sources()
    return page.show(
        "sources.html",
        status=status,
        sources=found,
        busy={one.id for one in found if page.lab.harvester.is_busy(one.id)},
        manages=page.may(Action.SOURCE_MANAGE),
        values=values or {},
        problems=problems or {},
    )
