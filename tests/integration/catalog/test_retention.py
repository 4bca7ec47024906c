"""Retention is carried out: what has outlived its time is gone from every byte, and what is under hold stays."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from catalog import datasets, lifecycle, uploads
from catalog.lab import Lab, open_lab
from catalog.records import Hold, Period
from catalog.retention.keeper import REASON
from catalog.run_records import Artifact, DatasetVersion, RunRecord, RunState
from catalog.upload_records import Upload
from datalab.canonical import sha256_hex
from datalab.home import Home
from datalab.storage.store import ObjectStore
from tests.integration.catalog.conftest import Staging
from tests.unit.catalog.examples import account, draft

END = datetime(2030, 1, 1, tzinfo=UTC)
"""The retention of the datasets ends with the last day of 2029."""
RAW = b"pid,age\nzz-person-4711,61\n"


def fill(lab: Lab, staging: Staging, name: str) -> Upload:
    """A dataset with a version, a raw file and the rejects of a curation run."""
    ends = draft(id=name, retention=Period(end=date(2029, 12, 31)))
    dataset = datasets.register(lab.store, ends, account())
    lab.publisher.publish(name, staging.request(name, f"{name}-1"), actor="pipeline")
    run = lab.home.folder("curation", name, "run-1")
    (run / "rejects.csv").write_text("line,column,rule,value_class\n")
    for path in (run / "rejects.csv", run):
        os.utime(path, (END.timestamp(), END.timestamp()))
    return uploads.receive(lab.store, lab.landing, dataset, [RAW], filename="raw.csv", account=account())


def test_what_has_outlived_its_time_goes_and_what_is_under_hold_stays(
    tmp_path: Path, object_store: ObjectStore, staging: Staging
) -> None:
    home = Home(tmp_path)
    (tmp_path / "datalab.toml").write_text("[retention]\nrejects_days = 10\nartifacts_days = 20\n")
    home.announce("object-store", endpoint=object_store.endpoint, bucket=object_store.bucket)  # compacts by itself
    with open_lab(home, object_store) as lab:
        kept, gone = fill(lab, staging, "kept-atlas"), fill(lab, staging, "gone-atlas")
        lifecycle.hold(lab.store, "kept-atlas", Hold(reason="Court order 12"), account())
        with lab.store.change("runner") as change:
            stored = object_store.put_bytes("runs/kept-run/model.bin", b"weights")
            change.insert("runs", "kept-run", finished_run("kept-run", "gone-atlas", stored.uri))
            goes_on = finished_run("a-run-that-goes-on", "gone-atlas", stored.uri)
            goes_on = goes_on.model_copy(update={"state": RunState.RUNNING, "finished": None, "artifacts": ()})
            change.insert("runs", goes_on.id, goes_on)
            change.event("run.finished", "run/kept-run")
        for run in ("kept-run", "a-run-that-goes-on"):
            object_store.put_bytes(f"journals/{run}/head", b"sealed")
        lab.sessions.open("a-steward", complete=True, second_factor=True)

        assert {one.kind for one in lab.keeper.due(END - timedelta(days=1))} == {"sessions"}
        due = lab.keeper.due(END + timedelta(days=21))
        assert [(one.kind, one.subject, one.held) for one in due] == [
            ("version", "dataset/gone-atlas/v1", None),
            ("version", "dataset/kept-atlas/v1", "Court order 12"),
            *sorted([("upload", f"upload/{gone.id}", None), ("upload", f"upload/{kept.id}", "Court order 12")],
                    key=lambda one: one[1]),
            ("curation", "curation/gone-atlas/run-1", None),
            ("curation", "curation/kept-atlas/run-1", "Court order 12"),
            ("artifacts", "run/kept-run", None),
            ("journal", "run/kept-run", None),
            ("sessions", "sessions", None),
        ]  # fmt: skip
        assert {one.since for one in due if one.kind in {"version", "upload"}} == {END}
        events = lab.store.last_event()

        done = lab.keeper.carry_out(END + timedelta(days=21))
        assert done == [one for one in due if one.held is None]
        assert lab.store.last_event() == events + len(done)
        assert [one.held for one in lab.keeper.due(END + timedelta(days=21))] == ["Court order 12"] * 3
        version = datasets.version(lab.store, "gone-atlas", 1)
        assert version.withdrawn is not None
        assert (version.files, version.withdrawn.reason) == ((), REASON)
        assert version.report == version.public
        assert lab.store.rows("SELECT dataset FROM lineage") == [("kept-atlas",)]
        assert list(object_store.list("journals/kept-run/")) == []
        assert list(object_store.list("journals/a-run-that-goes-on/"))
        assert list(object_store.list("data/gone-atlas/")) == list(object_store.list("runs/kept-run/")) == []
        assert list(object_store.landing.list("landing/gbsg/gone-atlas/")) == []
        assert lab.store.get(Upload, "uploads", gone.id).sealed is None
        assert lab.store.get(RunRecord, "runs", "kept-run").artifacts == ()
        assert not (home.path / "curation" / "gone-atlas" / "run-1").exists()
        assert lab.store.rows("SELECT count(*) FROM sessions") == [(0,)]

        assert b"".join(lab.landing.read(kept)) == RAW
        assert lab.keeper.lake.count("kept-atlas", 1) == 3
        lifecycle.hold(lab.store, "kept-atlas", Hold(), account())
        assert {one.kind for one in lab.keeper.carry_out(END)} == {"version", "upload", "curation"}
        assert lab.store.verify_events().broken_at is None
        assert gone.sealed is not None
        assert gone.sealed.wrapped_key.encode() not in (home.path / "catalog" / "records.duckdb").read_bytes()


def finished_run(key: str, dataset: str, uri: str) -> RunRecord:
    return RunRecord(
        id=key,
        app_digest=sha256_hex(b""),
        datasets=(DatasetVersion(dataset=dataset, version=1),),
        nodes=("compute",),
        state=RunState.FINISHED,
        submitted_by="a-researcher",
        created=END,
        finished=END,
        artifacts=(Artifact(name="model.bin", uri=uri, sha256=sha256_hex(b"weights"), bytes=7),),
        revision=1,
    )
