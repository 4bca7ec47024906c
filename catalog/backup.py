"""Backups of a running lab, and putting one back: records, lake metadata and objects as they were at one moment.

    OUT/manifest.json    digest and size of every other file; written last, so a folder without it is no backup
    OUT/catalog/…        the records and the lake's metadata
    OUT/objects/…        every file that the records name; a later backup into the same folder fetches only new ones
    OUT/home/…           keys and lists without which the records could not be used

It holds personal data and keys: guard it like the lab itself.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, ValidationError

from catalog.erasure.marks import KEY
from catalog.event_records import EventsVerification
from catalog.lake import Lake
from catalog.landing import bucket_of
from catalog.publish import Publisher
from catalog.records import Line, Record, Sha256, StoredFile, Version
from catalog.replay import CHANGES, replay
from catalog.run_records import RunRecord
from catalog.snapshot import Snapshot
from catalog.store import Store, now
from catalog.upload_records import Upload
from datalab.boundary import bad_field
from datalab.canonical import sha256_file
from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.home import Home, write_atomically
from datalab.storage.store import ObjectStore

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


class Restored(Record):
    """What is there again."""

    datasets: int
    versions: int
    objects: int
    erasures: int
    audit: EventsVerification


def take_snapshot(home: Home, store: Store, lake: Lake, publisher: Publisher, *, actor: str) -> Snapshot:
    """Copy the catalog's files; publications wait meanwhile, and changes for as long as a file is copied."""
    key = uuid.uuid4().hex
    folder = home.folder("backups", key)
    with publisher.alone():
        with store.change(actor) as change:
            change.event("backup.taken", f"backup/{key}")
        store.rewrite(folder / FILES[0])
        lake.copy(folder / FILES[1])
    copied = Store(folder / FILES[0])
    try:
        return Snapshot(id=key, created=now(), events=copied.last_event(), objects=tuple(_named(copied)))
    finally:
        copied.close()


def fetch(home: Home, objects: ObjectStore, snapshot: Snapshot, out: Path, *, beside: Path | None = None) -> Manifest:
    """Make a backup of a snapshot in the folder ``out``; what is no longer named there is removed.

    Args:
        home: of the lab.
        objects: its object store.
        snapshot: of its catalog.
        out: the folder.
        beside: an earlier backup on the same file system, whose objects need not be fetched again.

    Raises:
        NotFoundError: an object is not there, because somebody was erased meanwhile.
        StorageError: an object is not what the records say.
    """
    (out / MANIFEST).unlink(missing_ok=True)
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
    write_atomically(out / MANIFEST, manifest.model_dump_json(indent=2).encode())
    return manifest


def read_manifest(backup: Path) -> Manifest:
    """Return what a backup consists of, all of it checked against its digests.

    Raises:
        NotFoundError: there is no whole backup.
        BadInputError: a file of it is missing, or is not what it was.
    """
    try:
        manifest = Manifest.model_validate_json((backup / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no whole backup in {backup}.", next_step="Name the folder that `datalab backup` wrote."
        ) from error
    except ValidationError as error:
        raise bad_field("The backup's manifest", error, where=str(backup / MANIFEST)) from error
    digests = {one.path: one.sha256 for one in manifest.files}
    digests |= {f"objects/{one.key}": one.sha256 for one in manifest.objects}
    for path, sha256 in digests.items():
        if not (backup / path).is_file() or sha256_file(backup / path) != sha256:
            raise BadInputError(
                "A file of the backup is missing, or not what it was.",
                where=str(backup / path),
                next_step="Take another backup; this one cannot be relied on.",
            )
    return manifest


def place(backup: Path, manifest: Manifest, home: Home, objects: ObjectStore) -> None:
    """Put a checked backup into a home that has no catalog, beside erasures that the home knows of already.

    Raises:
        RefusedError: the home has a catalog, or another key for the marks of those who were erased.
    """
    catalog = home.path / "catalog"
    if any((catalog / name).exists() for name in FILES):
        raise RefusedError(
            "This home has a catalog already, and nothing is overwritten.",
            where=str(catalog),
            next_step="Name a new home, or move this folder away.",
        )
    for one in manifest.files:
        if not one.path.startswith("home/"):
            continue
        source, target = backup / one.path, home.path / one.path.removeprefix("home/")
        if target.exists():
            _check_same(source, target)
            continue
        home.folder(*target.relative_to(home.path).parts[:-1])
        shutil.copy2(source, target)
    for stored in manifest.objects:
        bucket_of(stored.key, objects).put_file(stored.key, backup / "objects" / stored.key)
    home.folder("catalog")
    for name in reversed(FILES):  # the records last: without them it is no catalog yet
        temporary = catalog / f".{name}.restored"
        shutil.copy2(backup / "catalog" / name, temporary)
        if name == FILES[0]:
            replay(temporary, backup / CHANGES, {one.key for one in manifest.objects})
        temporary.replace(catalog / name)


def keep_erasures(backup: Path, home: Home) -> None:
    """Bring the signed records of erasures that were shipped beside a backup into a home, for them to be replayed."""
    for path in (backup / "erasures").glob("*.jws"):
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
