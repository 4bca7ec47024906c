"""Apps that this node's operator has read and approved: a copy of each, below ``approvals/`` in the node's home."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from datalab.audit.log import AuditLog
from datalab.boundary import bad_field
from datalab.canonical import sha256_file, sha256_hex
from datalab.errors import BadInputError, RefusedError
from datalab.home import Home, write_atomically
from federation.bundle import digest, read_bundle, read_files
from federation.run import Digest

FOLDER = "approvals"
_BUNDLE, _RECORD = "bundle.zip", "approval.json"


class ApprovedApp(BaseModel):
    """The record of an app that was approved.

    Attributes:
        sha256: digest of the app's bundle, which lies beside the record.
        name: the app's name; versions of the same app have the same name.
        version: the app's version, as it says itself.
        approved: when.
        uid: by which user of this machine.
        packages: what the app needs, by name and version, as it was installed here then; None in records of before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Digest
    name: str
    version: str
    approved: AwareDatetime
    uid: int
    packages: dict[str, str] | None = None


class Candidate:
    """An app that waits for approval: what is shown and what is approved are the same bytes.

    Args:
        source: the app's folder, or its bundle.

    Raises:
        BundleError: it is no app.
        NotFoundError: it cannot be read.
    """

    def __init__(self, source: Path) -> None:
        self.bundle = read_bundle(source)
        self.sha256 = digest(self.bundle)
        self.app, self.files = read_files(self.bundle)
        self.packages = _packages(self.files)

    def changes(self, before: dict[str, bytes]) -> Iterator[str]:
        """Yield the lines of a unified diff from the files ``before`` to those of this app, safe to print."""
        for name in sorted(before.keys() | self.files.keys()):
            old, new = before.get(name), self.files.get(name)
            if old != new:
                yield from _diff(name, old, new)


def approve(home: Home, candidate: Candidate) -> ApprovedApp:
    """Approve an app; the node's audit log says so, and its agent goes by it from the next run on."""
    record = ApprovedApp(
        sha256=candidate.sha256,
        name=candidate.app.name,
        version=candidate.app.version,
        approved=datetime.now(UTC),
        uid=os.getuid(),
        packages=candidate.packages,
    )
    folder = home.folder(FOLDER) / record.sha256
    making = Path(tempfile.mkdtemp(dir=folder.parent, prefix="."))
    try:
        write_atomically(making / _BUNDLE, candidate.bundle)
        write_atomically(making / _RECORD, record.model_dump_json(indent=2).encode())
        AuditLog(home.path / "audit.jsonl").append("app approved", **record.model_dump(mode="json"))
        shutil.rmtree(folder, ignore_errors=True)  # approved again: the later time counts
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return record


def is_approved(home: Path, sha256: str) -> bool:
    """Whether the app with this digest was approved here, and the copy of it is still what was approved.

    Raises:
        RefusedError: what it needs is installed here in other versions than when it was approved.
    """
    folder = home / FOLDER / sha256
    try:
        record = _read(folder / _RECORD)
        if not record.sha256 == sha256 == sha256_file(folder / _BUNDLE):
            return False
    except FileNotFoundError:
        return False
    if record.packages is not None:
        from federation.node.locked import changed

        others = changed(record.packages, _packages(read_files((folder / _BUNDLE).read_bytes())[1]))
        if others:
            raise RefusedError(
                f"What the app needs is not what it was approved with here: {', '.join(others)}.",
                where=f"app {sha256[:12]}…",
                next_step="The node's operator approves it again: datalab node approve.",
            )
    return True


def approved(home: Path) -> set[str]:
    """Return the digests of the apps that were approved here."""
    return {path.parent.name for path in (home / FOLDER).glob(f"[!.]*/{_RECORD}")}


def _packages(files: Mapping[str, bytes]) -> dict[str, str]:
    from federation.node.locked import versions_here  # an agent that decides on nothing is to stay light
    from federation.scan import scan

    return versions_here(scan(files).dependencies)


def last_approved(home: Path, name: str) -> tuple[ApprovedApp, dict[str, bytes]] | None:
    """Return the version of an app that was approved last, and its files; None if none ever was.

    Raises:
        BadInputError: a record, or the copy of the app, is not what was written.
    """
    records = [_read(path) for path in (home / FOLDER).glob(f"[!.]*/{_RECORD}")]
    record = max((one for one in records if one.name == name), key=lambda one: one.approved, default=None)
    if record is None:
        return None
    path = home / FOLDER / record.sha256 / _BUNDLE
    bundle = path.read_bytes()
    if sha256_hex(bundle) != record.sha256:
        raise BadInputError(
            "The copy of an approved app was changed.",
            where=str(path),
            next_step="Remove its folder, and approve again.",
        )
    return record, read_files(bundle)[1]


def printable(text: str) -> str:
    """Return a line of somebody else's text with everything escaped that a terminal would obey or hide."""
    return "".join(
        one if one in " \t" or unicodedata.category(one)[0] not in "CZ" else ascii(one)[1:-1] for one in text
    )


def _read(path: Path) -> ApprovedApp:
    try:
        return ApprovedApp.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise bad_field("The record of an approval", error, where=str(path)) from error


def _diff(name: str, old: bytes | None, new: bytes | None) -> Iterator[str]:
    name = printable(name)
    try:
        before, after = ((one or b"").decode("utf-8").split("\n") for one in (old, new))
    except UnicodeDecodeError:
        yield f"Binary file {name}: {_said(old)} -> {_said(new)}"
        return
    names = ("/dev/null" if old is None else f"approved/{name}", "/dev/null" if new is None else f"now/{name}")
    lines = list(difflib.unified_diff(before if old else [], after if new else [], *names, lineterm=""))
    yield from map(printable, lines or [f"Empty file {name}: {_said(old)} -> {_said(new)}"])


def _said(data: bytes | None) -> str:
    return "none" if data is None else f"{len(data)} bytes, SHA-256 {sha256_hex(data)}"
