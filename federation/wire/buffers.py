"""Content-addressed buffers on disk: what has been received, and what can be sent, by SHA-256.

A buffer being received is a ``.part`` file that grows from its start, so a transfer cut half-way goes on where it
stopped. It gets its name only once its digest has been verified.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from federation.errors import WireError
from federation.wire.protocol import MAX_BUFFER_BYTES


class BufferStore:
    """Buffers of one run in one folder.

    Args:
        folder: where they lie, one file each, named by digest in hexadecimal.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._sizes: dict[bytes, int] = {}
        self._parts: dict[bytes, _Part] = {}

    def path(self, sha256: bytes) -> Path:
        """Return where the complete buffer lies, or will."""
        return self.folder / sha256.hex()

    def size(self, sha256: bytes) -> int | None:
        """Return the size in bytes of a complete buffer, or None."""
        if sha256 not in self._sizes:
            try:
                self._sizes[sha256] = self.path(sha256).stat().st_size
            except FileNotFoundError:
                return None
        return self._sizes[sha256]

    def received(self, sha256: bytes) -> int:
        """Return how many bytes from its start are here, complete or not."""
        size = self.size(sha256)
        return self._known(sha256).size if size is None else size

    def read(self, sha256: bytes, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes at ``offset``; fewer at the end of what is here.

        Raises:
            FileNotFoundError: nothing of it is here.
        """
        whole, part = self.path(sha256), self._part(sha256)
        for path in (whole, part, whole):  # it may get its name in between
            try:
                with path.open("rb") as file:
                    return os.pread(file.fileno(), length, offset)
            except FileNotFoundError:
                continue
        raise FileNotFoundError(self.path(sha256))

    def append(self, sha256: bytes, offset: int, data: bytes, size: int) -> None:
        """Append a piece to a buffer of ``size`` bytes; the last piece verifies and names it.

        Raises:
            WireError: the piece does not continue what is here, or the whole has another digest.
        """
        path = self._part(sha256)
        if offset != self.received(sha256) or offset + len(data) > size or size > MAX_BUFFER_BYTES:
            raise WireError("A piece of a buffer does not fit what was received before it.")
        part = self._known(sha256)
        with path.open("ab", buffering=0) as file:
            written = 0
            while written < len(data):
                written += file.write(memoryview(data)[written:])
        part.digest.update(data)
        part.size += len(data)
        if part.size == size:
            del self._parts[sha256]
            if part.digest.digest() != sha256:
                path.unlink()
                raise WireError("A buffer does not have the digest that it was named by.")
            path.replace(self.path(sha256))
            self._sizes[sha256] = size

    def add(self, data: bytes | memoryview) -> bytes:
        """Store ``data`` and return its SHA-256."""
        sha256 = hashlib.sha256(data).digest()
        if self.size(sha256) is None:
            part = self.folder / f"{sha256.hex()}.{os.getpid()}.new"
            part.write_bytes(data)
            part.replace(self.path(sha256))
            self._sizes[sha256] = len(data)
        return sha256

    def adopt(self, path: Path, sha256: bytes) -> None:
        """Move a buffer here that foreign code has left at ``path``.

        What lies there may be anything: only a plain file (no link, pipe or device) of a bounded size with the digest
        that it was named by is taken. Foreign code that has kept the file open can still write to it; whoever receives
        it then finds another digest, and refuses it.

        Raises:
            WireError: it is not that.
        """
        part = self.folder / f"{sha256.hex()}.{os.getpid()}.new"
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise WireError("A buffer that the app left is not a plain file.")
            path.replace(part)
            source = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(source, "rb") as file:
                found = os.fstat(source)
                if not stat.S_ISREG(found.st_mode):
                    raise WireError("A buffer that the app left is not a plain file.")
                if found.st_size > MAX_BUFFER_BYTES:
                    raise WireError("A buffer that the app left is too large.")
                if _digest(file, found.st_size).digest() != sha256:
                    raise WireError("A buffer that the app left does not have the digest that it is named by.")
            part.replace(self.path(sha256))
            self._sizes[sha256] = found.st_size
        except OSError as error:
            raise WireError("A buffer that the app named cannot be read.") from error
        finally:
            part.unlink(missing_ok=True)

    def _part(self, sha256: bytes) -> Path:
        return self.folder / f"{sha256.hex()}.part"

    def _known(self, sha256: bytes) -> _Part:
        """Return what is known of a buffer that is being received; what an earlier process has received is read."""
        if sha256 not in self._parts:
            try:
                with self._part(sha256).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    self._parts[sha256] = _Part(size, _digest(file, size))
            except FileNotFoundError:
                self._parts[sha256] = _Part(0, hashlib.sha256())
        return self._parts[sha256]


class StoredBuffer:
    """A complete buffer that is read when it is needed.

    Args:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytearray:
        """Return the bytes, anew each time."""
        data = bytearray(self._size)
        with self._path.open("rb", buffering=0) as file:
            filled = 0
            while filled < self._size and (more := file.readinto(memoryview(data)[filled:])):
                filled += more
        return data


@dataclass
class _Part:
    """How much of a buffer has been received, and the digest of that much."""

    size: int
    digest: hashlib._Hash


def _digest(file: BinaryIO, size: int) -> hashlib._Hash:
    """Return the SHA-256 of the first ``size`` bytes of a file."""
    digest = hashlib.sha256()
    while size > 0 and (piece := file.read(min(size, 1 << 20))):
        digest.update(piece)
        size -= len(piece)
    return digest
