"""The catalog's records: ordinary tables of one DuckDB file, and the audit chain beside them.

A change and its audit event are one transaction, or neither happens. One connection serves the whole process
under one lock, so two changes never conflict; a second process is refused by DuckDB itself, even for reading.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb

from catalog.errors import CatalogError, CatalogInUseError, ConflictError
from catalog.event_records import Event, EventsVerification
from catalog.migrations import migrate
from catalog.records import Record, Version
from catalog.rewrite import rewrite
from datalab.audit.chain import GENESIS, entry_hash
from datalab.canonical import canonical_json
from datalab.errors import NotFoundError

_R = TypeVar("_R", bound=Record)
Table = Literal[
    "datasets", "uploads", "permits", "runs", "drafts", "projects", "requests", "erasures", "sources", "remotes"
]
"""Tables of records that have an id: ``id`` and the record itself, as JSON."""

_EVENT = "n, time, actor, action, subject, details, previous, hash"


class Store:
    """The open catalog file.

    Raises:
        CatalogInUseError: another process has it open.
        CatalogError: a newer release has written it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_file(path)
        self._scans = 0
        self._gate = threading.Condition()
        self._lock = threading.RLock()
        self._watchers: list[Callable[[Collection[str]], None]] = []
        self._followers: list[Callable[[Committed], None]] = []
        try:
            migrate(self._connection)
        except BaseException:
            self._connection.close()
            raise
        last = self._connection.execute("SELECT n, hash FROM events ORDER BY n DESC LIMIT 1").fetchone()
        self._head: tuple[int, str] = (int(last[0]), str(last[1])) if last else (0, GENESIS)

    def close(self) -> None:
        """Write everything to the file and close it."""
        with self._lock:
            self._connection.close()

    def rewrite(self, copy: Path | None = None) -> None:
        """Write the file anew, so that nothing is left in it of what was replaced; or write a copy of it.

        Changes wait meanwhile, and so do scans.
        """
        with self._lock, self._gate:
            self._gate.wait_for(lambda: self._scans == 0)
            self._connection.close()
            try:
                rewrite(self._path, copy)
            finally:
                self._connection = open_file(self._path)

    @contextmanager
    def change(self, actor: str) -> Iterator[Change]:
        """Open a transaction in which ``actor`` changes records; it commits when the block ends well.

        Raises:
            AssertionError: the block wrote no audit event.
        """
        with self._lock:
            self._connection.begin()
            try:
                change = Change(self._connection, actor, self._head)
                yield change
                assert change.recorded, "a change to the catalog without an audit event"
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise
            for follower in self._followers:
                follower(change.committed())
            if change.datasets:
                for watcher in self._watchers:
                    watcher(change.datasets)
            self._head = change.head

    def watch(self, watcher: Callable[[Collection[str]], None]) -> None:
        """Have ``watcher`` told after each change, at once, of which datasets it was about.

        It is called before ``last_event`` tells of the change; other changes wait for it, so it only takes note.
        """
        self._watchers.append(watcher)

    def follow(self, follower: Callable[[Committed], None]) -> None:
        """Have ``follower`` called with each change, in their order; it must be quick."""
        self._followers.append(follower)

    def last_event(self) -> int:
        """Return the number of the last entry of the audit chain, 0 if there is none."""
        return self._head[0]

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def scan(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query over many records, on a cursor of its own: it sees what is committed and holds nobody up."""
        with self._gate:
            self._scans += 1
            cursor = self._connection.cursor()
        try:
            return cursor.execute(query, values).fetchall()
        finally:
            cursor.close()
            with self._gate:
                self._scans -= 1
                self._gate.notify_all()

    def get(self, kind: type[_R], table: Table, key: str) -> _R:
        """Return the record ``key`` of ``table``; NotFoundError if there is none."""
        with self._lock:
            return _get(self._connection, kind, table, key)

    def page(self, kind: type[_R], table: Table, *, after: str, limit: int) -> list[_R]:
        """Return up to ``limit`` records of ``table`` whose id comes after ``after``, by id."""
        query = f"SELECT record FROM {table} WHERE id > ? ORDER BY id LIMIT ?"
        return [kind.model_validate_json(row[0]) for row in self.rows(query, [after, limit])]

    def events(self, *, after: int, limit: int) -> list[Event]:
        """Return up to ``limit`` entries of the audit chain after number ``after``."""
        found = self.rows(f"SELECT {_EVENT} FROM events WHERE n > ? ORDER BY n LIMIT ?", [after, limit])
        return [_event(row) for row in found]

    def find_events(
        self,
        *,
        actor: str = "",
        action: str = "",
        subject: str = "",
        since: str = "",
        until: str = "",
        before: int | None = None,
        limit: int,
    ) -> list[Event]:
        """Return up to ``limit`` entries of the audit chain, the newest first.

        Args:
            actor: only what this account did.
            action: only what begins with this, such as ``permit.``.
            subject: only what was done to this record or to a part of it.
            since: only what was done on this day (YYYY-MM-DD, UTC) or later.
            until: only what was done on this day or earlier.
            before: only entries before this number.
            limit: how many at most.
        """
        found = self.rows(
            f"SELECT {_EVENT} FROM events WHERE ($actor = '' OR actor = $actor) AND starts_with(action, $action) "
            "AND ($subject = '' OR subject = $subject OR starts_with(subject, $subject || '/')) "
            "AND time >= $since AND ($until = '' OR time[:10] <= $until) "
            "AND ($before IS NULL OR n < $before) ORDER BY n DESC LIMIT $limit",
            {
                "actor": actor,
                "action": action,
                "subject": subject,
                "since": since,
                "until": until,
                "before": before,
                "limit": limit,
            },
        )
        return [_event(row) for row in found]

    def events_about(self, subjects: Collection[str], *, limit: int) -> list[Event]:
        """Return up to ``limit`` entries of the audit chain about these records, the newest first."""
        found = self.rows(
            f"SELECT {_EVENT} FROM events WHERE list_contains($subjects, subject) ORDER BY n DESC LIMIT $limit",
            {"subjects": [*subjects], "limit": limit},
        )
        return [_event(row) for row in found]

    def verify_events(self) -> EventsVerification:
        """Recompute the audit chain from its beginning.

        A chain that was cut off at its end verifies: compare ``head`` with one noted earlier.
        """
        head, count = GENESIS, 0
        while batch := self.events(after=count, limit=1000):
            for event in batch:
                if event.n != count + 1 or event.previous != head or event.hash != _hash(event):
                    total = self.rows("SELECT count(*) FROM events")[0][0]
                    return EventsVerification(events=total, head=head, broken_at=count + 1)
                head, count = event.hash, event.n
        return EventsVerification(events=count, head=head, broken_at=None)


@dataclass(frozen=True)
class Committed:
    """A change that was made.

    Attributes:
        events: what it wrote into the audit chain.
        statements: that made it, each with its values; run again on the same records, they make it again.
    """

    events: tuple[Event, ...]
    statements: tuple[tuple[str, Sequence[Any] | Mapping[str, Any]], ...]


class Change:
    """A transaction on the catalog; made by ``Store.change``.

    ``head`` is number and hash of the last entry of the audit chain, this transaction's own included.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, actor: str, head: tuple[int, str]) -> None:
        self._connection = connection
        self._actor = actor
        self.head = head
        self.datasets: set[str] = set()
        """What it is about, for the search: ids of datasets, ``remote/ID`` for an entry of another catalogue, and
        ``source/ID`` for all of its entries."""
        self._statements: list[tuple[str, Sequence[Any] | Mapping[str, Any]]] = []
        self._events: list[Event] = []

    @property
    def recorded(self) -> bool:
        """Whether an audit event was written."""
        return bool(self._events)

    def committed(self) -> Committed:
        """Return what the transaction did."""
        return Committed(
            events=tuple(self._events),
            statements=tuple(self._statements),
        )

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one statement inside the transaction; what it does must follow from the values alone."""
        if not statement.startswith("SELECT"):
            self._statements.append((statement, values))
        return self._connection.execute(statement, values).fetchall()

    def get(self, kind: type[_R], table: Table, key: str) -> _R:
        """Return a record as it stands inside the transaction; NotFoundError if there is none."""
        return _get(self._connection, kind, table, key)

    def insert(self, table: Table, key: str, record: Record) -> None:
        """Add a record; ConflictError if its id is taken."""
        if self.execute(f"SELECT 1 FROM {table} WHERE id = ?", [key]):
            raise ConflictError(
                f"The {_noun(table)} {key} is there already.",
                next_step="Choose another id, or change it.",
            )
        self.execute(f"INSERT INTO {table} VALUES (?, ?)", [key, record.model_dump_json()])

    def update(self, table: Table, key: str, record: Record) -> None:
        """Replace a record that is there."""
        self.execute(f"UPDATE {table} SET record = ? WHERE id = ?", [record.model_dump_json(), key])

    def version(self, dataset: str, number: int) -> Version:
        """Return a version as it stands inside the transaction; NotFoundError if there is none."""
        found = self.execute("SELECT record FROM versions WHERE dataset = ? AND number = ?", [dataset, number])
        if not found:
            raise NotFoundError(
                f"There is no version {number} of {dataset}.", next_step="See the list of its versions."
            )
        return Version.model_validate_json(found[0][0])

    def replace_version(self, version: Version) -> None:
        """Replace the record of a version that is there."""
        self.execute(
            "UPDATE versions SET record = ? WHERE dataset = ? AND number = ?",
            [version.model_dump_json(), version.dataset, version.number],
        )

    def event(self, action: str, subject: str, **details: Any) -> None:
        """Record in the audit chain what this transaction does to ``subject``, such as ``dataset/ID/v1``."""
        kind, _, key = subject.partition("/")
        if kind == "dataset":
            self.datasets.add(key.partition("/")[0])
        n, previous = self.head
        event = Event(
            n=n + 1,
            time=now().isoformat(),
            actor=self._actor,
            action=action,
            subject=subject,
            details=details,
            previous=previous,
            hash=GENESIS,
        )
        event = event.model_copy(update={"hash": _hash(event)})
        values = [*event.model_dump(exclude={"details", "previous", "hash"}).values()]
        values += [canonical_json(details).decode(), event.previous, event.hash]
        self.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self.head = event.n, event.hash
        self._events.append(event)


def open_file(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a catalog file as it is, with nothing that could reach outside of it.

    Raises:
        CatalogInUseError: another process has it open.
        CatalogError: it cannot be opened.
    """
    try:
        return duckdb.connect(
            path,
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "enable_external_access": False,
                "threads": 1,
            },
        )
    except duckdb.IOException as error:
        if "lock" not in str(error).lower():
            raise CatalogError("The catalog file cannot be opened.", where=str(path)) from error
        raise CatalogInUseError(
            "Another process has the catalog open; only one lab server may.",
            where=str(path),
            next_step="Stop the other lab server, or use its API.",
        ) from error


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def check_revision(table: Table, key: str, *, expected: int, actual: int, done: Sequence[str] = ()) -> None:
    """Raise ConflictError unless a record is still at the revision that its editor saw.

    Args:
        table: of the record.
        key: its id.
        expected: the revision that the editor saw.
        actual: the one that it has.
        done: who has changed what meanwhile, a sentence each, where that is known.
    """
    if expected != actual:
        changed = f"The {_noun(table)} has changed meanwhile: it is at revision {actual}, not {expected}."
        raise ConflictError(
            " ".join((changed, *done)),
            where=key,
            next_step="Read it again and repeat the change.",
        )


def _noun(table: Table) -> str:
    return {"sources": "catalogue", "remotes": "remote entry"}.get(table, table.removesuffix("s"))


def _get(connection: duckdb.DuckDBPyConnection, kind: type[_R], table: Table, key: str) -> _R:
    row = connection.execute(f"SELECT record FROM {table} WHERE id = ?", [key]).fetchone()
    if row is None:
        raise NotFoundError(f"There is no {_noun(table)} {key}.", next_step="Check the id.")
    return kind.model_validate_json(row[0])


def _event(row: tuple[Any, ...]) -> Event:
    names = _EVENT.split(", ")
    return Event.model_validate({**dict(zip(names, row, strict=True)), "details": json.loads(row[5])})


def _hash(event: Event) -> str:
    return entry_hash(event.previous, event.model_dump(exclude={"previous", "hash"}))
