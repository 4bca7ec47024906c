"""A curation run as it happens: its stages, its checks, what was rejected, and what to do next."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse

from catalog.curations import Curation
from catalog.permissions import Action, check_holder
from catalog.records import Dataset
from catalog.web.access import DatasetId
from catalog.web.live import Update, live
from catalog.web.pages.language import mark
from catalog.web.pages.page import Page, Shown
from datalab.curation.progress import STAGES, Stage
from datalab.errors import NotFoundError

router = APIRouter(prefix="/datasets/{dataset}/curation")
Watcher = Annotated[Page, Depends(Shown(Action.UPLOAD_READ))]
RunId = Annotated[UUID, Path()]
MOST_SHOWN = 100
STAGE: dict[Stage, str] = {
    "received": mark("File put together and kept"),
    "landing": mark("File taken over by the pipeline"),
    "validated": mark("Every record checked by the contract"),
    "deidentified": mark("De-identification checked"),
    "harmonised": mark("Table made"),
    "profiled": mark("Quality record made"),
    "published": mark("Version published"),
}
RULE = {
    "type": mark("Not of the column's type"),
    "required": mark("A value is missing"),
    "code list": mark("Not one of the values that may be"),
    "band": mark("Not one of the column's bands"),
    "range": mark("Outside the range"),
    "field count": mark("More or fewer fields than columns"),
    "quote": mark("A quote that is not closed"),
    "line end": mark("A line end inside the record"),
    "encoding": mark("Not UTF-8"),
    "unknown column": mark("A column that the contract does not know"),
    "missing column": mark("A column of the contract is missing"),
    "repeated column": mark("A column is there twice"),
    "direct identifier": mark("A column that identifies persons"),
    "no header": mark("The first line does not name the columns"),
}
VALUE = {
    "empty": mark("nothing"),
    "missing marker": mark("a mark for no value"),
    "number": mark("a number"),
    "text": mark("a text"),
}


@router.get("")
def runs(page: Watcher, dataset: DatasetId) -> Response:
    """Show the dataset's curation runs, those that a command or Dagster's daemon started too."""
    record = page.lab.store.get(Dataset, "datasets", dataset)
    check_holder(page.account, record.holder)
    return page.show("curations.html", dataset=record, curations=page.lab.curations.of(dataset)[:MOST_SHOWN])


@router.get("/{run}")
def watch(page: Watcher, dataset: DatasetId, run: RunId) -> Response:
    """Show how far a curation is."""
    record, found = _find(page, dataset, run)
    return page.show("curation.html", state=found.state, **_values(page, record, found))


@router.get("/{run}/live")
def follow(page: Watcher, dataset: DatasetId, run: RunId, seen: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Stream how far a curation is, until it has ended."""
    _find(page, dataset, run)

    def look(state: str) -> Update | None:
        record, found = _find(page, dataset, run)
        if found.state == state:
            return None
        return Update(found.state, page.render("curation_state.html", **_values(page, record, found)), found.ended)

    return live(page, Action.UPLOAD_READ, look, seen=seen)


@router.get("/{run}/rejects")
def rejects(page: Watcher, dataset: DatasetId, run: RunId) -> Response:
    """Hand over the list of what was rejected: line, column and rule of each, and no value."""
    _, found = _find(page, dataset, run)
    if not found.rejects_file.exists():
        raise NotFoundError("There is no list of rejects yet.", next_step="It is made when the file is checked.")
    return FileResponse(found.rejects_file, media_type="text/csv; charset=utf-8", filename=f"{dataset}-rejects.csv")


def _values(page: Page, dataset: Dataset, found: Curation) -> dict[str, Any]:
    """Return what the page shows."""
    return {
        "dataset": dataset,
        "curation": found,
        "progress": found.progress,
        "rejects": found.rejects() if found.ended else None,
        "draft": next((one for one in page.lab.drafts.of(page.account) if one.run == found.run), None),
        "here": f"/datasets/{dataset.id}/curation/{found.run}",
        "stages": STAGES,
        "stage": STAGE,
        "rule": RULE,
        "value": VALUE,
    }


def _find(page: Page, dataset: str, run: UUID) -> tuple[Dataset, Curation]:
    record = page.lab.store.get(Dataset, "datasets", dataset)
    check_holder(page.account, record.holder)
    return record, page.lab.curations.find(dataset, str(run))
