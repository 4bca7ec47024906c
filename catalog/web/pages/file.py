"""A dataset's file on its way into the lab, in parts, and what is found in it: answers to the script of the pages.

The script says which file comes and gets told where to go on, sends one part after the other, and then asks for what
was found. Answers are JSON; what is wrong is said in the reader's language.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from catalog.drafts import PART_BYTES, Draft
from catalog.errors import ConflictError, TooLargeError
from catalog.permissions import Action
from catalog.records import Slug
from catalog.web.errors import status_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from datalab.curation.infer import ColumnDraft, Inference, infer
from datalab.errors import BadInputError, DatalabError

router = APIRouter(prefix="/register")
Uploader = Annotated[Page, Depends(Shown(Action.UPLOAD_CREATE))]
DraftId = Slug
LOOKED_AT = 16 << 20
"""Bytes at the beginning of a file that its columns are inferred from."""
_SAID: dict[str, str] = {
    "Only plain tables of text are taken.": mark(
        "Only tables of text are taken: a file .csv, .tsv or .txt, plain or as .gz."
    ),
    "The file is empty.": mark("The file is empty. Choose another one."),
    "The file is too large.": mark("The file is too large. Split it into several datasets."),
}


@router.post("/file")
def begin(page: Uploader, form: Form) -> Response:
    """Make a draft for a file that comes, and say where its parts go."""
    return _announced(page, form, None)


@router.post("/{draft}/file")
def go_on(page: Uploader, draft: DraftId, form: Form) -> Response:
    """Say where a file goes on that comes to a draft, from its beginning if it is another one than before."""
    return _announced(page, form, page.lab.drafts.get(draft, page.account))


@router.put("/{draft}/file")
async def part(page: Uploader, draft: DraftId, request: Request, offset: Annotated[int, Query(ge=0)] = 0) -> Response:
    """Take the part of a file that begins at ``offset``."""
    request.state.max_body = PART_BYTES
    data = await request.body()
    return await run_in_threadpool(_take, page, draft, offset, data)


@router.post("/{draft}/file/end")
def end(page: Uploader, draft: DraftId) -> Response:
    """Look into a file that has arrived, and say where what was found can be confirmed."""
    found = page.lab.drafts.get(draft, page.account)
    try:
        if found.file is None or page.lab.drafts.received(found) != found.file.bytes:
            raise ConflictError("The file has not arrived yet.", next_step="Send the rest of it.")
        inferred = _keep_corrections(_infer(page, found), found.found)
    except DatalabError as error:
        if isinstance(error, BadInputError):
            page.lab.drafts.remove_file(found)
        return _problem(page, error)
    page.lab.drafts.save(found, found=inferred, confirmed=False)
    return JSONResponse({"next": f"/register/{draft}/columns"})


def _announced(page: Page, form: Form, draft: Draft | None) -> Response:
    name, size, modified = (form.get(field, "")[:300] for field in ("name", "bytes", "modified"))
    try:
        if not name.isprintable() or not all(text.isdecimal() and len(text) < 16 for text in (size, modified)):
            raise BadInputError("The announcement of the file is not valid.")
        draft = draft or page.lab.drafts.begin(page.account, "lab")
        draft = page.lab.drafts.announce_file(draft, name, int(size), int(modified))
    except DatalabError as error:
        return _problem(page, error)
    address = f"/register/{draft.id}/file"
    return JSONResponse({"address": address, "received": page.lab.drafts.received(draft), "part": PART_BYTES})


def _take(page: Page, key: str, offset: int, data: bytes) -> Response:
    draft = page.lab.drafts.get(key, page.account)
    try:
        return JSONResponse({"received": page.lab.drafts.receive(draft, offset, data)})
    except DatalabError as error:
        if isinstance(error, BadInputError):
            page.lab.drafts.remove_file(draft)
        return _problem(page, error, received=page.lab.drafts.received(draft))


def _problem(page: Page, error: DatalabError, **more: int) -> Response:
    """Say what is wrong: in the reader's language where the words are known, else as the core says it."""
    said = page.words(_SAID[error.what]) if error.what in _SAID else str(error)
    if isinstance(error, TooLargeError):
        said = page.words(_SAID["The file is too large."])
    return JSONResponse({"problem": said, **more}, status_of(error))


def _infer(page: Page, draft: Draft) -> Inference:
    """Infer the columns from the beginning of a draft's file, which is on the disk for as long as that takes."""
    assert draft.file is not None
    with tempfile.TemporaryDirectory(dir=page.lab.home.folder("catalog"), prefix=".look-") as folder:
        path, work = Path(folder) / draft.file.name, Path(folder) / "work"
        work.mkdir()
        with path.open("wb") as file:
            for piece in page.lab.drafts.read(draft, limit=LOOKED_AT):
                file.write(piece)
        return infer(path, work, whole=path.stat().st_size == draft.file.bytes)


def _keep_corrections(found: Inference, before: Inference | None) -> Inference:
    """Take over what a steward has said of columns that the file before had too."""
    said = {column.header: column for column in before.columns} if before else {}
    return found.model_copy(update={"columns": tuple(map(partial(_corrected, said), found.columns))})


def _corrected(said: dict[str, ColumnDraft], column: ColumnDraft) -> ColumnDraft:
    if (before := said.get(column.header)) is None or before.found_type != column.found_type:
        return column
    return column.model_copy(update={"unit": before.unit, "description": before.description})
