"""Datasets in the making: what a person has said so far, and the parts of the file that have arrived.

A draft is its owner's alone. The parts of a file lie in object storage under ``uploads/<draft>/``, named after the byte
that they begin with: what has arrived is what lies there, so an upload goes on after any interruption, of the lab too.
Each part is encrypted with a key of the draft's file, which is wrapped in the draft's record and goes with the parts.
Parts of a draft that nobody has touched for a week are removed; what was written stays.
"""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from catalog.errors import ConflictError, TooLargeError
from catalog.records import AccountDraft, Line, Record, Slug
from catalog.store import Store, now
from catalog.uploads import safe_filename, title_of
from datalab.curation.infer import Inference
from datalab.errors import BadInputError, NotFoundError
from datalab.sealing.keys import KeyRing
from datalab.sealing.message import OVERHEAD, open_message, seal_message
from datalab.storage.store import ObjectStore

PART_BYTES = 8 << 20
"""Bytes of a part; the last one of a file may be shorter."""
MAX_FILE = 100 << 30
MAX_WHOLE = 4 << 30
"""Bytes of a file that is on the disk as a whole while its columns are looked at."""
MAX_DRAFTS = 50
"""Drafts that a person may have at a time."""
IDLE = timedelta(days=7)
_SWEEP_EVERY = timedelta(hours=1)
_READ = 1 << 20
_PREFIX = "uploads/"
_JSON = (".json", ".ndjson", ".jsonl")
_PARQUET = ".parquet"
_TEXT = (".csv", ".tsv", ".txt", *_JSON)
ENDINGS = (*_TEXT, *(f"{ending}.gz" for ending in _TEXT), _PARQUET)
"""Of the names of files that are taken: what the curation engine reads."""
PARQUET_MAGIC = b"PAR1"
_MAGIC = {
    PARQUET_MAGIC: "Parquet",
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "ZIP", b"%PDF": "PDF", b"MZ": "Windows", b"\x7fELF": "ELF",
    b"\xd0\xcf\x11\xe0": "Office", b"{\\rtf": "RTF", b"#!": "script", b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG",
    b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"SQLite format": "SQLite", b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}  # fmt: skip
_ACTIVE = re.compile(rb"\s*<(!doctype|html|head|body|script|svg|iframe|\?xml|\?php|%)", re.IGNORECASE)


class DraftFile(Record):
    """The file that is being uploaded; ``modified`` (milliseconds, of the browser) tells it from another one."""

    name: Line
    title: Annotated[str, Field(max_length=300)] = ""
    bytes: Annotated[int, Field(ge=1, le=MAX_FILE)]
    modified: Annotated[int, Field(ge=0)] = 0

    @property
    def is_lines(self) -> bool:
        """Whether its beginning can be read without its end, as of CSV."""
        return _is_lines(self.name)


class Draft(Record):
    """A dataset in the making.

    Attributes:
        fields: what was written into the forms, as it was written.
        found: what was found in the file, corrected by its steward.
        confirmed: whether the steward has confirmed that.
        dataset: the dataset, once it is registered.
        upload: the raw file on record, once all of it was put together.
        run: the latest curation run.
        wrapped_key: of the parts of the file.
    """

    id: Slug
    account: Slug
    kept_at: Literal["lab", "site"]
    created: AwareDatetime
    updated: AwareDatetime
    fields: Mapping[str, str]
    file: DraftFile | None = None
    found: Inference | None = None
    confirmed: bool = False
    dataset: Slug | None = None
    upload: Slug | None = None
    run: Slug | None = None
    wrapped_key: Annotated[str | None, Field(repr=False)] = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said yet."""
        return not (self.fields or self.file or self.found)


class Drafts:
    """The drafts of one lab."""

    def __init__(self, store: Store, objects: ObjectStore, keys: KeyRing) -> None:
        self._keys = keys
        self._store = store
        self._objects = objects
        self._swept = datetime.min.replace(tzinfo=UTC)

    def begin(self, account: AccountDraft, kept_at: Literal["lab", "site"]) -> Draft:
        """Make a draft, or return one in which nothing was said yet.

        Raises:
            ConflictError: the account has too many.
        """
        if now() - self._swept > _SWEEP_EVERY:
            self.sweep()
        others = self.of(account)
        for one in others:
            if one.is_empty and one.kept_at == kept_at:
                return one
        if len(others) >= MAX_DRAFTS:
            raise ConflictError(f"You have {MAX_DRAFTS} drafts.", next_step="Discard those that you no longer need.")
        moment = now()
        draft = Draft(
            id=uuid.uuid4().hex,
            account=account.name,
            kept_at=kept_at,
            created=moment,
            updated=moment,
            fields={},
        )
        with self._store.change(account.name) as change:
            change.insert("drafts", draft.id, draft)
            change.event("draft.begun", f"draft/{draft.id}", kept_at=kept_at)
        return draft

    def of(self, account: AccountDraft) -> list[Draft]:
        """Return the drafts of an account, the one touched last first."""
        query = "SELECT record FROM drafts WHERE record ->> 'account' = ? ORDER BY record ->> 'updated' DESC"
        return [Draft.model_validate_json(row[0]) for row in self._store.rows(query, [account.name])]

    def of_organisation(self, name: str) -> list[Draft]:
        """Return the drafts of all accounts of an organisation, and of those who write in its name."""
        rows = self._store.rows(
            "SELECT d.record FROM drafts d LEFT JOIN accounts a ON a.name = (d.record ->> 'account') "
            "WHERE (a.record ->> 'organisation') = $name OR (d.record ->> '$.fields.holder') = $name ORDER BY d.id",
            {"name": name},
        )
        return [Draft.model_validate_json(row[0]) for row in rows]

    def get(self, key: str, account: AccountDraft) -> Draft:
        """Return a draft of an account; NotFoundError if it has no such one."""
        draft = self._store.get(Draft, "drafts", key)
        if draft.account != account.name:
            raise NotFoundError(f"There is no draft {key}.", next_step="See the list of your drafts.")
        return draft

    def save(self, draft: Draft, **changes: object) -> Draft:
        """Keep a draft with some of its parts changed, and return it."""
        with self._store.change(draft.account) as change:
            current = change.get(Draft, "drafts", draft.id)  # somebody else may have changed other parts meanwhile
            changed = Draft.model_validate({**dict(current), **changes, "updated": now()})
            change.update("drafts", draft.id, changed)
            change.event("draft.saved", f"draft/{draft.id}", parts=sorted(changes))
        return changed

    def discard(self, draft: Draft) -> None:
        """Remove a draft, and what has arrived of its file."""
        self.remove_parts(draft)
        with self._store.change(draft.account) as change:
            change.execute("DELETE FROM drafts WHERE id = ?", [draft.id])
            change.event("draft.discarded", f"draft/{draft.id}")

    def announce_file(self, draft: Draft, file: DraftFile) -> Draft:
        """Say which file comes next; the same one as before goes on where it was, another one takes its place."""
        if draft.file == file and draft.wrapped_key is not None:
            return draft
        self.remove_parts(draft)
        _, wrapped = self._keys.new(_owner(draft), context=draft.id.encode())
        return self.save(draft, file=file, upload=None, confirmed=False, wrapped_key=wrapped)

    def received(self, draft: Draft) -> int:
        """Return how many bytes of the file have arrived, from its beginning without a gap."""
        end = 0
        for stored in self._objects.list(_folder(draft)):
            if int(stored.key.rpartition("/")[2]) != end:
                break
            end += stored.bytes - OVERHEAD
        return end

    def receive(self, draft: Draft, offset: int, data: bytes) -> int:
        """Keep the part of the file that begins at ``offset``; return how many bytes there are then.

        Raises:
            ConflictError: the file goes on elsewhere.
            BadInputError: this is not what its name says, or nothing that is taken.
        """
        received = self.received(draft)
        if draft.file is None or offset != received or not data or offset + len(data) > draft.file.bytes:
            raise ConflictError(f"The file goes on at byte {received}.", next_step="Send the part that begins there.")
        if len(data) != min(PART_BYTES, draft.file.bytes - offset):
            raise BadInputError(f"A part has {PART_BYTES} bytes, and the last one what is left.")
        if offset == 0:
            check_content(draft.file.name, data)
        sealed = seal_message(data, self._key(draft), context=_context(draft, offset))
        self._objects.put_bytes(f"{_folder(draft)}{offset:015}", sealed)
        return offset + len(data)

    def read(self, draft: Draft, *, limit: int | None = None) -> Iterator[bytes]:
        """Yield the file piece by piece, up to the end of the part in which ``limit`` lies."""
        end = 0
        for stored in self._objects.list(_folder(draft)):
            if limit is not None and end >= limit:
                return
            with closing(self._objects.open(stored.key)) as source:
                part = open_message(source.read(), self._key(draft), context=_context(draft, end))
            yield part
            end += len(part)

    def _key(self, draft: Draft) -> bytes:
        assert draft.wrapped_key is not None
        return self._keys.unwrap(_owner(draft), draft.wrapped_key, context=draft.id.encode())

    def remove_parts(self, draft: Draft) -> None:
        """Remove what has arrived of a draft's file."""
        for stored in list(self._objects.list(_folder(draft))):
            self._objects.delete(stored.key)

    def remove_file(self, draft: Draft, **changes: object) -> None:
        """Remove a draft's file, and change what else is to change with it."""
        self.remove_parts(draft)
        self.save(draft, file=None, upload=None, confirmed=False, wrapped_key=None, **changes)

    def sweep(self, moment: datetime | None = None) -> int:
        """Remove the parts of files whose draft is gone, or was not touched for a week; return of how many drafts.

        Parts that an earlier release left unencrypted go too.
        """
        self._swept = moment = moment or now()
        before = moment - IDLE
        found = {stored.key.split("/")[1] for stored in self._objects.list(_PREFIX)}
        known = {row[0]: Draft.model_validate_json(row[1]) for row in self._store.rows("SELECT id, record FROM drafts")}
        swept = 0
        for key in sorted(found):
            draft = known.get(key)
            if draft is not None and draft.wrapped_key is not None and draft.updated > before:
                continue
            for stored in list(self._objects.list(f"{_PREFIX}{key}/")):
                self._objects.delete(stored.key)
            with self._store.change("lab") as change:
                if draft is not None:
                    gone = draft.model_copy(update={"file": None, "wrapped_key": None})
                    change.update("drafts", key, gone)
                change.event("draft.file-swept", f"draft/{key}")
            swept += 1
        return swept


def file_to_come(name: str, size: int, modified: int) -> DraftFile:
    """Return what is on record of a file that is announced.

    Args:
        name: as its owner calls it.
        size: in bytes.
        modified: when, in milliseconds, as the browser says; 0 where it does not.

    Raises:
        BadInputError: it is empty, or its name is none of a file that is taken.
        TooLargeError: it is too large.
    """
    file_name = safe_filename(name)
    if not file_name.lower().endswith(ENDINGS):
        raise BadInputError(
            "Only CSV, JSON and Parquet files are taken.",
            where=file_name,
            next_step=f"Export the data as one of these; its name ends in {', '.join(ENDINGS)}.",
        )
    if size > (MAX_FILE if _is_lines(file_name) else MAX_WHOLE):
        raise TooLargeError("The file is too large.", where=file_name, next_step="Split it into several datasets.")
    if size < 1:
        raise BadInputError("The file is empty.", where=file_name, next_step="Choose another one.")
    return DraftFile(name=file_name, title=title_of(name), bytes=size, modified=modified)


def _unpacked(beginning: bytes) -> bytes:
    """Return the first text in the beginning of a gzip file."""
    try:
        return zlib.decompressobj(wbits=31).decompress(beginning, _READ)
    except zlib.error:
        raise BadInputError(
            "The file is named .gz and is no gzip file.", next_step="Name it .csv if it is plain, and upload that."
        ) from None


def check_content(name: str, beginning: bytes) -> None:
    """Raise BadInputError if a file that begins like this is none of those that are taken, or not what its name says.

    What it is is seen from its bytes. Markup and scripts would be active in a browser.
    """
    lower = name.lower()
    if lower.endswith(_PARQUET):
        if not beginning.startswith(PARQUET_MAGIC):
            raise BadInputError(
                "The file is named .parquet and is no Parquet file.",
                next_step="Name it as what it is, or export it again.",
            )
        return
    if lower.endswith(".gz"):
        beginning = _unpacked(beginning)
    kind = next((name for magic, name in _MAGIC.items() if beginning.startswith(magic)), None)
    if kind is None and _ACTIVE.match(beginning.removeprefix(b"\xef\xbb\xbf")):
        kind = "HTML, XML"
    if kind is None and b"\x00" in beginning:
        kind = "binary"
    if kind is not None:
        raise BadInputError(f"This is no table of text ({kind}).", next_step="Export the data as CSV, and upload that.")
    json = beginning.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith((b"{", b"["))
    if lower.removesuffix(".gz").endswith(_JSON) and not json:
        raise BadInputError(
            "The file is named like JSON and is none.",
            next_step="Name it .csv if it is a table of text, and upload that.",
        )


def _is_lines(name: str) -> bool:
    return not name.lower().removesuffix(".gz").endswith((*_JSON, _PARQUET))


def _folder(draft: Draft) -> str:
    return f"{_PREFIX}{draft.id}/"


def _owner(draft: Draft) -> str:
    """Return whose key wraps a draft's: its account's, since the data holder may not be named yet."""
    return f"draft-{draft.account}"


def _context(draft: Draft, offset: int) -> bytes:
    return f"datalab draft {draft.id} at {offset}".encode()
