"""All uploads, with what has become of each: by which contracts versions were made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog import datasets, uploads
from catalog.store import Store
from catalog.upload_records import Upload
from tests.unit.catalog.examples import account, draft
from tests.unit.catalog.examples import version as example

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def upload(name: str, dataset: str, sha256: str, hour: int) -> Upload:
    return Upload(
        id=name,
        dataset=dataset,
        filename="raw.csv",
        key=f"landing/h/{dataset}/{name}/raw.csv",
        sha256=sha256,
        bytes=1,
        uploaded_by="steward",
        created=BEGAN + timedelta(hours=hour),
    )


def test_landings_say_what_was_made_of_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.duckdb")
    stated = draft()
    datasets.register(store, stated, account())
    made = example(stated)
    with store.change("pipeline") as change:
        for one in (
            upload("later", stated.id, "1" * 64, 2),
            upload("first", stated.id, made.report.raw_sha256 or "", 1),
            upload("gone", stated.id, "2" * 64, 3).model_copy(update={"erased": BEGAN}),
        ):
            change.insert("uploads", one.id, one)
        datasets.insert_version(change, made)
        change.event("test", "test")
    found = uploads.landings(store)
    store.close()
    assert [(one.upload.id, one.published_by, one.newest, one.versions) for one in found] == [
        ("first", (made.report.contract_digest,), False, 1),
        ("later", (), True, 1),
    ]
    assert {one.holder for one in found} == {stated.holder}
