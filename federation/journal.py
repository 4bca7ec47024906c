"""An append-only file of checksummed records: a crash leaves it with a torn end and nothing worse."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import structlog

from federation.pb import federation_pb2 as pb

log = structlog.get_logger()

_HEAD = struct.Struct(">I16s")
"""Length of a record, and the first half of its SHA-256."""


class Journal:
    """Records in one file, read once when it is opened and then added to.

    Opening cuts off what a crash has left unfinished at the end, from the first record that is not whole.

    Args:
        path: the file, made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        made = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if made:
            _sync_folder(path.parent)
        self._size = os.fstat(self._file).st_size

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return self._size

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Yield every record and its place in the file, the oldest first; to be read to the end before appending."""
        end = 0
        for at, record in whole_records(self._file, 0, self._size):
            yield at, record
            end = end_of(at, record)
        if end < self._size:
            log.warning("a journal's torn end is cut off", path=str(self._path), bytes=self._size - end)
            os.ftruncate(self._file, end)
            os.fdatasync(self._file)
            self._size = end

    def append(self, record: bytes) -> int:
        """Write a record and return its place; it outlives this process, and the machine after ``sync``."""
        at, data = self._size, memoryview(_HEAD.pack(len(record), _checksum(record)) + record)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:  # a full disk: what comes later would lie behind half a record, and be lost with it
            os.ftruncate(self._file, at)
            raise
        self._size = end_of(at, record)
        return at

    def sync(self) -> None:
        """Return once everything that was appended is on the disk."""
        os.fdatasync(self._file)

    def read(self, at: int) -> bytes:
        """Return the record at a place that ``records`` or ``append`` has given."""
        record = _whole(self._file, at, self._size)
        assert record is not None
        return record

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def whole_records(file: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the records of an open journal and their places, up to the first that is not whole.

    Args:
        file: the file's descriptor.
        start: where a record begins.
        end: bytes of the file that count.
    """
    while (record := _whole(file, start, end)) is not None:
        yield start, record
        start = end_of(start, record)


def end_of(at: int, record: bytes) -> int:
    """Return where a record at a place ends."""
    return at + _HEAD.size + len(record)


def task_digest(task: pb.Task, content_sha256: bytes) -> bytes:
    """Return the SHA-256 of a task: node, kind, group, time to live, and the digest of its content.

    The run, and the task's number in it, are what it is looked up by.
    """
    head = pb.Task(node=task.node, message_type=task.message_type, group_id=task.group_id, ttl=task.ttl)
    return hashlib.sha256(content_sha256 + head.SerializeToString(deterministic=True)).digest()


def content_digest(task: pb.Task) -> bytes:
    """Return the SHA-256 of a task's content; large arrays count by the digests that name them."""
    return hashlib.sha256(task.content.SerializeToString(deterministic=True)).digest()


def _whole(file: int, at: int, end: int) -> bytes | None:
    """Return the record at a place; None at the end, and where it is not whole."""
    head = os.pread(file, _HEAD.size, at) if end - at >= _HEAD.size else b""
    if len(head) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack(head)
    if length > end - at - _HEAD.size:
        return None
    record = os.pread(file, length, at + _HEAD.size)
    return record if _checksum(record) == checksum else None


def _checksum(record: bytes) -> bytes:
    return hashlib.sha256(record).digest()[:16]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
