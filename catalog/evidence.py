"""The lab's key for evidence, and checkpoints: signed heads of the audit chain, kept where it cannot rewrite them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from datalab.permits.keys import PRIVATE_FILE, generate_key, load_private_key, write_key_pair
from datalab.permits.signature import sign, verified_payload

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

KIND = "datalab-checkpoint+jws"


class Checkpoint(Record):
    """That the audit chain of a lab had so many events at a time, the last of them with this hash."""

    federation: Line
    time: AwareDatetime
    events: Annotated[int, Field(ge=1)]
    head: Sha256


def evidence_key(home: Home) -> OKPKey:
    """Return the lab's key for evidence, made when first asked for; its public half lies beside it."""
    folder = home.folder("secrets", "evidence")
    if not (folder / PRIVATE_FILE).exists():
        write_key_pair(generate_key(), folder)
    return load_private_key(folder / PRIVATE_FILE)


def write_checkpoint(store: Store, key: OKPKey, folder: Path, *, federation: str) -> Path | None:
    """Sign where the audit chain stands, into a file of its own; None where nothing has happened since the last one.

    Raises:
        CatalogError: the folder cannot be written to.
    """
    last = store.rows("SELECT n, hash FROM events ORDER BY n DESC LIMIT 1")
    if not last:
        return None
    n, head = last[0]
    path = folder / f"{federation}-{n:012}.jws"
    if path.exists():
        return None
    checkpoint = Checkpoint(federation=federation, time=now(), events=n, head=head)
    signed = sign(checkpoint.model_dump_json().encode(), kind=KIND, key=key)
    try:
        write_atomically(path, f"{signed}\n".encode(), mode=0o444)
    except OSError as error:
        raise CatalogError(
            f"A checkpoint of the audit chain cannot be written: {error.strerror}.",
            where=str(folder),
            next_step="Name a folder that is there and can be written to, under [checkpoints] in datalab.toml.",
        ) from error
    return path


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
def on_schedule(store: Store, key: OKPKey, folder: Path | None, *, minutes: float, federation: str) -> Iterator[None]:
    """Write checkpoints while the block runs: at its start, then every so many minutes, and at its end."""
    if folder is None:
        yield
        return
    with periodically(
        "checkpoints",
        minutes * 60,
        lambda: write_checkpoint(store, key, folder, federation=federation),
        last=True,
    ):
        yield
