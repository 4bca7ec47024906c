"""Ships a run's journal to the lab's object storage while the run goes on, in a thread of its own.

What was on the disk when a shipment began is stored when it ends, and the next one begins ``INTERVAL`` seconds later:
a lab that loses the run's folder loses the exchanges of that time. Nodes have recorded what they answered in it, and
say it again. While the store does not answer, the run goes on, and what is not shipped is on this machine's disk only;
the run's events say so.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from pydantic import ValidationError

from datalab.canonical import sha256_file
from datalab.errors import DatalabError
from datalab.home import Home, write_atomically
from federation.journal import end_of, whole_records
from federation.pb.journal_pb2 import JournalEntry
from federation.run import RunFolder
from federation.shipped import Head, Segment, ShippedRun, length, pieces
from federation.wire.protocol import referenced

INTERVAL = 2.0
"""Seconds between two shipments, whether the first one has failed or not."""
SEGMENT_BYTES = 4 << 20
"""A file's last segment is stored anew as the file grows, until it has so many bytes."""
FLUSH_SECONDS = 10.0
"""How long the end of a run waits for its journal to be stored."""
_CLOSE_SECONDS = 5.0
log = structlog.get_logger()


class Shipping:
    """Ships the journal of one run.

    Args:
        home: of the lab.
        folder: of the run.
        durable: returns how many bytes of the journal are on the disk; buffers that they name are, too.
        say: told when shipping falls behind, and when it has caught up.
    """

    def __init__(self, home: Home, folder: RunFolder, durable: Callable[[], int], say: Callable[..., None]) -> None:
        self._home = home
        self._folder = folder
        self._durable = durable
        self._say = say
        self._shipped: ShippedRun | None = None
        self._head = self._known_head()
        self._sent: set[bytes] = set()
        self._changed = threading.Condition()
        # How many bytes of the journal are stored, and how many somebody waits for; both under the condition.
        self._reached = 0 if self._head is None else length(self._head.journal)
        self._wanted = 0
        self._closing = threading.Event()
        self._behind = False
        self._thread = threading.Thread(target=self._run, name="shipping", daemon=True)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Ship until the context ends; a shipment that hangs is not waited for."""
        self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._closing.set()
                self._changed.notify_all()
            self._thread.join(_CLOSE_SECONDS)

    def flush(self) -> None:
        """Return once all that is on the disk now is stored, or it has taken too long: then the events say so."""
        with self._changed:
            self._wanted = self._durable()
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._reached >= self._wanted, FLUSH_SECONDS):
                log.warning("the end of the journal is on this machine's disk only", run=self._folder.path.name)

    def _run(self) -> None:
        self._pause(0.0 if self._head is None else INTERVAL)
        while not self._closing.is_set():
            try:
                more = self._ship()
            except (DatalabError, OSError) as error:
                self._fall_behind(str(error))
            except Exception as error:  # whatever it is, the run goes on
                log.error("the journal could not be shipped", run=self._folder.path.name, exc_info=error)
                self._fall_behind(type(error).__name__)
            else:
                if more:
                    continue
                self._catch_up()
            self._pause(INTERVAL)

    def _pause(self, seconds: float) -> None:
        """Wait; less where the run ends, or its end waits for a shipment and the last one has not failed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing.is_set() or (not self._behind and self._wanted > self._reached), seconds
            )

    def _fall_behind(self, why: str) -> None:
        self._shipped = None  # the store may come back at another address
        if self._closing.is_set() or self._behind:  # a run that has ended may have no files any more
            return
        self._behind = True
        log.warning("the journal is not shipped", run=self._folder.path.name, reason=why)
        self._say("journal", state="behind", bytes=self._durable() - self._reached)

    def _catch_up(self) -> None:
        if self._behind and not self._closing.is_set():
            self._behind = False
            log.info("the journal is shipped again", run=self._folder.path.name)
            self._say("journal", state="shipped")

    def _ship(self) -> bool:
        """Ship what has come, ``SEGMENT_BYTES`` of it at the most; return whether there is more."""
        durable = self._durable()
        shipped = self._shipped = self._shipped or ShippedRun(self._home, "runner", self._folder.path.name)
        head = self._head or self._first(shipped)
        upto = self._ship_buffers(shipped, length(head.journal), durable)
        new = head.model_copy(
            update={
                "events": _extended(shipped, self._folder.events, head.events, _whole_lines(self._folder.events)),
                "journal": _extended(shipped, self._folder.journal, head.journal, upto),
            }
        )
        if new != self._head:
            shipped.put_head(new)
            write_atomically(self._folder.shipped, new.model_dump_json().encode())
            self._head = new
            for old in {*head.events, *head.journal} - {*new.events, *new.journal}:
                shipped.remove(old.sha256)
        with self._changed:
            self._reached = upto
            self._changed.notify_all()
        return upto < durable

    def _first(self, shipped: ShippedRun) -> Head:
        """Ship what the run is; return what is stored then."""
        for path in (self._folder.spec, self._folder.bundle):
            with path.open("rb") as file:
                shipped.put(sha256_file(path), pieces(file.fileno(), 0, path.stat().st_size))
        return Head(run=self._folder.path.name, spec=sha256_file(self._folder.spec))

    def _ship_buffers(self, shipped: ShippedRun, start: int, end: int) -> int:
        """Ship the buffers that replies in the journal name, each once; return up to where the journal may follow."""
        upto = start
        with self._folder.journal.open("rb") as journal:
            for at, record in whole_records(journal.fileno(), start, end):
                for sha256 in referenced(JournalEntry.FromString(record).reply.content).keys() - self._sent:
                    path = self._folder.buffers / sha256.hex()
                    with path.open("rb") as file:
                        shipped.put(sha256.hex(), pieces(file.fileno(), 0, path.stat().st_size))
                    self._sent.add(sha256)
                upto = end_of(at, record)
                if upto - start >= SEGMENT_BYTES:
                    break
        return upto

    def _known_head(self) -> Head | None:
        """Return what a runner before this one has shipped, or what this folder was made from."""
        try:
            head = Head.model_validate_json(self._folder.shipped.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            log.warning("what was shipped is not known, and is shipped again", error=str(error))
            return None
        return head if length(head.journal) <= self._durable() else None


def _extended(shipped: ShippedRun, path: Path, known: tuple[Segment, ...], upto: int) -> tuple[Segment, ...]:
    """Return the segments of a file that has grown to ``upto`` bytes, all of them stored."""
    if upto <= length(known):
        return known
    kept = known[:-1] if known and known[-1].bytes < SEGMENT_BYTES else known
    start = length(kept)
    with path.open("rb") as file:
        os.fdatasync(file.fileno())  # what is stored must not be ahead of the disk
        digest = hashlib.sha256()
        for piece in pieces(file.fileno(), start, upto):
            digest.update(piece)
        shipped.put(digest.hexdigest(), pieces(file.fileno(), start, upto))
    return (*kept, Segment(sha256=digest.hexdigest(), bytes=upto - start))


def _whole_lines(path: Path) -> int:
    """Return the bytes of a file of lines; 0 while its last line is being written, or there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            return size if size and os.pread(file.fileno(), 1, size - 1) == b"\n" else 0
    except FileNotFoundError:
        return 0
