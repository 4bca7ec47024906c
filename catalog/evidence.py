"""The lab's key for evidence, and checkpoints: signed heads of the audit chain, kept where it cannot rewrite them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, Field, ValidationError

from catalog.errors import CatalogError
from catalog.periodic import periodically
from catalog.records import Line, Record, Sha256
from catalog.store import Store, now
from datalab.boundary import bad_field
from datalab.errors import NotFoundError
from datalab.home import Home, write_atomically
from datalab.permits.keys import PRIVATE_FILE, PUBLIC_FILE, generate_key, load_private_key, write_key_pair
from datalab.permits.signature import sign, verified_payload
from datalab.settings import Checkpoints
from datalab.storage.store import ObjectNotFoundError, ObjectStore

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

KIND = "datalab-checkpoint+jws"
CREDENTIALS = "checkpoint-store"
"""The file with the credentials of the bucket, below ``secrets``."""


class Checkpoint(Record):
    """That the audit chain of a lab had so many events at a time, the last of them with this hash."""

    federation: Line
    time: AwareDatetime
    events: Annotated[int, Field(ge=1)]
    head: Sha256


def evidence_key(home: Home) -> OKPKey:
    """Return the lab's key for evidence, made when first asked for; its public half lies beside it."""
    return _key_in(home.folder("secrets", "evidence"))


def backup_key(home: Home) -> OKPKey:
    """Return the lab's key for its backups, made when first asked for; its public half lies beside it.

    It goes along in none of them, as the one for evidence does: who has a backup is not to sign another one.
    """
    return _key_in(home.folder("secrets", "backups"))


def public_evidence_key(home: Home) -> Path:
    """Return the file with the public half of the lab's key for evidence, which others check its signatures with."""
    return home.path / "secrets" / "evidence" / PUBLIC_FILE


def public_backup_key(home: Home) -> Path:
    """Return the file with the public half of the lab's key for backups, which a restore asks for."""
    return home.path / "secrets" / "backups" / PUBLIC_FILE


def _key_in(folder: Path) -> OKPKey:
    if not (folder / PRIVATE_FILE).exists():
        write_key_pair(generate_key(), folder)
    return load_private_key(folder / PRIVATE_FILE)


def write_checkpoint(store: Store, key: OKPKey, folder: Path, *, federation: str) -> Path | None:
    """Sign where the audit chain stands, into a file of its own; None where nothing has happened since the last one.

    Raises:
        CatalogError: the folder cannot be written to.
    """
    name, signed = _sign(store, key, federation)
    path = folder / name
    if not name or path.exists():
        return None
    try:
        write_atomically(path, signed, mode=0o444)
    except OSError as error:
        raise CatalogError(
            f"A checkpoint of the audit chain cannot be written: {error.strerror}.",
            where=str(folder),
            next_step="Name a folder that is there and can be written to, under [checkpoints] in datalab.toml.",
        ) from error
    return path


def push_checkpoint(store: Store, key: OKPKey, bucket: ObjectStore, prefix: str, *, federation: str) -> str | None:
    """Sign where the audit chain stands, into an object of its own; None where nothing has happened since.

    Raises:
        StorageError: the object store does not take it.
    """
    name, signed = _sign(store, key, federation)
    if not name:
        return None
    try:
        bucket.stat(f"{prefix}{name}")
    except ObjectNotFoundError:
        bucket.put_bytes(f"{prefix}{name}", signed)
        return f"{prefix}{name}"
    return None


def bucket_for_checkpoints(home: Home, settings: Checkpoints) -> tuple[ObjectStore, str] | None:
    """Return the bucket that checkpoints go to, and the beginning of their keys; None where they go to none.

    Raises:
        NotFoundError: the file with its credentials is not there.
    """
    if settings.bucket is None or settings.endpoint is None:
        return None
    path = home.path / "secrets" / CREDENTIALS
    if not path.is_file():
        raise NotFoundError(
            "The credentials of the bucket for checkpoints are not there.",
            where=str(path),
            next_step="Write them into this file, access-key:secret-key, and chmod 600 it.",
        )
    access_key, _, secret_key = path.read_text(encoding="utf-8").strip().partition(":")
    scheme, _, endpoint = settings.endpoint.rstrip("/").partition("://")
    bucket, _, prefix = settings.bucket.removeprefix("s3://").partition("/")
    return ObjectStore(
        endpoint, access_key, secret_key, bucket, region=settings.region, tls=scheme == "https"
    ), f"{prefix.rstrip('/')}/".lstrip("/")


def _sign(store: Store, key: OKPKey, federation: str) -> tuple[str, bytes]:
    """Return the name of the checkpoint of where the audit chain stands, and the checkpoint; no name without events."""
    last = store.rows("SELECT n, hash FROM events ORDER BY n DESC LIMIT 1")
    if not last:
        return "", b""
    n, head = last[0]
    checkpoint = Checkpoint(federation=federation, time=now(), events=n, head=head)
    signed = sign(checkpoint.model_dump_json().encode(), kind=KIND, key=key)
    return f"{federation}-{n:012}.jws", f"{signed}\n".encode()


def read_checkpoints(folder: Path, key: OKPKey) -> list[Checkpoint]:
    """Return the checkpoints in a folder, the oldest first.

    Raises:
        NotFoundError: there is none.
        PermitError: one is not signed by the key, or was changed.
    """
    found = []
    for path in sorted(folder.glob("*.jws")):
        payload = verified_payload(path.read_text(encoding="ascii").strip(), kind=KIND, keys=[key])
        try:
            found.append(Checkpoint.model_validate_json(payload))
        except ValidationError as error:
            raise bad_field("The checkpoint", error, where=str(path)) from error
    if not found:
        raise NotFoundError(f"There is no checkpoint in {folder}.", next_step="Name the folder that the lab writes to.")
    return sorted(found, key=lambda one: one.events)


@contextmanager
def on_schedule(home: Home, store: Store, settings: Checkpoints, *, federation: str) -> Iterator[None]:
    """Write checkpoints while the block runs: at its start, then every so many minutes, and at its end.

    Raises:
        NotFoundError: they are to go to a bucket whose credentials are not there.
    """
    key, folder, bucket = evidence_key(home), settings.folder, bucket_for_checkpoints(home, settings)
    with ExitStack() as stack:
        if folder is not None:
            write = partial(write_checkpoint, store, key, folder, federation=federation)
            stack.enter_context(periodically("checkpoints", settings.minutes * 60, write, last=True))
        if bucket is not None:
            push = partial(push_checkpoint, store, key, *bucket, federation=federation)
            stack.enter_context(periodically("checkpoints", settings.minutes * 60, push, last=True))
        yield
