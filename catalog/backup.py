"""Backups of a running lab, and putting one back: records, lake metadata and objects as they were at one moment.

    OUT/manifest.json    digest and size of every other file; written last, so a folder without it is no backup
    OUT/manifest.jws     the lab's signature over it (``catalog.signed_backup``)
    OUT/catalog/…        the records and the lake's metadata
    OUT/objects/…        every file that the records name; a later backup into the same folder fetches only new ones
    OUT/home/…           keys and lists without which the records could not be used

It holds personal data and keys: guard it like the lab itself.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, AwareDatetime, ValidationError

from catalog.erasure.marks import KEY
from catalog.erasure.records import KIND as ERASURE_KIND
from catalog.erasure.records import Erasure
from catalog.event_records import EventsVerification
from catalog.evidence import backup_key, public_evidence_key
from catalog.lake import Lake
from catalog.landing import bucket_of
from catalog.publish import Publisher
from catalog.records import Line, Record, Sha256, StoredFile, Version
from catalog.replay import plain_changes, replay
from catalog.run_records import RunRecord
from catalog.signed_backup import (
    CHANGES,
    MANIFEST_SIGNATURE,
    ManifestSeal,
    check_manifest,
    check_signed,
    sign_manifest,
    signed_changes,
    signed_erasures,
)
from catalog.snapshot import TAKEN, Snapshot
from catalog.store import Store, now
from catalog.upload_records import Upload
from datalab.boundary import bad_field
from datalab.canonical import sha256_file
from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.home import Home, write_atomically
from datalab.permits.keys import load_public_key
from datalab.permits.signature import verified_payload
from datalab.storage.store import ObjectStore

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

MANIFEST = "manifest.json"
FILES = ("records.duckdb", "lake.ducklake")
_KEPT = (
    "permit-keys",
    "erasures",
    "secrets/evidence",
    "secrets/second-factor-key",
    f"secrets/{KEY}",
    "secrets/holders",
)
"""What of a home goes along, besides the catalog."""


def _belongs(path: str) -> str:
    """Refuse the path of a file that no backup has: who could write to a backup is not to choose what is restored."""
    name = PurePosixPath(path)
    kept = any(name.is_relative_to(f"home/{one}") for one in _KEPT)
    if ".." in name.parts or not (kept or path in {f"catalog/{one}" for one in FILES}):
        raise ValueError("no backup has a file of this name")
    return path


class Entry(Record):
    """A file of a backup."""

    path: Annotated[Line, AfterValidator(_belongs)]
    sha256: Sha256
    bytes: int


class Manifest(Record):
    """What a backup consists of."""

    created: AwareDatetime
    events: int
    files: tuple[Entry, ...]
    objects: tuple[StoredFile, ...]


@dataclass(frozen=True)
class Backup:
    """A backup that was checked.

    Attributes:
        folder: where it is.
        manifest: what it consists of.
        seal: what the lab has signed of it; None where it was taken without a signature.
        key: that has signed it.
    """

    folder: Path
    manifest: Manifest
    seal: ManifestSeal | None
    key: OKPKey | None

    def changes(self) -> Iterator[bytes]:
        """Yield the changes beside it, each once it is verified; RefusedError where it is not what was signed."""
        if self.seal is None or self.key is None:
            return plain_changes(self.folder / CHANGES)
        return signed_changes(self.folder / CHANGES, self.seal, self.key)


class Restored(Record):
    """What is there again."""

    datasets: int
    versions: int
    objects: int
    erasures: int
    audit: EventsVerification


def take_snapshot(
    home: Home, store: Store, lake: Lake, publisher: Publisher, *, actor: str, goes_to: str = ""
) -> Snapshot:
    """Copy the catalog's files; publications wait meanwhile, and changes for as long as a file is copied.

    Args:
        home: of the lab.
        store: its records.
        lake: its data.
        publisher: makes its versions.
        actor: on whose behalf.
        goes_to: the folder that the backup goes to, for the record.
    """
    key = uuid.uuid4().hex
    with publisher.alone():
        folder = home.folder("backups", key)  # an erasure, which is alone too, removes those that are there
        with store.change(actor) as change:
            change.event(TAKEN, f"backup/{key}", folder=goes_to)
        store.rewrite(folder / FILES[0])
        lake.copy(folder / FILES[1])
    copied = Store(folder / FILES[0])
    try:
        return Snapshot(id=key, created=now(), events=copied.last_event(), objects=tuple(_named(copied)))
    finally:
        copied.close()


def fetch(
    home: Home,
    objects: ObjectStore,
    snapshot: Snapshot,
    out: Path,
    *,
    beside: Path | None = None,
    changes: bool = False,
) -> Manifest:
    """Make a backup of a snapshot in the folder ``out``, signed; what is no longer named there is removed.

    Args:
        home: of the lab.
        objects: its object store.
        snapshot: of its catalog.
        out: the folder.
        beside: an earlier backup on the same file system, whose objects need not be fetched again.
        changes: whether changes will be written down beside it.

    Raises:
        NotFoundError: an object is not there, because somebody was erased meanwhile.
        StorageError: an object is not what the records say.
    """
    for name in (MANIFEST, MANIFEST_SIGNATURE):
        (out / name).unlink(missing_ok=True)
    for name in ("catalog", "home"):
        shutil.rmtree(out / name, ignore_errors=True)
    folder = home.path / "backups" / snapshot.id
    if not folder.is_dir():
        raise NotFoundError(
            "The snapshot is gone: the lab was started again, or somebody was erased, meanwhile.",
            where=str(folder),
            next_step="Back up again.",
        )
    out.mkdir(parents=True, exist_ok=True, mode=0o700)  # a mode given with parents is not theirs
    (out / "catalog").mkdir(mode=0o700)
    for name in FILES:
        shutil.move(folder / name, out / "catalog" / name)
    folder.rmdir()
    for name in _KEPT:
        source, target = home.path / name, out / "home" / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.is_file():
            shutil.copy2(source, target)
    _fetch_objects(objects, snapshot, out / "objects", None if beside is None else beside / "objects")
    entries = tuple(
        Entry(path=str(path.relative_to(out)), sha256=sha256_file(path), bytes=path.stat().st_size)
        for name in ("catalog", "home")
        for path in sorted(_files(out / name))
    )
    manifest = Manifest(created=snapshot.created, events=snapshot.events, files=entries, objects=snapshot.objects)
    data = manifest.model_dump_json(indent=2).encode()
    sign_manifest(out, data, backup_key(home), changes=changes)
    write_atomically(out / MANIFEST, data)
    return manifest


def open_backup(folder: Path, key: OKPKey | None) -> Backup:
    """Return a backup, all of it checked against its signatures and digests.

    Args:
        folder: that it is in.
        key: the public key that must have signed it; None takes one that is not signed, as it is.

    Raises:
        NotFoundError: there is no whole backup.
        RefusedError: it is not signed by the key, or is not what was signed.
        BadInputError: a file of it is missing, or is not what it was.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no whole backup in {folder}.", next_step="Name the folder that `datalab backup` wrote."
        ) from error
    if key is None and (folder / MANIFEST_SIGNATURE).exists():
        raise RefusedError(
            "This backup is signed.", where=str(folder), next_step="Leave out --unsigned, and give the lab's key."
        )
    seal = None if key is None else check_manifest(folder, data, key)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise bad_field("The backup's manifest", error, where=str(folder / MANIFEST)) from error
    for path, sha256 in _digests(manifest).items():
        _check_digest(folder / path, sha256)
    found = Backup(folder, manifest, seal, key)
    for _ in found.changes():
        pass
    return found


def place(backup: Backup, home: Home, objects: ObjectStore) -> None:
    """Put a checked backup into a home that has no catalog, beside erasures that the home knows of already.

    What lies there then is checked once more: whoever writes to the backup meanwhile changes nothing here.

    Raises:
        RefusedError: the home has a catalog, or another key for the marks of those who were erased.
        BadInputError: the backup was changed meanwhile.
    """
    catalog, digests = home.path / "catalog", _digests(backup.manifest)
    if any((catalog / name).exists() for name in FILES):
        raise RefusedError(
            "This home has a catalog already, and nothing is overwritten.",
            where=str(catalog),
            next_step="Name a new home, or move this folder away.",
        )
    for one in backup.manifest.files:
        if not one.path.startswith("home/"):
            continue
        source, target = backup.folder / one.path, home.path / one.path.removeprefix("home/")
        if target.exists():
            _check_same(source, target)
            continue
        home.folder(*target.relative_to(home.path).parts[:-1])
        shutil.copy2(source, target)
        _check_digest(target, one.sha256)
    for stored in backup.manifest.objects:
        path = backup.folder / "objects" / stored.key
        if bucket_of(stored.key, objects).put_file(stored.key, path).sha256 != stored.sha256:
            raise _not_what_it_was(path)
    home.folder("catalog")
    for name in reversed(FILES):  # the records last: without them it is no catalog yet
        temporary = catalog / f".{name}.restored"
        shutil.copy2(backup.folder / "catalog" / name, temporary)
        _check_digest(temporary, digests[f"catalog/{name}"])
        if name == FILES[0]:
            kept = {one.key for one in backup.manifest.objects}
            replay(temporary, backup.folder / CHANGES, kept, backup.changes())
        temporary.replace(catalog / name)


def keep_erasures(folder: Path, home: Home, backup: Backup) -> None:
    """Bring the signed records of erasures that were shipped beside a backup into a home, for them to be replayed.

    Raises:
        RefusedError: they are not what the lab has signed, or are not all there.
    """
    if backup.key is None:
        _keep_plain_erasures(folder, home, None)
        return
    if backup.seal is None or not backup.seal.changes:
        return  # those that it has are in its manifest
    evidence = load_public_key(public_evidence_key(Home(backup.folder / "home")))
    records = signed_erasures(folder, backup.folder, backup.key)
    if records is None:
        _keep_plain_erasures(folder, home, evidence)
        return
    for record in records:
        payload = verified_payload(record.decode("ascii"), kind=ERASURE_KIND, keys=[evidence])
        target = home.folder("erasures") / f"{Erasure.model_validate_json(payload).id}.jws"
        if not target.exists():
            write_atomically(target, record + b"\n")


def _keep_plain_erasures(folder: Path, home: Home, key: OKPKey | None) -> None:
    """Bring the records in that an earlier release left beside a backup, each signed by the key for evidence alone."""
    for path in sorted((folder / "erasures").glob("*.jws")):
        if key is not None:
            check_signed(path, ERASURE_KIND, key)
        target = home.folder("erasures") / path.name
        if not target.exists():
            shutil.copy2(path, target)


def restored(store: Store, erasures: int, objects: int) -> Restored:
    """Say what a catalog that was put back has."""
    (datasets,), (versions,) = (store.rows(f"SELECT count(*) FROM {table}")[0] for table in ("datasets", "versions"))
    return Restored(
        datasets=datasets, versions=versions, objects=objects, erasures=erasures, audit=store.verify_events()
    )


def _named(store: Store) -> Iterator[StoredFile]:
    """Yield every object that the records name and that is to be there."""
    for (record,) in store.rows("SELECT record FROM versions ORDER BY dataset, number"):
        yield from Version.model_validate_json(record).files
    for (record,) in store.rows("SELECT record FROM uploads ORDER BY id"):
        upload = Upload.model_validate_json(record)
        if upload.sealed is not None:
            yield StoredFile(key=upload.key, sha256=upload.sealed.sha256, bytes=upload.sealed.bytes)
    for (record,) in store.rows("SELECT record FROM runs ORDER BY id"):
        for one in RunRecord.model_validate_json(record).artifacts:
            yield StoredFile(key=one.uri.removeprefix("s3://").partition("/")[2], sha256=one.sha256, bytes=one.bytes)


def _fetch_objects(objects: ObjectStore, snapshot: Snapshot, folder: Path, beside: Path | None) -> None:
    """Have in ``folder`` the objects that a snapshot names and no others; fetch those that are not there yet."""
    wanted = {one.key for one in snapshot.objects}
    for path in _files(folder):
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for one in snapshot.objects:
        target = folder / one.key
        if beside is not None and (beside / one.key).is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            target.hardlink_to(beside / one.key)
        if not target.is_file() or sha256_file(target) != one.sha256:
            target.unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            bucket_of(one.key, objects).get_file(one.key, target, sha256=one.sha256)


def _digests(manifest: Manifest) -> dict[str, str]:
    """Return the digest of every file of a backup, by its path there."""
    digests = {one.path: one.sha256 for one in manifest.files}
    return digests | {f"objects/{one.key}": one.sha256 for one in manifest.objects}


def _check_digest(path: Path, sha256: str) -> None:
    if not path.is_file() or sha256_file(path) != sha256:
        raise _not_what_it_was(path)


def _not_what_it_was(path: Path) -> BadInputError:
    return BadInputError(
        "A file of the backup is missing, or not what it was.",
        where=str(path),
        next_step="Take another backup; this one cannot be relied on.",
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _check_same(source: Path, target: Path) -> None:
    """Raise RefusedError where a home has another file in the place of one of the backup's that must not differ."""
    if sha256_file(source) != sha256_file(target):
        raise RefusedError(
            "This home has another key or list than the backup.",
            where=str(target),
            next_step="Restore into a new home; its folder erasures may hold newer records than the backup's.",
        )
