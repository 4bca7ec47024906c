"""Content-addressed buffers on disk: what has been received, and what can be sent, by SHA-256.

A buffer being received is a ``.part`` file that grows from its start, so a transfer cut half-way goes on where it
stopped. It gets its name only once its digest has been verified.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

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
        if size is not None:
            return size
        try:
            return self._part(sha256).stat().st_size
        except FileNotFoundError:
            return 0

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
        part = self._part(sha256)
        if offset != self.received(sha256) or offset + len(data) > size or size > MAX_BUFFER_BYTES:
            raise WireError("A piece of a buffer does not fit what was received before it.")
        with part.open("ab") as file:
            file.write(data)
        if offset + len(data) == size:
            with part.open("rb") as file:
                if hashlib.file_digest(file, "sha256").digest() != sha256:
                    part.unlink()
                    raise WireError("A buffer does not have the digest that it was named by.")
            part.chmod(0o640)  # a sandbox that root made reads it as the folder's group
            part.replace(self.path(sha256))
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

    def adopt(self, path: Path, sha256: bytes) -> None:
        """Copy a buffer that foreign code has left at ``path``, and remove it there.

        What lies there may be anything: only a plain file (no link, pipe or device) of a bounded size with the digest
        that it was named by is taken, and it is a copy that is kept, which foreign code cannot change afterwards.

        Raises:
            WireError: it is not that.
        """
        part = self.folder / f"{sha256.hex()}.{os.getpid()}.new"
        try:
            source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(source, "rb") as file, part.open("wb") as copy:
                if not stat.S_ISREG(os.fstat(source).st_mode):
                    raise WireError("A buffer that the app left is not a plain file.")
                digest, size = hashlib.sha256(), 0
                while piece := file.read(1 << 20):
                    digest.update(piece)
                    copy.write(piece)
                    size += len(piece)
                    if size > MAX_BUFFER_BYTES:
                        raise WireError("A buffer that the app left is too large.")
            if digest.digest() != sha256:
                raise WireError("A buffer that the app left does not have the digest that it is named by.")
            part.replace(self.path(sha256))
            self._sizes[sha256] = size
            path.unlink()
        except OSError as error:
            raise WireError("A buffer that the app named cannot be read.") from error
        finally:
            part.unlink(missing_ok=True)

    def _part(self, sha256: bytes) -> Path:
        return self.folder / f"{sha256.hex()}.part"
