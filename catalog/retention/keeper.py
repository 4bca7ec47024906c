"""Retention, carried out: what has outlived its time is removed, with an audit event each, unless it is under hold.

    versions, raw files      when the dataset's retention has ended; raw files earlier, where [retention] says so
    rejects and reports      of curation runs, after ``rejects_days``
    what runs left behind    after ``artifacts_days``, unless a dataset of the run is under hold
    journals of runs         once the run has ended: nobody goes on with it, and they hold what nodes have sent
    sessions, tokens         once they have ended

A version's record stays, withdrawn, with what was told of it. Both catalog files are then written anew and the object
store compacts, as after an erasure. The time is passed in, so that a dry run can look ahead.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from catalog.lake import Lake
from catalog.landing import Landing
from catalog.publish import Publisher
from catalog.records import Withdrawal
from catalog.retention.records import Due
from catalog.run_records import RunRecord
from catalog.store import Store
from catalog.upload_records import Upload
from datalab.home import Home
from datalab.settings import Retention
from datalab.storage.access import JOURNALS
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
        ended, holds = self._ended(at), self._holds()
        found = [*self._versions(ended, holds), *self._uploads(ended, holds, at), *self._curations(ended, holds, at)]
        return [*found, *self._artifacts(holds, at), *self._journals(at), *self._sessions(at)]

    def carry_out(self, at: datetime) -> list[Due]:
        """Remove what has outlived its time at a moment, and return it; it can be repeated after a crash."""
        if all(one.held is not None for one in self.due(at)):
            return []
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
            case "journal":
                self.objects.erase(f"{JOURNALS}/{rest}/")
                with self.store.change(ACTOR) as change:
                    change.event("run.journal-expired", due.subject, since=due.since.isoformat())
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
            change.execute("DELETE FROM lineage WHERE dataset = ? AND number = ?", [dataset, number])  # exact counts
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

    def _versions(self, ended: dict[str, datetime], holds: dict[str, str]) -> Iterator[Due]:
        rows = self.store.scan(
            "SELECT dataset, number FROM versions WHERE list_contains($1, dataset) "
            "AND json_array_length(record, '$.files') > 0 ORDER BY dataset, number",
            [list(ended)],
        )
        for dataset, number in rows:
            subject = f"dataset/{dataset}/v{number}"
            yield Due(kind="version", subject=subject, since=ended[dataset], held=holds.get(dataset))

    def _uploads(self, ended: dict[str, datetime], holds: dict[str, str], at: datetime) -> Iterator[Due]:
        rows = self.store.scan(
            "SELECT record FROM uploads WHERE (record ->> 'sealed') IS NOT NULL "
            "AND ($1 OR list_contains($2, record ->> 'dataset')) ORDER BY id",
            [self.settings.uploads_days is not None, list(ended)],
        )
        for (record,) in rows:
            upload = Upload.model_validate_json(record)
            ends = [ended.get(upload.dataset), _after(upload.created, self.settings.uploads_days)]
            end = min((one for one in ends if one is not None), default=None)
            if end is not None and end <= at:
                held = holds.get(upload.dataset)
                yield Due(kind="upload", subject=f"upload/{upload.id}", since=end, held=held)

    def _curations(self, ended: dict[str, datetime], holds: dict[str, str], at: datetime) -> Iterator[Due]:
        for run in sorted(self.home.folder("curation").glob("*/*")):
            dataset = run.parent.name
            old = _after(datetime.fromtimestamp(_touched(run), UTC), self.settings.rejects_days)
            end = min((one for one in (old, ended.get(dataset)) if one is not None), default=None)
            if end is not None and end <= at and not (run / "work").exists():
                subject = f"curation/{dataset}/{run.name}"
                yield Due(kind="curation", subject=subject, since=end, held=holds.get(dataset))

    def _artifacts(self, holds: dict[str, str], at: datetime) -> Iterator[Due]:
        if self.settings.artifacts_days is None:
            return
        rows = self.store.scan("SELECT record FROM runs WHERE json_array_length(record, '$.artifacts') > 0 ORDER BY id")
        for (record,) in rows:
            run = RunRecord.model_validate_json(record)
            end = None if run.finished is None else _after(run.finished, self.settings.artifacts_days)
            if end is not None and end <= at:
                held = next((holds[one.dataset] for one in run.datasets if one.dataset in holds), None)
                yield Due(kind="artifacts", subject=f"run/{run.id}", since=end, held=held)

    def _journals(self, at: datetime) -> Iterator[Due]:
        stored = {one.key.split("/")[1] for one in self.objects.list(f"{JOURNALS}/")}
        rows = self.store.scan("SELECT record FROM runs WHERE list_contains($1, id) ORDER BY id", [sorted(stored)])
        for (record,) in rows:
            run = RunRecord.model_validate_json(record)
            if run.finished is not None and run.finished <= at:
                yield Due(kind="journal", subject=f"run/{run.id}", since=run.finished)

    def _sessions(self, at: datetime) -> Iterator[Due]:
        query = " UNION ALL ".join(f"SELECT expires FROM {table}" for table in ("sessions", "tokens", "invitations"))
        ((first,),) = self.store.rows(f"SELECT min(expires) FROM ({query}) WHERE expires <= ?", [int(at.timestamp())])
        if first is not None:
            yield Due(kind="sessions", subject="sessions", since=datetime.fromtimestamp(first, UTC))

    def _ended(self, at: datetime) -> dict[str, datetime]:
        """Return the datasets whose retention has ended, and when: with its last day, in UTC."""
        rows = self.store.scan(
            "SELECT id, json_extract_string(record, '$.retention.end') AS last FROM datasets WHERE last < ?",
            [at.astimezone(UTC).date().isoformat()],
        )
        return {
            key: datetime.combine(date.fromisoformat(last), time.min, UTC) + timedelta(days=1) for key, last in rows
        }

    def _holds(self) -> dict[str, str]:
        rows = self.store.scan("SELECT id, record ->> 'legal_hold' AS hold FROM datasets WHERE hold IS NOT NULL")
        return dict(rows)


def _after(start: datetime, days: float | None) -> datetime | None:
    return None if days is None else start + timedelta(days=days)


def _touched(folder: Path) -> float:
    """Return when a file of a folder was last written."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
