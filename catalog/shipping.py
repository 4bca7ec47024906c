"""Backups that a lab takes by itself: what is acknowledged is elsewhere within seconds.

    FOLDER/latest            name of the newest whole backup, which `datalab restore FOLDER` takes
    FOLDER/<when>/…          a backup as `datalab backup` makes it, and changes.jsonl with the changes since, signed
    FOLDER/erasures.jws      signed records of all erasures, which a restored lab carries out again

Changes are appended every few seconds. Where data has come in or gone, a new backup is begun beside the old one, which
goes once the new one is whole; objects that both have are fetched once. So a person who is erased is gone from here,
too, as soon as that is whole.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from catalog.backup import MANIFEST, fetch
from catalog.errors import CatalogError
from catalog.event_records import Event
from catalog.evidence import backup_key
from catalog.replay import encode
from catalog.signed_backup import ChangeLog, sign_erasures
from catalog.snapshot import BACKUP, KEPT, Snapshot
from catalog.store import Committed, Store, now
from datalab.errors import DatalabError
from datalab.home import Home, sync_folder, write_atomically
from datalab.settings import Backups
from datalab.storage.store import ObjectStore

LATEST = "latest"
_MOVING = ("version.", "upload.", "erasure.", "run.artifacts-")
"""Beginnings of the actions after which objects have come or gone."""
_log = structlog.get_logger()


class Shipper:
    """Takes the backups of one lab; its methods are called by one thread, ``last`` by any."""

    def __init__(
        self,
        home: Home,
        store: Store,
        objects: ObjectStore,
        snapshot: Callable[..., Snapshot],
        settings: Backups,
        folder: Path,
    ) -> None:
        self._home = home
        self._store = store
        self._objects = objects
        self._snapshot = snapshot
        self._settings = settings
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: deque[Committed] = deque()
        """What was made and not shipped yet; whoever makes a change does not wait for the folder."""
        self._since: list[Committed] = []
        """What was shipped while a backup is being made: it belongs into that one too."""
        self._current: Path | None = None
        self._log: ChangeLog | None = None
        self._alone: Snapshot | None = None
        """Of the backup before which none is left, until that is on record."""
        self._erasures = -1  # how many records of erasures lie there
        self._begun = now()
        self._stale = True  # nothing is known of what happened before this start
        self._making: threading.Thread | None = None
        self._shipped: datetime | None = None
        store.follow(self._take)

    def _take(self, change: Committed) -> None:
        self._waiting.append(change)

    def ship(self) -> None:
        """Bring what was changed into the newest backup, and begin another one where that is due.

        Raises:
            CatalogError: the folder cannot be written to; nothing is forgotten, and the next time may work.
        """
        with self._lock:
            self._say_alone()
            moment, waiting = now(), list(self._waiting)
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._ship_erasures()
                if self._log is not None and waiting:
                    self._log.append([encode(one) for one in waiting], erasures=self._erasures)
            except OSError as error:
                raise CatalogError(
                    f"The backup cannot be written: {error.strerror}.",
                    where=str(self._folder),
                    next_step="Name a folder that can be written to, under [backup] in datalab.toml.",
                ) from error
            for _ in waiting:
                self._waiting.popleft()
            self._shipped = moment if self._current is not None else None
            self._since += waiting
            moved = any(_moves(event) for one in waiting for event in one.events)
            old = (now() - self._begun).total_seconds() > self._settings.hours * 3600
            self._stale = self._stale or moved or old
            if self._making is None:
                self._since = [] if not self._stale else self._since
                if self._stale:
                    self._begin()

    def wait(self) -> None:
        """Wait until the backup that is being made is whole, or has failed."""
        if (making := self._making) is not None:
            making.join()

    def last(self) -> datetime | None:
        """Return when the newest whole backup was last brought up to date; None before there is one."""
        return self._shipped

    def _begin(self) -> None:
        self._stale, self._begun = False, now()
        self._making = threading.Thread(target=self._make, name="backup", daemon=True)
        self._making.start()

    def _make(self) -> None:
        try:
            snapshot = self._snapshot(actor=BACKUP)
            target = self._folder / f"{snapshot.created:%Y%m%dT%H%M%S}-{snapshot.id[:8]}"
            fetch(self._home, self._objects, snapshot, target, beside=self._current, changes=True)
            with self._lock:
                manifest, key = (target / MANIFEST).read_bytes(), backup_key(self._home)
                log = ChangeLog(target, manifest, key, erasures=self._erasures)
                since = [encode(one) for one in self._since if one.events[-1].n > snapshot.events]
                log.append(since, erasures=self._erasures)
                write_atomically(self._folder / LATEST, target.name.encode())
                sync_folder(self._folder)
                self._current, self._log, self._since = target, log, []
            for other in self._folder.iterdir():  # before another one is begun
                if other.is_dir() and other != target:
                    shutil.rmtree(other)
            with self._lock:
                self._alone, self._making = snapshot, None
        except Exception as error:  # noqa: BLE001 - whatever it was, another one has to be begun; the log has it
            expected = isinstance(error, DatalabError | OSError)
            _log.error("backup not made", error=str(error), exc_info=None if expected else error)
            with self._lock:
                self._stale, self._making = True, None

    def _say_alone(self) -> None:
        """Put on record that there is no earlier backup here any more: who was erased before this one is in none."""
        if (snapshot := self._alone) is not None:
            with self._store.change(BACKUP) as change:
                change.event(KEPT, f"backup/{snapshot.id}", folder=str(self._folder), until=snapshot.events)
            self._alone = None

    def _ship_erasures(self) -> None:
        paths = sorted((self._home.path / "erasures").glob("*.jws"))
        if len(paths) != self._erasures:
            sign_erasures(self._folder, [path.read_bytes().strip() for path in paths], backup_key(self._home))
            self._erasures = len(paths)


def newest(folder: Path) -> Path:
    """Return the newest whole backup of a folder that a lab ships to; the folder itself where it is one backup."""
    latest = folder / LATEST
    return folder / Path(latest.read_text("utf-8", "replace").strip()).name if latest.is_file() else folder


def _moves(event: Event) -> bool:
    return event.action.startswith(_MOVING) or "artifacts" in event.details.get("fields", ())
