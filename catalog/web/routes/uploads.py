"""Uploads of raw files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Annotated

from anyio import from_thread
from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from catalog import uploads
from catalog.permissions import Action, check_holder
from catalog.records import AccountDraft, Dataset, Slug
from catalog.upload_records import Landed, Upload
from catalog.web.access import Allowed, DatasetId, TheLab

router = APIRouter(tags=["uploads"])
MAX_UPLOAD = 100 << 30
"""Bytes of one raw file."""


@router.post("/datasets/{dataset}/uploads", status_code=201)
async def receive(
    dataset: DatasetId,
    filename: Annotated[str, Query(min_length=1, max_length=300)],
    request: Request,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.UPLOAD_CREATE))],
) -> Upload:
    """Stream a raw file (the body as it is, no form) to the dataset's landing area."""
    found = await run_in_threadpool(uploads.open_upload, lab.store, dataset, account)
    request.state.max_body = MAX_UPLOAD
    pieces = _in_thread(request.stream())
    receive_all = partial(uploads.receive, filename=filename, account=account)
    return await run_in_threadpool(receive_all, lab.store, lab.landing, found, pieces)


@router.get("/landings", dependencies=[Depends(Allowed(Action.UPLOAD_LANDINGS))])
def landings(lab: TheLab) -> list[Landed]:
    """Return all uploads and what has become of each, the oldest first: for what curates them."""
    return uploads.landings(lab.store)


@router.get("/uploads/{upload}")
def read(upload: Slug, lab: TheLab, account: Annotated[AccountDraft, Depends(Allowed(Action.UPLOAD_READ))]) -> Upload:
    """Return the record of an upload."""
    found = lab.store.get(Upload, "uploads", upload)
    check_holder(account, lab.store.get(Dataset, "datasets", found.dataset).holder)
    return found


def _in_thread(pieces: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Let a worker thread pull what arrives on the event loop, piece by piece: nothing piles up."""

    async def pull() -> bytes | None:
        return await anext(pieces, None)

    while (piece := from_thread.run(pull)) is not None:
        yield piece
