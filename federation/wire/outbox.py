"""Buffers that foreign code has left in its folder, sent from where they lie.

They stay where the sandbox's guard counts them. What lies there may be anything, and may change at any time: only the
bytes of plain files are read, and whoever receives them verifies size and digest.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.wire.pieces import PieceSender
from federation.wire.protocol import CHUNK_BYTES, MAX_BUFFER_BYTES


def left_piece(folder: int, fetch: pb.Fetch, pieces: PieceSender) -> bytes:
    """Return the frame that answers ``fetch`` from an open folder that foreign code writes to."""
    try:
        with _opened(folder, fetch.sha256) as (file, size):
            return pieces.frame(fetch, size, lambda at, length: os.pread(file, length, at))
    except OSError:
        return pieces.frame(fetch, None, lambda *_: b"")


class Outbox:
    """The buffers of a node's replies, in the folder that its worker writes to.

    A buffer is kept until it has been sent whole and the run goes on; of those that nobody fetches, the newest are.

    Args:
        folder: where they lie, one file each, named by digest in hexadecimal.
        limit: bytes that are kept for nobody in particular.
        pieces: makes the frames.
    """

    def __init__(self, folder: Path, limit: int, pieces: PieceSender) -> None:
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._limit = limit
        self._pieces = pieces
        # The oldest first.
        self._named: OrderedDict[bytes, int] = OrderedDict()
        self._sent: set[bytes] = set()

    def name(self, buffers: Mapping[bytes, int]) -> None:
        """Have what a reply names (digest and size in bytes) ready to be fetched.

        Raises:
            WireError: one of them is not a plain file of that size.
        """
        for sha256, size in buffers.items():
            try:
                with _opened(self._folder, sha256) as (_, found):
                    if found != size or size > MAX_BUFFER_BYTES:
                        raise WireError("A buffer that the app left does not have the size that it is named with.")
            except OSError as error:
                raise WireError("A buffer that the app named cannot be read.") from error
            self._named[sha256] = size
            self._named.move_to_end(sha256)
            self._sent.discard(sha256)
        self._remove_oldest(buffers)

    def piece(self, fetch: pb.Fetch) -> bytes:
        """Return the frame that answers ``fetch``; what no reply has named is not there."""
        size = self._named.get(fetch.sha256)
        if size is None:
            return self._pieces.frame(fetch, None, lambda *_: b"")
        if fetch.offset + min(fetch.length, CHUNK_BYTES) >= size:
            self._sent.add(fetch.sha256)
        return left_piece(self._folder, fetch, self._pieces)

    def drop_sent(self) -> None:
        """Remove what has been sent whole: the run goes on."""
        for sha256 in self._sent:
            self._remove(sha256)
        self._sent.clear()

    def cut(self) -> None:
        """Keep what may not have arrived: the peer is gone, and asks again for what it did not get."""
        self._sent.clear()

    def close(self) -> None:
        """Close the folder."""
        os.close(self._folder)

    def _remove_oldest(self, keep: Collection[bytes]) -> None:
        total = sum(self._named.values())
        for sha256, size in tuple(self._named.items()):
            if total <= self._limit:
                return
            if sha256 not in keep:
                self._remove(sha256)
                self._sent.discard(sha256)
                total -= size

    def _remove(self, sha256: bytes) -> None:
        del self._named[sha256]
        try:
            os.unlink(sha256.hex(), dir_fd=self._folder)
        except OSError:  # the app has removed it, or put something in its place, which the guard counts
            return


@contextmanager
def _opened(folder: int, sha256: bytes) -> Iterator[tuple[int, int]]:
    """Yield a plain file, open, and its size in bytes.

    Raises:
        OSError: there is none; a link, pipe, folder or device is none.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(sha256.hex(), flags, dir_fd=folder)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a plain file")
        yield file, status.st_size
    finally:
        os.close(file)
