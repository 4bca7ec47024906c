from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from catalog import datasets
from catalog.client import lab_client
from catalog.errors import ConflictError, DataMismatchError, NotPermittedError
from catalog.lab import open_lab
from catalog.lake import Lake
from catalog.publish import Publisher
from catalog.records import PublishRequest, Version
from catalog.store import Store
from datalab.canonical import sha256_hex
from datalab.errors import BadInputError
from datalab.home import Home
from datalab.storage.store import ObjectStore
from tests.integration.catalog.conftest import Staging
from tests.unit.catalog.examples import account, at_site, draft

STEPS = ("begin", "place", "commit", "complete", "clear")
AT_ONCE = 6


@pytest.fixture
def name() -> str:
    """A dataset of this test's own: the bucket is shared."""
    return f"atlas-{uuid.uuid4().hex[:8]}"


def keys(objects: ObjectStore, prefix: str) -> list[str]:
    return [one.key for one in objects.list(prefix)]


def test_a_version_is_the_pipelines_files_as_they_are(
    name: str, object_store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    with open_lab(Home(tmp_path), object_store) as lab:
        datasets.register(lab.store, draft(id=name), account())
        request = staging.request(name, "first")
        version = lab.publisher.publish(name, request, actor="pipeline")
        assert (version.number, version.state, version.report) == (1, "published", request.report)
        (file,) = version.files
        assert file.key == f"data/{name}/v1/part-0000.parquet"
        with object_store.open(file.key) as stored:
            assert sha256_hex(stored.read()) == request.report.parquet_sha256 == file.sha256
        assert keys(object_store, f"staging/{name}/") == []

        assert lab.publisher.publish(name, request, actor="pipeline") == version
        second = lab.publisher.publish(name, staging.request(name, "second", rows=4), actor="pipeline")
        assert second.number == 2
        assert [one.number for one in datasets.versions(lab.store, name)] == [1, 2]
        actions = [event.action for event in lab.store.events(after=0, limit=100)]
        assert actions.count("version.published") == 2
        assert lab.store.verify_events().broken_at is None
    lake = Lake(tmp_path / "catalog" / "lake.ducklake", object_store)
    assert (lake.count(name, 1), lake.count(name, 2)) == (3, 4)
    lake.close()


def test_the_same_publication_asked_for_many_times_at_once_makes_one_version(
    name: str, catalog_home: Home, object_store: ObjectStore, staging: Staging
) -> None:
    together = Barrier(AT_ONCE)
    request = staging.request(name, "only")
    with lab_client(catalog_home, "operator") as operator:
        operator.register_dataset(draft(id=name))

        def publish(_: int) -> Version:
            with lab_client(catalog_home, "pipeline") as pipeline:
                together.wait(timeout=60)
                return pipeline.publish(name, request)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = list(pool.map(publish, range(AT_ONCE)))
        assert operator.versions(name) == [made[0]]
        assert made == [made[0]] * AT_ONCE
        done = [one for one in operator.events() if one.subject == f"dataset/{name}/v1"]
        assert [one.action for one in done].count("version.published") == 1
    assert keys(object_store, f"data/{name}/") == [made[0].files[0].key]
    assert keys(object_store, f"staging/{name}/") == []


def test_what_nobody_publishes_leaves_staging_after_the_window(
    name: str, object_store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    with open_lab(Home(tmp_path), object_store) as lab:
        datasets.register(lab.store, draft(id=name), account())
        left = staging.request(name, "left").files[0].key
        lab.publisher.publish(name, staging.request(name, "taken"), actor="pipeline")
        assert keys(object_store, f"staging/{name}/") == [left]
        lab.publisher.begin(name, staging.request(name, "begun"), actor="pipeline")
        begun = f"staging/{name}/begun/data.parquet"
        swept = lab.publisher.sweep(timedelta(0))
        assert left in swept
        assert begun not in swept
        assert keys(object_store, f"staging/{name}/") == [begun]


@pytest.mark.parametrize("last", STEPS)
def test_a_crash_after_any_step_neither_loses_nor_doubles_a_version(
    last: str, name: str, object_store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    with open_lab(home, object_store) as lab:
        datasets.register(lab.store, draft(id=name), account())
    request = staging.request(name, "only")
    run_until(last, home, object_store, name, request)

    with open_lab(home, object_store) as lab:
        happened = STEPS.index(last) >= STEPS.index("commit")
        assert [one.number for one in datasets.versions(lab.store, name)] == ([1] if happened else [])
        assert len(keys(object_store, f"data/{name}/")) == (1 if happened else 0)
        assert len(keys(object_store, f"staging/{name}/")) == (0 if happened else 1)
        version = lab.publisher.publish(name, request, actor="pipeline")
        assert version.number == 1
        assert datasets.versions(lab.store, name) == [version]
        assert lab.store.verify_events().broken_at is None
        published = [one for one in lab.store.events(after=0, limit=100) if one.action == "version.published"]
        assert len(published) == 1


def run_until(last: str, home: Home, objects: ObjectStore, name: str, request: PublishRequest) -> None:
    """Take the steps of a publication up to ``last``, and stop as a crash would."""
    store = Store(home.folder("catalog") / "records.duckdb")
    lake = Lake(home.folder("catalog") / "lake.ducklake", objects)
    publisher = Publisher(store, lake, objects)
    intent = publisher.begin(name, request, actor="pipeline")
    if last != "begin":
        publisher.place(intent)
    if last in {"commit", "complete", "clear"}:
        publisher.commit(intent)
    if last in {"complete", "clear"}:
        intent = publisher.complete(intent)
    if last == "clear":
        publisher.clear(intent)
    lake.close()
    store.close()


def test_the_next_publication_settles_one_that_was_left_half_way(
    name: str, object_store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    with open_lab(Home(tmp_path), object_store) as lab:
        datasets.register(lab.store, draft(id=name), account())
        left = lab.publisher.begin(name, staging.request(name, "left"), actor="pipeline")
        lab.publisher.place(left)
        done = lab.publisher.publish(name, staging.request(name, "next"), actor="pipeline")
        assert done.number == 1
        assert lab.publisher.publish(name, left.request, actor="pipeline").number == 2


@pytest.mark.parametrize("wrong", ["bytes", "rows", "columns", "not parquet"])
def test_files_that_are_not_what_the_report_says_make_no_version(
    wrong: str, name: str, object_store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    request = staging.request(name, "bad")
    match wrong:
        case "bytes":
            object_store.put_bytes(request.files[0].key, b"something else")
        case "rows":
            request = staging.request(name, "bad", rows=4, rejected_rows=0)
            request = request.model_copy(update={"report": request.report.model_copy(update={"rows": 5})})
        case "columns":
            columns = request.report.columns[:1]
            request = request.model_copy(update={"report": request.report.model_copy(update={"columns": columns})})
        case _:
            digest = object_store.put_bytes(request.files[0].key, b"age,event\n").sha256
            file = request.files[0].model_copy(update={"sha256": digest, "bytes": 10})
            stated = request.report.model_copy(update={"parquet_sha256": digest})
            request = request.model_copy(update={"files": (file,), "report": stated})
    with open_lab(Home(tmp_path), object_store) as lab:
        datasets.register(lab.store, draft(id=name), account())
        with pytest.raises(DataMismatchError):
            lab.publisher.publish(name, request, actor="pipeline")
        assert datasets.versions(lab.store, name) == []
        assert keys(object_store, f"data/{name}/") == []
        good = lab.publisher.publish(name, staging.request(name, "good"), actor="pipeline")
        assert good.number == 1


def test_what_may_not_be_published_is_refused_before_anything_is_written(
    name: str, object_store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    request = staging.request(name, "one")
    with open_lab(Home(tmp_path), object_store) as lab:
        datasets.register(lab.store, at_site(id=name), account())
        with pytest.raises(NotPermittedError, match="kept at its site"):
            lab.publisher.publish(name, request, actor="pipeline")
        datasets.register(lab.store, draft(id=f"{name}-2"), account())
        with pytest.raises(BadInputError, match="outside the dataset's staging area"):
            lab.publisher.publish(f"{name}-2", request, actor="pipeline")
        other = staging.request(f"{name}-2", "two", contract_version="2.0.0")
        with pytest.raises(ConflictError, match="registered with the contract"):
            lab.publisher.publish(f"{name}-2", other, actor="pipeline")
        taken = staging.request(f"{name}-2", "three")
        lab.publisher.publish(f"{name}-2", taken, actor="pipeline")
        with pytest.raises(ConflictError, match="another publication"):
            lab.publisher.publish(f"{name}-2", taken.model_copy(update={"pipeline_run": "other"}), actor="pipeline")
