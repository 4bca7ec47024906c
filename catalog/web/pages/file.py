"""A dataset's file on its way into the lab, in parts, and what is found in it: answers to the script of the pages.

The script says which file comes and gets told where to go on, sends one part after the other, and then asks for what
was found. Answers are JSON; what is wrong is said in the reader's language. Without JavaScript the browser sends the
file as one form, which is cut into the same parts here; what comes back is then the next page.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from catalog.drafts import MAX_FILE, PART_BYTES, Draft, DraftFile, file_to_come
from catalog.errors import ConflictError, TooLargeError
from catalog.permissions import Action
from catalog.records import Slug
from catalog.web.errors import status_of
from catalog.web.multipart import MOST_AROUND, FileForm, drain, file_form, pieces_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from catalog.web.pages.wizard import FILE, show_start, show_step
from datalab.curation.infer import ColumnDraft, Inference
from datalab.curation.looking import look
from datalab.errors import BadInputError, DatalabError

router = APIRouter(prefix="/register")
Uploader = Annotated[Page, Depends(Shown(Action.UPLOAD_CREATE))]
DraftId = Slug
LOOKED_AT = 16 << 20
"""Bytes at the beginning of a CSV file that its columns are inferred from."""
MOST_RECORDS = 20_000
"""Records of JSON and Parquet that columns are inferred from; these files cannot be read from their beginning alone."""
_DRAINED = 64 << 20
"""Bytes of a form still read once its file is refused: browsers show no answer before they have sent theirs."""
_SAID: dict[str, str] = {
    "Only CSV, JSON and Parquet files are taken.": mark(
        "Only CSV, JSON and Parquet files are taken: .csv, .tsv, .txt, .json, .ndjson, .jsonl (also .gz) and .parquet."
    ),
    "The file is named .parquet and is no Parquet file.": mark("The file is named .parquet and is no Parquet file."),
    "The file is named like JSON and is none.": mark("The file is named like JSON and is none."),
    "The file cannot be looked into: reading it takes too much time or memory, or fails.": mark(
        "The file cannot be looked into: reading it takes too much time or memory, or fails. Write it anew or split it."
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
    try:
        return JSONResponse({"next": _look_into(page, page.lab.drafts.get(draft, page.account))})
    except DatalabError as error:
        return _problem(page, error)


@router.post("/file/whole")
async def begin_whole(page: Uploader, request: Request) -> Response:
    """Take a whole file from a browser without JavaScript, for a new draft if it is one that is taken."""
    return await _whole(page, None, request)


@router.post("/{draft}/file/whole")
async def whole(page: Uploader, draft: DraftId, request: Request) -> Response:
    """Take a whole file from a browser without JavaScript; it begins anew each time."""
    return await _whole(page, await run_in_threadpool(page.lab.drafts.get, draft, page.account), request)


async def _whole(page: Page, draft: Draft | None, request: Request) -> Response:
    """Cut the file of a form into parts as they come in, one of which is in memory, and show the page after that."""
    request.state.max_body = MAX_FILE + MOST_AROUND
    form = await file_form(request)
    try:
        file = file_to_come(form.name, form.size, 0)
        draft = await run_in_threadpool(_announce_anew, page, draft, file)
        return page.go(await _arrive(page, draft, form))
    except ClientDisconnect:
        return Response(status_code=400)  # which nobody sees
    except DatalabError as error:
        await drain(form.content, _DRAINED)
        return await run_in_threadpool(_show_again, page, draft, error)


def _announce_anew(page: Page, draft: Draft | None, file: DraftFile) -> Draft:
    announced = page.lab.drafts.announce_file(draft or page.lab.drafts.begin(page.account, "lab"), file)
    page.lab.drafts.remove_parts(announced)
    return announced


async def _arrive(page: Page, draft: Draft, form: FileForm) -> str:
    """Keep a file as it comes in, and return where its columns can be confirmed; of half a file, nothing stays."""
    try:
        offset = 0
        async for data in pieces_of(form.content, PART_BYTES):
            offset = await run_in_threadpool(page.lab.drafts.receive, draft, offset, data)
        return await run_in_threadpool(_look_into, page, draft)
    except (ClientDisconnect, DatalabError):
        await run_in_threadpool(page.lab.drafts.remove_file, draft)
        raise


def _show_again(page: Page, draft: Draft | None, error: DatalabError) -> Response:
    if draft is None:
        return show_start(page, status=status_of(error), problem=_said(page, error))
    left = page.lab.drafts.get(draft.id, page.account)
    received = page.lab.drafts.received(left) if left.file else 0
    return show_step(page, left, FILE, status=status_of(error), received=received, problem=_said(page, error))


def _look_into(page: Page, draft: Draft) -> str:
    """Infer the columns of a file that has arrived, and return where they can be confirmed; a wrong file is removed."""
    if draft.file is None or page.lab.drafts.received(draft) != draft.file.bytes:
        raise ConflictError("The file has not arrived yet.", next_step="Send the rest of it.")
    try:
        inferred = _keep_corrections(_infer(page, draft), draft.found)
    except BadInputError:
        page.lab.drafts.remove_file(draft)
        raise
    page.lab.drafts.save(draft, found=inferred, confirmed=False)
    return f"/register/{draft.id}/columns"


def _announced(page: Page, form: Form, draft: Draft | None) -> Response:
    name, size, modified = (form.get(field, "")[:300] for field in ("name", "bytes", "modified"))
    try:
        if not name.isprintable() or not all(text.isdecimal() and len(text) < 16 for text in (size, modified)):
            raise BadInputError("The announcement of the file is not valid.")
        file = file_to_come(name, int(size), int(modified))
        draft = page.lab.drafts.announce_file(draft or page.lab.drafts.begin(page.account, "lab"), file)
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
    return JSONResponse({"problem": _said(page, error), **more}, status_of(error))


def _said(page: Page, error: DatalabError) -> str:
    """Say what is wrong: in the reader's language where the words are known, else as the core says it."""
    if isinstance(error, TooLargeError):
        return page.words(_SAID["The file is too large."])
    return page.words(_SAID[error.what]) if error.what in _SAID else str(error)


def _infer(page: Page, draft: Draft) -> Inference:
    """Infer the columns from the beginning of a draft's file, which is on the disk for as long as that takes.

    Of JSON and Parquet, all of it is: an array is not closed, and Parquet says at its end what it holds.
    """
    assert draft.file is not None
    lines = draft.file.is_lines
    with tempfile.TemporaryDirectory(dir=page.lab.home.folder("catalog"), prefix=".look-") as folder:
        path, work = Path(folder) / draft.file.name, Path(folder) / "work"
        work.mkdir()
        with path.open("wb") as file:
            for piece in page.lab.drafts.read(draft, limit=LOOKED_AT if lines else None):
                file.write(piece)
        if lines:
            return look(path, work, whole=path.stat().st_size == draft.file.bytes)
        return look(path, work, most=MOST_RECORDS)


def _keep_corrections(found: Inference, before: Inference | None) -> Inference:
    """Take over what a steward has said of columns that the file before had too."""
    said = {column.header: column for column in before.columns} if before else {}
    return found.model_copy(update={"columns": tuple(map(partial(_corrected, said), found.columns))})


def _corrected(said: dict[str, ColumnDraft], column: ColumnDraft) -> ColumnDraft:
    if (before := said.get(column.header)) is None or before.found_type != column.found_type:
        return column
    return column.model_copy(update={"unit": before.unit, "description": before.description})
