"""Raw files: encrypted, locked, and what a killed run decrypted is removed."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from catalog import datasets, uploads
from catalog.curations import Curations
from catalog.evidence import evidence_key, on_schedule, read_checkpoints
from catalog.landing import LOCK, Landing, locked_until
from catalog.records import Period
from catalog.store import Store
from catalog.upload_records import Upload
from datalab.curation.leftovers import KEPT_SECONDS, in_use
from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.sealing.stream import SealBrokenError
from datalab.settings import Checkpoints
from datalab.storage.store import ObjectNotFoundError, ObjectStore, StorageError
from tests.unit.catalog.examples import account, draft, registered

RAW = b"pid,age\np-4711,61\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_raw_file_lies_encrypted_and_only_an_erasure_removes_it(
    home: Home, object_store: ObjectStore, tmp_path: Path
) -> None:
    store, landing = Store(home.folder("catalog") / "records.duckdb"), Landing(home, object_store)
    atlas = datasets.register(store, draft(id="locked-atlas", retention=None), account())
    upload = uploads.receive(store, landing, atlas, [RAW[:5], RAW[5:]], filename="raw.csv", account=account())
    assert upload.sealed is not None
    assert b"p-4711" not in object_store.landing.open(upload.key).read()
    landing.fetch(upload, tmp_path / "raw.csv")
    assert (tmp_path / "raw.csv").read_bytes() == RAW

    client, bucket = object_store.client, object_store.landing.bucket
    (lies,) = client.list_objects(bucket, upload.key, include_version=True)
    from minio.error import S3Error

    with pytest.raises(S3Error, match="AccessDenied"):
        client.remove_object(bucket, upload.key, version_id=lies.version_id)
    held = client.get_object_retention(bucket, upload.key)
    assert held is not None
    assert (held.mode, held.retain_until_date) == ("GOVERNANCE", upload.sealed.locked_until)
    assert timedelta(0) < upload.created + LOCK - held.retain_until_date < timedelta(minutes=5)

    object_store.landing.delete(upload.key)  # hides it, no more
    assert len(list(client.list_objects(bucket, upload.key, include_version=True))) == 2
    landing.remove(upload)
    assert list(client.list_objects(bucket, upload.key, include_version=True)) == []
    with pytest.raises(ObjectNotFoundError):
        landing.fetch(upload, tmp_path / "again.csv")
    assert not (tmp_path / "again.csv").exists()
    store.close()


def test_a_file_that_was_exchanged_or_is_another_uploads_is_not_used(
    home: Home, object_store: ObjectStore, tmp_path: Path
) -> None:
    landing = Landing(home, object_store)
    one = landing.put(registered(draft()), "one", "raw.csv", [RAW], "a")
    two = landing.put(registered(draft()), "two", "raw.csv", [RAW], "a")
    assert one.sealed is not None
    for wrong in (one.model_copy(update={"key": two.key}), one.model_copy(update={"sealed": two.sealed})):
        with pytest.raises(SealBrokenError):
            landing.fetch(wrong, tmp_path / "raw.csv")
    with pytest.raises(StorageError, match="SHA-256 differs"):
        landing.fetch(one.model_copy(update={"sha256": "0" * 64}), tmp_path / "raw.csv")
    assert not (tmp_path / "raw.csv").exists()


def test_a_lock_ends_with_the_retention_and_at_the_latest_after_a_year() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    ends = {date(2026, 2, 1): None, date(2026, 3, 9): datetime(2026, 3, 9, 23, 59, 59, tzinfo=UTC)}
    for end, until in ends.items():
        assert locked_until(registered(draft(retention=Period(end=end))), at) == until
    for period in (None, Period(start=date(2020, 1, 1)), Period(end=date(2040, 1, 1))):
        assert locked_until(registered(draft(retention=period)), at) == at.replace(microsecond=0) + LOCK


def test_files_of_a_release_that_did_not_encrypt_are_encrypted_at_the_start(
    home: Home, object_store: ObjectStore
) -> None:
    store, landing = Store(home.folder("catalog") / "records.duckdb"), Landing(home, object_store)
    datasets.register(store, draft(id="old-atlas"), account())
    stored = object_store.put_bytes("landing/gbsg/old-atlas/old/raw.csv", RAW)
    assert stored.sha256 is not None
    old = Upload(
        id="old", dataset="old-atlas", filename="raw.csv", key=stored.key, sha256=stored.sha256, bytes=stored.bytes,
        uploaded_by="a", created=datetime.now(UTC),
    )  # fmt: skip
    with store.change("a") as change:
        change.insert("uploads", old.id, old)
        change.event("upload.received", "upload/old")
    assert [landing.seal_plain(store), landing.seal_plain(store)] == [1, 0]
    assert b"".join(landing.read(store.get(Upload, "uploads", "old"))) == RAW
    assert list(object_store.list("landing/gbsg/old-atlas/")) == []
    store.close()


def test_checkpoints_go_to_a_bucket_of_somebody_elses(home: Home, object_store: ObjectStore, tmp_path: Path) -> None:
    store = Store(home.folder("catalog") / "records.duckdb")
    datasets.register(store, draft(id="noted-atlas"), account())
    settings = Checkpoints(bucket="s3://datalab/runs/evidence", endpoint=f"http://{object_store.endpoint}")
    with (
        pytest.raises(NotFoundError, match="credentials"),
        on_schedule(home, store, settings, federation="lab.example"),
    ):
        pass
    credentials = home.folder("secrets") / "checkpoint-store"
    credentials.write_text(f"{object_store.access_key}:{object_store.secret_key}\n")
    with on_schedule(home, store, settings, federation="lab.example"):
        datasets.register(store, draft(id="noted-atlas-2"), account())
    found = [one.key for one in object_store.list("runs/evidence/")]
    assert found[-1] == "runs/evidence/lab.example-000000000002.jws"
    object_store.get_file(found[-1], home.folder("kept") / "last.jws")
    (kept,) = read_checkpoints(home.path / "kept", evidence_key(home))
    assert (kept.events, kept.head) == (2, store.verify_events().head)
    store.close()


def test_what_a_killed_run_decrypted_is_removed_in_time_and_a_running_ones_is_not(home: Home) -> None:
    dead, alive, fresh = (home.folder("curation", "atlas", run, "work") for run in ("dead", "alive", "fresh"))
    for one in (dead, alive, fresh):
        (one / "raw.csv").write_bytes(RAW)
    long_ago = time.time() - KEPT_SECONDS - 1
    for one in (dead, alive):
        os.utime(one, (long_ago, long_ago))
    store = Store(home.folder("catalog") / "records.duckdb")
    with in_use(alive):
        Curations(home, store)
        assert (dead.exists(), alive.exists(), dead.parent.exists()) == (False, True, True)
    Curations(home, store)
    assert (alive.exists(), fresh.exists()) == (False, True), "the next run takes it up"
    store.close()
