"""Publishing a version across two files that cannot be committed together: the records and the lake.

    intent row → files placed → lake commit that carries the intent's id → version row → staging cleared

Readers see a version only through its row. Whatever ends the process between two steps, the next start (or
the next publication of the dataset) asks the lake whether the commit happened, and goes on or takes it back.
One publication runs at a time, so version numbers have no gaps.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from catalog.datasets import check_contract, insert_version, keep_lineage, next_number, tell, version
from catalog.errors import ConflictError, DataMismatchError, NotPermittedError
from catalog.lake import Lake
from catalog.lifecycle import check_open
from catalog.records import Dataset, PublishRequest, StoredFile, Version
from catalog.store import Change, Store, now
from datalab.errors import BadInputError, DatalabError
from datalab.storage.store import ObjectStore

WINDOW = timedelta(days=1)
"""How long what a killed run has left in staging waits to be taken up."""
_PIECE = 1 << 20
_COLUMNS = "id, dataset, number, actor, request, state"


class State(StrEnum):
    """Where an intent stands; ``completed`` still has files in staging."""

    PENDING = "pending"
    COMPLETED = "completed"
    CLEARED = "cleared"
    ABANDONED = "abandoned"


@dataclass(frozen=True)
class Intent:
    """That a version is to be published: written first, and the memory of it after a crash."""

    id: str
    dataset: str
    number: int
    actor: str
    request: PublishRequest
    state: State

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The version's files in their final place."""
        folder = f"data/{self.dataset}/v{self.number}"
        return tuple(
            one.model_copy(update={"key": f"{folder}/part-{n:04}.parquet"}) for n, one in enumerate(self.request.files)
        )


class Publisher:
    """Publishes versions of datasets whose data is kept at the lab."""

    def __init__(self, store: Store, lake: Lake, objects: ObjectStore) -> None:
        self._store = store
        self._lake = lake
        self._objects = objects
        self._lock = threading.Lock()

    def publish(self, dataset: str, request: PublishRequest, *, actor: str) -> Version:
        """Publish curated files as the next version of ``dataset``; the same intent gives the same version.

        Raises:
            NotPermittedError: the dataset is kept at its site.
            ConflictError: the intent was used for something else, or the contract is not the dataset's.
            BadInputError: the request names files outside the dataset's staging area.
            DataMismatchError: the files are not what the request and its report say.
        """
        with self._lock:
            intent = self.begin(dataset, request, actor=actor)
            if intent.state is State.PENDING and not self._lake.committed(intent.id):
                try:
                    self.place(intent)
                    self.commit(intent)
                except DatalabError:
                    self.settle(intent)
                    raise
            self.settle(intent)
            self.sweep()
            return version(self._store, intent.dataset, intent.number)

    def reconcile(self) -> None:
        """Bring every publication that a crash interrupted to its end, one way or the other."""
        with self.alone():
            self.sweep()

    def sweep(self, window: timedelta = WINDOW) -> list[str]:
        """Remove from staging what a run has left that was killed and not taken up within the clean-up window.

        With it go the parts of uploads, to whatever place, that were begun before and never ended.

        Returns:
            The keys in staging that were removed, and those that the uploads were to have.
        """
        held = {file.key for intent in self._intents("state = 'pending'") for file in intent.request.files}
        begun = now() - window
        left = [key for key in self._objects.older("staging/", begun) if key not in held]
        for key in left:
            self._objects.delete(key)
        return [*left, *self._objects.abort_uploads(begun), *self._objects.landing.abort_uploads(begun)]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold up all publications, once those that are under way are settled."""
        with self._lock:
            for intent in self._intents("state IN ('pending', 'completed')"):
                self.settle(intent)
            yield

    def forget(self, change: Change, version: Version) -> None:
        """Let the intents of a version that was written anew say what it is now, and not what it was."""
        for intent in self._intents("dataset = ? AND number = ?", version.dataset, str(version.number)):
            request = intent.request.model_copy(update={"report": version.report, "lineage": ()})
            change.execute("UPDATE intents SET request = ? WHERE id = ?", [request.model_dump_json(), intent.id])

    def settle(self, intent: Intent) -> None:
        """Finish an intent that the lake has a commit for; take back one that it has none for."""
        if intent.state is State.PENDING:
            if not self._lake.committed(intent.id):
                self.abandon(intent)
                return
            intent = self.complete(intent)
        if intent.state is State.COMPLETED:
            self.clear(intent)

    def begin(self, dataset: str, request: PublishRequest, *, actor: str) -> Intent:
        """Step 1: write down what is to be published. Returns the intent that is there, if there is one."""
        _check_request(dataset, request)
        for other in self._intents("state = 'pending' AND dataset = ? AND id <> ?", dataset, request.intent):
            self.settle(other)
        for known in self._intents("id = ?", request.intent):
            said = [one.model_dump(exclude={"lineage"}) for one in (known.request, request)]  # tried again, it is other
            if known.dataset != dataset or said[0] != said[1]:
                raise ConflictError(
                    "This intent has been used for another publication.",
                    where=f"intent {request.intent}",
                    next_step="Choose a new id for a new publication.",
                )
            if known.state is not State.ABANDONED:
                return known
        with self._store.change(actor) as change:
            record = change.get(Dataset, "datasets", dataset)
            _check_dataset(record, request)
            intent = Intent(request.intent, dataset, next_number(change, dataset), actor, request, State.PENDING)
            change.execute(
                "INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?)",
                [intent.id, dataset, intent.number, actor, request.model_dump_json(), intent.state],
            )
            change.event("version.intended", _subject(intent), intent=intent.id, run=request.pipeline_run)
        return intent

    def place(self, intent: Intent) -> None:
        """Step 2: copy the files to their final place, checking each on the way.

        The digest is taken of the bytes that are written, so nothing can change between check and copy.
        """
        for source, target in zip(intent.request.files, intent.files, strict=True):
            stored = self._objects.put_stream(target.key, self._read(source.key))
            if (stored.sha256, stored.bytes) != (source.sha256, source.bytes):
                raise DataMismatchError(
                    "A file is not what the publisher said: its SHA-256 or size differs.",
                    where=source.key,
                    next_step="Write it to staging again, and publish with a new intent.",
                )

    def commit(self, intent: Intent) -> None:
        """Step 3: make the lake's table of the version, in a commit that carries the intent's id."""
        report = intent.request.report
        assert report.rows is not None
        self._lake.commit_version(
            intent.dataset,
            intent.number,
            [self._objects.uri(file.key) for file in intent.files],
            intent=intent.id,
            rows=report.rows,
            columns=[column.name for column in report.columns],
        )

    def complete(self, intent: Intent) -> Intent:
        """Step 4: add the version's row, which makes it readable."""
        report = intent.request.report
        with self._store.change(intent.actor) as change:
            made = Version(
                dataset=intent.dataset,
                number=intent.number,
                state="published",
                report=report,
                files=intent.files,
                created=now(),
                pipeline_run=intent.request.pipeline_run,
                told=tell(change, intent.dataset, report),
            )
            insert_version(change, made)
            keep_lineage(change, made, intent.request.lineage)
            change.execute("UPDATE intents SET state = ? WHERE id = ?", [State.COMPLETED, intent.id])
            change.event(
                "version.published",
                _subject(intent),
                intent=intent.id,
                rows=made.report.rows,
                files=[file.sha256 for file in made.files],
            )
        return replace(intent, state=State.COMPLETED)

    def clear(self, intent: Intent) -> None:
        """Step 5: remove the files from staging, so that the data lies in one place only."""
        for file in intent.request.files:
            self._objects.delete(file.key)
        self._finish(intent, State.CLEARED, "version.staging-cleared")

    def abandon(self, intent: Intent) -> None:
        """Take back an intent without a commit; what was placed is removed, what is in staging stays."""
        for file in intent.files:
            self._objects.delete(file.key)
        self._finish(intent, State.ABANDONED, "version.abandoned")

    def _finish(self, intent: Intent, state: State, action: str) -> None:
        with self._store.change(intent.actor) as change:
            change.execute("UPDATE intents SET state = ? WHERE id = ?", [state, intent.id])
            change.event(action, _subject(intent), intent=intent.id)

    def _intents(self, condition: str, *values: str) -> list[Intent]:
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM intents WHERE {condition} ORDER BY id", values)
        return [
            Intent(key, dataset, number, actor, PublishRequest.model_validate_json(request), State(state))
            for key, dataset, number, actor, request, state in rows
        ]

    def _read(self, key: str) -> Iterator[bytes]:
        with closing(self._objects.open(key)) as source:
            while piece := source.read(_PIECE):
                yield piece


def _subject(intent: Intent) -> str:
    return f"dataset/{intent.dataset}/v{intent.number}"


def _check_request(dataset: str, request: PublishRequest) -> None:
    for file in request.files:
        if not file.key.startswith(f"staging/{dataset}/"):
            raise BadInputError(
                "A file to publish lies outside the dataset's staging area.",
                where=file.key,
                next_step=f"Write it under staging/{dataset}/ first.",
            )
    if request.report.rows is None:
        raise BadInputError("The report of a version that is published must state its rows.", where=dataset)
    if len(request.files) == 1 and request.files[0].sha256 != request.report.parquet_sha256:
        raise DataMismatchError(
            "The file to publish is not the one that the report is about: their SHA-256 differ.",
            where=request.files[0].key,
            next_step="Publish file and report of the same curation run.",
        )


def _check_dataset(dataset: Dataset, request: PublishRequest) -> None:
    if dataset.kept_at != "lab":
        raise NotPermittedError(
            "This dataset is kept at its site; the lab publishes no files of it.",
            where=dataset.id,
            next_step=f"Let the node {dataset.node} announce its versions.",
        )
    check_open(dataset)
    check_contract(dataset, request.report)
