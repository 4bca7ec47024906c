"""Harvesting: a catalogue is read page by page, compared with what is on record of it, and taken over in one change.

    fetch page → read it → … → compare → (too much would go: refuse) → entries, source, audit event in one transaction

The same catalogue again changes nothing. What is gone from it is withdrawn here and stays as a tombstone. A page that
cannot be read ends the harvest and changes nothing; a dataset that cannot be read is reported, and others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import structlog

from catalog.errors import ConflictError
from catalog.harvest.comparing import Gathered, compare, refusal, result
from catalog.harvest.fetch import Document, fetch
from catalog.harvest.page import read_page
from catalog.harvest.reach import Reach
from catalog.harvest.records import (
    MAX_ENTRIES,
    MAX_PAGES,
    MAX_PROBLEMS,
    Harvest,
    RemoteEntry,
    SeenPage,
    Source,
    SourceDraft,
)
from catalog.store import Store, now
from datalab.errors import BadInputError, DatalabError, NotFoundError, RefusedError, ServiceFailedError
from datalab.settings import Harvesting

ACTOR = "harvest"
_DEADLINE = timedelta(minutes=20)
_INSERT = "INSERT OR REPLACE INTO remotes SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])::JSON"
_log = structlog.get_logger()


class Harvester:
    """Reads the catalogues on record.

    Args:
        store: the catalog's records.
        settings: what may be fetched from, and how much may go at once.
    """

    def __init__(self, store: Store, settings: Harvesting) -> None:
        self._store = store
        self._settings = settings
        self._reach = Reach(settings)
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = ThreadPoolExecutor(1, "harvest")

    def close(self) -> None:
        """Stop what is being harvested; nothing of it is kept."""
        self._stopped.set()
        self._thread.shutdown(cancel_futures=True)

    def sources(self) -> list[Source]:
        """Return the catalogues on record, by id."""
        rows = self._store.rows("SELECT record FROM sources ORDER BY id")
        return [Source.model_validate_json(row[0]) for row in rows]

    def names(self) -> dict[str, str]:
        """Return the names of the catalogues on record, by id."""
        return dict(self._store.rows("SELECT id, json_extract_string(record, '$.name') FROM sources"))

    def source(self, key: str) -> Source:
        """Return a catalogue; NotFoundError if there is none of this id."""
        return self._store.get(Source, "sources", key)

    def entry(self, key: str) -> RemoteEntry:
        """Return an entry, withdrawn ones included; NotFoundError if there is none of this id."""
        return self._store.get(RemoteEntry, "remotes", key)

    def is_busy(self, key: str) -> bool:
        """Return whether a catalogue is being harvested, or waits for it."""
        with self._lock:
            return key in self._busy

    def add(self, draft: SourceDraft, actor: str) -> Source:
        """Put a catalogue on record.

        Raises:
            ConflictError: its id is taken.
            RefusedError: its address may not be fetched from.
        """
        if draft.address is not None:
            self._reach.check(draft.address)
        source = Source(**draft.model_dump(), created=now())
        with self._store.change(actor) as change:
            change.insert("sources", source.id, source)
            change.event("source.added", f"source/{source.id}", address=source.address, country=source.country)
        return source

    def remove(self, key: str, actor: str) -> None:
        """Take a catalogue off the record, and what was found in it.

        Raises:
            ConflictError: it is being harvested.
            NotFoundError: there is no such catalogue.
        """
        with self._alone(key), self._store.change(actor) as change:
            source = change.get(Source, "sources", key)
            change.execute("DELETE FROM remotes WHERE source = ?", [key])
            change.execute("DELETE FROM sources WHERE id = ?", [key])
            change.event("source.removed", f"source/{key}", entries=source.entries)
            change.datasets.add(f"source/{key}")

    def due(self) -> None:
        """Harvest the catalogues whose time has come."""
        for source in self.sources():
            if _is_due(source, now()) and not self._stopped.is_set() and not self.is_busy(source.id):
                self.harvest(source.id, ACTOR)

    def begin(self, key: str, actor: str, *, allow_removals: bool = False) -> None:
        """Harvest a catalogue in the background; what comes of it is in its record afterwards.

        Raises:
            ConflictError: it is being harvested already.
            NotFoundError: there is no such catalogue, or it has no address.
        """
        _check_fetched(self.source(key))
        self._take(key)
        self._thread.submit(self._in_background, key, actor, allow_removals=allow_removals)

    def harvest(
        self, key: str, actor: str, *, document: Document | None = None, allow_removals: bool = False
    ) -> Source:
        """Harvest a catalogue, and return its record, which says what came of it.

        Args:
            key: of the catalogue.
            actor: on whose behalf.
            document: all of the catalogue, where it is not fetched.
            allow_removals: whether more may be withdrawn than the settings say.

        Raises:
            ConflictError: it is being harvested already.
            NotFoundError: there is no such catalogue, or it has no address.
        """
        with self._alone(key):
            return self._harvest(key, actor, document, allow_removals=allow_removals)

    def _harvest(self, key: str, actor: str, document: Document | None, *, allow_removals: bool) -> Source:
        source = self.source(key)
        if document is None:
            _check_fetched(source)
        try:
            gathered = self._gather(source, document)
        except DatalabError as error:
            if self._stopped.is_set():
                raise
            return self._failed(key, str(error), actor)
        return self._take_over(key, gathered, actor, allow_removals=allow_removals)

    def _in_background(self, key: str, actor: str, *, allow_removals: bool) -> None:
        try:
            self._harvest(key, actor, None, allow_removals=allow_removals)
        except DatalabError as error:
            _log.error("harvest not made", source=key, error=str(error))
        except Exception:  # noqa: BLE001 - the thread must not end; the log has the trace
            _log.exception("harvest not made", source=key)
        finally:
            self._give_back(key)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        self._take(key)
        try:
            yield
        finally:
            self._give_back(key)

    def _take(self, key: str) -> None:
        with self._lock:
            if key in self._busy:
                raise ConflictError("This catalogue is being harvested.", where=key, next_step="Wait until it is done.")
            self._busy.add(key)

    def _give_back(self, key: str) -> None:
        with self._lock:
            self._busy.discard(key)

    def _gather(self, source: Source, document: Document | None) -> Gathered:
        gathered = Gathered()
        if document is not None:
            at = source.address or document.address
            self._read(replace(document, address=at), at, gathered)
            return gathered
        assert source.address is not None
        seen = {page.address: page for page in source.pages}
        ends, following = now() + _DEADLINE, source.address
        while following:
            _check_following(source.address, following, gathered, ends)
            page = fetch(self._reach, following, seen.get(following), self._stopped)
            if page is None:
                gathered.pages.append(seen[following])
                gathered.kept.add(following)
            else:
                self._read(page, following, gathered)
            following = gathered.pages[-1].following or ""
        return gathered

    def _read(self, document: Document, address: str, gathered: Gathered) -> None:
        said = read_page(document, self._stopped)
        page = SeenPage(
            address=address,
            etag=document.etag,
            modified=document.modified,
            following=said.following,
            total=said.total,
            problem_count=len(said.problems),
            problems=said.problems[:MAX_PROBLEMS],
        )
        gathered.pages.append(page)
        gathered.troubled |= said.troubled
        for one in said.entries:
            gathered.entries.setdefault(one.uri, (one, address))
        if len(gathered.entries) > MAX_ENTRIES:
            raise BadInputError(f"The catalogue has more than {MAX_ENTRIES:,} datasets.", where=address)

    def _take_over(self, key: str, gathered: Gathered, actor: str, *, allow_removals: bool) -> Source:
        moment = now()
        with self._store.change(actor) as change:
            source = change.get(Source, "sources", key)
            rows = change.execute("SELECT record FROM remotes WHERE source = ?", [key])
            entries = [RemoteEntry.model_validate_json(row[0]) for row in rows]
            plan = compare(source, {one.described.uri: one for one in entries}, gathered, moment)
            if not allow_removals and (why := refusal(plan, self._settings.removals)):
                done = Harvest(at=moment, outcome="refused", unchanged=source.entries, message=why)
                updated = source.model_copy(update={"last": done})
            else:
                done = result(plan, gathered, moment)
                present = plan.added + plan.updated + plan.unchanged
                updated = source.model_copy(update={"last": done, "pages": tuple(gathered.pages), "entries": present})
                if plan.write:
                    ids, records = [one.id for one in plan.write], [one.model_dump_json() for one in plan.write]
                    change.execute(_INSERT, [ids, [key] * len(ids), records])
                    change.datasets.update(f"remote/{one}" for one in ids)
            change.update("sources", key, updated)
            change.event(_action(done), f"source/{key}", **_facts(done))
        return updated

    def _failed(self, key: str, message: str, actor: str) -> Source:
        with self._store.change(actor) as change:
            source = change.get(Source, "sources", key)
            done = Harvest(at=now(), outcome="failed", unchanged=source.entries, message=message[:5000])
            updated = source.model_copy(update={"last": done})
            change.update("sources", key, updated)
            change.event(_action(done), f"source/{key}", **_facts(done))
        return updated


def _check_fetched(source: Source) -> None:
    if source.address is None:
        raise NotFoundError("This catalogue has no address.", where=source.id, next_step="Hand in its file.")


def _check_following(first: str, following: str, gathered: Gathered, ends: datetime) -> None:
    """Raise unless the next page of a catalogue is one more, of the same host, in time."""
    if any(page.address == following for page in gathered.pages):
        raise BadInputError("The pages of the catalogue go in a circle.", where=following.partition("?")[0])
    if len(gathered.pages) >= MAX_PAGES:
        raise BadInputError(f"The catalogue has more than {MAX_PAGES} pages.", where=first)
    if _origin(first) != _origin(following):
        raise RefusedError("The next page of the catalogue is at another host.", where=following.partition("?")[0])
    if now() > ends:
        raise ServiceFailedError("The catalogue takes too long.", where=first)


def _origin(address: str) -> tuple[str, str, int | None]:
    url = httpx.URL(address)
    return url.scheme, url.host, url.port


def _is_due(source: Source, moment: datetime) -> bool:
    if source.address is None or source.every_hours is None:
        return False
    return source.last is None or moment - source.last.at >= timedelta(hours=source.every_hours)


def _action(done: Harvest) -> str:
    return f"source.{done.outcome if done.outcome in {'refused', 'failed'} else 'harvested'}"


def _facts(done: Harvest) -> dict[str, object]:
    counts = {"added": done.added, "updated": done.updated, "withdrawn": done.withdrawn, "unchanged": done.unchanged}
    return {**counts, "problems": done.problem_count, "message": done.message[:300]}
