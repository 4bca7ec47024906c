"""Changes beside a backup are made again, exactly; what no lab has written is not run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from catalog import datasets
from catalog import replay as replaying
from catalog.errors import CatalogError
from catalog.records import Dataset, DatasetPatch, Role, Version
from catalog.replay import LOST, encode, plain_changes
from catalog.sessions import Sessions
from catalog.signed_backup import ChangeLog
from catalog.store import Committed, Store, now
from catalog.upload_records import Sealed, Upload
from datalab.errors import BadInputError
from datalab.permits.keys import generate_key
from tests.unit.catalog.examples import account, draft, version


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "records.duckdb")


@pytest.fixture
def made(store: Store, tmp_path: Path) -> list[Committed]:
    """A copy of the catalog, and what was changed since: most kinds of statements."""
    found: list[Committed] = []
    datasets.register(store, draft(), account())
    store.rewrite(tmp_path / "copy.duckdb")
    store.follow(found.append)
    datasets.update(store, "gbsg", DatasetPatch(title="Größe “A”; DROP TABLE x"), revision=1, account=account())
    Sessions(store).open("a-steward", complete=True, second_factor=False)
    with store.change("pipeline") as change:
        one = version(draft(), files=1)
        datasets.insert_version(change, one)
        change.event("version.published", "dataset/gbsg/v1")
        change.event("version.staging-cleared", "dataset/gbsg/v1")
    sealed = Sealed(owner="gbsg", wrapped_key="AA==", sha256="0" * 64, bytes=1)
    upload = Upload(
        id="one", dataset="gbsg", filename="a", key="landing/a", sha256="0" * 64, bytes=1, uploaded_by="a",
        created=now(), sealed=sealed,
    )  # fmt: skip
    with store.change(account(Role.STEWARD).name) as change:
        change.insert("uploads", upload.id, upload)
        change.event("upload.received", "upload/one")
    return found


def replay(catalog: Path, changes: Path, objects: set[str]) -> int:
    return replaying.replay(catalog, changes, objects, plain_changes(changes))


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    tables = ("datasets", "versions", "uploads", "sessions", "events")
    return {table: store.rows(f"SELECT * FROM {table} ORDER BY ALL") for table in tables}


def keys(store: Store) -> set[str]:
    (row,) = store.rows("SELECT record FROM versions")
    return {"landing/a", *(one.key for one in Version.model_validate_json(row[0]).files)}


def test_the_same_records_come_of_the_same_changes(store: Store, made: list[Committed], tmp_path: Path) -> None:
    changes = write(tmp_path / "changes.jsonl", [encode(one) for one in made])
    assert replay(tmp_path / "copy.duckdb", changes, keys(store)) == len(made) == 4
    assert replay(tmp_path / "copy.duckdb", changes, keys(store)) == 0  # what is there already
    copy = Store(tmp_path / "copy.duckdb")
    assert everything(copy) == everything(store)
    assert copy.verify_events() == store.verify_events()


def test_data_that_was_not_fetched_any_more_is_on_record_as_lost(made: list[Committed], tmp_path: Path) -> None:
    changes = write(tmp_path / "changes.jsonl", [encode(one) for one in made])
    replay(tmp_path / "copy.duckdb", changes, set())
    copy = Store(tmp_path / "copy.duckdb")
    one = datasets.version(copy, "gbsg", 1)
    assert one.withdrawn is not None
    assert (one.files, one.withdrawn.reason) == ((), LOST)
    assert copy.get(Upload, "uploads", "one").sealed is None
    assert [event.action for event in copy.events(after=0, limit=100)][-2:] == ["version.lost", "upload.lost"]


def test_a_torn_last_line_is_left_out_and_a_gap_refused(store: Store, made: list[Committed], tmp_path: Path) -> None:
    lines = [encode(one) for one in made]
    changes = write(tmp_path / "changes.jsonl", lines[:2])
    changes.write_text(changes.read_text() + lines[2][:40])
    shutil.copyfile(tmp_path / "copy.duckdb", tmp_path / "again.duckdb")
    assert replay(tmp_path / "copy.duckdb", changes, keys(store)) == 2
    with pytest.raises(CatalogError, match="gap after event 1"):
        replay(tmp_path / "again.duckdb", write(changes, lines[1:]), set())


def test_an_erasure_is_not_made_again_here_since_its_data_is_not_in_the_backup(
    store: Store, made: list[Committed], tmp_path: Path
) -> None:
    with store.change("a") as change:
        change.event("erasure.requested", "erasure/one")
    changes = write(tmp_path / "changes.jsonl", [encode(one) for one in made])
    assert replay(tmp_path / "copy.duckdb", changes, keys(store)) == 4
    copy = Store(tmp_path / "copy.duckdb")
    (said,) = copy.find_events(action="changes.left-out", limit=10)
    assert (said.actor, said.details) == ("restore", {"after": 6, "count": 1})
    copy.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("COPY datasets TO '{folder}/stolen.csv'", "more than a change"),
        ("ATTACH '{folder}/x.duckdb' AS x", "more than a change"),
        ("DROP TABLE events", "more than a change"),
        ("DELETE FROM datasets; DROP TABLE events", "cannot be made again"),
        ("INSERT INTO datasets SELECT 'x', content FROM read_text('{folder}/secret')", "cannot be made again"),
    ],
)
def test_nothing_but_changes_to_records_is_run(
    statement: str, said: str, made: list[Committed], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text('"x"')
    line = json.loads(encode(made[0]))
    line["statements"].append([statement.format(folder=tmp_path), []])
    with pytest.raises((BadInputError, CatalogError), match=said):
        replay(tmp_path / "copy.duckdb", write(tmp_path / "changes.jsonl", [json.dumps(line)]), set())
    assert not (tmp_path / "stolen.csv").exists()
    copy = Store(tmp_path / "copy.duckdb")
    assert (copy.last_event(), copy.get(Dataset, "datasets", "gbsg").revision) == (1, 1)


def test_a_line_that_no_lab_has_written_is_named(tmp_path: Path, made: list[Committed]) -> None:
    with pytest.raises(BadInputError, match=r"changes\.jsonl, line 2"):
        replay(tmp_path / "copy.duckdb", write(tmp_path / "changes.jsonl", [encode(made[0]), "{}"]), set())


def test_nobody_else_may_read_what_is_shipped(made: list[Committed], tmp_path: Path) -> None:
    """Digests of passwords, tokens and sessions are among it."""
    log = ChangeLog(tmp_path, b"manifest", generate_key(), erasures=0)
    log.append([encode(one) for one in made], erasures=0)
    assert (tmp_path / "changes.jsonl").stat().st_mode & 0o077 == 0
