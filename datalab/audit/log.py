"""An append-only audit log in one file of JSON lines."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datalab.audit.chain import Head
from datalab.audit.entry import EntryError, decode_entry, encode_entry, next_entry
from datalab.canonical import sha256_hex
from datalab.errors import DatalabError, ExitCode, NotWritableError

_BLOCK = 64 << 10


class AuditLogError(DatalabError):
    """An audit log is not what was written to it."""

    exit_code = ExitCode.BAD_INPUT


class AuditLog:
    """The log in one file; several threads and processes may append to the same one.

    Opening checks the last entry and goes on from there; ``datalab.audit.verification`` checks them all.
    A last line that a crash left incomplete is moved to ``<file>.torn`` and recorded as an event.

    Args:
        path: the file, made if it is missing.

    Raises:
        AuditLogError: the last entry was changed.
        NotWritableError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.Lock()
        self._head = Head()
        self._size = 0
        self.head()

    def append(self, event: str, **details: Any) -> Head:
        """Write an entry durably and return where the chain stands then.

        Args:
            event: what happened, such as ``permit.refused``.
            details: JSON values; never a value from personal data, never a secret.

        Raises:
            AuditLogError: the file was changed or cut off by somebody else.
            NotWritableError: the file cannot be written.
        """
        with self._locked() as file:
            return self._write(file, event, details)

    def head(self) -> Head:
        """Return where the chain stands now (raises as ``append``)."""
        with self._locked():
            return self._head

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the log alone, knowing also what other processes have written; yields its file descriptor."""
        with self._mutex:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise NotWritableError(
                    f"Cannot write the audit log {self.path}: {error.strerror}.",
                    next_step="Name a folder that you may write to.",
                ) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file).st_size != self._size:
                    self._catch_up(file)
                yield file
            finally:
                os.close(file)  # this ends the lock

    def _write(self, file: int, event: str, details: dict[str, Any]) -> Head:
        entry = next_entry(self._head, event, details)
        self._put(file, encode_entry(entry) + b"\n")
        self._head = entry.head
        return self._head

    def _put(self, file: int, data: bytes) -> None:
        before, written = os.fstat(file).st_size, 0
        try:
            while written < len(data):
                written += os.write(file, data[written:])
            os.fsync(file)
        except OSError as error:  # a full disk: half a line would have to be repaired
            os.ftruncate(file, before)
            raise NotWritableError(
                f"Cannot write to the audit log {self.path}: {error.strerror}.", next_step="Make room on its disk."
            ) from error
        self._size = os.fstat(file).st_size

    def _catch_up(self, file: int) -> None:
        size = os.fstat(file).st_size
        if size < self._size:
            raise self._broken("The audit log was cut off while it was in use.")
        line = _last_line(file, size)
        complete = line.endswith(b"\n")
        try:
            last = decode_entry(line.rstrip(b"\n")) if line else None
        except EntryError as error:
            if complete or _is_json(line):
                raise self._broken(f"The last entry of the audit log {error}.") from error
            self._repair(file, line, size)
            return
        self._size = size
        self._head = last.head if last is not None else Head()
        if line and not complete:  # a crash lost only the newline
            self._put(file, b"\n")

    def _repair(self, file: int, torn: bytes, size: int) -> None:
        aside = self.path.with_name(f"{self.path.name}.torn")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as keeper:
            keeper.write(torn + b"\n")
            keeper.flush()
            os.fsync(keeper.fileno())
        os.ftruncate(file, size - len(torn))
        self._catch_up(file)
        details = {"torn_bytes": len(torn), "torn_sha256": sha256_hex(torn), "kept_in": aside.name}
        self._write(file, "audit.repaired", details)

    def _broken(self, what: str) -> AuditLogError:
        return AuditLogError(
            what,
            where=str(self.path),
            next_step="Keep the file as it is, and look into it with `datalab audit verify`.",
        )


def _last_line(file: int, end: int) -> bytes:
    """Return the last line of the first ``end`` bytes, with its newline if it has one."""
    tail = b""
    start = end
    while start > 0 and b"\n" not in tail[:-1]:
        length = min(_BLOCK, start)
        start -= length
        tail = os.pread(file, length, start) + tail
    return tail[tail[:-1].rfind(b"\n") + 1 :]


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
