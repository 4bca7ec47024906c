"""Raw files as they arrive: streamed to object storage under ``landing/``, digested on the way."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Iterable

from catalog.errors import NotPermittedError
from catalog.lifecycle import check_open
from catalog.permissions import check_holder
from catalog.records import AccountDraft, Dataset, Upload
from catalog.store import Store, now
from datalab.errors import BadInputError
from datalab.storage.store import ObjectStore

_MAX_NAME = 120


def open_upload(store: Store, dataset: str, account: AccountDraft) -> Dataset:
    """Return the dataset that a raw file may be uploaded to.

    Raises:
        NotFoundError: there is no such dataset.
        NotPermittedError: it is another holder's, or its data stays at its site.
        ConflictError: it is deleted.
    """
    found = store.get(Dataset, "datasets", dataset)
    check_holder(account, found.holder)
    check_open(found)
    if found.kept_at != "lab":
        raise NotPermittedError(
            "This dataset is kept at its site; nothing of it is uploaded.",
            where=dataset,
            next_step=f"Curate it at the node {found.node}.",
        )
    return found


def receive(
    store: Store,
    objects: ObjectStore,
    dataset: Dataset,
    chunks: Iterable[bytes],
    *,
    filename: str,
    account: AccountDraft,
) -> Upload:
    """Store what ``chunks`` yields and record it; nothing is recorded unless all of it arrived."""
    name = safe_filename(filename)
    key = uuid.uuid4().hex
    stored = objects.put_stream(f"landing/{dataset.holder}/{dataset.id}/{key}/{name}", chunks)
    assert stored.sha256 is not None
    upload = Upload(
        id=key,
        dataset=dataset.id,
        filename=name,
        key=stored.key,
        sha256=stored.sha256,
        bytes=stored.bytes,
        uploaded_by=account.name,
        created=now(),
    )
    with store.change(account.name) as change:
        change.insert("uploads", upload.id, upload)
        change.event("upload.received", f"upload/{key}", dataset=dataset.id, sha256=stored.sha256, bytes=stored.bytes)
    return upload


def safe_filename(filename: str) -> str:
    """Return a name that is safe in an object key: the last part of a path, in ASCII, without odd characters.

    Raises:
        BadInputError: nothing is left of it.
    """
    last = re.split(r"[/\\]", filename)[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._")[-_MAX_NAME:].lstrip(".")
    if not name:
        raise BadInputError("The file name has no usable character.", next_step="Use letters and digits.")
    return name


def title_of(filename: str) -> str:
    """Return what a file's name says in words, in whatever script: without folder, endings and odd characters."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", filename)[-1])
    stem = re.sub(r"(\.(csv|tsv|txt|gz))+$", "", last, flags=re.IGNORECASE)
    words = re.sub(r"[\W_]+", " ", stem).strip()[:_MAX_NAME]
    return words[:1].upper() + words[1:]
