"""Retention, carried out: what has outlived its time is removed, with an audit event each, unless it is under hold.

    versions, raw files      when the dataset's retention has ended; raw files earlier, where [retention] says so
    rejects and reports      of curation runs, after ``rejects_days``
    what runs left behind    after ``artifacts_days``, unless a dataset of the run is under hold
    sessions, tokens         once they have ended

A version's record stays, withdrawn, with what was told of it. Both catalog files are then written anew and the object
store compacts, as after an erasure. The time is passed in, so that a dry run can look ahead.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from catalog.lake import Lake
from catalog.landing import Landing
from catalog.publish import Publisher
from catalog.records import Dataset, Upload, Version, Withdrawal
from catalog.retention.records import Due
from catalog.run_records import RunRecord
from catalog.store import Store
from datalab.home import Home
from datalab.settings import Retention
from datalab.storage.compaction import compact
from datalab.storage.store import ObjectStore

ACTOR = "retention"
REASON = "The dataset's retention has ended."


@dataclass(frozen=True)
class Keeper:
    """Keeps to what is said about how long things are kept."""

    home: Home
    store: Store
    lake: Lake
    objects: ObjectStore
    landing: Landing
    publisher: Publisher
    settings: Retention

    def due(self, at: datetime) -> list[Due]:
        """Return what has outlived its time at a moment, what is under legal hold included; nothing is changed."""
        datasets = {one.id: one for one in self._datasets()}
        found = [*self._versions(datasets, at), *self._uploads(datasets, at), *self._curations(datasets, at)]
        found += [*self._artifacts(datasets, at), *self._sessions(at)]
        return found

    def carry_out(self, at: datetime) -> list[Due]:
        """Remove what has outlived its time at a moment, and return it; it can be repeated after a crash."""
        with self.publisher.alone():
            done = [one for one in self.due(at) if one.held is None]
            for one in done:
                self._remove(one, at)
            if any(one.kind in {"version", "upload"} for one in done):
                self.lake.forget()
                self.store.rewrite()
        if any(one.kind != "sessions" for one in done):
            compact(self.home)
        return done

    def _remove(self, due: Due, at: datetime) -> None:
        kind, _, rest = due.subject.partition("/")
        match due.kind:
            case "version":
                dataset, _, number = rest.rpartition("/v")
                self._remove_version(dataset, int(number), due, at)
            case "upload":
                self._remove_upload(rest, due, at)
            case "curation":
                with self.store.change(ACTOR) as change:
                    change.event("curation.expired", due.subject, since=due.since.isoformat())
                shutil.rmtree(self.home.path / "curation" / rest, ignore_errors=True)
            case "artifacts":
                self._remove_artifacts(rest, due)
            case "sessions":
                with self.store.change(ACTOR) as change:
                    for table in ("sessions", "tokens", "invitations"):
                        change.execute(f"DELETE FROM {table} WHERE expires <= ?", [int(at.timestamp())])
                    change.event("sessions.expired", kind)

    def _remove_version(self, dataset: str, number: int, due: Due, at: datetime) -> None:
        """Remove the data of a version; its record stays, and tells no more than it told everybody.

        The record comes last: where a crash comes before, the version is due again.
        """
        self.lake.drop_version(dataset, number)
        self.objects.erase(f"data/{dataset}/v{number}/")
        with self.store.change(ACTOR) as change:
            old = change.version(dataset, number)
            withdrawn = old.withdrawn or Withdrawal(at=at, by=ACTOR, reason=REASON)
            gone = old.model_copy(update={"files": (), "report": old.public, "withdrawn": withdrawn})
            change.replace_version(gone)
            self.publisher.forget(change, gone)
            change.event("version.expired", due.subject, since=due.since.isoformat())

    def _remove_upload(self, key: str, due: Due, at: datetime) -> None:
        upload = self.store.get(Upload, "uploads", key)
        self.landing.remove(upload)
        with self.store.change(ACTOR) as change:
            change.update("uploads", key, upload.model_copy(update={"sealed": None, "expired": at}))
            change.event("upload.expired", due.subject, since=due.since.isoformat())

    def _remove_artifacts(self, run: str, due: Due) -> None:
        record = self.store.get(RunRecord, "runs", run)
        for one in record.artifacts:
            self.objects.erase(one.uri.removeprefix("s3://").partition("/")[2])
        with self.store.change(ACTOR) as change:
            current = change.get(RunRecord, "runs", run)
            change.update("runs", run, current.model_copy(update={"artifacts": (), "revision": current.revision + 1}))
            change.event("run.artifacts-expired", due.subject, since=due.since.isoformat())

    def _versions(self, datasets: dict[str, Dataset], at: datetime) -> Iterator[Due]:
        for (record,) in self.store.rows("SELECT record FROM versions ORDER BY dataset, number"):
            version = Version.model_validate_json(record)
            dataset = datasets[version.dataset]
            if version.files and (end := retention_end(dataset)) is not None and end <= at:
                subject = f"dataset/{version.dataset}/v{version.number}"
                yield Due(kind="version", subject=subject, since=end, held=dataset.legal_hold)

    def _uploads(self, datasets: dict[str, Dataset], at: datetime) -> Iterator[Due]:
        for (record,) in self.store.rows("SELECT record FROM uploads ORDER BY id"):
            upload = Upload.model_validate_json(record)
            if upload.sealed is None:
                continue
            dataset = datasets[upload.dataset]
            ends = [retention_end(dataset), _after(upload.created, self.settings.uploads_days)]
            end = min((one for one in ends if one is not None), default=None)
            if end is not None and end <= at:
                yield Due(kind="upload", subject=f"upload/{upload.id}", since=end, held=dataset.legal_hold)

    def _curations(self, datasets: dict[str, Dataset], at: datetime) -> Iterator[Due]:
        for run in sorted(self.home.folder("curation").glob("*/*")):
            dataset = datasets.get(run.parent.name)
            ended = _after(datetime.fromtimestamp(_touched(run), UTC), self.settings.rejects_days)
            ends = [ended, retention_end(dataset) if dataset else None]
            end = min((one for one in ends if one is not None), default=None)
            if end is not None and end <= at and not (run / "work").exists():
                subject = f"curation/{run.parent.name}/{run.name}"
                yield Due(kind="curation", subject=subject, since=end, held=dataset.legal_hold if dataset else None)

    def _artifacts(self, datasets: dict[str, Dataset], at: datetime) -> Iterator[Due]:
        for (record,) in self.store.rows("SELECT record FROM runs ORDER BY id"):
            run = RunRecord.model_validate_json(record)
            if not run.artifacts or run.finished is None:
                continue
            end = _after(run.finished, self.settings.artifacts_days)
            if end is not None and end <= at:
                holds = (datasets[one.dataset].legal_hold for one in run.datasets if one.dataset in datasets)
                held = next((one for one in holds if one is not None), None)
                yield Due(kind="artifacts", subject=f"run/{run.id}", since=end, held=held)

    def _sessions(self, at: datetime) -> Iterator[Due]:
        query = " UNION ALL ".join(f"SELECT expires FROM {table}" for table in ("sessions", "tokens", "invitations"))
        ((first,),) = self.store.rows(f"SELECT min(expires) FROM ({query}) WHERE expires <= ?", [int(at.timestamp())])
        if first is not None:
            yield Due(kind="sessions", subject="sessions", since=datetime.fromtimestamp(first, UTC))

    def _datasets(self) -> Iterator[Dataset]:
        for (record,) in self.store.rows("SELECT record FROM datasets ORDER BY id"):
            yield Dataset.model_validate_json(record)


def retention_end(dataset: Dataset) -> datetime | None:
    """Return when a dataset's retention ends: with its last day, in UTC; None where nothing is said."""
    if dataset.retention is None or dataset.retention.end is None:
        return None
    return datetime.combine(dataset.retention.end, time.min, UTC) + timedelta(days=1)


def _after(start: datetime, days: float | None) -> datetime | None:
    return None if days is None else start + timedelta(days=days)


def _touched(folder: Path) -> float:
    """Return when a file of a folder was last written."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
