"""Raw files as they arrive: streamed to the landing area, digested and encrypted on the way."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Iterable

from catalog.errors import NotPermittedError
from catalog.landing import Landing
from catalog.lifecycle import check_open
from catalog.permissions import check_holder
from catalog.records import AccountDraft, Dataset
from catalog.store import Store
from catalog.upload_records import Landed, Upload
from datalab.errors import BadInputError

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
    landing: Landing,
    dataset: Dataset,
    chunks: Iterable[bytes],
    *,
    filename: str,
    account: AccountDraft,
) -> Upload:
    """Store what ``chunks`` yields and record it; nothing is recorded unless all of it arrived."""
    name = safe_filename(filename)
    key = uuid.uuid4().hex
    upload = landing.put(dataset, key, name, chunks, account.name)
    with store.change(account.name) as change:
        change.insert("uploads", upload.id, upload)
        change.event("upload.received", f"upload/{key}", dataset=dataset.id, sha256=upload.sha256, bytes=upload.bytes)
    return upload


def landings(store: Store) -> list[Landed]:
    """Return all uploads that were not erased, the oldest first, and what has become of each."""
    rows = store.rows(
        """
        SELECT uploads.record, json_extract_string(datasets.record, '$.holder'),
            list_distinct(list(json_extract_string(versions.record, '$.report.contract_digest')) FILTER (
                json_extract_string(versions.record, '$.report.raw_sha256')
                    = json_extract_string(uploads.record, '$.sha256'))),
            count(versions.number)
        FROM uploads JOIN datasets ON datasets.id = json_extract_string(uploads.record, '$.dataset')
            LEFT JOIN versions ON versions.dataset = datasets.id
        WHERE json_extract_string(uploads.record, '$.erased') IS NULL
        GROUP BY uploads.id, uploads.record, datasets.record
        """,
        [],
    )
    found = [(Upload.model_validate_json(record), *rest) for record, *rest in rows]
    found.sort(key=lambda one: (one[0].created, one[0].id))
    newest = {upload.dataset: upload.id for upload, *_ in found}
    return [
        Landed(
            upload=upload,
            holder=holder,
            published_by=tuple(sorted(digests or ())),
            newest=newest[upload.dataset] == upload.id,
            versions=versions,
        )
        for upload, holder, digests, versions in found
    ]


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
    stem = re.sub(r"(\.(csv|tsv|txt|json|ndjson|jsonl|parquet|gz))+$", "", last, flags=re.IGNORECASE)
    words = re.sub(r"[\W_]+", " ", stem).strip()[:_MAX_NAME]
    return words[:1].upper() + words[1:]
