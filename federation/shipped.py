"""What lies of a run that goes on in the lab's object storage: its journal, sealed, so that its folder may be lost.

    journals/<run>/head      which objects count, and in which order; written last, sealed anew each time
    journals/<run>/<name>    a segment of the journal or of events.jsonl, a buffer, the app's bundle, or run.json

S3 cannot append, so files that grow are segments. All objects but the head are named by what they hold and never
change. A name is no digest that somebody could compare with a guess, but comes from the run's key, as does the key of
each object. The run's key comes from a secret in the lab's home, so that the bucket alone tells nothing but sizes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datalab.errors import ExitCode
from datalab.home import Home
from datalab.sealing.derived import derived_key
from datalab.sealing.message import open_message, seal_message
from datalab.sealing.stream import SealBrokenError, seal, unseal
from datalab.storage.access import JOURNALS
from datalab.storage.store import ObjectNotFoundError, connect
from federation.errors import FederationError
from federation.run import Digest, Slug
from federation.wire.protocol import check_run_id

SECRET = "journals"  # noqa: S105 - a secret's name
HEAD = "head"
MAX_HEAD_BYTES = 64 << 20
SILENCE = 10.0
"""Seconds after which a store that does not answer is taken not to be there."""
_READ = 1 << 20


class JournalBrokenError(FederationError):
    """What is stored of a run's journal is not what was shipped."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, run: str, what: str) -> None:
        super().__init__(
            f"The journal of the run in object storage is not what was shipped: {what}.",
            where=f"{JOURNALS}/{run}",
            next_step="The run cannot be gone on with: start another one, and find out who can write to the bucket.",
        )


class Segment(BaseModel):
    """A piece of a file that grows: SHA-256 and size in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Digest
    bytes: int = Field(gt=0)


class Head(BaseModel):
    """What is stored of a run.

    Attributes:
        run: its id.
        spec: SHA-256 of its run.json, which names the app's bundle.
        journal: segments of the journal, from its beginning; the buffers that its replies name are stored, too.
        events: segments of events.jsonl, up to the end of a line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Slug
    spec: Digest
    journal: tuple[Segment, ...] = ()
    events: tuple[Segment, ...] = ()


def length(segments: Iterable[Segment]) -> int:
    """Return the bytes of a file's segments."""
    return sum(one.bytes for one in segments)


class ShippedRun:
    """The objects of one run; every method raises StorageError where the store does not answer.

    Args:
        home: of the lab.
        user: of the object store, which may write (``runner``) or read (``scheduler``).
        run: the run's id.

    Raises:
        NotFoundError: the object store is not running.
        WireError: it is no run's id.
    """

    def __init__(self, home: Home, user: str, run: str) -> None:
        self._run = check_run_id(run)
        # Whoever ships tries again by itself, and says so.
        self._store = replace(connect(home, user), timeout=SILENCE, retries=0)
        self._key = derived_key(home.secret(SECRET).encode("ascii"), f"journal of {run}".encode())

    def put(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """Store bytes with this digest, in bounded memory."""
        digest = bytes.fromhex(sha256)
        self._store.put_stream(self._object(digest), seal(chunks, self._of(digest), context=digest))

    def fetch(self, sha256: str) -> Iterator[bytes]:
        """Yield bytes that were stored.

        Raises:
            JournalBrokenError: they are not there, or are not what was stored.
        """
        digest = bytes.fromhex(sha256)
        found = hashlib.sha256()
        try:
            for chunk in unseal(self._store.read(self._object(digest)), self._of(digest), context=digest):
                found.update(chunk)
                yield chunk
        except ObjectNotFoundError:
            raise JournalBrokenError(self._run, "a part of it is missing") from None
        except SealBrokenError:
            raise JournalBrokenError(self._run, "a part of it was changed or cut off") from None
        if found.digest() != digest:
            raise JournalBrokenError(self._run, "a part of it has another digest")

    def fetch_file(self, parts: Iterable[str], path: Path, *, mode: int = 0o600) -> None:
        """Write parts, one after the other, to a file, which is on the disk when this returns; raises as ``fetch``."""
        with path.open("wb") as file:
            os.fchmod(file.fileno(), mode)
            for part in parts:
                for chunk in self.fetch(part):
                    file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    def remove(self, sha256: str) -> None:
        """Remove what was stored."""
        self._store.delete(self._object(bytes.fromhex(sha256)))

    def put_head(self, head: Head) -> None:
        """Have what a head names count from now on."""
        sealed = seal_message(head.model_dump_json().encode(), self._of(b""), context=b"head")
        self._store.put_bytes(head_key(self._run), sealed)

    def head(self) -> Head | None:
        """Return what counts; None where nothing of this run is stored.

        Raises:
            JournalBrokenError: it was changed, cut off, or sealed with another secret, or is another run's.
        """
        sealed = bytearray()
        try:
            for chunk in self._store.read(head_key(self._run)):
                sealed += chunk
                if len(sealed) > MAX_HEAD_BYTES:
                    raise JournalBrokenError(self._run, "its head is too large")
        except ObjectNotFoundError:
            return None
        try:
            return Head.model_validate_json(open_message(bytes(sealed), self._of(b""), context=b"head"))
        except SealBrokenError:
            what = "its head was changed or cut off, or is sealed with another secret than this lab's"
            raise JournalBrokenError(self._run, what) from None
        except ValidationError as error:
            raise JournalBrokenError(self._run, "its head is of another release") from error

    def _of(self, digest: bytes) -> bytes:
        return derived_key(self._key, b"key" + digest)

    def _object(self, digest: bytes) -> str:
        return f"{JOURNALS}/{self._run}/{derived_key(self._key, b'name' + digest).hex()}"


def head_key(run: str) -> str:
    """Return the key of a run's head; without it, nothing that is stored of the run counts."""
    return f"{JOURNALS}/{run}/{HEAD}"


def pieces(file: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of an open file from one place to another.

    Raises:
        OSError: it is shorter.
    """
    while start < end:
        piece = os.pread(file, min(_READ, end - start), start)
        if not piece:
            raise OSError("a file is shorter than it was")
        yield piece
        start += len(piece)
