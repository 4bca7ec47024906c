"""Content-addressed buffers on disk: what has been received, and what can be sent, by SHA-256.

A buffer being received is a ``.part`` file that grows from its start, so a transfer cut half-way goes on where it
stopped. It gets its name only once its digest has been verified.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from federation.errors import WireError
from federation.wire.protocol import MAX_BUFFER_BYTES

if TYPE_CHECKING:
    from hashlib import _Hash

_READ = 1 << 20


@dataclass
class _Part:
    """A buffer that is being received: how much of it is here, and the digest of that."""

    received: int
    digest: _Hash


class BufferStore:
    """Buffers of one run in one folder.

    Args:
        folder: where they lie, one file each, named by digest in hexadecimal.
        limit: bytes that complete buffers may take after ``trim``; a store without one keeps all.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._limit = limit
        # The least recently used first.
        self._sizes: OrderedDict[bytes, int] = OrderedDict()
        self._parts: dict[bytes, _Part] = {}

    def path(self, sha256: bytes) -> Path:
        """Return where the complete buffer lies, or will."""
        return self.folder / sha256.hex()

    def size(self, sha256: bytes) -> int | None:
        """Return the size in bytes of a complete buffer, or None; asking counts as using it."""
        if sha256 not in self._sizes:
            try:
                self._sizes[sha256] = self.path(sha256).stat().st_size
            except FileNotFoundError:
                return None
        self._sizes.move_to_end(sha256)
        return self._sizes[sha256]

    def received(self, sha256: bytes) -> int:
        """Return how many bytes from its start are here, complete or not."""
        size = self.size(sha256)
        return self._receiving(sha256).received if size is None else size

    def read(self, sha256: bytes, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes at ``offset``; fewer at the end of what is here.

        Raises:
            FileNotFoundError: nothing of it is here.
        """
        whole, part = self.path(sha256), self._part(sha256)
        for path in (whole, part, whole):  # it may get its name in between
            try:
                with path.open("rb", buffering=0) as file:
                    return os.pread(file.fileno(), length, offset)
            except FileNotFoundError:
                continue
        raise FileNotFoundError(self.path(sha256))

    def append(self, sha256: bytes, offset: int, data: bytes, size: int) -> None:
        """Append a piece to a buffer of ``size`` bytes; the last piece verifies and names it.

        Raises:
            WireError: the piece does not continue what is here, or the whole has another digest.
        """
        if offset != self.received(sha256) or offset + len(data) > size or size > MAX_BUFFER_BYTES:
            raise WireError("A piece of a buffer does not fit what was received before it.")
        path, part = self._part(sha256), self._receiving(sha256)
        self._parts.pop(sha256, None)  # should writing fail, the file says what is there
        with path.open("ab") as file:
            file.write(data)
        part.digest.update(data)
        part.received += len(data)
        self._parts[sha256] = part
        if part.received == size:
            del self._parts[sha256]
            if part.digest.digest() != sha256:
                path.unlink()
                raise WireError("A buffer does not have the digest that it was named by.")
            path.chmod(0o640)  # a sandbox that root made reads it as the folder's group
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

    def remove(self, sha256: bytes) -> None:
        """Forget a buffer."""
        self.path(sha256).unlink(missing_ok=True)
        self._sizes.pop(sha256, None)

    def adopt(self, path: Path, sha256: bytes, size: int) -> None:
        """Copy a buffer that foreign code has left at ``path``, and remove it there.

        What lies there may be anything: only a plain file (no link, pipe or device) of a bounded size with the digest
        that it was named by is taken, and it is a copy that is kept, which foreign code cannot change afterwards.

        Args:
            path: where it lies.
            sha256: its digest, as it was named.
            size: its size in bytes, as it was named.

        Raises:
            WireError: it is not that.
        """
        part = self.folder / f"{sha256.hex()}.{os.getpid()}.new"
        try:
            source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(source, "rb", buffering=0), part.open("w+b", buffering=0) as copy:
                found = os.fstat(source)
                if not stat.S_ISREG(found.st_mode):
                    raise WireError("A buffer that the app left is not a plain file.")
                if found.st_size != size or size > MAX_BUFFER_BYTES:
                    raise WireError("A buffer that the app left does not have the size that it is named with.")
                _copy(source, copy.fileno(), size)
                digest, copied = _digest(copy)
            if digest.digest() != sha256 or copied != size:
                raise WireError("A buffer that the app left does not have the digest that it is named by.")
            part.replace(self.path(sha256))
            self._sizes[sha256] = size
            path.unlink()
        except OSError as error:
            raise WireError("A buffer that the app named cannot be read.") from error
        finally:
            part.unlink(missing_ok=True)

    def trim(self, keep: Collection[bytes] = ()) -> None:
        """Remove the least recently used complete buffers, but those in ``keep``, until the rest fits the limit."""
        known = tuple(self._sizes.items())
        total = sum(size for _, size in known)
        for sha256, size in known:
            if self._limit is None or total <= self._limit:
                return
            if sha256 not in keep:
                self.path(sha256).unlink(missing_ok=True)
                del self._sizes[sha256]
                total -= size

    def _receiving(self, sha256: bytes) -> _Part:
        """Return the state of a buffer that is not complete; after a restart, from what lies in its file."""
        if (known := self._parts.get(sha256)) is not None:
            return known
        try:
            with self._part(sha256).open("rb", buffering=0) as file:
                digest, received = _digest(file)
        except FileNotFoundError:
            return _Part(0, hashlib.sha256())  # not remembered: anybody may ask for anything
        self._parts[sha256] = _Part(received, digest)
        return self._parts[sha256]

    def _part(self, sha256: bytes) -> Path:
        return self.folder / f"{sha256.hex()}.part"


class StoredBuffer:
    """A complete buffer that is read when it is needed, even if its file has been removed since.

    Args:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if self._size else None

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytearray:
        """Return the bytes, anew each time; between two times they take no memory."""
        if self._map is None:
            return bytearray()
        data = bytearray(self._map)
        self._map.madvise(mmap.MADV_DONTNEED)
        return data


def _copy(source: int, target: int, size: int) -> None:
    """Copy up to ``size`` bytes from one open file to another, inside the kernel."""
    while size > 0 and (copied := os.sendfile(target, source, None, size)):
        size -= copied


def _digest(file: BinaryIO) -> tuple[_Hash, int]:
    """Return the SHA-256 of a whole file, and its size."""
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_READ):
        digest.update(piece)
        size += len(piece)
    return digest, size
