"""Other catalogues: which are harvested, harvesting them, and what was found there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool

from catalog.harvest.fetch import MAX_BYTES, Document, form_of
from catalog.harvest.records import EntryId, RemoteEntry, Source, SourceDraft, SourceId
from catalog.permissions import Action
from catalog.records import AccountDraft
from catalog.web.access import Allowed, TheLab

router = APIRouter(tags=["other catalogues"])
_Manager = Annotated[AccountDraft, Depends(Allowed(Action.SOURCE_MANAGE))]
_Key = Annotated[SourceId, Path()]


@router.get("/sources", dependencies=[Depends(Allowed(Action.SOURCE_READ))])
def read_all(lab: TheLab) -> list[Source]:
    """Return the catalogues that are harvested, by id, each with what came of it last."""
    return lab.harvester.sources()


@router.post("/sources", status_code=201)
def add(account: _Manager, draft: SourceDraft, lab: TheLab) -> Source:
    """Put a catalogue on record; it is harvested when its time has come, or when it is asked for."""
    return lab.harvester.add(draft, account.name)


@router.delete("/sources/{source}", status_code=204)
def remove(account: _Manager, source: _Key, lab: TheLab) -> None:
    """Take a catalogue off the record, and what was found in it."""
    lab.harvester.remove(source, account.name)


@router.post("/sources/{source}/harvests")
def harvest(account: _Manager, source: _Key, lab: TheLab, *, allow_removals: bool = False) -> Source:
    """Harvest a catalogue from its address now, and return what came of it."""
    return lab.harvester.harvest(source, account.name, allow_removals=allow_removals)


@router.put("/sources/{source}/document")
async def hand_in(
    account: _Manager,
    source: _Key,
    filename: Annotated[str, Query(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")],
    request: Request,
    lab: TheLab,
    *,
    allow_removals: bool = False,
) -> Source:
    """Harvest a catalogue from a file that has all of it (the body as it is), and return what came of it."""
    form = form_of("", filename)
    request.state.max_body = MAX_BYTES
    document = Document(f"https://{source}.invalid/document", form, await request.body())
    return await run_in_threadpool(
        lab.harvester.harvest, source, account.name, document=document, allow_removals=allow_removals
    )


@router.get("/remotes/{entry}", dependencies=[Depends(Allowed(Action.DATASET_READ))])
def read_entry(entry: Annotated[EntryId, Path()], lab: TheLab) -> RemoteEntry:
    """Return a dataset of another catalogue as it is described there; access is asked for there, too."""
    return lab.harvester.entry(entry)
