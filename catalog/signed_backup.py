"""Signatures of a backup, so that whoever can write to its folder cannot choose what a restore takes from it.

    manifest.jws     over the manifest, which has the digest of every other file, and over whether changes follow
    changes.jsonl    a line a change: its signature, a space, the change; each line names the one before
    changes.jws      over how many lines there are, written after them, and how many erasures were shipped by then: an
                     end that was cut off is noticed
    erasures.jws     beside the backups: a signature over all that follows it, one record of an erasure a line

The key is the lab's for backups (``catalog.evidence``), which is in none of them. A folder in which all of it was put
back to what it once was verifies: the checkpoints of the audit chain tell (``datalab audit checkpoints``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field, ValidationError

from catalog.records import Record, Sha256
from datalab.boundary import bad_field
from datalab.canonical import sha256_hex
from datalab.errors import DatalabError, RefusedError
from datalab.home import write_atomically
from datalab.permits.errors import PermitError, Reason
from datalab.permits.signature import sign, verified_payload

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

MANIFEST_SIGNATURE = "manifest.jws"
CHANGES = "changes.jsonl"
CHANGES_SIGNATURE = "changes.jws"
ERASURES = "erasures.jws"
_MANIFEST_KIND = "datalab-backup+jws"
_LINE_KIND = "datalab-change+jws"
_END_KIND = "datalab-changes+jws"
_ERASURES_KIND = "datalab-erasures+jws"
_S = TypeVar("_S", bound=Record)


class ManifestSeal(Record):
    """What the signature of a manifest covers: its digest, and whether changes follow in ``changes.jsonl``."""

    manifest: Sha256
    changes: bool


class _Line(Record):
    """What the signature of a change covers: which line it is, what the line before was signed with, and its digest."""

    line: Annotated[int, Field(ge=1)]
    previous: Sha256
    sha256: Sha256


class _End(Record):
    """What the signature of all changes covers: how many lines there are, and what the last was signed with.

    Attributes:
        erasures: how many records of erasures lie beside the backup at the least; None of an earlier release, which
            left them unsigned.
    """

    lines: Annotated[int, Field(ge=0)]
    head: Sha256
    erasures: Annotated[int, Field(ge=0)] | None = None


class _Erasures(Record):
    """What the signature of the records of erasures covers: how many there are, and the digest of their lines."""

    count: Annotated[int, Field(ge=0)]
    sha256: Sha256


def sign_manifest(backup: Path, manifest: bytes, key: OKPKey, *, changes: bool) -> None:
    """Write the signature of a manifest into the folder of its backup."""
    seal = ManifestSeal(manifest=sha256_hex(manifest), changes=changes)
    write_atomically(backup / MANIFEST_SIGNATURE, _signed(seal, _MANIFEST_KIND, key))


def check_manifest(backup: Path, manifest: bytes, key: OKPKey) -> ManifestSeal:
    """Return what was signed of a manifest.

    Raises:
        RefusedError: there is no signature, it is by another key, or the manifest is not the one that was signed.
    """
    seal = _read(ManifestSeal, backup / MANIFEST_SIGNATURE, _MANIFEST_KIND, key)
    if seal.manifest != sha256_hex(manifest):
        raise _changed("The backup's manifest is not the one that the lab has signed.", backup)
    return seal


class ChangeLog:
    """The changes beside one backup, as the lab that makes them appends them.

    Args:
        backup: folder of a whole backup that says that changes follow.
        manifest: its manifest, from which the first line goes on.
        key: the lab's for backups.
        erasures: how many records of erasures lie beside it.
    """

    def __init__(self, backup: Path, manifest: bytes, key: OKPKey, *, erasures: int) -> None:
        self._backup, self._key = backup, key
        self._lines, self._bytes, self._head = 0, 0, sha256_hex(manifest)
        self.append([], erasures=erasures)

    def append(self, changes: Sequence[str], *, erasures: int) -> None:
        """Write changes down, how many there are now, and how many records of erasures lie beside them already.

        What an earlier call left half written is taken away first.

        Raises:
            OSError: it cannot be written; then nothing counts as appended, and the same call can be made again.
        """
        lines, size, head = self._lines, self._bytes, self._head
        path = self._backup / CHANGES
        with open(path, "ab", opener=partial(os.open, mode=0o600)) as file:
            file.truncate(size)
            for change in changes:
                text = change.encode()
                said = _Line(line=lines + 1, previous=head, sha256=sha256_hex(text))
                token = _signed(said, _LINE_KIND, self._key)
                lines, head = lines + 1, sha256_hex(token)
                size += file.write(b"%b %b\n" % (token, text))
            file.flush()
            os.fsync(file.fileno())
        end = _signed(_End(lines=lines, head=head, erasures=erasures), _END_KIND, self._key)
        write_atomically(self._backup / CHANGES_SIGNATURE, end)
        self._lines, self._bytes, self._head = lines, size, head


def signed_changes(path: Path, seal: ManifestSeal, key: OKPKey) -> Iterator[bytes]:
    """Yield the changes beside a backup, each once it is verified.

    A last line that is torn, because the machine was lost while it was written, counts as none.

    Raises:
        RefusedError: a line was changed, lines are missing or in another order, or the end was cut off.
    """
    if not seal.changes:
        return
    end = _read(_End, path.with_name(CHANGES_SIGNATURE), _END_KIND, key)
    count, head = 0, seal.manifest
    try:
        with path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                count += 1
                token, _, text = raw[:-1].partition(b" ")
                said = _verified(_Line, token, f"{path}, line {count}", _LINE_KIND, key)
                if said.sha256 != sha256_hex(text):
                    raise _changed("A change in the backup is not the one that the lab has signed.", path, count)
                if (said.line, said.previous) != (count, head):
                    raise _changed("Changes in the backup are missing, or in another order.", path, count)
                head = sha256_hex(token)
                if count == end.lines and head != end.head:
                    raise _changed("The last change that the lab has counted is another one.", path, count)
                yield text
    except FileNotFoundError as error:
        raise _changed("The changes of the backup are missing.", path) from error
    if count < end.lines:
        raise _changed(f"The changes in the backup are cut off: {count} are left of {end.lines}.", path)


def sign_erasures(folder: Path, records: Sequence[bytes], key: OKPKey) -> None:
    """Write the records of all erasures, each one line, into a folder with backups, with a signature over them."""
    text = b"".join(b"%b\n" % record for record in records)
    said = _signed(_Erasures(count=len(records), sha256=sha256_hex(text)), _ERASURES_KIND, key)
    write_atomically(folder / ERASURES, b"%b\n%b" % (said, text))


def signed_erasures(folder: Path, backup: Path, key: OKPKey) -> list[bytes] | None:
    """Return the records of erasures beside a backup that changes are shipped to; None if an earlier release made it.

    Args:
        folder: that the lab ships to.
        backup: the newest whole one in it.
        key: that has signed it.

    Raises:
        RefusedError: they were changed, left out, or put back to what they once were.
    """
    end = _read(_End, backup / CHANGES_SIGNATURE, _END_KIND, key)
    if end.erasures is None:
        return None
    path = folder / ERASURES
    try:
        token, _, text = path.read_bytes().partition(b"\n")
    except FileNotFoundError as error:
        raise RefusedError(
            "The records of who was erased are missing beside the backup.",
            where=str(path),
            next_step="Name the folder to which the lab ships its backups, not one of them alone.",
        ) from error
    said = _verified(_Erasures, token, str(path), _ERASURES_KIND, key)
    records = text.splitlines()
    if (said.count, said.sha256) != (len(records), sha256_hex(text)):
        raise _changed("The records of who was erased are not those that the lab has signed.", path)
    if said.count < end.erasures:
        raise _changed(f"Records of who was erased are missing: {said.count} are left of {end.erasures}.", path)
    return records


def check_signed(path: Path, kind: str, key: OKPKey) -> None:
    """Raise RefusedError unless a file is a document of a kind that the key has signed."""
    _payload(path.read_bytes().strip(), str(path), kind, key)


def _signed(said: Record, kind: str, key: OKPKey) -> bytes:
    return sign(said.model_dump_json().encode(), kind=kind, key=key).encode()


def _read(model: type[_S], path: Path, kind: str, key: OKPKey) -> _S:
    try:
        token = path.read_bytes().strip()
    except FileNotFoundError as error:
        raise RefusedError(
            "The backup is not signed: a signature is missing.",
            where=str(path),
            next_step="If an earlier release has made it, which signed none, and nobody else could write to it, "
            "use --unsigned.",
        ) from error
    return _verified(model, token, str(path), kind, key)


def _verified(model: type[_S], token: bytes, where: str, kind: str, key: OKPKey) -> _S:
    try:
        return model.model_validate_json(_payload(token, where, kind, key))
    except ValidationError as error:
        raise bad_field("What was signed of the backup", error, where=where) from error


def _payload(token: bytes, where: str, kind: str, key: OKPKey) -> bytes:
    try:
        return verified_payload(token.decode("latin-1"), kind=kind, keys=[key])
    except PermitError as error:
        if error.reason is Reason.UNKNOWN_KEY:
            raise RefusedError(
                "The backup is signed by another key than the one that you trust.",
                where=where,
                next_step="Give the public key of the lab that made it: secrets/backups in its home has it.",
            ) from error
        raise _changed("A signature in the backup was changed.", where) from error


def _changed(what: str, where: Path | str, line: int | None = None) -> DatalabError:
    return RefusedError(
        what,
        where=str(where) if line is None else f"{where}, line {line}",
        next_step="Take another backup, and keep this one as it is: somebody else has written to it.",
    )
