"""The landing area: raw files as they came, each encrypted with a key of its own and held by an object lock.

The key of a file is wrapped by the key of its data holder (``datalab.sealing.keys``) and lies in the file's record. So
who has the object store has nothing, and who removes the wrapped key has removed the file wherever it was copied to.
The lock keeps the file from everything but the lab's own erasure; it is in GOVERNANCE and ends, since people can ask to
be erased.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from catalog.records import Dataset
from catalog.store import Store, now
from catalog.upload_records import Sealed, Upload
from datalab.errors import BadInputError
from datalab.home import Home
from datalab.sealing.keys import KeyRing
from datalab.sealing.stream import seal, unseal
from datalab.storage.store import ObjectStore, StorageError

LOCK = timedelta(days=365)
"""The longest time for which a raw file is locked; it is shorter where the dataset's retention ends before."""
PREFIX = "landing/"
_READ = 1 << 20


class Landing:
    """Writes and reads raw files, as one user of the object store."""

    def __init__(self, home: Home, objects: ObjectStore) -> None:
        self._keys = KeyRing(home)
        self._objects = objects

    def put(self, dataset: Dataset, upload: str, name: str, chunks: Iterable[bytes], by: str) -> Upload:
        """Store what ``chunks`` yield, and return the record of it.

        Args:
            dataset: that it is uploaded to.
            upload: id of its record.
            name: safe in a key.
            chunks: of the file; an error that they raise passes through, and nothing is stored.
            by: who uploads it.
        """
        key, wrapped = self._keys.new(dataset.holder, context=_context(upload))
        plain = _Counted(chunks)
        until = locked_until(dataset, now())
        stored = self._objects.landing.put_stream(
            f"{PREFIX}{dataset.holder}/{dataset.id}/{upload}/{name}",
            seal(plain, key, context=_context(upload)),
            locked_until=until,
        )
        assert stored.sha256 is not None
        return Upload(
            id=upload,
            dataset=dataset.id,
            filename=name,
            key=stored.key,
            sha256=plain.digest.hexdigest(),
            bytes=plain.bytes,
            uploaded_by=by,
            created=now(),
            sealed=Sealed(
                owner=dataset.holder,
                wrapped_key=wrapped,
                sha256=stored.sha256,
                bytes=stored.bytes,
                locked_until=until,
            ),
        )

    def read(self, upload: Upload) -> Iterator[bytes]:
        """Yield a raw file as it came, decrypted piece by piece.

        Raises:
            SealBrokenError: what lies there was changed, or the holder's key is another one.
            BadInputError: the file was removed.
        """
        if upload.sealed is None:
            raise BadInputError(
                "This file was removed.", where=f"upload {upload.id}", next_step="Have it handed in again."
            )
        key = self._keys.unwrap(upload.sealed.owner, upload.sealed.wrapped_key, context=_context(upload.id))
        with closing(self._objects.landing.open(upload.key)) as source:
            yield from unseal(iter(lambda: source.read(_READ), b""), key, context=_context(upload.id))

    def fetch(self, upload: Upload, path: Path) -> None:
        """Decrypt a raw file into ``path``, which is left only if all of it is what its holder handed in.

        Raises:
            StorageError: its digest is not the one on record.
        """
        plain = _Counted(self.read(upload))
        try:
            with path.open("xb") as file:
                path.chmod(0o600)
                for piece in plain:
                    file.write(piece)
            if plain.digest.hexdigest() != upload.sha256:
                raise StorageError(
                    "A raw file is not what was handed in: its SHA-256 differs.",
                    where=self._objects.landing.uri(upload.key),
                    next_step="Do not use it. Restore it from a backup, or have it handed in again.",
                )
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def remove(self, upload: Upload) -> None:
        """Remove a raw file for good, locked or not; its wrapped key is the record's, and goes with it."""
        self._objects.landing.erase(upload.key)

    def lock_again(self, store: Store) -> None:
        """Lock the files that were put back from a backup, for what is left of their time."""
        for (record,) in store.rows("SELECT record FROM uploads"):
            upload = Upload.model_validate_json(record)
            until = upload.sealed.locked_until if upload.sealed is not None else None
            if until is not None and until > now():
                self._objects.landing.lock(upload.key, until)

    def seal_plain(self, store: Store) -> int:
        """Encrypt the raw files of a release that did not yet; return how many there were."""
        rows = store.rows(
            "SELECT record FROM uploads WHERE (record ->> 'erased') IS NULL AND (record ->> 'sealed') IS NULL"
        )
        for (record,) in rows:
            old = Upload.model_validate_json(record)
            with closing(self._objects.open(old.key)) as source:
                pieces = iter(lambda: source.read(_READ), b"")
                made = self.put(
                    store.get(Dataset, "datasets", old.dataset), old.id, old.filename, pieces, old.uploaded_by
                )
            with store.change("lab") as change:
                change.update("uploads", old.id, old.model_copy(update={"sealed": made.sealed, "key": made.key}))
                change.event("upload.sealed", f"upload/{old.id}", sha256=made.sha256)
            self._objects.erase(old.key)
        return len(rows)


def bucket_of(key: str, objects: ObjectStore) -> ObjectStore:
    """Return the bucket in which an object of this key lies."""
    return objects.landing if key.startswith(PREFIX) else objects


def locked_until(dataset: Dataset, at: datetime) -> datetime | None:
    """Return until when a raw file that comes in now is locked; None where its retention has ended already."""
    until = at + LOCK
    if dataset.retention is not None and dataset.retention.end is not None:
        until = min(until, datetime.combine(dataset.retention.end, time.max, UTC))
    return until.replace(microsecond=0) if until > at else None


class _Counted:
    """Chunks that are counted and digested as they pass."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.digest = hashlib.sha256()
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.digest.update(chunk)
            self.bytes += len(chunk)
            yield chunk


def _context(upload: str) -> bytes:
    return f"datalab upload {upload}".encode()
