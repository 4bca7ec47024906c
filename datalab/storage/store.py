"""A client of the object store: whole objects in and out of one S3 bucket, in bounded memory."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from datalab.canonical import sha256_file, sha256_hex
from datalab.errors import DatalabError, NotFoundError, NotInstalledError
from datalab.home import Home
from datalab.storage.access import LANDING, REGION, credentials

if TYPE_CHECKING:
    from minio import Minio
    from minio.datatypes import Upload
    from urllib3 import HTTPResponse

PART_BYTES = 16 << 20
"""How much of an upload of unknown length is in memory at a time; S3 allows 10,000 parts, so 160 GB."""
_PARTS_AT_ONCE = 2
"""While one part is on its way, the next is read; the store takes a part of a file at a time slowly."""
READ_BYTES = 1 << 20
_SHA256 = "sha256"


class StorageError(DatalabError):
    """The object store did not do what was asked."""


class ObjectNotFoundError(StorageError, NotFoundError):
    """There is no object under this key."""


@dataclass(frozen=True)
class StoredObject:
    """One object as the store knows it.

    Attributes:
        key: its name in the bucket.
        bytes: its size.
        sha256: its digest, or None where only its content would tell (a listing, a stream uploaded earlier).
        uri: ``s3://<bucket>/<key>``.
    """

    key: str
    bytes: int
    sha256: str | None
    uri: str


@dataclass(frozen=True)
class ObjectStore:
    """One bucket of an S3 server, seen by one of its users. Every method may raise StorageError."""

    endpoint: str
    """Host and port."""
    access_key: str
    secret_key: str
    bucket: str
    region: str = REGION
    tls: bool = False
    """Off for the store on this machine only."""
    ca_file: Path | None = None
    """Certificates (PEM) by which the server is known, where no public authority vouches for it."""
    timeout: float = 60.0
    """Seconds that the server may be silent."""
    retries: int = 3
    """Times that a request is tried again."""
    extra: str = "lab"
    """The extra that brings the SDK, for whoever has to install it."""

    def __repr__(self) -> str:
        return f"ObjectStore(endpoint={self.endpoint!r}, bucket={self.bucket!r})"

    @cached_property
    def client(self) -> Minio:
        """The SDK's client, for what this class does not do; safe to share between threads.

        Raises:
            NotInstalledError: the SDK is missing.
        """
        try:
            from minio import Minio
        except ModuleNotFoundError as error:
            raise NotInstalledError("Object storage", self.extra) from error
        from urllib3 import PoolManager, Retry

        retry = Retry(total=self.retries, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504])
        return Minio(
            self.endpoint,
            self.access_key,
            self.secret_key,
            secure=self.tls,
            region=self.region,
            http_client=PoolManager(
                timeout=self.timeout,
                retries=retry,
                maxsize=8,
                cert_reqs="CERT_REQUIRED",
                ca_certs=None if self.ca_file is None else str(self.ca_file),
            ),
        )

    @cached_property
    def landing(self) -> ObjectStore:
        """The bucket of raw files on the same server."""
        return replace(self, bucket=LANDING)

    def uri(self, key: str) -> str:
        """Return where an object lies, as DuckDB and people write it."""
        return f"s3://{self.bucket}/{key}"

    def put_file(self, key: str, path: Path) -> StoredObject:
        """Upload a file; the store keeps its SHA-256 with it."""
        digest, size = sha256_file(path), path.stat().st_size
        with self._explained("store", key) as client, path.open("rb") as file:
            client.put_object(
                self.bucket,
                key,
                file,
                size,
                metadata={_SHA256: digest},
                part_size=PART_BYTES,
                num_parallel_uploads=_PARTS_AT_ONCE,
            )
        return StoredObject(key, size, digest, self.uri(key))

    def put_bytes(self, key: str, data: bytes) -> StoredObject:
        """Upload a small object from memory; the store keeps its SHA-256 with it."""
        digest = sha256_hex(data)
        with self._explained("store", key) as client:
            client.put_object(self.bucket, key, io.BytesIO(data), len(data), metadata={_SHA256: digest})
        return StoredObject(key, len(data), digest, self.uri(key))

    def put_stream(self, key: str, chunks: Iterable[bytes], *, locked_until: datetime | None = None) -> StoredObject:
        """Upload what an iterator yields, of any length, ``PART_BYTES`` at a time, digesting it on the way.

        An error raised by ``chunks`` passes through, and nothing is stored.

        Args:
            key: of the object.
            chunks: its bytes.
            locked_until: until then ``erase`` alone can remove it (object lock in GOVERNANCE).
        """
        source = _Source(chunks)
        with self._explained("store", key) as client:
            from minio.commonconfig import GOVERNANCE
            from minio.retention import Retention

            client.put_object(
                self.bucket,
                key,
                cast("BinaryIO", source),
                -1,
                part_size=PART_BYTES,
                num_parallel_uploads=1,
                retention=None if locked_until is None else Retention(GOVERNANCE, locked_until),
            )
        return StoredObject(key, source.bytes, source.digest.hexdigest(), self.uri(key))

    def get_file(self, key: str, path: Path, *, sha256: str | None = None) -> StoredObject:
        """Download an object; ``path`` appears only when all of it has arrived.

        Raises:
            StorageError: also when ``sha256`` is given and what arrived has another digest.
        """
        digest, size = hashlib.sha256(), 0
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in self.read(key):
                    digest.update(chunk)
                    size += file.write(chunk)
            if sha256 is not None and digest.hexdigest() != sha256:
                raise StorageError(
                    "An object is not what was stored: its SHA-256 differs.",
                    where=self.uri(key),
                    next_step="Do not use it. Restore it from its source, and find out who can write there.",
                )
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)
        return StoredObject(key, size, digest.hexdigest(), self.uri(key))

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object, up to ``READ_BYTES`` at a time."""
        with self.open(key) as source, self._explained("read", key):
            while chunk := source.read(READ_BYTES):
                yield chunk

    def open(self, key: str) -> BinaryIO:
        """Return an object as a stream of bytes, to be closed by the caller."""
        with self._explained("read", key) as client:
            response = cast("HTTPResponse", client.get_object(self.bucket, key))
        response.auto_close = False  # reading on at its end must give b"", not an error
        return io.BufferedReader(cast("io.RawIOBase", response), READ_BYTES)

    def stat(self, key: str) -> StoredObject:
        """Return what the store knows of an object without reading it."""
        with self._explained("find", key) as client:
            found = client.stat_object(self.bucket, key)
        metadata = found.metadata or {}
        return StoredObject(key, found.size or 0, metadata.get(f"x-amz-meta-{_SHA256}"), self.uri(key))

    def lock(self, key: str, until: datetime) -> None:
        """Hold an object by an object lock in GOVERNANCE; the bucket must have locks."""
        with self._explained("lock", key) as client:
            from minio.commonconfig import GOVERNANCE
            from minio.retention import Retention

            client.set_object_retention(self.bucket, key, Retention(GOVERNANCE, until))

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the store, without its bytes passing through here."""
        with self._explained("copy", source) as client:
            from minio.commonconfig import CopySource

            client.copy_object(self.bucket, target, CopySource(self.bucket, source))

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none."""
        with self._explained("delete", key) as client:
            client.remove_object(self.bucket, key)

    def erase(self, prefix: str, *, keep: Collection[str] = ()) -> list[str]:
        """Remove every object under a prefix for good, with all that it was before, held by an object lock or not.

        A lock in GOVERNANCE gives way to the lab's own right; one in COMPLIANCE does not, hence none is ever set.

        Args:
            prefix: of the keys.
            keep: keys that stay.

        Returns:
            The keys that were removed.
        """
        with self._explained("erase", prefix) as client:
            from minio.deleteobjects import DeleteObject

            found = client.list_objects(self.bucket, prefix, recursive=True, include_version=True)
            gone = [(one.object_name or "", one.version_id) for one in found if one.object_name not in keep]
            wanted = [DeleteObject(key, version if version != "null" else None) for key, version in gone]
            for error in client.remove_objects(self.bucket, wanted, bypass_governance_mode=True):
                raise StorageError(
                    f"The object store would not erase an object: {error.code}.",
                    where=self.uri(error.name or prefix),
                    next_step="See whether it is held by an object lock in COMPLIANCE.",
                )
        return sorted({key for key, _ in gone})

    def older(self, prefix: str, moment: datetime) -> list[str]:
        """Return the keys under a prefix whose objects were written before a moment."""
        with self._explained("list", prefix) as client:
            found = client.list_objects(self.bucket, prefix, recursive=True)
            return [one.object_name or "" for one in found if one.last_modified and one.last_modified < moment]

    def abort_uploads(self, before: datetime) -> list[str]:
        """Give up uploads in parts that were begun before a moment and never ended, as their client was killed.

        No listing of objects shows their parts. An upload under whose key there is an object is left alone: if the
        server was killed just as it ended the upload, the parts are those of the object, and SeaweedFS would take them
        away with the upload.

        Returns:
            The keys that they were to have.
        """
        with self._explained("abort", "") as client:
            left = [one for one in self._unfinished(client) if one.initiated_time and one.initiated_time < before]
            aborted = []
            for upload in left:
                key = upload.object_name or ""
                there = client.list_objects(self.bucket, key, recursive=True, include_version=True)
                if all(one.object_name != key for one in there):
                    client._abort_multipart_upload(self.bucket, key, upload.upload_id or "")  # noqa: SLF001
                    aborted.append(key)
        return aborted

    def _unfinished(self, client: Minio) -> Iterator[Upload]:
        """Yield the uploads in parts that have not ended; the SDK lists them, but not in public."""
        key, upload = None, None
        while True:
            found = client._list_multipart_uploads(self.bucket, key_marker=key, upload_id_marker=upload)  # noqa: SLF001
            yield from found.uploads
            if not found.is_truncated:
                return
            key, upload = found.next_key_marker, found.next_upload_id_marker

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object whose key begins with ``prefix``, by key."""
        with self._explained("list", prefix) as client:
            for found in client.list_objects(self.bucket, prefix, recursive=True):
                key = found.object_name or ""
                yield StoredObject(key, found.size or 0, None, self.uri(key))

    def presign_get(self, key: str, expires: timedelta, *, name: str) -> str:
        """Return an address from which anyone who has it may read this one object until it expires.

        Args:
            key: of the object.
            expires: from now; at least a second.
            name: of the file that a browser makes of it; ASCII letters, digits, dots, dashes.
        """
        disposition = f'attachment; filename="{name}"'
        with self._explained("share", key) as client:
            return client.presigned_get_object(
                self.bucket, key, expires, response_headers={"response-content-disposition": disposition}
            )

    @contextmanager
    def _explained(self, verb: str, key: str) -> Iterator[Minio]:
        """Lend the client, and turn the errors of the SDK and of HTTP into ours."""
        client = self.client
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            yield client
        except S3Error as error:
            if error.code in {"NoSuchKey", "NoSuchObject", "NoSuchBucket"}:
                raise ObjectNotFoundError("There is no such object.", where=self.uri(key)) from error
            raise StorageError(
                f"The object store would not {verb} an object: {error.code}.",
                where=self.uri(key),
                next_step="Its log says more; AccessDenied means that this part of the lab may not do this.",
            ) from error
        except (MinioException, HTTPError) as error:
            raise StorageError(
                f"Could not {verb} an object: the store at {self.endpoint} does not answer as it should.",
                where=self.uri(key),
                next_step="Check that it is running and that its disk is not full; its log says more.",
            ) from error


class _Source:
    """Chunks of any size, read as a file and digested on the way."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.digest = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, or fewer at the end."""
        taken = bytearray()
        while len(taken) < size:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            wanted = size - len(taken)
            taken += self._rest[:wanted]
            self._rest = self._rest[wanted:]
        self.digest.update(taken)
        self.bytes += len(taken)
        return bytes(taken)


def connect(home: Home, user: str = "lab") -> ObjectStore:
    """Return the object store of a home, as one of its users (``datalab.storage.access.GRANTS``).

    Raises:
        NotFoundError: it is not running.
    """
    at = home.address("object-store")
    access_key, secret_key = credentials(home, user)
    return ObjectStore(at["endpoint"], access_key, secret_key, at["bucket"])
